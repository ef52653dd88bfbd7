"""Manifests of jobs: what is written in files and repositories, and what is wrong with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from shoal.adapters.manifests import Manifests
from shoal.adapters.manifests.manifests import read
from shoal.adapters.manifests.written import Text
from shoal.errors import BadInput, GitError
from shoal.model.check import Check
from shoal.model.job import BuiltIn, CatchUp, Overlap, Program, Template
from shoal.model.manifest import Manifest
from shoal.settings import Settings

SWEEP = '[jobs.sweep]\nschedule = "@daily"\ncommand = "sweep.sh --fast"\n'


def toml(text: str) -> Manifest:
    return read([Text("jobs.toml", text.encode())])


def yaml(text: str) -> Manifest:
    return read([Text("jobs.yaml", text.encode())])


def manifests(home: Path, jobs: str = "", **given: int) -> Manifests:
    settings = Settings(jobs=jobs, **given)
    return Manifests(home, lambda: settings)


def names(manifest: Manifest) -> list[str]:
    return [one.name for one in manifest.definitions]


def test_every_field_and_every_short_form_is_read() -> None:
    found = toml(
        """
        [jobs.sweep]
        schedule = "0 3 * * *"
        timezone = "Europe/Berlin"
        command = "sweep.sh --name 'two words'"
        enabled = false
        timeout_seconds = 7
        overlap = "replace"
        catch_up = "all"
        grace_seconds = 8
        max_attempts = 3
        backoff_seconds = 9
        jitter_seconds = 10
        tags = ["night"]
        description = "Sweeps."
        environment = { LIMIT = 5, RATIO = 0.5, DRY = true, NAME = "x" }
        folder = "scripts"
        [jobs.check]
        schedule = "every 90s"
        script = "check.py"
        [jobs."a.b"]
        schedule = "@hourly"
        command = ["echo", "a | b"]
        [jobs.triage]
        schedule = "@weekly"
        task = { title = "Triage of {slot}", priority = "high" }
        [jobs.plain]
        schedule = "@weekly"
        task = "Look around"
        [jobs.backup]
        schedule = "@hourly"
        built_in = "backup"
        options = { keep = 3 }
        [jobs.long]
        schedule = "@hourly"
        action = { kind = "built_in", name = "backup" }
        """
    )
    sweep, check, dotted, triage, plain, backup, long = found.definitions
    assert sweep.action == Program(["sweep.sh", "--name", "two words"])
    assert (sweep.timezone, sweep.enabled, sweep.timeout_seconds) == ("Europe/Berlin", False, 7)
    assert (sweep.overlap, sweep.catch_up, sweep.grace_seconds) == (Overlap.REPLACE, CatchUp.ALL, 8)
    assert (sweep.max_attempts, sweep.backoff_seconds, sweep.jitter_seconds) == (3, 9, 10)
    assert (sweep.tags, sweep.description, sweep.folder) == (["night"], "Sweeps.", "scripts")
    assert sweep.environment == {"LIMIT": "5", "RATIO": "0.5", "DRY": "true", "NAME": "x"}
    assert check.action == Program(["check.py"])
    assert (dotted.name, dotted.action) == ("a.b", Program(["echo", "a | b"]))
    assert isinstance(triage.action, Template)
    assert (triage.action.task.title, triage.action.task.priority) == ("Triage of {slot}", "high")
    assert isinstance(plain.action, Template)
    assert plain.action.task.title == "Look around"
    assert backup.action == BuiltIn("backup", {"keep": 3})
    assert long.action == BuiltIn("backup")


def test_checks_have_short_forms() -> None:
    found = toml(
        """
        [jobs.docs]
        schedule = "on_commit"
        check = "doc-health"
        options = { root = "docs" }
        project = "web"
        [jobs.own]
        schedule = "weekly"
        check = { name = "licences", command = "licences.sh --strict", version = "2" }
        [jobs.python]
        schedule = "on_idle 4h"
        check = { name = "words", handler = "words:run" }
        """
    )
    assert [one.action for one in found.definitions] == [
        Check(name="doc-health", options={"root": "docs"}, project="web"),
        Check(name="licences", command=["licences.sh", "--strict"], version="2"),
        Check(name="words", handler="words:run"),
    ]


def test_yaml_and_lists_say_the_same() -> None:
    written = "jobs:\n  sweep:\n    schedule: '@daily'\n    command: sweep.sh --fast\n"
    listed = "jobs:\n- name: sweep\n  schedule: '@daily'\n  command: [sweep.sh, --fast]\n"
    array = SWEEP.replace("[jobs.sweep]", '[[jobs]]\nname = "sweep"')
    assert yaml(written).definitions == yaml(listed).definitions == toml(array).definitions == toml(SWEEP).definitions
    assert toml("").definitions == yaml("").definitions == yaml("jobs:\n").definitions == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = \n", "jobs.toml, line 1: Invalid value"),
        ("[jobs.a]\nschedule = 'x", "jobs.toml, line 2: "),
        ("\n[job.a]\n", "jobs.toml, line 2: job: there is no such table; did you mean jobs.*\\[jobs.NAME\\]"),
        ("jobs = 3\n", "jobs.toml, line 1: jobs is no table"),
        ("[jobs]\na = 3\n", "line 2: jobs.a is no table"),
        ("[jobs.a]\nname = 'b'\n", "line 2: a: its name stands in the heading"),
        ("[[jobs]]\nschedule = '@daily'\n", "line 1: the job number 1 has no name"),
        ("[jobs.a]\n\nscedule = '@daily'\n", "line 3: job a: scedule: .*did you mean schedule\\?"),
        ("[jobs.a]\ncron = '@daily'\n", "line 2: job a: cron: .*did you mean schedule\\?"),
        ("[jobs.a]\ncommand = 'x'\n", "line 1: job a: schedule: it is missing"),
        ("[jobs.a]\nschedule = '@daily'\n", "line 1: job a: it does nothing; give it a command"),
        ("[jobs.a]\nscript = 'x.py'\ncommand = 'x'\n", "line 2: job a: it has both command and script"),
        ("[jobs.a]\nschedule = '@daily'\ncommand = 'x | y'\n", "line 3: job a: command: no shell reads it"),
        ("[jobs.a]\nschedule = '@daily'\ncommand = '\"x'\n", "line 3: job a: command: no closing quotation"),
        ("[jobs.a]\nschedule = '@daily'\ncommand = ''\n", "line 3: job a: command: "),
        ("[jobs.a]\nschedule = '@daily'\ncommand = 'x'\noptions = {}\n", "line 4: job a: options: "),
        ("[jobs.a]\ncommand = 'x'\nschedule = '@daily'\noverlap = 'alow'\n", "line 4: .*did you mean allow"),
        ("[jobs.a]\ncommand = 'x'\nschedule = '@daily'\ntimeout_seconds = '5m'\n", "line 4: job a: timeout_seconds"),
        ("[jobs.a]\nschedule = '@daily'\ntask = {titel = 'x'}\n", "line 3: job a: task.titel: there"),
        (
            "[jobs.'a b']\nschedule = '@daily'\ncommand = 'x'\n",
            "line 1: job a b: name: it is not a name of the letters A to Z",
        ),
        ("[[jobs]]\nname='a'\nschedule='@daily'\ncommand='x'\n[[jobs]]\nname='b'\n\nfoo=1\n", "line 8: job b: foo"),
        (
            "[jobs.a]\nschedule = 'daily'\ncommand = 'x'\nproject = 'web'\n",
            "line 4: job a: project: this is for a check",
        ),
        ("[jobs.a]\nschedule = 'daily'\ncheck = 3\n", "line 3: job a: check: write its name"),
        ("[jobs.a]\nschedule = 'daily'\ncheck = {name = 'x', handler = 'x'}\n", "line 3: job a: check.handler"),
        (
            "[jobs.a]\nschedule = 'daily'\ncheck = {name = 'x', handler = 'x:y', command = 'z'}\n",
            "line 3: job a: check: a check has a handler or a command, not both",
        ),
        ("[jobs.a]\n[jobs.a]\n", "line 2: "),
        ("[jobs.'größe']\nschedule='@daily'\ncommand='x'\n", "job größe: name: it is not a name of the letters A to Z"),
        (f"[jobs.a]\ntimeout_seconds = {'9' * 5000}\n", "jobs.toml, line 3: Exceeds the limit"),
    ],
)
def test_mistakes_in_toml_are_told_with_line_and_reason(text: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        toml(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("jobs:\n  a:\n    schedule: */5 * * * *\n", "jobs.yaml, line 3: quote a schedule that begins with \\*"),
        ("jobs:\n  a:\n   - x\n  b\n", "jobs.yaml, line 4|jobs.yaml, line 5"),
        ("jobs:\n  a: {}\n  a: {}\n", "jobs.yaml, line 3: a stands there twice"),
        ("jobs:\n  a:\n    command: x\n    shedule: '@daily'\n", "line 4: job a: shedule: .*did you mean schedule"),
        ("jobs:\n- name: a\n  schedule: '@daily'\n  command: x\n- name: b\n  foo: 1\n", "line 6: job b: foo"),
        ("jobs: &a\n  x: *a\n", "line 1: it stands for itself"),
        ("- a\n", "line 1: it is no table; a job is written as a key below `jobs:`"),
        ("jobs:\n  ? [a]\n  : {schedule: '@daily'}\n", "line 2: a name is one word"),
        ("jobs:\n  a:\n    ? {b: 1}\n    : 1\n", "line 3: a name is one word"),
        ("jobs:\n  on: {}\n", 'line 2: YAML takes on for no text; write "on"'),
        ("jobs:\n  ~: {}\n", 'line 2: YAML takes ~ for no text; write "~"'),
        ("jobs: !!python/object:os.system x\n", "line 1: could not determine a constructor"),
        ("a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(8)
        ), "its aliases stand for too much"),
    ],
)  # fmt: skip
def test_mistakes_in_yaml_are_told_with_line_and_reason(text: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        yaml(text)


@pytest.mark.parametrize("content", [b"\xff", b"[jobs.a]\nx='\xe9'\n", b"[" * 100_000, b"x" * 1_000_001, b"\x00"])
@pytest.mark.parametrize("name", ["jobs.toml", "jobs.yaml"])
def test_what_is_no_text_is_refused_with_its_file(name: str, content: bytes) -> None:
    with pytest.raises(BadInput, match=f"^{name}"):
        read([Text(name, content)])


def test_home_has_jobs_toml_or_yaml_and_one_that_is_gone_is_told(tmp_path: Path) -> None:
    source = manifests(tmp_path)
    assert source.mark() is None
    with pytest.raises(BadInput, match=r"no jobs.toml or jobs.yaml in .*an empty manifest has none"):
        source()
    (tmp_path / "jobs.yaml").write_text("jobs:\n  a: {schedule: '@daily', command: x}\n")
    first = source.mark()
    assert (first is not None, names(source())) == (True, ["a"])
    (tmp_path / "jobs.toml").write_text(SWEEP)
    assert source.mark() != first
    assert names(source()) == ["sweep", "a"]
    (tmp_path / "jobs.toml").write_text(SWEEP.replace("sweep]", "a]"))
    with pytest.raises(BadInput, match=r"jobs.yaml, line 2: job a is defined already, at jobs.toml, line 1"):
        source()


def test_folder_is_read_whole_but_not_what_is_hidden(tmp_path: Path) -> None:
    folder = tmp_path / "ops"
    (folder / "more").mkdir(parents=True)
    (folder / ".git").mkdir()
    source = manifests(tmp_path, "ops")
    with pytest.raises(BadInput, match=r"no manifest in .*ops"):
        source()
    for name in ("b.toml", "more/a.toml", ".c.toml", ".git/d.toml", "README.md", "#e.toml"):
        (folder / name).write_text(SWEEP.replace("sweep]", f"{Path(name).stem.strip('.#')}]"))
    assert names(source()) == ["b", "a"]
    before = source().sha
    (folder / "b.toml").rename(folder / "c.toml")
    assert source().sha != before
    with pytest.raises(BadInput, match=r"no .*/gone.toml \(setting jobs\)"):
        manifests(tmp_path, "gone.toml")()


def test_place_of_a_field_is_that_of_what_was_written() -> None:
    found = toml(SWEEP + '[jobs."sweep.b"]\nschedule = "@daily"\ntask = { title = "x" }\n')
    assert found.place("sweep.schedule") == "jobs.toml, line 2"
    assert found.place("sweep.action.command[0]") == "jobs.toml, line 3"
    assert found.place("sweep.timezone") == "jobs.toml, line 1"
    assert found.place("sweep.b.action") == "jobs.toml, line 6"
    assert found.place("other") == ""


def git(folder: Path, *arguments: str) -> str:
    named = ("-c", "user.name=ana", "-c", "user.email=ana@localhost")
    done = subprocess.run(["git", *named, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "jobs.toml").write_text(SWEEP)
    (folder / "pyproject.toml").write_text("[project]\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Begin")
    return folder


def test_repository_is_fetched_at_each_reading(repository: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    source = manifests(home, f"file://{repository}")
    first = source()
    assert (names(first), first.sha) == (["sweep"], git(repository, "rev-parse", "HEAD"))
    (repository / "jobs.toml").write_text(SWEEP.replace("sweep]", "other]"))
    git(repository, "commit", "--quiet", "--all", "-m", "Change")
    assert names(source()) == ["other"]
    assert source.mark() == source.mark()
    repository.rename(tmp_path / "away")
    with pytest.raises(GitError, match="git fetch"):
        source()
    (tmp_path / "away").rename(repository)
    for left in (home / "manifests").rglob("HEAD"):
        left.unlink()
    assert names(source()) == ["other"]


def test_repository_may_name_branch_and_path(repository: Path, tmp_path: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "ops/next")
    (repository / "ops").mkdir()
    for name in ("a", "b"):
        (repository / "ops" / f"{name}.toml").write_text(SWEEP.replace("sweep]", f"{name}]"))
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "More")
    git(repository, "checkout", "--quiet", "main")
    url = f"file://{repository}"
    assert names(manifests(tmp_path, url)()) == ["sweep"]
    assert names(manifests(tmp_path, f"{url}#ops/next:ops")()) == ["a", "b"]
    assert names(manifests(tmp_path, f"{url}#ops/next:ops/b.toml")()) == ["b"]
    with pytest.raises(GitError, match="nowhere"):
        manifests(tmp_path, f"{url}#nowhere")()
    with pytest.raises(BadInput, match="there is no manifest at gone in "):
        manifests(tmp_path, f"{url}#main:gone")()
    with pytest.raises(BadInput, match="cannot name a branch"):
        manifests(tmp_path, f"{url}#--upload-pack=x")()


def test_repository_without_jobs_toml_has_its_folder_jobs(repository: Path, tmp_path: Path) -> None:
    (repository / "jobs").mkdir()
    git(repository, "mv", "jobs.toml", "jobs/sweep.toml")
    git(repository, "commit", "--quiet", "-m", "Move")
    assert names(manifests(tmp_path, f"file://{repository}")()) == ["sweep"]
