"""Logs on their way from the home into the vault, with writers beside and deaths in between."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shoal import Ledger
from shoal.adapters.processes import log_file
from shoal.adapters.processes.lock import held
from shoal.adapters.processes.log_file import LogFile, rotated
from shoal.daemon.built_ins import flush_logs
from shoal.daemon.vault_cycle import Report
from shoal.ledger.connect import open_home
from shoal.settings import Home, Settings
from tests.conftest import START_MS, FakeClock, wait_until
from tests.daemon.built_ins.conftest import Fire
from tests.fleet import environment
from tests.vaults import git

MONTH = f"{datetime.fromtimestamp(START_MS / 1000, UTC):%Y-%m}"
WORD = "s3cr3t" + "pw"
AWS_KEY = "AKIA" + "QYLPMN5HGZT3KXRW"
KEY = "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----"


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "vault"


def attempt(ledger: Ledger, home: Home, text: str = "", *, over: bool = True) -> Path:
    """A task with an attempt that wrote a log; where that is."""
    task = ledger.tasks.create(title="Build it")
    ledger.tasks.claim(worker="w1", agent="claude-1")
    log = home.logs / f"{task.task_id}.1.log"
    ledger.tasks.begin_session(task.id, attempt=1, agent="claude-1", kind="claude", log=str(log))
    if text:
        write(log, text)
    if over:
        end(ledger)
    return log


def end(ledger: Ledger) -> None:
    ledger.sessions.end(1, attempt=1, outcome="completed")
    ledger.tasks.complete(1, attempt=1)


def write(log: Path, text: str) -> None:
    with LogFile(log) as file:
        file.write(text.encode())
    os.utime(log, (START_MS / 1000, START_MS / 1000))


def logs_of(vault: Path) -> dict[str, str]:
    """What the vault's log folder holds."""
    found = {}
    for path in sorted((vault / "020-logs").rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            name = str(path.relative_to(vault / "020-logs"))
            found[name] = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return found


def test_log_of_an_attempt_that_is_over_goes_into_the_vault(
    ledger: Ledger, home: Home, vault: Path, fire: Fire, sync: Callable[..., Report]
) -> None:
    log = attempt(ledger, home, "one\ntwo\n")
    sync()
    found = fire(ledger, "flush_logs")
    assert (found.status, found.reason) == ("success", None)
    place = f"020-logs/{MONTH}/T1.1.log.gz"
    size = (vault / place).stat().st_size
    assert str(found.output).splitlines() == [
        f"T1.1.log -> {place}",
        f"1 log file(s) moved to 020-logs/ of the vault, {size} bytes",
    ]
    assert logs_of(vault) == {f"{MONTH}/T1.1.log.gz": "one\ntwo\n"}
    assert not log.exists()
    [session] = ledger.tasks.sessions(1)
    assert session.log == place, "who looks for it is led there"
    sync()
    assert place in git(vault, "ls-files")
    assert git(vault, "status", "--porcelain") == ""
    assert "0 log file(s)" in str(fire(ledger, "flush_logs").output)


def test_log_of_an_attempt_under_way_stays(ledger: Ledger, home: Home, vault: Path, fire: Fire) -> None:
    running = attempt(ledger, home, "one\n", over=False)
    fire(ledger, "flush_logs")
    assert running.read_text() == "one\n"
    end(ledger)
    with LogFile(running) as file:  # a worker that has lost its task and has not noticed
        found = fire(ledger, "flush_logs")
        assert "T1.1.log is being written; it stays for the next time" in str(found.output)
        file.write(b"two\n")
    fire(ledger, "flush_logs")
    assert list(logs_of(vault).values()) == ["one\ntwo\n"]


def test_files_that_are_not_logs_of_this_ledgers_attempts_stay(ledger: Ledger, home: Home, fire: Fire) -> None:
    attempt(ledger, home)
    names = ["T1.2.log", "T9.1.log", "X1.1.log", "T1.1.log.txt", "notes"]
    for name in names:
        write(home.logs / name, "mine\n")
    (home.logs / "T1.1.log").symlink_to("/dev/null")
    fire(ledger, "flush_logs")
    kept = {path.name for path in home.logs.iterdir()}
    assert kept == {*names, "T1.1.log", "jobs", flush_logs.CLAIMED}


def test_rotated_log_keeps_its_order_and_what_is_written_later_is_added(
    ledger: Ledger, home: Home, vault: Path, fire: Fire, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = attempt(ledger, home)
    monkeypatch.setattr(log_file, "LOG_BYTES", 10)
    for number in range(4):
        write(log, f"line {number}\n")
        for rotated_one in home.logs.glob("T1.1.log.*"):
            os.utime(rotated_one, (START_MS / 1000, START_MS / 1000))
    fire(ledger, "flush_logs", compress=False)
    write(log, "line 4\n")
    fire(ledger, "flush_logs", compress=False)
    names = ["T1.1.log", *(f"T1.1.{number}.log" for number in (2, 3, 4, 5))]
    assert logs_of(vault) == {f"{MONTH}/{name}": f"line {number}\n" for number, name in enumerate(names)}
    assert ledger.tasks.sessions(1)[0].log == f"020-logs/{MONTH}/T1.1.5.log"


def test_secrets_stay_out_of_the_vault(
    ledger: Ledger, home: Home, vault: Path, fire: Fire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush_logs, "BLOCK_BYTES", 40)  # so that the key is in several pieces
    text = f"begin\n{KEY}\nuse {AWS_KEY} now\ngit clone https://ana:{WORD}@git.acme.io/web\n"
    text += "id 5d41402abc4b2a76b9719d9110\n"
    attempt(ledger, home, text)
    fire(ledger, "flush_logs")
    [moved] = logs_of(vault).values()
    assert moved == (
        "begin\n[secret: a private key]\nuse [secret: an AWS access key] now\n"
        "git clone https://ana:[secret: a password in a URL]@git.acme.io/web\nid 5d41402abc4b2a76b9719d9110\n"
    )


def test_lines_behind_the_mention_of_a_key_are_not_lost(ledger: Ledger, home: Home, vault: Path, fire: Fire) -> None:
    lines = [f"line {number} of the work\n" for number in range(100_000)]
    lines[10] = "$ grep -rn -- '-----BEGIN RSA PRIVATE " + "KEY-----' . | wc -l\n"
    attempt(ledger, home, "".join(lines))
    fire(ledger, "flush_logs")
    [kept] = logs_of(vault).values()
    assert kept.splitlines(keepends=True) == [
        *lines[:10],
        "$ grep -rn -- '[secret: a private key]' . | wc -l\n",
        *lines[11:],
    ]


def test_days_are_waited_and_old_logs_are_let_go_of(
    ledger: Ledger, home: Home, vault: Path, fire: Fire, clock: FakeClock
) -> None:
    log = attempt(ledger, home, "one\n")
    clock.advance(2 * 86_400)
    fire(ledger, "flush_logs", days=3)
    assert log.exists()
    clock.advance(86_401)
    fire(ledger, "flush_logs", days=3, keep_days=4)
    own = vault / "020-logs" / MONTH / "own.log"
    own.write_text("a person's\n")
    os.utime(own, (0, 0))
    assert len(logs_of(vault)) == 2
    clock.advance(2 * 86_400)
    found = fire(ledger, "flush_logs", keep_days=4)
    assert logs_of(vault) == {f"{MONTH}/own.log": "a person's\n"}
    assert str(found.output).endswith("; 1 old one(s) removed there")
    assert ledger.tasks.sessions(1)[0].log is None


def test_without_a_vault_nothing_is_touched(home: Home, fire: Fire) -> None:
    with open_home(home, actor="ana", settings=Settings(vault=""), create=True) as ledger:
        log = attempt(ledger, home, "one\n")
        found = fire(ledger, "flush_logs")
        assert (found.status, "no vault" in str(found.reason)) == ("failed", True)
        assert log.read_text() == "one\n"
        assert not (home.logs / flush_logs.CLAIMED).exists()


def test_only_one_flushes_at_a_time(ledger: Ledger, home: Home, fire: Fire) -> None:
    log = attempt(ledger, home, "one\n")
    with held(home.logs / flush_logs.CLAIMED / "lock", 0.0):
        found = fire(ledger, "flush_logs")
    assert (found.status, "by another process" in str(found.reason)) == ("failed", True)
    assert log.exists()


@pytest.mark.parametrize("after", ["rename", "replace", "write"])
def test_death_between_two_steps_loses_and_repeats_nothing(
    ledger: Ledger, home: Home, vault: Path, fire: Fire, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    attempt(ledger, home, "one\n")
    with monkeypatch.context() as dying:
        if after == "rename":
            dying.setattr(flush_logs._Flush, "_bring", lambda *_: 1 / 0)
        elif after == "replace":
            dying.setattr("shoal.services.sessions.log_moved", lambda *_, **__: 1 / 0)
        else:
            dying.setattr(flush_logs, "_copy", lambda *_: 1 / 0)
        assert fire(ledger, "flush_logs").status == "error"
    assert fire(ledger, "flush_logs").status == "success"
    assert logs_of(vault) == {f"{MONTH}/T1.1.log.gz": "one\n"}
    assert list((home.logs / flush_logs.CLAIMED).iterdir()) == [home.logs / flush_logs.CLAIMED / "lock"]
    assert ledger.tasks.sessions(1)[0].log == f"020-logs/{MONTH}/T1.1.log.gz"


def test_each_line_is_there_once_and_in_order_whenever_flushes_die(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "LOG_BYTES", 2000)
    home = Home(tmp_path / "home")
    chance = random.Random(7)
    with open_home(home, actor="ana", create=True) as ledger:
        log = attempt(ledger, home, "0\n")
    home.create()
    lines, ended = 1, threading.Event()
    room = threading.Semaphore(0)

    def work() -> None:
        """A worker that does not know that it has lost its task."""
        nonlocal lines
        while room.acquire() and not ended.is_set():
            with LogFile(log) as file:
                for _ in range(chance.randrange(400)):
                    file.write(f"{lines}\n".encode())
                    lines += 1

    worker = threading.Thread(target=work)
    worker.start()
    program = [sys.executable, "-m", "tests.flusher", str(home.folder)]
    try:
        for _ in range(8):
            with subprocess.Popen(program, stdout=subprocess.PIPE, env=environment()) as flusher:
                assert flusher.stdout is not None
                for _ in range(chance.randrange(1, 5)):
                    room.release()
                    assert flusher.stdout.readline() == b"flushed\n"
                room.release()
                killing = threading.Timer(chance.uniform(0, 0.03), flusher.kill)
                killing.start()
                killing.join()
    finally:
        ended.set()
        room.release()
        worker.join()
    with subprocess.Popen(program, stdout=subprocess.PIPE, env=environment()) as flusher:
        assert flusher.stdout is not None
        assert flusher.stdout.readline() == b"flushed\n"
        flusher.kill()
    assert lines > 2000
    assert not any(rotated(log, number).exists() for number in range(10))

    found = {
        int(name.split(".")[2]) if name.count(".") == 4 else 1: text
        for name, text in logs_of(home.folder / "vault").items()
    }
    whole = [line for _, text in sorted(found.items()) for line in text.splitlines()]
    assert whole == [str(number) for number in range(lines)]
    assert wait_until(lambda: len(found) > 5)
