"""Content that waits: on the disk before anybody is told, found again by others, and forgotten when it is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.adapters.vault.spool import Spool, unfinished
from shoal.model.content import ContentKind, Entry


def entry(token: str, at: int = 1) -> Entry:
    return Entry(token, 1, at, "ana", ContentKind.BODY, "text ü\n")


def test_entries_are_on_the_disk_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    real = os.fdatasync

    def fdatasync(descriptor: int) -> None:
        real(descriptor)
        synced.append(os.pread(descriptor, 10_000, 0))

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    spool = Spool(tmp_path / "spool")
    spool.lay_down([entry("a"), entry("b")])
    assert [one.token for one in unfinished(synced[-1])] == ["a", "b"]
    spool.done(["a"])
    assert [one.token for one in unfinished(synced[-1])] == ["b"]
    spool.done(["b"])
    assert synced[-1] == b""
    spool.close()
    assert list((tmp_path / "spool").iterdir()) == []


def test_cut_off_line_does_not_count(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.lay_down([entry("a"), entry("b")])
    [path] = (tmp_path / "spool").glob("*.jsonl")
    assert [one.token for one in unfinished(path.read_bytes()[:-3])] == ["a"]


def test_log_of_a_living_process_is_nobodys_orphan(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from shoal.adapters.vault.spool import Spool
from shoal.model.content import ContentKind, Entry
spool = Spool(Path(sys.argv[1]))
spool.lay_down([Entry("theirs", 1, 1, "bob", ContentKind.NOTE, "x")])
print("down", flush=True)
sys.stdin.read()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "down\n"
    spool = Spool(tmp_path)
    spool.lay_down([entry("mine")])
    assert list(spool.orphans()) == []
    other.kill()
    other.communicate()
    assert [[one.token for one in entries] for _, entries in spool.orphans()] == [["theirs"]]


def test_only_what_is_old_is_uncertain(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.lay_down([entry("old", at=1), entry("new", at=100)])
    assert [one.token for one in spool.uncertain(50)] == ["old"]
    spool.done(["old"])
    assert spool.uncertain(50) == []


def test_closed_log_touches_no_other_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.lay_down([entry("a")])
    spool.done(["a"])
    spool.close()
    with (tmp_path / "other").open("w+b") as file:
        file.write(b"x" * 100)
        file.flush()
        spool.done(["b"])
        assert os.fstat(file.fileno()).st_size == 100
