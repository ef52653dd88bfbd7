"""How the folder of an attempt is made: earlier attempts' work taken over, repositories checked out and set up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from shoal.adapters.git.mirror import Mirror
from shoal.adapters.git.tree import remove_tree
from shoal.adapters.git.worktree import KEPT, Worktree, forget
from shoal.adapters.processes.commands import RunCommand
from shoal.clock import Clock
from shoal.errors import GitError, LeaseLost, ShoalError, WorkspaceError
from shoal.model.session import Branch
from shoal.model.task import Task
from shoal.settings import RepositorySettings
from shoal.worker import task_branch
from shoal.worker.checkout import Checkout
from shoal.worker.place import Part, Place, Record, place_of, places

SETUP_SECONDS = 1800.0
TAKE_OVER_SECONDS = 5.0  # for the worker of an earlier attempt to be gone

Wanted = Sequence[tuple[Mirror, RepositorySettings]]


class Rescued(NamedTuple):
    """What an attempt could not push to a repository: its branches, and what fetches the bundle that has them."""

    attempt: str
    repository: str
    branches: list[Branch]
    fetch: Callable[[], bytes]


class Preparation:
    """One preparing of one attempt's folder. `checkouts` and `notes` fill as it goes."""

    def __init__(
        self, root: Path, place: Place, task: Task, attempt: int, clock: Clock, *, ephemeral: bool = False
    ) -> None:
        self.checkouts: list[Checkout] = []
        self.notes: list[str] = []
        self._root = root
        self._place = place
        self._task = task
        self._attempt = attempt
        self._clock = clock
        self._ephemeral = ephemeral
        self._has_begun = False

    def make(
        self,
        wanted: Wanted,
        earlier: Iterable[Branch],
        run_command: RunCommand | None,
        rescued: Sequence[Rescued] = (),
    ) -> None:
        """Make the folder. Raises WorkspaceError, GitError and OSError; then `undo` is called for."""
        for mirror, _ in wanted:
            self.notes += mirror.refresh()
            self._take_over(mirror)
            for one in rescued:
                if one.repository == str(mirror):
                    self._take_in(mirror, one)
        self._clear()
        self._remember()
        self._has_begun = True
        earlier = list(earlier)
        for mirror, settings in wanted:
            self._check_out(mirror, settings, earlier, alone=len(wanted) == 1)
        if not wanted:
            self._point_out_files()
        self._place.folder.mkdir(parents=True, exist_ok=True)
        for checkout, (mirror, settings) in zip(self.checkouts, wanted, strict=True):
            for command in settings.setup:
                self._set_up(checkout, str(mirror), command, run_command)
        self._remember(ready=True)

    def undo(self) -> None:
        """Remove what was made; no agent has worked in it."""
        if self._has_begun:
            discard(self._root, self._place)
        elif self._place.read() is None:
            self._place.forget()

    def _check_out(
        self, mirror: Mirror, settings: RepositorySettings, earlier: Iterable[Branch], *, alone: bool
    ) -> None:
        base = mirror.base(settings.base)
        branch = task_branch.choose(mirror, self._task, self._attempt, earlier)
        commit, notes = task_branch.start(mirror, self._task, branch, base)
        self.notes += notes
        folder = self._place.folder if alone else self._free_folder(str(mirror))
        part = Part(
            repository=str(mirror),
            folder=str(folder),
            branch=branch,
            base=mirror.git.common(commit, base) or base,
            upstream=mirror.upstream(settings.base),
            mirror=str(mirror.path),
        )
        self._remember(part)
        worktree = Worktree.add(mirror, folder, branch, reason=f"Shoal: {self._place.name}")
        self.checkouts.append(
            Checkout(worktree, part, attempt=self._place.name, push=settings.push, ephemeral=self._ephemeral)
        )

    def _free_folder(self, repository: str) -> Path:
        """The folder of one of several repositories, called as it is; as its owner too when two are called the same."""
        words = [word for word in repository.removesuffix(".git").replace(":", "/").split("/") if word.strip(".")]
        taken = {checkout.folder for checkout in self.checkouts}
        name, number = words[-1] if words else "repository", 2
        if self._place.folder / name in taken and len(words) > 1:
            name = f"{words[-2]}-{name}"
        while (folder := self._place.folder / name) in taken:
            name, number = f"{name}-{number}", number + 1
        return folder

    def _take_over(self, mirror: Mirror) -> None:
        """Commit what earlier attempts left, and take their folders off the branch.

        By the fence they are dead: nobody but this attempt may go on with the task.
        """
        for admin, folder in mirror.folders():
            other = place_of(self._root, folder)
            if other is None or other.task_id != self._task.task_id:
                continue
            worktree = Worktree(mirror, admin, folder)
            own = other.name == self._place.name
            alone = own or other.take(TAKE_OVER_SECONDS)
            try:
                self._free(worktree, other, alone=alone, remove=own)
            except (GitError, OSError) as error:
                self.notes.append(f"what {other.name} left in {folder} could not be taken over: {error}")
                with suppress(GitError):
                    worktree.detach()
            if not own:
                other.release()

    def _take_in(self, mirror: Mirror, one: Rescued) -> None:
        """Bring what an earlier attempt could not push to its branches, and beside those that have gone on without."""
        missing = [branch for branch in one.branches if mirror.git.commit_of(branch.head) is None]
        if not missing:
            return
        try:
            mirror.take_in(one.fetch(), [branch.branch for branch in missing])
            for branch in missing:
                name, ref = branch.branch, f"refs/heads/{branch.branch}"
                here = mirror.git.commit_of(ref) or mirror.git.commit_of(f"refs/remotes/origin/{name}")
                if here is None or mirror.git.holds(branch.head, here):
                    mirror.git.run("update-ref", "-m", "shoal: rescued", ref, branch.head)
                else:
                    name = f"{KEPT}/{one.attempt}-{branch.head[:8]}"
                    mirror.keep(name, branch.head)
                self.notes.append(f"what {one.attempt} could not push was brought to {name}")
        except LeaseLost:
            raise
        except (ShoalError, OSError) as error:
            self.notes.append(f"what {one.attempt} could not push to {mirror} cannot be brought here: {error}")

    def _free(self, worktree: Worktree, other: Place, *, alone: bool, remove: bool) -> None:
        record = other.read() or Record(0, ready=True)
        part = next((one for one in record.parts if one.folder == str(worktree.folder)), None)
        if not record.ready and alone:
            # The git of a killed worker may still be filling the folder: the branch is free all the same, and the sweep
            # takes what is left.
            remove_tree(worktree.folder)
            forget(worktree.admin)
            return
        if record.ready:
            branch = worktree.branch()
            part = part or Part(str(worktree.mirror), str(worktree.folder), branch or "", "", "", "")
            if not self._keep(worktree, part, other) and remove:
                raise WorkspaceError(f"{worktree.folder} is there already, with work that cannot be kept; move it away")
        unwanted = remove or (alone and not worktree.folder.exists())
        if not unwanted or not worktree.remove():
            worktree.detach()

    def _keep(self, worktree: Worktree, part: Part, other: Place) -> bool:
        checkout = Checkout(worktree, part, attempt=other.name)
        if not part.branch or (part.left is not None and not worktree.is_empty() and checkout.tree() == part.left):
            return True  # nothing new since it ended
        before = worktree.mirror.git.commit_of(f"refs/heads/{part.branch}")
        checkout.keep(f"What {other.name} left uncommitted")
        if worktree.mirror.git.commit_of(f"refs/heads/{part.branch}") != before:
            self.notes.append(f"what {other.name} left in its folder was brought to {part.branch}")
        self.notes += checkout.notes
        return checkout.is_whole

    def _clear(self) -> None:
        """What is in the way, of another ledger's task of this number, goes aside."""
        folder = self._place.folder
        if folder.is_dir() and any(folder.iterdir()):
            aside = folder.with_name(f"{folder.name}.old-{self._clock.now_ms()}")
            folder.rename(aside)
            self.notes.append(f"{folder} was there already, and is now {aside}")

    def _point_out_files(self) -> None:
        for other in places(self._root, self._task.task_id):
            if other.name != self._place.name and other.folder.is_dir() and any(other.folder.iterdir()):
                self.notes.append(f"files of {other.name} are in {other.folder}")

    def _set_up(self, checkout: Checkout, repository: str, command: str, run_command: RunCommand | None) -> None:
        if run_command is None:
            raise WorkspaceError(f"{repository} has set-up commands, and nothing was given to run them with")
        ran = run_command(["/bin/sh", "-c", command], checkout.folder, seconds=SETUP_SECONDS)
        if not ran.ok:
            raise WorkspaceError(f"set-up of {repository}: `{command}` {ran.describe()}")

    def _remember(self, *parts: Part, ready: bool = False) -> None:
        known = [checkout.part for checkout in self.checkouts]
        self._place.write(Record(self._clock.now_ms(), ready=ready, parts=[*known, *parts]))


def discard(root: Path, place: Place) -> bool:
    """Remove a folder in which no agent has worked, with all that git knows of it; whether it is gone."""
    record = place.read()
    for mirror in {part.mirror for part in record.parts} if record else ():
        # Read from the disk, not asked of git: it may have been killed while it made the worktree.
        for admin in (Path(mirror) / "worktrees").glob("*"):
            with suppress(OSError):
                folder = Path((admin / "gitdir").read_text().strip()).parent
                if place_of(root, folder) is not None and folder.is_relative_to(place.folder):
                    remove_tree(folder)
                    forget(admin)
    return place.remove()


def tear_down(checkouts: Iterable[Checkout], wanted: Wanted, run_command: RunCommand | None) -> list[str]:
    """Run the tear-down commands of every repository; which ones failed."""
    failed: list[str] = []
    if run_command is None:
        return failed
    for checkout, (mirror, settings) in zip(checkouts, wanted, strict=True):
        is_there = checkout.folder.is_dir() and not checkout.worktree.is_linked
        for command in settings.teardown if is_there else ():
            ran = run_command(["/bin/sh", "-c", command], checkout.folder, seconds=SETUP_SECONDS)
            if not ran.ok:
                failed.append(f"tear-down of {mirror}: `{command}` {ran.describe()}")
    return failed
