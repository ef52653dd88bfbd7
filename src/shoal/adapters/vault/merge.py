"""Local commits brought on top of a remote's, without touching the working tree until all of it is decided.

Trees are compared path by path. Git's own merge is not asked, because it guesses renames: pages of tasks look alike,
and what a person wrote on one would end up on another. What both sides changed is decided by what a file is: a task's
page is the same task's wherever either side has moved it, its keys of the ledger are written anew afterwards, and of
people's text both versions stay.
"""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath

from msgspec import Struct

from shoal.adapters.git.repository import Entry, Git
from shoal.adapters.vault import context_file
from shoal.adapters.vault.front_matter import FrontMatter, Unreadable, body_start
from shoal.adapters.vault.layout import Layout
from shoal.adapters.vault.report_file import is_written_whole
from shoal.adapters.vault.task_file import OWNED
from shoal.errors import VaultError

NOTHING = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # the empty tree
LINES_OF_TEXT = frozenset({".md", ".txt", ".jsonl"})  # where the lines of both sides may stand below each other
MARKER = 60  # longer than any ruler that people draw


class Conflict(Struct, frozen=True):
    """A file of which both versions were kept, and where."""

    path: str
    reason: str


class Sides(Struct, frozen=True):
    """One file in the common ancestor, upstream and in the local commit; None where it is not there."""

    base: bytes | None
    upstream: bytes | None
    local: bytes | None


class Merger:
    """Brings local commits on top of an upstream commit."""

    def __init__(self, git: Git, layout: Layout) -> None:
        self._git = git
        self._layout = layout
        self.conflicts: list[Conflict] = []
        self.newest: str | None = None
        """What the last commit became that was put on top; None when there was nothing left of it."""

    def rebase(self, upstream: str) -> str:
        """The commit that holds upstream and every local commit; the branch does not point at it yet.

        Each commit is put on top by itself, with its author and message. Where somebody merged locally, all of it is
        merged at once, so that what they resolved stays resolved.
        """
        git = self._git
        if git.text("rev-list", "--merges", "--max-count=1", f"{upstream}..HEAD"):
            head = git.text("rev-parse", "HEAD")
            tree = self._combined(git.common(head, upstream) or NOTHING, upstream, head)
            return git.make_commit(tree, [upstream, head], "Merge what was edited here with the remote\n")
        tip = git.text("rev-parse", upstream)
        for commit in git.text("rev-list", "--reverse", "--topo-order", f"{upstream}..HEAD").split():
            tip = self._pick(commit, tip)
        return tip

    def _pick(self, commit: str, tip: str) -> str:
        git = self._git
        parents = git.parents(commit)
        tree = self._combined(parents[0] if parents else NOTHING, tip, commit)
        self.newest = None
        if tree == git.tree_of(tip):
            return tip
        shown = git.run("show", "--no-patch", "--format=%an%x00%ae%x00%at %ad%x00%B", "--date=format:%z", commit).stdout
        name, email, date, message = shown.decode("utf-8", "surrogateescape").split("\0", 3)
        author = {"GIT_AUTHOR_NAME": name or "unknown", "GIT_AUTHOR_EMAIL": email, "GIT_AUTHOR_DATE": f"@{date}"}
        self.newest = git.make_commit(tree, [tip], message.rstrip("\n") + "\n", author)
        return self.newest

    def _combined(self, base: str, upstream: str, local: str) -> str:
        """The tree of upstream with what changed from base to local."""
        ours, theirs = self._git.differences(base, local), self._git.differences(base, upstream)
        present = self._git.paths(upstream)
        folders = {str(folder) for path in present for folder in PurePosixPath(path).parents}
        entries: dict[str, Entry | None] = {}
        decided: dict[str, Entry | None] = {}
        for path, entry in ours.items():
            if path in theirs:
                if theirs[path] != entry:
                    decided |= self._decide(PurePosixPath(path), base, upstream, local, theirs[path], entry)
            elif entry is not None and (path in folders or self._below_a_file(path, present)):
                # A folder on one side and a file on the other.
                beside = self._layout.beside(PurePosixPath(path.replace("/", "-")), local[:8])
                entries[str(beside)] = entry
                self.conflicts.append(Conflict(path, f"it is a folder on the other side; the file is {beside}"))
            else:
                entries[path] = entry
        # A page that one side moved is decided where it went to, which that side added.
        return self._git.tree_with(upstream, entries | decided)

    def _below_a_file(self, path: str, present: set[str]) -> bool:
        return any(str(folder) in present for folder in PurePosixPath(path).parents)

    def _decide(
        self,
        path: PurePosixPath,
        base: str,
        upstream: str,
        local: str,
        theirs: Entry | None,
        ours: Entry | None,
    ) -> dict[str, Entry | None]:
        """What to write where for a path that both sides changed, so that nothing of either is lost."""
        layout = self._layout
        if path.is_relative_to(layout.views) or path == layout.overview:
            return {str(path): ours or theirs}
        here = path
        if path.parent in layout.task_folders and (theirs is None or ours is None):
            # A side that has the page no more may have moved it.
            moved = self._elsewhere(path, upstream if theirs is None else local)
            if moved is not None:
                here, found = moved
                theirs, ours = theirs or found, ours or found
        if theirs is None or ours is None:
            return {str(path): theirs or ours}
        if self._is_written_whole(theirs) and self._is_written_whole(ours):
            return {str(path): ours}
        was = self._git.entry_at(base, str(path))
        if was is None and path.parent in layout.task_folders and (elsewhere := self._elsewhere(path, base)):
            was = elsewhere[1]
        left: dict[str, Entry | None] = {} if here == path else {str(path): None}
        if theirs.is_file and ours.is_file:
            merged = self._merged(here, Sides(self._content(was), self._content(theirs), self._content(ours)))
            if merged is not None:
                return left | {str(here): Entry(theirs.mode, self._git.write_blob(merged))}
        beside = layout.beside(here, local[:8])
        self.conflicts.append(Conflict(str(here), f"both versions were kept, the local one as {beside}"))
        return left | {str(here): theirs, str(beside): ours}

    def _is_written_whole(self, entry: Entry) -> bool:
        return is_written_whole((self._content(entry) or b"").decode("utf-8", "surrogateescape"))

    def _merged(self, path: PurePosixPath, sides: Sides) -> bytes | None:
        """One text of both sides; None when they must stay apart."""
        if any(b"\0" in side for side in (sides.base, sides.upstream, sides.local) if side is not None):
            return None
        if path.parent == self._layout.context and path.suffix == ".yaml":
            return _merged_context(path.stem, sides)
        if path.suffix == ".md":
            return self._merged_page(path, sides)
        texts = sides.base or b"", sides.upstream or b"", sides.local or b""
        if path.suffix in LINES_OF_TEXT:
            return self._merged_text(str(path), *texts)
        return self._merge_file(*texts)

    def _merged_page(self, path: PurePosixPath, sides: Sides) -> bytes | None:
        """One page of both sides: its front matter by keys, its body by lines."""
        texts = [(side or b"").decode("utf-8", "surrogateescape") for side in (sides.base, sides.upstream, sides.local)]
        starts = [body_start(text) for text in texts]
        owned = OWNED if path.parent in self._layout.task_folders else frozenset[str]()
        front = self._merged_front(owned, *(text[:start] for text, start in zip(texts, starts, strict=True)))
        if front is None:
            return None
        bodies = [_encoded(text[start:]) for text, start in zip(texts, starts, strict=True)]
        if sides.base is None and bodies[1].strip() != bodies[2].strip():
            return None
        return _encoded(front) + self._merged_text(str(path), *bodies)

    def _merged_front(self, owned: frozenset[str], base: str, upstream: str, local: str) -> str | None:
        """One front matter; None when both sides changed what is people's in the same place."""
        if local in (base, upstream):
            return upstream
        if upstream == base:
            return local
        merged = self._merge_file(_encoded(base), _encoded(upstream), _encoded(local))
        try:
            if merged is not None:
                FrontMatter(text := merged.decode("utf-8", "surrogateescape"))
                return text
        except Unreadable:
            pass  # both sides added the same key
        try:
            fronts = [FrontMatter(text) for text in (base, upstream, local)]
        except Unreadable:
            return None
        # The ledger says afterwards what its own keys are; what counts is whether a side changed anything else.
        others = [front.without(owned) for front in fronts]
        if others[2] in (others[0], others[1]):
            return upstream
        return local if others[1] == others[0] else None

    def _merged_text(self, path: str, base: bytes, upstream: bytes, local: bytes) -> bytes:
        """Git's merge; where both sides changed the same lines, the lines of both."""
        merged = self._merge_file(base, upstream, local)
        if merged is not None:
            return merged
        marked = self._merge_file(base, upstream, local, "--diff3", f"--marker-size={MARKER}", conflicts=True)
        assert marked is not None  # noqa: S101 - conflicts are allowed here
        text, kept_both = resolved(marked)
        if kept_both:
            self.conflicts.append(Conflict(path, "both sides changed the same lines; the lines of both were kept"))
        return text

    def _merge_file(
        self, base: bytes, upstream: bytes, local: bytes, *options: str, conflicts: bool = False
    ) -> bytes | None:
        """Git's merge of three texts; None when they cannot be merged, unless `conflicts` may be marked."""
        with tempfile.TemporaryDirectory() as folder:
            names = []
            for name, data in (("upstream", upstream), ("base", base), ("local", local)):
                (Path(folder) / name).write_bytes(data)
                names.append(str(Path(folder) / name))
            merged = self._git.run("merge-file", "-p", "--quiet", *options, *names, codes=range(256))
            return merged.stdout if merged.returncode == 0 or (conflicts and merged.returncode < 128) else None

    def _elsewhere(self, path: PurePosixPath, commit: str) -> tuple[PurePosixPath, Entry] | None:
        """Where else a side has the page of that name."""
        for folder in self._layout.task_folders:
            place = folder / path.name
            if place != path and (entry := self._git.entry_at(commit, str(place))) is not None:
                return place, entry
        return None

    def _content(self, entry: Entry | None) -> bytes | None:
        return None if entry is None or not entry.is_file else self._git.run("cat-file", "blob", entry.oid).stdout


def resolved(marked: bytes) -> tuple[bytes, bool]:
    """A text without the marks of its conflicts, and whether two versions of the same lines had to stay.

    Where one side only added lines before or behind what the other one changed, both changes are made.
    """
    parts: dict[bytes, list[bytes]] = {}
    section = b""
    lines: list[bytes] = []
    kept_both = False
    for line in marked.splitlines(keepends=True):
        mark = line[:MARKER]
        if mark in (b"<" * MARKER, b"|" * MARKER, b"=" * MARKER):
            section = mark[:1]
            parts[section] = []
        elif mark == b">" * MARKER:
            upstream, base, local = parts[b"<"], parts[b"|"], parts[b"="]
            joined = _joined(base, upstream, local) or _joined(base, local, upstream)
            kept_both |= joined is None
            lines += joined if joined is not None else _ended(upstream) + local
            section, parts = b"", {}
        else:
            (parts[section] if section else lines).append(line)
    return b"".join(lines), kept_both


def _joined(base: list[bytes], changed: list[bytes], added: list[bytes]) -> list[bytes] | None:
    """What one side changed, with the lines that the other one only added before or behind."""
    count = len(base)
    if added[:count] == base:
        return _ended(changed) + added[count:]
    if count and added[-count:] == base:
        return added[:-count] + changed
    return None


def _ended(lines: list[bytes]) -> list[bytes]:
    return lines if not lines or lines[-1].endswith(b"\n") else [*lines[:-1], lines[-1] + b"\n"]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _merged_context(task_id: str, sides: Sides) -> bytes | None:
    """The local file with what upstream set besides."""
    try:
        texts = [(side or b"").decode() for side in (sides.base, sides.upstream, sides.local)]
        base, upstream, local = (context_file.read(task_id, text) for text in texts)
        merged = texts[2]
        for key, value in upstream.values.items():
            if base.values.get(key) == value or local.values.get(key) == value:
                continue
            if key in local.values and local.values[key] != base.values.get(key):
                return None
            merged = context_file.updated(
                task_id, merged, key=key, value=value, at=str(local.updated_at), by=str(local.updated_by)
            )
        return merged.encode()
    except (VaultError, UnicodeDecodeError):
        return None
