"""The built-in job `flush_logs`: brings agents' logs from the home into the vault, once their attempts are over.

A log is first renamed into a folder beside the others, under the name that it keeps, by who alone has its lock: from
then on nobody writes into it (adapters/processes/log_file.py). Then it is copied, and only then is it removed. Who dies
between these steps has lost nothing, and the next one copies it again, to the same place.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from msgspec import Struct

from shoal.adapters.processes.lock import held
from shoal.adapters.processes.log_file import LOGS_KEPT, leads_to, rotated
from shoal.adapters.screens import secrets
from shoal.adapters.vault import files
from shoal.adapters.vault.vault import Vault
from shoal.clock import DAY_MS
from shoal.daemon.built_ins.context import Context
from shoal.errors import BadInput, NotFound, NoVault, Refused, VaultError
from shoal.model.built_in import FlushLogsOptions
from shoal.model.task import Status
from shoal.services import sessions

CLAIMED = ".flush"
BLOCK_BYTES = 1_000_000
LONGEST_LINE = 8_000_000  # bytes; what is longer is looked through in pieces
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")


class Part(Struct, frozen=True):
    """A log by its name: `T42.1.log`, and `T42.1.2.log` for what came after it."""

    task: str
    attempt: int
    number: int = 1

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.task}.{self.attempt}{f'.{self.number}' if self.number > 1 else ''}.log"


def run(context: Context) -> str:
    """Move the logs of attempts that are over into the vault's log folder, without the secrets in them."""
    settler = context.engine.settler
    if settler is None:
        raise NoVault("this home has no vault, so its logs stay where they are; name one: shoal vault init FOLDER")
    try:
        with held(context.home.logs / CLAIMED / "lock", 0.0) as mine:
            if not mine:
                raise Refused("the logs of this home are being flushed by another process; nothing was done")
            return _Flush(context, settler.vault).run()
    except OSError as error:
        raise VaultError(f"logs cannot be moved: {error}; what was not moved stays where it was") from error


class _Flush:
    """One look through the logs of a home."""

    def __init__(self, context: Context, vault: Vault) -> None:
        self._context = context
        self._vault = vault
        self._options: FlushLogsOptions = context.options
        self._logs = context.home.logs
        self._claimed = self._logs / CLAIMED
        self._folder = vault.folder(vault.layout.logs)
        prefix = re.escape(context.engine.identity.prefix)
        self._part = re.compile(rf"({prefix}[0-9]{{1,18}})\.([0-9]{{1,9}})(?:\.([0-9]{{1,9}}))?\.log(?:\.gz)?")
        self._log = re.compile(rf"({prefix}[0-9]{{1,18}})\.([0-9]{{1,9}})\.log(?:\.([0-9]{{1,9}}))?")
        self._numbers: dict[tuple[str, int], int] = {}
        self._moved = self._bytes = self._removed = 0

    def run(self) -> str:
        for path in self._months("*"):
            if path.name.startswith(files.PARTIAL):
                path.unlink()
            elif (part := self._parsed(path.name)) is not None:
                self._count(part)
        for path in sorted(self._claimed.iterdir()):  # of a flush that ended in the middle
            if (part := self._parsed(path.name)) is not None:
                self._count(part)
                self._bring(path, part)
        for task, attempt in self._over():
            if self._context.stopping.is_set():
                break
            for path, part in self._claim(task, attempt):
                self._bring(path, part)
        if self._options.keep_days:
            self._let_go()
        said = f"{self._moved} log file(s) moved to {self._vault.layout.logs}/ of the vault, {self._bytes:,} bytes"
        return f"{said}; {self._removed} old one(s) removed there\n" if self._removed else f"{said}\n"

    def _over(self) -> Iterator[tuple[str, int]]:
        """The attempts with logs here that are over, and were for long enough."""
        matches = (self._log.fullmatch(path.name) for path in self._logs.iterdir())
        found = {(match[1], int(match[2])) for match in matches if match is not None}
        before = self._context.engine.clock.now_ms() - self._options.days * DAY_MS
        for name, attempt in sorted(found, key=lambda one: (len(one[0]), one)):
            try:
                task = self._context.ledger.tasks.get(name)
            except (NotFound, BadInput, Refused):
                continue  # of a ledger that this home had before
            if (task.status is Status.ACTIVE and task.attempt == attempt) or task.attempt < attempt:
                continue
            if self._options.days and self._written_at(name, attempt) > before:
                continue
            yield name, attempt

    def _written_at(self, task: str, attempt: int) -> int:
        """When its last line was written, epoch ms."""
        found = 0
        for number in range(LOGS_KEPT + 1):
            with suppress(FileNotFoundError):
                path = rotated(self._logs / f"{task}.{attempt}.log", number)
                found = max(found, path.stat().st_mtime_ns // 1_000_000)
        return found

    def _claim(self, task: str, attempt: int) -> list[tuple[Path, Part]]:
        """Take the files of an attempt out of its writers' reach, the oldest first; none while somebody writes."""
        path = self._logs / f"{task}.{attempt}.log"
        if path.is_symlink():
            return []
        # Made where only full ones are left, so that nobody begins a new one meanwhile.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        claimed = []
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not leads_to(path, descriptor):
                return []
            for number in range(LOGS_KEPT, -1, -1):
                one = rotated(path, number)
                if not one.exists():
                    continue
                if one.stat().st_size == 0:
                    one.unlink()
                    continue
                part = Part(task, attempt, self._numbers.get((task, attempt), 0) + 1)
                one.rename(self._claimed / part.name)
                self._count(part)
                claimed.append((self._claimed / part.name, part))
        except BlockingIOError:
            self._context.say(f"{path.name} is being written; it stays for the next time\n")
        finally:
            os.close(descriptor)
        return claimed

    def _bring(self, path: Path, part: Part) -> None:
        """Copy a log into the vault, tell the ledger where it is, and remove it here."""
        written = path.stat()
        month = f"{datetime.fromtimestamp(written.st_mtime, UTC):%Y-%m}"
        place = self._vault.layout.logs / month / f"{part.name}{'.gz' if self._options.compress else ''}"
        target = self._vault.path(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = target.with_name(f"{files.PARTIAL}{part.name}")
        copy.unlink(missing_ok=True)
        with path.open("rb") as source, copy.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            if self._options.compress:
                # Without a time or a name in it: the same log is the same file, whoever brings it.
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                    _copy(source, packed.write)
            else:
                _copy(source, file.write)
            file.flush()
            os.fsync(file.fileno())
        os.utime(copy, ns=(written.st_atime_ns, written.st_mtime_ns))
        with self._vault.exclusive():
            copy.replace(target)
            files.sync_folder(target.parent)
            # A flush that died may have brought it in the other form.
            target.with_name(part.name if self._options.compress else f"{part.name}.gz").unlink(missing_ok=True)
        task = int(part.task.removeprefix(self._context.engine.identity.prefix))
        tell = partial(sessions.log_moved, task=task, attempt=part.attempt, log=str(place))
        self._context.engine.write(tell)
        path.unlink()
        self._moved += 1
        self._bytes += target.stat().st_size
        self._context.say(f"{part.name} -> {place}\n")

    def _let_go(self) -> None:
        """Remove the logs that have been in the vault for long enough; git remembers them."""
        before = self._context.engine.clock.now_ms() - self._options.keep_days * DAY_MS
        prefix = self._context.engine.identity.prefix
        for path in self._months("*.log*"):
            part = self._parsed(path.name)
            if part is None or path.stat().st_mtime_ns // 1_000_000 >= before:
                continue
            place = PurePosixPath(path.relative_to(self._vault.root))
            task = int(part.task.removeprefix(prefix))
            with self._vault.exclusive():
                path.unlink()
            self._context.engine.write(partial(sessions.log_gone, task=task, log=str(place)))
            self._removed += 1

    def _months(self, pattern: str) -> Iterator[Path]:
        for folder in sorted(self._folder.iterdir()) if self._folder.is_dir() else []:
            if _MONTH.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                yield from sorted(path for path in folder.glob(pattern) if path.is_file())

    def _parsed(self, name: str) -> Part | None:
        match = self._part.fullmatch(name)
        return None if match is None else Part(match[1], int(match[2]), int(match[3] or 1))

    def _count(self, part: Part) -> None:
        key = (part.task, part.attempt)
        self._numbers[key] = max(self._numbers.get(key, 0), part.number)


def _copy(source: IO[bytes], write: Callable[[bytes], object]) -> None:
    """Copy a log, without its secrets."""
    for block in _blocks(source):
        text = secrets.redacted(block.decode("utf-8", "surrogateescape"))
        write(text.encode("utf-8", "surrogateescape"))


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    """A log in pieces that are made of whole lines, and of whole keys."""
    rest = b""
    while data := source.read(BLOCK_BYTES):
        rest += data
        cut = rest.rfind(b"\n") + 1
        key = rest.rfind(secrets.KEY_BEGINS.encode(), max(0, cut - secrets.KEY_BYTES), cut)
        if key >= 0 and secrets.KEY_ENDS.encode() not in rest[key:cut]:
            cut = rest.rfind(b"\n", 0, key) + 1
        if cut == 0 and len(rest) > LONGEST_LINE:
            cut = len(rest)
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
    if rest:
        yield rest
