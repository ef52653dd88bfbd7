"""`shoal check` as a person and a script use it."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

from tests.cli.shell import Shell
from tests.fleet import Server
from tests.vaults import git

FINDING = {"rule": "licence", "message": "no licence", "file": "lib/a.py", "line": 3, "severity": "critical"}


def command(*findings: dict[str, object], code: int = 0) -> str:
    script = "".join(f"echo {json.dumps(json.dumps(one))}; " for one in findings)
    return f"sh -c '{script}exit {code}'"


def test_own_check_is_written_tried_and_kept(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/a.md").write_text("fine\nXXX wrong\n")
    assert "my_words.py written; try it: shoal check run my-words" in shell("check", "new", "my-words")
    shell("check", "new", "my-words", code=4)
    run = ("check", "run", "my-words", "--handler", "my_words:run", "--path", "web")
    tried = shell(*run, "--dry-run")
    assert "a.md\n" in tried
    assert "still there: XXX wrong" in tried
    assert "1 found; nothing was kept" in tried
    assert shell.json("check", "list")[-1]["name"] != "my-words"
    assert shell(*run, "-q") == "W1\n"
    assert shell(*run, "-o", "word=YYY") == "0 found, 0 new, 1 gone and done\n"
    assert shell(*run).endswith("1 found, 0 new, 1 back\n")
    shell(*run, "--fail-on", "warning", code=1)
    shell(*run, "--fail-on", "critical")


def test_commands_print_findings_and_their_failure_resolves_nothing(shell: Shell) -> None:
    other = FINDING | {"message": "other", "severity": "info"}
    found = shell.json("check", "run", "licences", "--command", command(FINDING, other))
    assert [one["message"] for one in found["findings"]] == ["no licence", "other"]
    assert (found["complete"], found["report"]["new"]) == (True, ["W1", "W2"])
    shell("check", "run", "licences", "--command", command(other, code=7), code=1)
    assert "licences ended with 7: nothing counts as gone" in shell.errors
    [state] = shell.json("check", "show", "licences")["states"]
    assert (state["open"], state["critical"]) == (2, 1)
    shell("check", "run", "licences", "--command", "echo oops", code=1)
    assert "no finding: oops" in shell.errors
    shell("check", "run", "licences", "--command", "no-such-program", code=2)
    assert "no-such-program cannot be started: it is not on PATH" in shell.errors


def test_partial_look_is_said_and_no_failure(shell: Shell) -> None:
    found = shell.json("check", "run", "licences", "--command", command(FINDING, {"partial": "it was late"}))
    assert (found["complete"], found["problem"], found["report"]["new"]) == (False, None, ["W1"])
    assert shell.errors == "it was late; nothing counts as gone\n"
    (shell.home / "late.py").write_text("def run(context):\n    context.partial('it was late')\n    yield from ()\n")
    shell("check", "run", "licences", "--handler", "late:run")
    assert shell.errors == "it was late; nothing counts as gone\n"


def test_function_that_breaks_is_told_without_a_trace(shell: Shell) -> None:
    (shell.home / "bad.py").write_text(
        "def run(context):\n    yield {'rule': 'r', 'message': 'm'}\n    raise KeyError('x')\n"
    )
    shell("check", "run", "bad", "--handler", "bad:run", code=1)
    assert shell.errors == "bad ended with KeyError: 'x'; nothing counts as gone\n"
    shell("check", "run", "bad", "--handler", "bad:walk", code=2)
    assert "bad:walk cannot be had: AttributeError" in shell.errors


def test_built_in_is_enabled_run_by_its_job_and_disabled(shell: Shell) -> None:
    shown = shell("check", "show", "stale-work")
    assert "queued_days" in shown
    shell("check", "enable", "stale-work", "-o", "queud_days=3", code=2)
    assert "option queud_days of stale-work: there is no such option; did you mean queued_days?" in shell.errors
    assert shell("check", "enable", "stale-work", "-o", "queued_days=3") == "stale-work runs daily\n"
    assert shell("check", "enable", "stale-work", "--schedule", "on_idle") == "stale-work runs on_idle\n"
    assert "on idle" in shell("job", "list")
    [job] = shell.json("check", "show", "stale-work")["jobs"]
    assert job["definition"]["action"] == {
        "kind": "check",
        "name": "stale-work",
        "handler": None,
        "command": None,
        "options": {"queued_days": 3},
        "project": "default",
        "version": None,
    }
    assert shell("check", "run", "stale-work") == "0 found, 0 new\n"
    assert shell("job", "test", "stale-work") == ""
    shell("doctor")
    (shell.home / "jobs.toml").write_text("[jobs.x]\nschedule = 'daily'\ncheck = 'stale-work'\noptions = {days = 3}\n")
    shell("job", "sync")
    assert "job x: option days of stale-work: there is no such option" in shell("doctor", code=6)
    assert shell("check", "disable", "stale-work") == "stale-work runs no more\n"
    shell("check", "disable", "vault-health", code=2)
    shell("check", "run", "stale-wok", code=2)
    assert "there is no check 'stale-wok'; did you mean stale-work?" in shell.errors


def test_check_in_the_manifest_looks_at_its_project(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "web/docs").mkdir(parents=True)
    (shell.home / "shoal.toml").write_text('[projects.web]\npath = "../web"\n')
    (shell.home / "jobs.toml").write_text(
        "[jobs.where]\nschedule = 'on_commit'\nproject = 'web'\noptions = {deep = true}\n"
        'check = {name = "where", command = "sh where.sh"}\n'
    )
    (tmp_path / "web/where.sh").write_text(
        'echo "{\\"rule\\": \\"r\\", \\"message\\": \\"$SHOAL_CHECK_PROJECT $(basename $PWD)\\"}"\n'
        'echo "$SHOAL_CHECK_OPTIONS" >&2\n'
    )
    shell("job", "sync")
    assert sorted(shell("job", "test", "where").splitlines()) == ["warning: web web [r]", '{"deep":true}']
    found = shell.json("check", "run", "where")
    assert [one["message"] for one in found["findings"]] == ["web web"]
    assert found["report"]["project"] == "web"


def repository(folder: Path) -> None:
    """A repository with a page whose link leads nowhere, and something to do."""
    (folder / "docs").mkdir(parents=True)
    (folder / "docs/guide.md").write_text("[there](nowhere.md)\n")
    (folder / "TODO.md").write_text("- [ ] Oil the pump\n")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)


def test_checks_look_where_people_are_and_call_it_as_scans_do(shell: Shell, tmp_path: Path) -> None:
    repository(tmp_path / "pump")
    shell.folder = tmp_path / "pump/docs"
    assert shell("check", "run", "doc-health", "-q") == "W1\n"
    shell.folder = tmp_path / "pump"
    assert shell("scan", "-q") == "W2\n"
    found = {one["source_file"]: one["project"] for one in shell.json("backlog", "list")}
    assert found == {"docs/guide.md": "pump", "TODO.md": "pump"}
    assert shell("check", "run", "doc-health", "--project", "well", "-q") == "W3\n"
    assert shell.json("check", "run", "doc-health", "--path", ".")["report"]["project"] == "pump"
    assert shell.json("check", "run", "doc-health", "--path", "docs")["report"]["project"] == "default"
    assert shell.json("check", "run", "stale-work")["report"]["project"] == "default"
    (shell.home / "shoal.toml").write_text('[projects.waterworks]\npath = "../pump"\n')
    assert shell.json("check", "run", "doc-health")["report"]["project"] == "waterworks"


def test_enabled_check_looks_at_the_repository_around(shell: Shell, tmp_path: Path) -> None:
    for name in ("pump", "well"):
        repository(tmp_path / name)
        shell.folder = tmp_path / name
        assert shell("check", "enable", "doc-health", "-o", 'off=["broken-link"]') == (
            f"doc-health.{name} runs daily in {tmp_path / name}\n"
        )
    assert shell("check", "enable", "stale-work") == "stale-work runs daily\n"
    # The job that looks here says with which options, and it looks where it says also when people are elsewhere.
    assert shell.json("check", "run", "doc-health")["report"]["found"] == 0
    assert shell.json("check", "run", "doc-health.pump", "-o", "off=[]")["report"]["project"] == "pump"
    assert shell("job", "test", "doc-health.pump") == ""
    assert shell("check", "disable", "doc-health") == "doc-health.well runs no more\n"
    assert shell("check", "enable", "doc-health") == f"doc-health.well runs daily in {tmp_path / 'well'}\n"


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "More")


def test_renamed_file_takes_its_findings_along_by_hand_too(shell: Shell, tmp_path: Path) -> None:
    repository(tmp_path / "pump")
    commit(tmp_path / "pump")
    shell.folder = tmp_path / "pump"
    since = 'sh -c \'echo "$SHOAL_CHECK_SINCE" >&2; echo "$0"\' '
    finding = FINDING | {"file": "docs/guide.md"}
    run = ("check", "run", "licences", "--command")
    assert shell(*run, since + shlex.quote(json.dumps(finding)), "-q") == "W1\n"
    assert shell.errors == "\n"
    assert shell("check", "run", "doc-health", "-q") == "W2\n"
    before = git(shell.folder, "rev-parse", "HEAD")
    git(shell.folder, "mv", "docs/guide.md", "docs/manual.md")
    commit(shell.folder)
    finding["file"] = "docs/manual.md"
    assert shell(*run, since + shlex.quote(json.dumps(finding)), "-q") == ""
    assert shell.errors == f"{before}\n"
    assert shell.json("check", "run", "doc-health")["report"]["resolved"] == []
    items = {one["item_id"]: (one["source_file"], one["status"]) for one in shell.json("backlog", "list")}
    assert items == dict.fromkeys(("W1", "W2"), ("docs/manual.md", "new"))


def test_script_of_the_checkout_is_run_as_its_job_runs_it(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/licences.sh").write_text(f"echo '{json.dumps(FINDING)}'; echo \"$1\" >&2\n")
    (shell.home / "shoal.toml").write_text('[projects.web]\npath = "../web"\n')
    (shell.home / "jobs.toml").write_text(
        '[jobs.licences]\nschedule = "on_commit"\nproject = "web"\n'
        'check = { name = "licences", command = "licences.sh --strict", version = "1" }\n'
    )
    assert shell("check", "run", "licences", "--command", "licences.sh --strict", "--path", "web", "-q") == "W1\n"
    assert shell.errors == "--strict\n"
    shell("job", "sync")
    assert sorted(shell("job", "test", "licences").splitlines()) == [
        "--strict",
        "lib/a.py:3: critical: no licence [licence]",
    ]
    shell("check", "run", "licences", "--command", "licenses.sh", "--path", "web", code=2)
    assert f"licenses.sh cannot be started: there is no {tmp_path}/web/licenses.sh" in shell.errors


def test_checkout_that_is_missing_or_empty_closes_nothing(shell: Shell, tmp_path: Path) -> None:
    repository(tmp_path / "web")
    (shell.home / "shoal.toml").write_text('[projects.web]\npath = "../web"\n')
    (shell.home / "some.py").write_text("def run(context):\n    yield from ()\n")
    looks = {
        "licences": ("--command", command(FINDING)),
        "some": ("--handler", "some:run"),
        "doc-health": (),
        "todo-scan": (),
    }
    for name, given in looks.items():
        shell("check", "run", name, *given, "--project", "web")
    kept = [one["item_id"] for one in shell.json("backlog", "list")]
    assert len(kept) == 3
    looks["licences"] = ("--command", "true")
    (tmp_path / "web").rename(tmp_path / "away")
    for name, given in looks.items():
        shell("check", "run", name, *given, "--project", "web", code=2)
        assert f"project web has no checkout here: {tmp_path}/web is no folder; say where" in shell.errors
    shell("check", "enable", "doc-health", "--project", "web", code=2)
    assert "project web has no checkout here" in shell.errors
    assert shell.json("job", "list") == []
    (tmp_path / "web/lost").mkdir(parents=True)
    for name, given in looks.items():
        for _ in range(4):
            found = shell.json("check", "run", name, *given, "--project", "web")
            assert not found["complete"]
        assert f"{tmp_path}/web is empty; nothing counts as gone" in shell.errors
    assert [one["item_id"] for one in shell.json("backlog", "list")] == kept


def test_schedule_that_is_none_is_told_what_there_is(shell: Shell) -> None:
    shell("check", "enable", "stale-work", "-s", "blah", code=2)
    assert "'blah' is no schedule: write daily, weekly, " in shell.errors
    assert "on_commit, on_idle, `every 2h`" in shell.errors


def test_scan_as_a_check_goes_by_the_settings_also_beside_a_server(shell: Shell, tmp_path: Path) -> None:
    repository(tmp_path / "web")
    (tmp_path / "web/WORK.md").write_text("- [ ] Mend the fence\n- [ ] Paint it\n")
    (shell.home / "shoal.toml").write_text('[projects.web]\npath = "../web"\n[backlog]\ntodo_files = ["WORK.md"]\n')
    run = ("check", "run", "todo-scan", "--project", "web")
    server = Server(shell.home)
    try:
        assert shell(*run, "--dry-run") == "2 found; nothing was kept\n"
        assert shell.json("backlog", "list") == []
        assert shell(*run) == "2 found, 2 new\n"
        assert {one["source_file"] for one in shell.json("backlog", "list")} == {"WORK.md"}
        shell("check", "enable", "todo-scan", "--project", "web")
        (tmp_path / "web/WORK.md").write_text("- [ ] Mend the fence\n- [ ] Paint it\n- [ ] Look\n")
        ended = shell.json("job", "trigger", "todo-scan.web", "--follow")
        assert (ended["status"], ended["findings_count"], ended["new_findings_count"]) == ("success", 3, 1)
    finally:
        server.kill()
