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
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import msgspec

from shoal.adapters.vault import archive, context_file, files, task_file
from shoal.adapters.vault import sections as page_sections
from shoal.adapters.vault.front_matter import Unreadable, body_start
from shoal.adapters.vault.layout import Layout
from shoal.adapters.vault.old_names import OldNames
from shoal.adapters.vault.spool import Spool
from shoal.clock import monotonic_seconds
from shoal.errors import ShoalError, VaultError
from shoal.model.content import Body, ContentKind, Context, Entry, Facts, ProgressLine
from shoal.model.task import Task

PATIENCE_SECONDS = 30.0
NAP_SECONDS = 0.002
RESCUES = (".bundle", ".patch")
_progress_line = msgspec.json.Decoder(ProgressLine, strict=False).decode


class Vault:
    """A vault's folder, as this process sees it."""

    def __init__(self, root: Path, layout: Layout, spool: Path, keep: Callable[[PurePosixPath], None]) -> None:
        """`spool` is where content waits; `keep` is asked to keep a page that will be written over."""
        self.root = root
        self.layout = layout
        self.spool = Spool(spool)
        self.keep = keep
        self.old_names = OldNames(root, layout)
        self._turn = threading.RLock()
        self._depth = 0
        self._archives: tuple[int, dict[str, str]] = (0, {})
        self._lock_file = -1

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other threads and processes from writing for a moment. Raises VaultError when one does not end."""
        with self._turn:
            if self._depth == 0:
                self._lock_file = self._locked()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    os.close(self._lock_file)

    def _locked(self) -> int:
        folder = self.spool.folder
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = monotonic_seconds() + PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                # Short naps rather than a blocking flock: a stopped process must not stop us for ever.
                if monotonic_seconds() < deadline:
                    time.sleep(NAP_SECONDS)
                    continue
            os.close(descriptor)
            raise VaultError(
                f"{self.root} has been written by another process for {PATIENCE_SECONDS:.0f} s; "
                f"find it with `fuser {folder / 'lock'}` and end it, or try again"
            )

    def path(self, place: PurePosixPath) -> Path:
        """A place in the vault as a path. Raises BadInput when a link leads out of the vault."""
        path = self.root / place
        files.inside(self.root, path.parent)
        return path

    def folder(self, place: PurePosixPath) -> Path:
        """A folder of the vault as a path. Raises BadInput when a link leads out of the vault."""
        return files.inside(self.root, self.root / place)

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
        return sorted(self.folder(self.layout.notes).glob(f"{task_id}.*.md"))

    def rescued(self, name: str) -> bytes:
        """A bundle or patch with work that could not be pushed. Raises NotFound."""
        return files.read_bytes(self.path(self.layout.rescue_file(name)))

    def knowledge(self, path: str) -> str:
        """The text of a knowledge note, without its front matter; nothing when it is gone or cannot be read."""
        try:
            return task_file.body(files.read(self.path(PurePosixPath(path))))
        except ShoalError:
            return ""

    def progress(self, task_id: str) -> list[ProgressLine]:
        """The progress log of a task, oldest first; lines that are none are passed over."""
        found = []
        for line in (self._text(self.layout.progress_file(task_id)) or "").splitlines():
            with suppress(msgspec.DecodeError, UnicodeEncodeError):
                found.append(_progress_line(line.encode()))
        return found

    def archived(self, task_id: str) -> PurePosixPath | None:
        """The newest archive of a task's files."""
        folder = self.folder(self.layout.archive)
        try:
            changed = folder.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        seen, names = self._archives
        if seen != changed:
            listed = sorted(os.listdir(folder))
            names = {found: name for name in listed if (found := self.layout.archived_id(name)) is not None}
            self._archives = changed, names
        return self.layout.archive / names[task_id] if task_id in names else None

    def take(self, entry: Entry, facts: Facts, *, again: bool) -> list[PurePosixPath]:
        """Bring an entry into its file. Where texts went that found another one in their place.

        With `again` it may have been done before, by a process that died then; it is not done twice. Raises VaultError
        when the file is not such that it can be done; the entry is not lost then.
        """
        task_id = facts.task.task_id
        stamp = moment(entry.at)
        with self.exclusive():
            match entry.what:
                case ContentKind.BODY:
                    return self._take_body(entry, facts)
                case ContentKind.FILE:
                    return self._take_file(entry, facts)
                case ContentKind.RESULT:
                    self._append(facts, "Result", entry.text, again=again)
                case ContentKind.DISCOVERY:
                    self._append(facts, "Notes", f"- {stamp} {entry.agent}: {_one_bullet(entry.text)}", again=again)
                case ContentKind.SHARED:
                    self._share(entry, task_id, stamp)
                case ContentKind.NOTE:
                    head = f"# {task_id}: notes of {entry.agent}\n"
                    self._add(
                        self.layout.notes_file(task_id, entry.agent), head, f"\n## {stamp}\n\n{entry.text.strip()}\n"
                    )
                case ContentKind.PROGRESS:
                    line = {"timestamp": stamp, "agent": entry.agent, **(entry.value or {}), "attempt": entry.attempt}
                    self._add(self.layout.progress_file(task_id), "", json.dumps(line, ensure_ascii=False) + "\n")
                case ContentKind.ARCHIVE:
                    self.archive(facts.task, f"{file_moment(entry.at)}-{entry.token[:8]}")
                case ContentKind.RESCUED:
                    path = self.path(self.layout.rescue_file(str(entry.key)))
                    files.write_bytes(path, b64decode(entry.text))
                case ContentKind.RESTORE:
                    return self.restore(task_id)
        return []

    def take_new(self, bodies: list[tuple[Entry, Facts]]) -> list[Entry]:
        """Bring the bodies of tasks that have no page yet into one each, all with one barrier; which were taken."""
        with self.exclusive():
            texts: dict[Path, tuple[bytes | None, str]] = {}
            taken = []
            for entry, facts in bodies:
                if self.find(facts.task) is None:
                    path = self.path(self.layout.task_file(facts.task))
                    texts[path] = (None, task_file.written(facts, _ended(entry.text)))
                    taken.append((path, entry))
            refused = files.write_all(texts)
            return [entry for path, entry in taken if path not in refused]

    def archive(self, task: Task, name: str) -> None:
        """Pack a task's files into an archive and take them away."""
        with self.exclusive():
            place = self.find(task)
            own = [place] if place is not None else []
            beside = [self.layout.context_file(task.task_id), self.layout.progress_file(task.task_id)]
            own += [one for one in beside if (self.root / one).is_file()]
            others = [
                path for end in RESCUES for path in self.folder(self.layout.context).glob(f"{task.task_id}.*{end}")
            ]
            own += [PurePosixPath(path.relative_to(self.root)) for path in [*self.notes_of(task.task_id), *others]]
            archive.pack(self.root, own, self.path(self.layout.archive_file(task.task_id, name)))

    def restore(self, task_id: str) -> list[PurePosixPath]:
        """Bring the files of a task's newest archive back; where those went in whose place there is another by now."""
        with self.exclusive():
            place = self.archived(task_id)
            if place is None:
                return []
            mark = version(place.name)[:8]
            return archive.unpack(self.root, self.path(place), self.layout, mark)

    def close(self) -> None:
        """Let go of the spool."""
        self.spool.close()

    def _take_body(self, entry: Entry, facts: Facts) -> list[PurePosixPath]:
        def change(text: str | None) -> str | None:
            if text is None:
                return task_file.written(facts, _ended(entry.text))
            start = body_start(text)
            if start == 0 and text.startswith("---"):
                raise VaultError(f"{place} opens front matter that no later line closes; the body waits until it does")
            was = _without_first_blank(text[start:])
            if was in (entry.text, _ended(entry.text)):
                return text
            if version(was) != entry.base and not _is_unwritten(was, facts.task):
                return None
            blank = text[start : len(text) - len(was)]
            if not entry.whole:
                self.keep(place)
                return text[:start] + blank + page_sections.with_sections_of(_ended(entry.text), was)
            return text[:start] + blank + (_ended(entry.text) if was.endswith("\n") or not was else entry.text)

        place = self.find(facts.task) or self.layout.task_file(facts.task)
        return self._place(entry, place, change, _ended(entry.text))

    def _take_file(self, entry: Entry, facts: Facts) -> list[PurePosixPath]:
        """A whole file from another vault."""
        try:
            new = task_file.updated(entry.text, facts)
        except Unreadable:
            new = task_file.written(facts, entry.text)

        def change(text: str | None) -> str | None:
            if text is None or _is_unwritten(task_file.body(text), facts.task):
                return new
            return text if task_file.body(text) == task_file.body(new) else None

        place = self.find(facts.task) or self.layout.task_file(facts.task)
        return self._place(entry, place, change, new)

    def _place(
        self, entry: Entry, place: PurePosixPath, change: Callable[[str | None], str | None], text: str
    ) -> list[PurePosixPath]:
        """Change a task's file; where `change` refuses, because another text is there, this one goes beside it."""
        refused = False

        def checked(was: str | None) -> str | None:
            nonlocal refused
            new = change(was)
            refused = new is None
            return new

        files.update(self.path(place), checked)
        if not refused:
            return []
        beside = self.layout.beside(place, entry.token)
        files.write(self.path(beside), text)
        return [beside]

    def _append(self, facts: Facts, section: str, addition: str, *, again: bool) -> None:
        def change(text: str | None) -> str | None:
            if text is None:
                text = task_file.written(facts)
            start = body_start(text)
            body = text[start:]
            if again and _holds(page_sections.section(body, section), addition):
                return text
            return text[:start] + page_sections.appended(body, section, addition)

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


def _is_unwritten(body: str, task: Task) -> bool:
    """Whether nobody has written anything into the body of a task."""
    return body.strip() in ("", task_file.sections(task).strip())


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
