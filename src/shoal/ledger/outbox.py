"""Reports that nobody heard, kept on the disk of a home until somebody does: in order, and none twice.

outbox.jsonl        a report a line, oldest first, and lines that mark reports as tried and as done; it is written anew
                    now and then without what is done, and gone when nothing waits
outbox.lock         for reading and writing it; outbox.delivery.lock for whoever is delivering

A report that may have been delivered when its sender was killed is marked, and said `again`: the fence (task, attempt)
or the id of the report, which the ledger looks for then, keeps it from counting twice.

It holds LARGEST_BYTES of what waits: beyond that the oldest of what agents said and of progress go, and never how a
session or an attempt ended. What another version wrote and this one does not know stays where it is.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.adapters.processes.lock import held
from shoal.errors import NoVault, ServerUnreachable, ShoalError, StoreError, VaultError
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
LARGEST_BYTES = 64_000_000
BATCH = 100
COMPACT_BYTES = 1_000_000
_HEAD = 64


class Report(Struct, frozen=True, kw_only=True):
    """A call that is to be made, on which ledger and by whom. `tried`: it may have been made already."""

    id: str
    ledger: str
    actor: str
    verb: str
    given: dict[str, Any]
    tried: bool = False


class _Mark(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    tried: list[str] = []
    done: list[str] = []


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
        # What the file says, as far as it was read: it only grows, until it is another one.
        self._memory = threading.RLock()
        self._reports: dict[str, tuple[Report, int]] = {}
        self._foreign: list[bytes] = []
        self._read_to, self._head, self._inode = 0, b"", 0

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
        """Say what waits for this ledger, in order; whether nothing is left. One at a time does this.

        What cannot be marked, as when the disk is full, is not said: it waits, and `trouble` says why.
        """
        try:
            if not self._of(ledger):
                return True
            with held(self._delivery, 0.0) as mine:
                return mine and self._deliver(ledger)
        except (StoreError, OSError) as error:
            self.trouble = _unwritable(self._file, error)
            _warn("reports wait", reason=self.trouble.message)
            return False

    def waits(self, id: str) -> bool:
        """Whether a report waits still. Raises what it was refused with, when this object delivered it."""
        with self._memory:
            self._look()
            if id in self._reports:
                return True
        error = self._dropped.pop(id, None)
        if error is not None:
            raise error
        return False

    def _deliver(self, ledger: Ledger) -> bool:
        self.trouble = None
        while waiting := self._of(ledger)[:BATCH]:
            self._write(_Mark(tried=[report.id for report in waiting if not report.tried]))
            for report in waiting:
                try:
                    _call(ledger, report)
                except ShoalError as error:
                    if _may_pass(error):
                        self.trouble = error
                        return False
                    self._dropped[report.id] = error
                    self._on_dropped(report, error)
                self._write(_Mark(done=[report.id]))
        return True

    def _of(self, ledger: Ledger) -> list[Report]:
        with self._memory:
            self._look()
            return [report for report, _ in self._reports.values() if report.ledger == ledger.address]

    def _put(self, report: Report) -> None:
        try:
            self._write(report)
        except OSError as error:
            raise _unwritable(self._file, error) from error

    def _write(self, one: Report | _Mark) -> None:
        """Add a line; what must be known after a crash is on the disk then. A mark that is lost is only asked about."""
        if one == _Mark():
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._memory, held(self._lock, LOCK_SECONDS) as mine:
            if not mine:
                raise StoreError(f"{self._lock} is held by another process for more than {LOCK_SECONDS:.0f} s")
            self._look()
            if isinstance(one, _Mark) and self._is_last(one):
                self._file.unlink(missing_ok=True)
                self._forget()
                return
            done = one.done if isinstance(one, _Mark) else []
            # A seal is not left behind for the next agent of the attempt to read.
            sealed = any("seal" in self._reports[id][0].given for id in done if id in self._reports)
            self._append(msgspec.json.encode(one), durable=not done)
            self._look()
            self._make_room(anew=sealed)

    def _is_last(self, mark: _Mark) -> bool:
        return bool(mark.done) and not self._foreign and self._reports.keys() <= set(mark.done)

    def _append(self, line: bytes, *, durable: bool) -> None:
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            whole = size == 0 or (file.seek(size - 1) and file.read(1) == b"\n")
            file.write((b"" if whole else b"\n") + line + b"\n")
            file.flush()
            if durable:
                os.fsync(file.fileno())

    def _look(self) -> None:
        """Read what the file has more than before; all of it when it is another one."""
        try:
            file = self._file.open("rb")
        except FileNotFoundError:
            self._forget()
            return
        with file:
            about = os.fstat(file.fileno())
            head = file.read(len(self._head))
            if (about.st_ino, head) != (self._inode, self._head) or about.st_size < self._read_to:
                self._forget()
            if about.st_size == self._read_to:
                return
            file.seek(0)
            self._inode, self._head = about.st_ino, file.read(min(_HEAD, about.st_size))
            file.seek(self._read_to)
            news = file.read(about.st_size - self._read_to)
        news = news[: news.rfind(b"\n") + 1]
        self._read_to += len(news)
        for line in news.splitlines():
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            read = msgspec.json.decode(line)
        except msgspec.DecodeError:
            return  # whoever wrote it was killed before it was whole
        with suppress(msgspec.ValidationError):
            mark = msgspec.convert(read, _Mark)
            for id in mark.tried:
                if id in self._reports:
                    report, size = self._reports[id]
                    self._reports[id] = replace(report, tried=True), size
            for id in mark.done:
                self._reports.pop(id, None)
            return
        with suppress(msgspec.ValidationError):
            report = msgspec.convert(read, Report)
            if report.verb in REPORTS:
                self._reports[report.id] = report, len(line) + 1
                return
        self._foreign.append(line)

    def _forget(self) -> None:
        self._reports, self._foreign = {}, []
        self._read_to, self._head, self._inode = 0, b"", 0

    def _make_room(self, *, anew: bool) -> None:
        """Write the file anew when most of it is done, or when there is too much of it."""
        kept = sum(size for _, size in self._reports.values()) if self._read_to > COMPACT_BYTES else self._read_to
        too_much = kept > LARGEST_BYTES
        if not anew and not too_much and self._read_to <= max(COMPACT_BYTES, 2 * kept):
            return
        dropped = 0
        for id, (report, size) in list(self._reports.items()) if too_much else []:
            if kept <= LARGEST_BYTES * 3 // 4:
                break
            spared = _spared(report)
            if spared is report:
                continue
            left = 0 if spared is None else len(msgspec.json.encode(spared)) + 1
            kept, dropped = kept - size + left, dropped + 1
            if spared is None:
                del self._reports[id]
            else:
                self._reports[id] = spared, left
        if dropped:
            _warn("reports dropped", number=dropped, reason=f"{self._file} has no more room for what nobody hears")
        lines = [*self._foreign, *(msgspec.json.encode(report) for report, _ in self._reports.values())]
        partial = self._file.with_suffix(".new")
        with open(partial, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(b"".join(line + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._file)
        self._forget()
        self._look()


def _report(ledger: Ledger, verb: str, given: dict[str, Any]) -> Report:
    assert verb in REPORTS, verb  # noqa: S101 - what may be said again must be one of these
    return Report(
        id=secrets.token_hex(8),
        ledger=ledger.address,
        actor=ledger.actor,
        verb=verb,
        given=msgspec.to_builtins({name: value for name, value in given.items() if value is not None}),
    )


def _may_pass(error: ShoalError) -> bool:
    """Whether it can be said later: nobody heard it, or the vault takes nothing now, as on a full disk."""
    return isinstance(error, UNHEARD) or (isinstance(error, VaultError) and not isinstance(error, NoVault))


def _spared(report: Report) -> Report | None:
    """What is left of a report when there is no more room: of a session's its costs, and of an end all."""
    if report.verb == "tasks.progress":
        return None
    if report.verb != "sessions.record":
        return report
    items = report.given.get("items", [])
    costs = [one for one in items if isinstance(one, dict) and one.get("item") == "spent"]
    if costs and len(costs) == len(items):
        return report
    return replace(report, given=report.given | {"items": costs}) if costs else None


def _warn(what: str, **about: Any) -> None:
    import structlog  # 50 ms, which no command of the command line should pay

    structlog.get_logger().warning(what, **about)


def _unwritable(file: Path, error: Exception) -> StoreError:
    return error if isinstance(error, StoreError) else StoreError(f"{file} cannot be read or written: {error}")


def _call(ledger: Ledger, report: Report) -> None:
    verb = VERBS[report.verb]
    given = dict(report.given)
    if report.verb in NAMED:
        given["report"] = report.id
        if report.tried:
            given["again"] = True
    ledger.engine.call(verb, (), given, report.actor)
