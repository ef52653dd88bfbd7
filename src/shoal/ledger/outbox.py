"""Reports that nobody heard, kept on the disk of a home until somebody does: in order, and none twice.

outbox.jsonl        a report a line, oldest first; it is gone from there when it was delivered or cannot be
outbox.lock         for reading and writing it; outbox.delivery.lock for whoever is delivering

A report that may have been delivered when its sender was killed is marked, and said `again`: the fence (task, attempt)
or the id of the report, which the ledger looks for then, keeps it from counting twice.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.adapters.processes.lock import held
from shoal.errors import ServerUnreachable, ShoalError, StoreError
from shoal.ledger.ledger import Ledger
from shoal.services import VERBS

VARIABLE = "SHOAL_OUTBOX"  # the folder, for whatever an attempt runs
FILE = "outbox.jsonl"
# What is said and needs no answer. Those that no fence keeps from counting twice have ids.
NAMED = frozenset({"tasks.start", "tasks.progress", "tasks.comment", "tasks.result", "tasks.verified"})
REPORTS = NAMED | {
    *("tasks.complete", "tasks.submit", "tasks.fail", "tasks.release"),
    "sessions.record",
    "sessions.end",
}
LOCK_SECONDS = 30.0
UNHEARD = (ServerUnreachable, StoreError)


class Report(Struct, frozen=True, kw_only=True):
    """A call that is to be made, on which ledger and by whom. `tried`: it may have been made already."""

    id: str
    ledger: str
    actor: str
    verb: str
    given: dict[str, Any]
    tried: bool = False


class Outbox:
    """The reports of a home that wait. Any number of threads and processes may have one."""

    def __init__(self, folder: Path, *, on_dropped: Callable[[Report, ShoalError], None] = lambda *_: None) -> None:
        """`on_dropped` is told of a report that the ledger refused: its lease was lost, or it cannot be."""
        self._file = folder / FILE
        self._lock = folder / "outbox.lock"
        self._delivery = folder / "outbox.delivery.lock"
        self._on_dropped = on_dropped
        self._dropped: dict[str, ShoalError] = {}
        self.trouble: ShoalError | None = None  # why the last delivery did not come to its end

    def say(self, ledger: Ledger, verb: str, **given: Any) -> str | None:
        """Report something; when nobody hears it, or earlier reports wait, it is kept, and its id is the answer.

        Raises what the ledger refuses it with.
        """
        report = _report(ledger, verb, given)
        if not self._of(ledger):
            try:
                _call(ledger, report)
            except UNHEARD:
                report = replace(report, tried=True)
            else:
                return None
        self._put(report)
        return report.id

    def keep(self, ledger: Ledger, verb: str, **given: Any) -> None:
        """Have something reported by the next delivery: for what was said in vain just now."""
        self._put(_report(ledger, verb, given))

    def deliver(self, ledger: Ledger) -> bool:
        """Say what waits for this ledger, in order; whether nothing is left. One at a time does this."""
        if not self._of(ledger):
            return True
        with held(self._delivery, 0.0) as mine:
            if not mine:
                return False
            self.trouble = None
            while waiting := self._of(ledger):
                report = waiting[0]
                if not report.tried:
                    self._replace(report, replace(report, tried=True))
                try:
                    _call(ledger, report)
                except UNHEARD as error:
                    self.trouble = error
                    return False
                except ShoalError as error:
                    self._dropped[report.id] = error
                    self._on_dropped(report, error)
                self._replace(report, None)
            return True

    def waits(self, id: str) -> bool:
        """Whether a report waits still. Raises what it was refused with, when this object delivered it."""
        if any(report.id == id for report in self._read()):
            return True
        error = self._dropped.pop(id, None)
        if error is not None:
            raise error
        return False

    def _of(self, ledger: Ledger) -> list[Report]:
        return [report for report in self._read() if report.ledger == ledger.address]

    def _read(self) -> list[Report]:
        try:
            lines = self._file.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                report = msgspec.json.decode(line, type=Report)
            except msgspec.DecodeError:
                continue  # whoever wrote it was killed before it was whole
            if report.verb in REPORTS:
                found.append(report)
        return found

    def _put(self, report: Report) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with held(self._lock, LOCK_SECONDS):
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "r+b") as file:
                size = file.seek(0, os.SEEK_END)
                whole = size == 0 or (file.seek(size - 1) and file.read(1) == b"\n")
                file.write((b"" if whole else b"\n") + msgspec.json.encode(report) + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def _replace(self, report: Report, by: Report | None) -> None:
        with held(self._lock, LOCK_SECONDS):
            left = [by if one.id == report.id else one for one in self._read()]
            kept = [one for one in left if one is not None]
            if not kept:
                self._file.unlink(missing_ok=True)
                return
            partial = self._file.with_suffix(".new")
            with open(partial, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(b"".join(msgspec.json.encode(one) + b"\n" for one in kept))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._file)


def _report(ledger: Ledger, verb: str, given: dict[str, Any]) -> Report:
    assert verb in REPORTS, verb  # noqa: S101 - what may be said again must be one of these
    return Report(
        id=secrets.token_hex(8),
        ledger=ledger.address,
        actor=ledger.actor,
        verb=verb,
        given=msgspec.to_builtins({name: value for name, value in given.items() if value is not None}),
    )


def _call(ledger: Ledger, report: Report) -> None:
    verb = VERBS[report.verb]
    given = dict(report.given)
    if report.verb in NAMED:
        given["report"] = report.id
        if report.tried:
            given["again"] = True
    ledger.engine.call(verb, (), given, report.actor)
