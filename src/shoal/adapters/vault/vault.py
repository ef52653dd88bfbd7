"""The content of a vault: read by task, and written by entry. State is not here: what a file's front matter says of
it comes from the ledger, as Facts.

Whoever writes holds `exclusive`, so that threads and processes take turns; people's editors do not, and files.py looks
out for them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import msgspec

from shoal.adapters.vault import archive, context_file, files, task_file
from shoal.adapters.vault.front_matter import Unreadable, body_start
from shoal.adapters.vault.layout import Layout
from shoal.adapters.vault.old_names import OldNames
from shoal.adapters.vault.spool import FOLDER, Spool
from shoal.errors import VaultError
from shoal.model.content import Body, Context, Entry, Facts, ProgressLine, What
from shoal.model.task import Task

_progress_line = msgspec.json.Decoder(ProgressLine, strict=False).decode


class Vault:
    """A vault's folder, as this process sees it."""

    def __init__(self, root: Path, layout: Layout) -> None:
        self.root = root
        self.layout = layout
        self.spool = Spool(root)
        self.old_names = OldNames(root, layout)
        self._turn = threading.RLock()
        self._depth = 0
        self._lock_file = -1

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other threads and processes from writing for a moment."""
        with self._turn:
            if self._depth == 0:
                folder = self.root / FOLDER
                folder.mkdir(parents=True, exist_ok=True)
                self._lock_file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._lock_file, fcntl.LOCK_EX)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    os.close(self._lock_file)

    def path(self, place: PurePosixPath) -> Path:
        """A place in the vault as a path. Raises BadInput when a link leads out of the vault."""
        path = self.root / place
        files.inside(self.root, path.parent)
        return path

    def find(self, task: Task) -> PurePosixPath | None:
        """Where the file of a task is, under its number or an old name; None while it has none."""
        expected = self.layout.task_file(task)
        places = [expected, *(folder / expected.name for folder in self.layout.task_folders)]
        for place in places:
            if (self.root / place).is_file():
                return place
        return self.old_names.find(task)

    def body(self, task: Task) -> Body:
        """The body of a task; of one without a file the sections that it would have."""
        place = self.find(task)
        if place is None:
            self.old_names.refresh()
            place = self.old_names.find(task)
        if place is None:
            text = task_file.sections(task)
            return Body(task.task_id, text, None, version(text))
        text = files.read(self.path(place))
        body = _without_first_blank(text[body_start(text) :])
        return Body(task.task_id, body, str(place), version(body))

    def context(self, task_id: str) -> Context:
        """What the participants of a task share. Raises VaultError when the file cannot be read."""
        place = self.layout.context_file(task_id)
        try:
            return context_file.read(task_id, self._text(place))
        except VaultError as error:
            raise VaultError(f"{place}: {error.message}") from None

    def notes(self, task_id: str, agent: str) -> str:
        """An agent's notes on a task."""
        return self._text(self.layout.notes_file(task_id, agent)) or ""

    def notes_of(self, task_id: str) -> list[Path]:
        """The files of all notes on a task."""
        return sorted(self.path(self.layout.notes / "x").parent.glob(f"{task_id}.*.md"))

    def progress(self, task_id: str) -> list[ProgressLine]:
        """The progress log of a task, oldest first; lines that are none are passed over."""
        found = []
        for line in (self._text(self.layout.progress_file(task_id)) or "").splitlines():
            with suppress(msgspec.DecodeError, UnicodeEncodeError):
                found.append(_progress_line(line.encode()))
        return found

    def archived(self, task_id: str) -> PurePosixPath | None:
        """The newest archive of a task's files."""
        found = sorted(self.path(self.layout.archive / "x").parent.glob(f"task_{task_id}_*.tar.gz"))
        return PurePosixPath(found[-1].relative_to(self.root)) if found else None

    def take(self, entry: Entry, facts: Facts) -> PurePosixPath | None:
        """Bring an entry into its file; a second time changes nothing. Where a text went that found another there.

        Raises VaultError when the file is not such that this can be done; the entry is not lost then.
        """
        task_id = facts.task.task_id
        stamp = moment(entry.at)
        with self.exclusive():
            match entry.what:
                case What.BODY:
                    return self._take_body(entry, facts)
                case What.FILE:
                    self._take_file(entry, facts)
                case What.RESULT:
                    self._append(entry, facts, "Result", entry.text)
                case What.FINDING:
                    self._append(entry, facts, "Notes", f"- {stamp} {entry.agent}: {_one_bullet(entry.text)}")
                case What.SHARED:
                    self._share(entry, task_id, stamp)
                case What.NOTE:
                    head = f"# {task_id}: notes of {entry.agent}\n"
                    self._add(
                        self.layout.notes_file(task_id, entry.agent), head, f"\n## {stamp}\n\n{entry.text.strip()}\n"
                    )
                case What.PROGRESS:
                    line = {"timestamp": stamp, "agent": entry.agent, **(entry.value or {}), "attempt": entry.attempt}
                    self._add(self.layout.progress_file(task_id), "", json.dumps(line, ensure_ascii=False) + "\n")
                case What.ARCHIVE:
                    self.archive(facts.task, entry.at)
                case What.RESTORE:
                    self.restore(task_id)
        return None

    def archive(self, task: Task, at: int) -> None:
        """Pack a task's files into an archive and take them away."""
        with self.exclusive():
            place = self.find(task)
            own = [place] if place is not None else []
            beside = [self.layout.context_file(task.task_id), self.layout.progress_file(task.task_id)]
            own += [one for one in beside if (self.root / one).is_file()]
            own += [PurePosixPath(path.relative_to(self.root)) for path in self.notes_of(task.task_id)]
            archive.pack(
                self.root, own, self.path(self.layout.archive / f"task_{task.task_id}_{file_moment(at)}.tar.gz")
            )

    def restore(self, task_id: str) -> None:
        """Bring the files of a task's newest archive back; what is there again already stays."""
        with self.exclusive():
            place = self.archived(task_id)
            if place is not None:
                archive.unpack(self.root, self.path(place))

    def close(self) -> None:
        """Let go of the spool."""
        self.spool.close()

    def _take_body(self, entry: Entry, facts: Facts) -> PurePosixPath | None:
        stub = task_file.sections(facts.task)
        refused = False

        def change(text: str | None) -> str | None:
            nonlocal refused
            refused = False
            if text is None:
                return task_file.written(facts, _ended(entry.text))
            start = body_start(text)
            was = _without_first_blank(text[start:])
            if was in (entry.text, _ended(entry.text)):
                return None
            if entry.base is not None and version(was) != entry.base and was.strip() not in ("", stub.strip()):
                refused = True
                return None
            blank = text[start : len(text) - len(was)]
            return text[:start] + blank + (_ended(entry.text) if was.endswith("\n") or not was else entry.text)

        place = self.find(facts.task) or self.layout.task_file(facts.task)
        files.update(self.path(place), change)
        if not refused:
            return None
        beside = place.with_name(f"{place.stem}.other-{entry.token}.md")
        files.write(self.path(beside), _ended(entry.text))
        return beside

    def _take_file(self, entry: Entry, facts: Facts) -> None:
        """A whole file from another vault; one that is there already is the task's."""
        if self.find(facts.task) is None:
            try:
                text = task_file.updated(entry.text, facts)
            except Unreadable:
                text = task_file.written(facts, entry.text)
            files.update(self.path(self.layout.task_file(facts.task)), lambda was: text if was is None else was)

    def _append(self, entry: Entry, facts: Facts, section: str, addition: str) -> None:
        def change(text: str | None) -> str | None:
            if text is None:
                text = task_file.written(facts)
            start = body_start(text)
            body = text[start:]
            if _holds(task_file.section(body, section), addition):
                return text
            return text[:start] + task_file.appended(body, section, addition)

        files.update(self.path(self.find(facts.task) or self.layout.task_file(facts.task)), change)

    def _share(self, entry: Entry, task_id: str, stamp: str) -> None:
        place = self.layout.context_file(task_id)
        assert entry.key is not None  # noqa: S101 - what is shared has one

        def change(text: str | None) -> str:
            try:
                return context_file.updated(
                    task_id, text, key=str(entry.key), value=entry.value, at=stamp, by=entry.agent
                )
            except VaultError as error:
                raise VaultError(f"{place}: {error.message}; {entry.key} waits until it is mended") from None

        files.update(self.path(place), change)

    def _add(self, place: PurePosixPath, head: str, addition: str) -> None:
        """Put something behind the end of a file, once."""
        files.update(
            self.path(place),
            lambda text: text if text and addition in text else _ended(text or head) + addition,
        )

    def _text(self, place: PurePosixPath) -> str | None:
        path = self.path(place)
        return files.read(path) if path.exists() else None


def version(text: str) -> str:
    """A name for a text: the same for the same text only."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def moment(milliseconds: int) -> str:
    """A moment as files show it."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def file_moment(milliseconds: int) -> str:
    """A moment as part of a file's name."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y%m%dT%H%M%SZ}"


def _without_first_blank(body: str) -> str:
    for newline in ("\r\n", "\n"):
        if body.startswith(newline):
            return body[len(newline) :]
    return body


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _holds(section: str, addition: str) -> bool:
    """Whether a section has this among its text already, as whole lines."""
    wanted = addition.strip("\r\n").replace("\r\n", "\n")
    return f"\n{wanted}\n" in f"\n{section}\n".replace("\r\n", "\n")


def _one_bullet(text: str) -> str:
    return "\n".join(line if number == 0 else f"  {line}" for number, line in enumerate(text.strip().splitlines()))
