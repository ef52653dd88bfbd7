"""The folder that an attempt works in: what is in it is kept, then it goes or stays. How one is made: workspaces.py."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shoal.clock import Clock, SystemClock
from shoal.errors import GitError, WorkspaceError
from shoal.model.content import RESCUE_LIMIT
from shoal.model.session import Branch
from shoal.worker.checkout import Checkout
from shoal.worker.place import Place, Record


class Unpushed(Struct, frozen=True, kw_only=True):
    """Work that could not be pushed, and why: a bundle of branches or a patch; no `data` when that is too large."""

    repository: str
    reason: str
    name: str
    data: bytes | None
    branches: list[Branch]


class Workspace:
    """Where an attempt works. `notes` says what its agent, or who reads its log, should know.

    `folder` is the one checkout, the folder of several, or an empty one.
    """

    def __init__(
        self,
        folder: Path,
        checkouts: list[Checkout],
        *,
        place: Place | None,
        clock: Clock,
        notes: list[str],
        teardown: Callable[[], list[str]] = list,
    ) -> None:
        self.folder = folder
        self.checkouts = checkouts
        self.notes = notes
        self._place = place
        self._clock = clock
        self._teardown: Callable[[], list[str]] = teardown
        self._is_kept = False
        self._patches: dict[Path, tuple[Path, str]] = {}

    @classmethod
    def in_place(cls, folder: Path) -> Workspace:
        """A folder of somebody's own, of which nothing is kept and nothing removed."""
        return cls(folder, [], place=None, clock=SystemClock(), notes=[])

    @property
    def environment(self) -> dict[str, str]:
        """What everything that runs here should have: git takes no repository around the home for this one."""
        return {} if self._place is None else {"GIT_CEILING_DIRECTORIES": str(self._place.folder.parent)}

    def take_notes(self) -> list[str]:
        """The notes that have come since the last time."""
        notes, self.notes = self.notes, []
        return notes

    def keep(self, message: str, *, author: str | None = None) -> list[Branch]:
        """Commit what is uncommitted, and push where that is wanted; where the work stands now.

        To be called after every episode of an agent. Where nothing can be committed a patch is written beside the
        folder. Raises WorkspaceError when that fails too; the folder stays then, whatever is asked.
        """
        problems = []
        for checkout in self.checkouts:
            self._patches.pop(checkout.folder, None)
            try:
                checkout.keep(message, author=author)
            except (GitError, OSError) as error:
                problems += self._write_patch(checkout, error)
            self.notes += checkout.notes
            checkout.notes = []
        self._is_kept = True
        self._remember()
        if problems:
            raise WorkspaceError("; ".join(problems))
        return self.branches()

    def unpushed(self) -> list[Unpushed]:
        """What of the last `keep` is nowhere but in this home, though it was to be pushed: files that bring it away."""
        found = []
        for checkout in self.checkouts:
            if checkout.unpushed:
                found.append(_bundled(checkout))
            patch = self._patches.get(checkout.folder)
            if patch is not None:
                found.append(_patched(checkout, *patch))
        return found

    def branches(self) -> list[Branch]:
        """Where the work stands: per repository the task's branch, with its commits since it left its upstream."""
        return [branch for checkout in self.checkouts for branch in checkout.branches()]

    def close(self, *, remove: bool = False) -> None:
        """The attempt has ended: tear down, and remove the folder or leave it for a while."""
        if remove:
            self.remove()
            return
        try:
            self._tear_down()
        finally:
            self._remember(left=True)
            if self._place is not None:
                self._place.release()

    def remove(self) -> bool:
        """Tear down and remove the folder; whether it is gone. One with work that is nowhere else stays.

        What appeared since the last `keep` is taken for what checks and tear-down left, and goes.
        """
        if self._place is None:
            return False
        try:
            self._tear_down()
            return self._remove(self._place)
        finally:
            self._place.release()

    def _remove(self, place: Place) -> bool:
        if not self._is_kept or not all(checkout.is_whole for checkout in self.checkouts):
            with suppress(WorkspaceError):
                self.keep("What was left")
        gone = True
        for checkout in self.checkouts:
            gone = checkout.is_whole and checkout.remove() and gone
        with suppress(OSError):
            if gone and self.folder.is_dir():
                self.folder.rmdir()  # files beside the checkouts, or without any, are for the sweep
        gone = gone and not self.folder.exists()
        if gone:
            place.forget()
        return gone

    def _tear_down(self) -> None:
        teardown, self._teardown = self._teardown, list
        self.notes += teardown()

    def _write_patch(self, checkout: Checkout, reason: Exception) -> list[str]:
        checkout.is_whole = False
        if self._place is None or not self._place.folder.exists():
            return [f"{checkout.repository} could not be kept: {reason}"]
        patch = self._place.kept / ("diff.patch" if len(self.checkouts) == 1 else f"{checkout.folder.name}.patch")
        try:
            checkout.worktree.write_patch(patch)
        except (GitError, OSError) as error:
            why = f"no commit ({reason}) and no patch ({error}) could be made"
            return [f"{checkout.repository} could not be kept: {why}; the work is in {checkout.folder}, which stays"]
        self._patches[checkout.folder] = patch, str(reason)
        self.notes.append(f"{checkout.repository} could not be committed to ({reason}); the work is in {patch}")
        return []

    def _remember(self, *, left: bool = False) -> None:
        record = self._place.read() if self._place is not None else None
        if self._place is None or record is None:
            return
        parts = [checkout.part for checkout in self.checkouts]
        if left:
            with suppress(GitError, OSError):
                parts = [
                    replace(checkout.part, left=checkout.tree()) if checkout.is_whole else checkout.part
                    for checkout in self.checkouts
                ]
        with suppress(OSError):
            self._place.write(Record(self._clock.now_ms(), ready=True, parts=parts))


def _bundled(checkout: Checkout) -> Unpushed:
    """The branches of a checkout that could not be pushed."""
    heads = {branch: commit for branch, (commit, _) in checkout.unpushed.items()}
    reason = next(iter(checkout.unpushed.values()))[1]
    data = None
    try:
        data = checkout.worktree.mirror.bundle(heads, RESCUE_LIMIT)
    except (GitError, OSError) as error:
        reason = f"{reason}; and no bundle of it could be made: {error}"
    counted = {one.branch: one for one in checkout.branches()}
    empty = Branch(checkout.repository, "", checkout.base, "")
    branches = [replace(counted.get(name, empty), branch=name, head=head) for name, head in heads.items()]
    name = _file_name(checkout.repository, " ".join(heads.values()), "bundle")
    return Unpushed(repository=checkout.repository, reason=reason, name=name, data=data, branches=branches)


def _patched(checkout: Checkout, patch: Path, reason: str) -> Unpushed:
    """What could not be committed."""
    data = patch.read_bytes() if patch.stat().st_size <= RESCUE_LIMIT else None
    name = _file_name(checkout.repository, hashlib.sha256(data or b"").hexdigest(), "patch")
    return Unpushed(repository=checkout.repository, reason=reason, name=name, data=data, branches=[])


def _file_name(repository: str, what: str, end: str) -> str:
    """web-1a2b3c4d.bundle: another one for other work."""
    words = re.findall(r"[A-Za-z0-9][\w-]*", repository.removesuffix(".git"), re.ASCII)
    return f"{(words or ['work'])[-1][:60]}-{hashlib.sha256(what.encode()).hexdigest()[:8]}.{end}"
