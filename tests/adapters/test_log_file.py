"""A log while it is written, rotated, followed and taken away."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from shoal.adapters.processes import log_file
from shoal.adapters.processes.log_file import Follower, LogFile, read_tail, rotated


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "LOG_BYTES", 20)
    monkeypatch.setattr(log_file, "LOGS_KEPT", 3)


def contents(path: Path) -> list[bytes]:
    """Its files, the oldest first."""
    return [one.read_bytes() for number in (4, 3, 2, 1, 0) if (one := rotated(path, number)).exists()]


def test_full_file_ends_with_a_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with LogFile(log) as file:
        file.write(b"0123456789\n")
        file.write(b"begun, ")
        file.write(b"and ended\nnext\n")
        file.write(b"x" * 15 + b"\n")
    assert contents(log) == [b"0123456789\nbegun, and ended\n", b"next\n", b"x" * 15 + b"\n"]
    assert file.tail.startswith("0123456789")


def test_line_without_end_is_written_in_pieces(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with LogFile(log) as file:
        for _ in range(10):
            file.write(b"x" * 15)
    assert all(len(one) <= 40 for one in contents(log))
    assert len(contents(log)) == 4


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with LogFile(log) as file:
        for number in range(10):
            file.write(f"this is line {number}\n".encode())
    assert contents(log) == [f"this is line {number}\n".encode() for number in (6, 7, 8, 9)]
    assert read_tail(log, 20) == "this is line 9"
    assert read_tail(log, 40) == "this is line 8\nthis is line 9"


def test_lines_of_two_pipes_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "LOG_BYTES", 10_000_000)
    log = tmp_path / "log"
    reading, writing = os.pipe()
    with LogFile(log) as file:
        thread = threading.Thread(target=file.drain, args=(reading,))
        thread.start()
        for _ in range(2000):
            os.write(writing, b"err")
            file.write(b"out\n")
            os.write(writing, b"or\n")
        os.write(writing, b"last")
        os.close(writing)
        thread.join()
    lines = log.read_bytes().split(b"\n")
    assert sorted(lines) == sorted([b"out"] * 2000 + [b"error"] * 2000 + [b"last"])


def test_follower_reads_on_over_rotations(tmp_path: Path) -> None:
    log = tmp_path / "log"
    told = b""
    with Follower(log) as follower:
        assert b"".join(follower.read()) == b""
        with LogFile(log) as file:
            for number in range(9):
                file.write(f"this is line {number}\n".encode())
                if number % 3 == 0:
                    told += b"".join(follower.read())
        told += b"".join(follower.read())
    assert told == b"".join(f"this is line {number}\n".encode() for number in range(9))


def test_writer_of_a_file_that_was_taken_away_begins_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    opened = log_file._opened

    def late(path: Path) -> int:
        file = opened(path)
        if not (tmp_path / "taken").exists():
            path.rename(tmp_path / "taken")
        return file

    monkeypatch.setattr(log_file, "_opened", late)
    with LogFile(log) as file:
        file.write(b"one\n")
    assert (contents(log), (tmp_path / "taken").read_bytes()) == ([b"one\n"], b"")
