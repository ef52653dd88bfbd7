"""`shoal job` as a person uses it."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
from pathlib import Path

import pytest

from shoal import connect
from shoal.cli.job_runs import _show_more
from shoal.daemon.run_logs import reader
from tests.cli.shell import Shell
from tests.conftest import wait_until
from tests.fleet import SHOAL, Server, environment

SWEEP = '[jobs.sweep]\nschedule = "30 2 * * *"\ntimezone = "Asia/Tokyo"\ncommand = "sh sweep.sh --fast"\n'


def write(shell: Shell, text: str) -> None:
    (shell.home / "jobs.toml").write_text(text)


def test_first_job_is_written_synced_shown_and_tested(shell: Shell) -> None:
    write(shell, SWEEP)
    (shell.home / "sweep.sh").write_text('echo "$1 $SHOAL_JOB"; echo oops >&2; exit 3\n')
    assert shell("job", "sync", "--dry-run").startswith("+ sweep\nwould be: 1 added")
    assert shell.json("job", "list") == []
    assert shell("job", "sync", "-q") == "sweep\n"
    shown = shell("job", "show", "sweep", TZ="UTC")
    assert "30 2 * * *  (Asia/Tokyo)" in shown
    assert shown.count("02:30:00 JST") == shown.count("17:30:00") == 5
    assert len(shell.json("job", "show", "sweep")["fire_times"]) == 5
    assert shell("job", "test", "sweep", code=3) == "--fast sweep\noops\n"
    assert "sweep failed: ended with 3" in shell.errors
    assert shell.json("job", "runs", "sweep") == []
    write(shell, SWEEP.replace("--fast", "--slow") + "timeout_seconds = 9\n")
    assert "--slow" in shell("job", "test", "sweep", "--manifest", code=3)
    planned = shell("job", "sync", "--dry-run")
    assert "~ sweep" in planned
    assert "    timeout_seconds: 300 -> 9" in planned
    shell("job", "test", "swep", "--manifest", code=2)
    assert "it has sweep" in shell.errors
    write(shell, SWEEP + "timout = 9\n")
    shell("job", "sync", code=2)
    assert "jobs.toml, line 5: job sweep: timout: there is no such field; did you mean timeout" in shell.errors


def test_job_is_made_changed_and_taken_away_by_commands(shell: Shell) -> None:
    options = ("--env", "A=b=c", "--tag", "night", "--overlap", "allow", "--attempts", "3", "--disabled")
    shell("job", "create", "echo", "-s", "every 90s", *options, "--", "echo", "--json", "two words")
    definition = shell.json("job", "show", "echo")["definition"]
    assert definition["action"] == {"kind": "program", "command": ["echo", "--json", "two words"]}
    assert (definition["environment"], definition["tags"]) == ({"A": "b=c"}, ["night"])
    assert (definition["overlap"], definition["max_attempts"], definition["enabled"]) == ("allow", 3, False)
    assert "echo --json 'two words'" in shell("job", "list", "--disabled", "--tag", "night")
    assert shell.json("job", "list", "--enabled") == []
    shell("job", "enable", "echo")
    assert "next at" in shell("job", "edit", "echo", "-s", "@hourly", "--task", "Look")
    definition = shell.json("job", "show", "echo")["definition"]
    assert (definition["schedule"], definition["action"]["task"]["title"]) == ("@hourly", "Look")
    assert definition["tags"] == ["night"]
    shell("job", "edit", "echo", "--task", "Look at {job}")
    assert shell("job", "test", "echo").startswith("It would make this task: Look at echo  (P2, swe")
    assert shell.json("job", "test", "echo")["title"] == "Look at echo"
    assert "disabled" in shell("job", "disable", "echo")
    shell("job", "create", "b", "-s", "@daily", "--built-in", "backup", "-o", "keep=3", "-q")
    assert shell.json("job", "show", "b")["definition"]["action"]["options"] == {"keep": 3}
    for wrong in (
        ("create", "c", "-s", "@daily"),
        ("create", "c", "-s", "@daily", "--task", "x", "--", "echo"),
        ("create", "c", "--", "echo"),
        ("create", "c", "-s", "61 * * * *", "--", "echo"),
        ("create", "c", "-s", "@daily", "-e", "x", "--", "echo"),
        ("create", "c", "-s", "@daily", "-o", "x=1", "--", "echo"),
        ("create", "c", "-s", "@daily", "--", "echo hi | wc"),
        ("create", "c", "-s", "@daily", "--built-in", "bakup"),
        ("edit", "echo"),
    ):
        shell("job", *wrong, code=2)
    shell("job", "create", "c", "-s", "@daily", "--built-in", "bakup", code=2)
    assert "there is no built-in 'bakup'; did you mean backup?" in shell.errors
    told = ("status_report", "-o", 'channels=["taem"]')
    shell("job", "create", "report", "-s", "@daily", "--built-in", *told)
    assert "There is no [channels.taem]" in shell.errors
    shell("job", "create", "words", "-s", "@daily", "--", "echo hi")
    assert shell.json("job", "show", "words")["definition"]["action"]["command"] == ["echo", "hi"]
    assert "No job is disabled and tagged x" in shell("job", "list", "--disabled", "--tag", "x")
    shell("job", "show", "nobody", code=3)
    assert "echo removed" in shell("job", "remove", "echo")
    assert isinstance(shell.json("job", "built-ins"), list)


def test_narrow_terminal_shows_every_column(shell: Shell) -> None:
    write(shell, SWEEP)
    shell("job", "sync")
    shown = shell("job", "list", COLUMNS="40")
    assert max(map(len, shown.splitlines())) <= 40
    for part in ("sweep", "30 2 * * *", "manifest", "sh sweep.sh --fast"):
        assert part in shown


@pytest.mark.parametrize(
    ("command", "settings", "code", "said"),
    [
        ("exit 0", (), 0, ""),
        ("exit 7", (), 7, "failed: ended with 7"),
        ("kill -9 $$", (), 137, "failed"),
        ("sleep 60", ("--timeout", "1"), 124, "timeout: stopped after 1 s"),
    ],
)
def test_exit_code_of_a_test_is_that_of_the_command(
    shell: Shell, command: str, settings: tuple[str, ...], code: int, said: str
) -> None:
    shell("job", "create", "x", "-s", "@daily", *settings, "--", "sh", "-c", command)
    shell("job", "test", "x", code=code)
    assert said in shell.errors


def test_test_of_what_cannot_be_started_says_why(shell: Shell) -> None:
    shell("job", "create", "x", "-s", "@daily", "--folder", "nowhere", "--", "echo")
    shell("job", "test", "x", code=126)
    assert "cannot be started" in shell.errors


def test_stopped_test_leaves_nothing_behind(shell: Shell) -> None:
    file = shell.folder / "pid"
    shell("job", "create", "x", "-s", "@daily", "--", "sh", "-c", f"sleep 300 & echo $! > {file}; wait")
    process = subprocess.Popen(
        [*SHOAL, "--home", str(shell.home), "job", "test", "x"], env=environment(), stderr=subprocess.PIPE
    )
    pid = wait_until(lambda: file.exists() and file.read_text().strip())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text())


def test_runs_are_triggered_followed_listed_and_cancelled(shell: Shell) -> None:
    server = Server(shell.home)
    try:
        loop = "for i in 1 2 3; do echo line $i; sleep 0.4; done; exit 4"
        shell("job", "create", "x", "-s", "@yearly", "--", "sh", "-c", loop)
        assert shell("job", "trigger", "x", "--follow", code=1) == "line 1\nline 2\nline 3\n"
        assert "R1 of x failed after" in shell.errors
        assert shell("job", "logs", "x") == shell("job", "logs", "R1", "--tail") == "line 1\nline 2\nline 3\n"
        assert shell("job", "logs", "x", "--follow") == "line 1\nline 2\nline 3\n"
        assert shell.json("job", "logs", "R1")["exit_code"] == 4
        shell("job", "edit", "x", "--", "sleep", "60")
        assert shell("job", "trigger", "x", "-q") == "R2\n"
        wait_until(lambda: shell.json("job", "logs", "R2")["status"] == "running")
        shell("job", "trigger", "x", code=4)
        assert "asked to end" in shell("job", "cancel", "R2")
        assert "R2 of x cancelled" in (shell("job", "logs", "x", "-f") or shell.errors)
        assert [one["status"] for one in shell.json("job", "runs", "x")] == ["cancelled", "failed"]
        assert shell("job", "runs", "--status", "failed", "-q") == shell("job", "runs", "x", "--cursor", "2", "-q")
        assert "R1" in shell("job", "history", "x")
        shell("job", "logs", "R9", code=3)
        shell("job", "create", "y", "-s", "@yearly", "--", "true")
        shell("job", "logs", "y", code=3)
        assert "shoal job trigger y" in shell.errors
    finally:
        assert server.stop() == 0


def test_trigger_is_followed_to_its_end_for_programs_too(shell: Shell) -> None:
    server = Server(shell.home)
    try:
        shell("job", "create", "bad", "-s", "@yearly", "--", "sh", "-c", "echo so; sleep 0.6; exit 4")
        told = json.loads(shell("job", "trigger", "bad", "--follow", "--json", code=1))["data"]
        assert (told["status"], told["exit_code"], told["output"]) == ("failed", 4, "so")
        assert shell.json("job", "logs", "bad", "--follow")["run_id"] == told["run_id"]
        shell("job", "create", "make", "-s", "@yearly", "--task", "Look")
        shell("job", "trigger", "make", "--follow")
        assert "made T1" in shell.errors
        assert "made T1" in shell("job", "runs", "make")
        shell("job", "create", "gone", "-s", "@yearly", "--", "gone.sh")
        shell("job", "trigger", "gone", "--follow", code=1)
        assert "error" in shell.errors
        assert "there is no" in shell.errors
    finally:
        assert server.stop() == 0


def test_who_stops_following_hears_that_the_run_goes_on(shell: Shell) -> None:
    server = Server(shell.home)
    try:
        shell("job", "create", "slow", "-s", "@yearly", "--", "sh", "-c", "echo begun; sleep 60")
        follow = [*SHOAL, "--home", str(shell.home), "job", "trigger", "slow", "--follow"]
        with subprocess.Popen(
            follow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (130, "R1 goes on; shoal job cancel R1 ends it\n")
        assert "asked to end" in shell("job", "cancel", "slow")
        wait_until(lambda: shell.json("job", "logs", "R1")["status"] == "cancelled")
        shell("job", "cancel", "slow", code=3)
        assert "no run of slow is under way" in shell.errors
    finally:
        assert server.stop() == 0


def test_reader_that_is_gone_ends_it_silently(shell: Shell) -> None:
    server = Server(shell.home)
    try:
        shell("job", "create", "big", "-s", "@yearly", "--", "sh", "-c", "seq 300000")
        shell("job", "create", "slow", "-s", "@yearly", "--", "sh", "-c", "echo a; echo b; sleep 60")
        shell("job", "trigger", "big", "--follow")
        shell("job", "trigger", "slow")
        for lines, asked in ((1, "logs big"), (2, "logs slow --follow"), (1, "runs")):
            command = f"{' '.join(SHOAL)} --home {shell.home} job {asked} | head -{lines}; echo ${{PIPESTATUS[0]}}"
            done = subprocess.run(
                ["bash", "-c", command], capture_output=True, text=True, timeout=30, env=environment(), check=True
            )
            assert (done.stderr, done.stdout.splitlines()[-1]) == ("", "0"), asked
    finally:
        assert server.stop() == 0


def test_what_keeps_jobs_from_running_is_told(shell: Shell) -> None:
    shell("job", "create", "x", "-s", "@yearly", "--", "true")
    shell("job", "list")
    assert "No server runs here" in shell.errors
    shell("job", "trigger", "x")
    assert "nothing fires or runs until `shoal serve`" in shell.errors
    write(shell, SWEEP)
    shell("job", "test", "sweep", code=3)
    assert "shoal job test sweep --manifest" in shell.errors
    shell("job", "test", "nobody", code=3)
    assert "--manifest" not in shell.errors
    server = Server(shell.home)
    try:
        write(shell, SWEEP.replace("sweep]", "x]"))
        wait_until(lambda: shell("job", "list") and "The manifest is refused" in shell.errors)
        assert "there is a job x already, of api" in shell.errors
        assert "No server" not in shell.errors
        write(shell, SWEEP)
        wait_until(lambda: "30 2 * * *" in shell("job", "list") and not shell.errors)
    finally:
        assert server.stop() == 0


def test_log_of_another_machine_is_not_looked_for_here(shell: Shell) -> None:
    server = Server(shell.home)
    try:
        with connect(server.url) as ledger:
            action = {"kind": "program", "command": ["echo", "x"]}
            ledger.jobs.create(name="x", schedule="@yearly", action=action)
            run = ledger.jobs.trigger("x")
            run = wait_until(lambda: (one := ledger.runs.get(run.id)).finished_at and one)
        log = reader(run)
        assert log is not None
        with log:
            assert b"".join(log.read()) == b"x\n"
        given = {name: getattr(run, name) for name in run.__struct_fields__}
        assert reader(type(run)(**given | {"server": "elsewhere-1-abc"})) is None
    finally:
        server.stop()


def test_followed_output_is_whole_however_often_its_log_is_rotated(shell: Shell) -> None:
    """Some 40 MB, in files of 10."""
    server = Server(shell.home)
    lines = 5_000_000
    try:
        shell("job", "create", "x", "-s", "@yearly", "--", "sh", "-c", f"echo begun; sleep 0.6; seq {lines}")
        with subprocess.Popen(
            [*SHOAL, "--home", str(shell.home), "job", "trigger", "x", "--follow"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
        ) as process:
            assert process.stdout is not None
            told = hashlib.sha256(process.stdout.read()).hexdigest()
        wanted = hashlib.sha256("".join(["begun\n", *(f"{n}\n" for n in range(1, lines + 1))]).encode()).hexdigest()
        assert (process.returncode, told) == (0, wanted)
        whole = subprocess.run(
            [*SHOAL, "--home", str(shell.home), "job", "logs", "x"], capture_output=True, env=environment(), check=True
        )
        assert hashlib.sha256(whole.stdout).hexdigest() == wanted
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("old", "new", "more"),
    [("", "ab", "ab"), ("ab", "abc", "c"), ("abcd", "cdef", "ef"), ("ab", "xy", "xy"), ("ab", "ab", "")],
)
def test_more_of_an_output_is_what_its_end_had_not(
    old: str, new: str, more: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _show_more(old, new)
    assert capsys.readouterr().out == more


def test_help_names_examples(shell: Shell) -> None:
    for name in ("list", "show", "create", "edit", "sync", "trigger", "runs", "logs", "cancel", "test"):
        assert "Example" in shell("job", name, "--help"), name


def test_every_built_in_is_listed_and_can_be_tried_without_a_server(shell: Shell) -> None:
    listed = {one["name"]: one for one in shell.json("job", "built-ins")}
    assert listed.keys() >= {"backup", "flush_logs", "review_pull_requests", "supervise"}
    assert set(listed["flush_logs"]["options"]) == {"days", "keep_days", "compress"}
    write(shell, "".join(f'[jobs.{name}]\nschedule = "@daily"\nbuilt_in = "{name}"\n' for name in listed))
    shell("job", "sync")
    assert ".db: " in shell("job", "test", "backup")
    assert "1 backup kept" in shell("job", "test", "backup", "--manifest").replace("2 backups", "1 backup")
    assert shell("job", "test", "flush_logs").startswith("0 log file(s) moved to 020-logs/")
    assert shell("job", "test", "supervise").endswith("nothing to do\n")
    shell("job", "test", "review_pull_requests", code=1)
    assert "set $SHOAL_GITHUB_TOKEN" in shell.errors
    shell("job", "create", "night", "-s", "@daily", "--built-in", "backup", "-o", "keep=many", code=2)
    assert "option keep of backup: Expected `int | null`, got `str`" in shell.errors
