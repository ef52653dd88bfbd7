"""Local commits brought on top of a remote's, without touching the working tree until all of it is decided.

Git merges what it can. What it cannot is decided by what a file is: a task's file is the same task's wherever either
side has moved it, its keys of the ledger are written anew afterwards, and of people's text both versions stay.
"""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath

from msgspec import Struct

from shoal.adapters.vault import context_file
from shoal.adapters.vault.front_matter import FrontMatter, Unreadable, body_start
from shoal.adapters.vault.git import Git
from shoal.adapters.vault.layout import Layout
from shoal.adapters.vault.task_file import KEYS
from shoal.errors import GitError, VaultError

DELETED = "0" * 40
OWNED = frozenset(name for key in KEYS for name in key.names)


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

    def rebase(self, upstream: str) -> str:
        """The commit that holds upstream and every local commit; the branch does not point at it yet."""
        listed = self._git.text("rev-list", "--reverse", "--topo-order", "--no-merges", f"{upstream}..HEAD")
        tip = upstream
        for commit in listed.split():
            tip = self._pick(commit, tip)
        return tip

    def _pick(self, commit: str, tip: str) -> str:
        git = self._git
        parents = git.parents(commit)
        onto = tip
        if parents != [git.common(tip, commit)]:
            # A stand-in for the tip whose only ancestor is the commit's parent makes that the base of the merge.
            onto = git.make_commit(git.text("rev-parse", f"{tip}^{{tree}}"), parents, "")
        merged = git.run(
            "merge-tree",
            "--write-tree",
            "-z",
            "--no-messages",
            "--allow-unrelated-histories",
            onto,
            commit,
            codes=(0, 1),
        )
        tree, _, listed = merged.stdout.partition(b"\0")
        found = tree.decode()
        if merged.returncode == 1:
            found = self._resolve(found, listed, onto, commit)
        if found == git.text("rev-parse", f"{tip}^{{tree}}"):
            return tip
        shown = git.run("show", "--no-patch", "--format=%an%x00%ae%x00%aI%x00%B", commit).stdout
        name, email, date, message = shown.decode("utf-8", "surrogateescape").split("\0", 3)
        author = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": email, "GIT_AUTHOR_DATE": date}
        return git.make_commit(found, [tip], message.rstrip("\n") + "\n", author)

    def _resolve(self, tree: str, listed: bytes, upstream: str, local: str) -> str:
        """The tree with every conflict decided."""
        stages: dict[str, dict[int, str]] = {}
        for record in listed.split(b"\0"):
            if not record:
                continue
            head, _, path = record.decode("utf-8", "surrogateescape").partition("\t")
            mode, oid, stage = head.split()
            if not mode.startswith("100"):
                raise GitError(f"{path} is no plain file on one side; merge it by hand in {self._git.root}")
            stages.setdefault(path, {})[int(stage)] = oid
        decided: dict[str, bytes | None] = {}
        for path, oids in stages.items():
            sides = Sides(*(self._blob(oids.get(stage)) for stage in (1, 2, 3)))
            decided |= self._decide(PurePosixPath(path), sides, upstream, local)
        return self._tree_with(tree, decided)

    def _decide(self, path: PurePosixPath, sides: Sides, upstream: str, local: str) -> dict[str, bytes | None]:
        """What to write where, so that nothing of either side is lost."""
        layout = self._layout
        if path.is_relative_to(layout.views) or path == layout.overview:
            return {str(path): sides.local if sides.local is not None else sides.upstream}
        here = str(path)
        if path.parent in layout.task_folders and (sides.upstream is None or sides.local is None):
            other = upstream if sides.upstream is None else local
            moved = self._elsewhere(path, other)
            if moved is not None:
                there = self._blob(self._git.text("rev-parse", f"{other}:{moved}"))
                sides = Sides(sides.base, sides.upstream or there, sides.local or there)
                here = str(moved)
        if sides.upstream is None or sides.local is None:
            return {here: sides.upstream if sides.local is None else sides.local}
        merged = self._merged(PurePosixPath(here), sides)
        decided: dict[str, bytes | None] = {here: merged}
        if merged is None:
            beside = path.with_name(f"{path.stem}.other-{local[:8]}{path.suffix}")
            decided = {here: sides.upstream, str(beside): sides.local}
            self.conflicts.append(Conflict(here, f"both versions were kept, the local one as {beside}"))
        if here != str(path):
            decided[str(path)] = None
        return decided

    def _merged(self, path: PurePosixPath, sides: Sides) -> bytes | None:
        """One text of both sides; None when they must stay apart."""
        if any(b"\0" in side for side in (sides.upstream, sides.local) if side is not None):
            return None
        if path.parent in self._layout.task_folders and path.suffix == ".md":
            return self._merged_task(path, sides)
        if path.parent == self._layout.context and path.suffix == ".yaml":
            return _merged_context(path.stem, sides)
        return self._merged_text(str(path), sides.base or b"", sides.upstream or b"", sides.local or b"")

    def _merged_task(self, path: PurePosixPath, sides: Sides) -> bytes | None:
        texts = [(side or b"").decode("utf-8", "surrogateescape") for side in (sides.base, sides.upstream, sides.local)]
        starts = [body_start(text) for text in texts]
        front = self._merged_front(*(text[:start] for text, start in zip(texts, starts, strict=True)))
        if front is None:
            return None
        bodies = [_encoded(text[start:]) for text, start in zip(texts, starts, strict=True)]
        if sides.base is None and bodies[1].strip() != bodies[2].strip():
            return None
        return _encoded(front) + self._merged_text(str(path), *bodies)

    def _merged_front(self, base: str, upstream: str, local: str) -> str | None:
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
        others = [front.without(OWNED) for front in fronts]
        if others[2] in (others[0], others[1]):
            return upstream
        return local if others[1] == others[0] else None

    def _merged_text(self, path: str, base: bytes, upstream: bytes, local: bytes) -> bytes:
        """Git's merge; where both sides changed the same lines, the lines of both."""
        merged = self._merge_file(base, upstream, local)
        if merged is not None:
            return merged
        self.conflicts.append(Conflict(path, "both sides changed the same lines; the lines of both were kept"))
        both = self._merge_file(base, upstream, local, "--union")
        assert both is not None  # noqa: S101 - a union has no conflicts
        return both

    def _merge_file(self, base: bytes, upstream: bytes, local: bytes, *options: str) -> bytes | None:
        """Git's merge of three texts; None when they cannot be merged."""
        with tempfile.TemporaryDirectory() as folder:
            names = []
            for name, data in (("upstream", upstream), ("base", base), ("local", local)):
                (Path(folder) / name).write_bytes(data)
                names.append(str(Path(folder) / name))
            merged = self._git.run("merge-file", "-p", "--quiet", *options, *names, codes=range(128))
            return merged.stdout if merged.returncode == 0 else None

    def _elsewhere(self, path: PurePosixPath, commit: str) -> PurePosixPath | None:
        """Where a side has the file of the same name."""
        places = [folder / path.name for folder in self._layout.task_folders if folder != path.parent]
        listed = self._git.text("ls-tree", "--name-only", commit, "--", *map(str, places))
        return PurePosixPath(listed.splitlines()[0]) if listed else None

    def _blob(self, oid: str | None) -> bytes | None:
        return None if oid is None else self._git.run("cat-file", "blob", oid).stdout

    def _tree_with(self, tree: str, decided: dict[str, bytes | None]) -> str:
        with tempfile.TemporaryDirectory() as folder:
            environment = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._git.run("read-tree", tree, environment=environment)
            lines = []
            for path, data in decided.items():
                name = path.encode("utf-8", "surrogateescape")
                if data is None:
                    lines.append(b"0 " + DELETED.encode() + b"\t" + name + b"\0")
                else:
                    oid = self._git.run("hash-object", "-w", "--stdin", given=data).stdout.strip()
                    lines.append(b"100644 " + oid + b"\t" + name + b"\0")
            self._git.run("update-index", "-z", "--index-info", given=b"".join(lines), environment=environment)
            return self._git.run("write-tree", environment=environment).stdout.decode().strip()


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
