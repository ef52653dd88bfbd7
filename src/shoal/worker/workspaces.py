"""The workspaces of a home: one folder per attempt, worktrees of mirrors that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from shoal.adapters.git.address import Address, address_of
from shoal.adapters.git.mirror import Mirror
from shoal.adapters.git.view import clear_probes
from shoal.adapters.processes.commands import RunCommand
from shoal.clock import DAY_MS, Clock, SystemClock
from shoal.errors import GitError, WorkspaceError
from shoal.model.session import Branch
from shoal.model.task import Task
from shoal.settings import RepositorySettings
from shoal.worker.checkout import Checkout, checkout_of
from shoal.worker.place import Place, Record, places
from shoal.worker.preparation import Preparation, Rescued, Wanted, discard, tear_down
from shoal.worker.workspace import Workspace

MIRRORS = "mirrors"
TokenOf = Callable[[str], Callable[[], str | None] | None]


class Workspaces:
    """Makes workspaces, and clears old ones away. Any number of processes may have one for the same home."""

    def __init__(
        self,
        root: Path,
        repositories: Mapping[str, RepositorySettings],
        *,
        clock: Clock | None = None,
        ephemeral: bool = False,
    ) -> None:
        """What is done in an `ephemeral` home is pushed whether or not a repository asks for it."""
        # Without links in it: git tells where its worktrees are by their real paths.
        self._root = root.resolve()
        self._repositories = repositories
        self._clock = clock or SystemClock()
        self._ephemeral = ephemeral

    def prepare(
        self,
        task: Task,
        attempt: int,
        *,
        branches: Iterable[Branch] = (),
        rescued: Sequence[Rescued] = (),
        token: TokenOf = lambda _: None,
        run_command: RunCommand | None = None,
        stop: Callable[[], bool] | None = None,
        late: Callable[[], bool] | None = None,
    ) -> Workspace:
        """The folder of an attempt, with its repositories checked out and set up.

        `branches` are those that earlier attempts told of: the last is gone on with; `rescued` is what they could not
        push. `token` gives for the URL of a repository what is asked for this attempt's token each time that git logs
        in, None where git's own configuration holds. What an earlier attempt left uncommitted in its folder is
        committed to its branch before. Cloning and fetching end when `stop` says so, a push when `late` does.
        Raises WorkspaceError, and no folder is left then.
        """
        place = Place(self._root, f"{task.task_id}.{attempt}")
        wanted = self._wanted(task, token, stop, late)
        if not place.take():
            raise WorkspaceError(f"{place.name} is being worked on by another process of this home")
        preparation = Preparation(self._root, place, task, attempt, self._clock, ephemeral=self._ephemeral)
        try:
            preparation.make(wanted, branches, run_command, rescued)
        except BaseException as error:
            preparation.undo()
            place.release()
            if isinstance(error, GitError | OSError):
                raise WorkspaceError(f"the workspace of {place.name} cannot be made: {error}") from None
            raise
        checkouts = preparation.checkouts
        return Workspace(
            place.folder,
            checkouts,
            place=place,
            clock=self._clock,
            notes=preparation.notes,
            teardown=lambda: tear_down(checkouts, wanted, run_command),
        )

    def sweep(self, now: int, days: int, *, stop: Callable[[], bool] = lambda: False) -> list[str]:
        """Remove the folders of attempts that ended so many days before `now`; the names of those that are gone.

        What is uncommitted in a folder is committed first; one of which that fails stays. A folder without a
        repository goes with what is in it. What is left is for the next sweep when `stop` says so.
        """
        gone: list[str] = []
        for place in places(self._root):
            if stop():
                return gone
            record = place.read()
            if record is None or record.at > now - days * DAY_MS or not place.take():
                continue
            if self._reclaim(place, record):
                gone.append(place.name)
            place.release()
        for path in (self._root / MIRRORS).glob("*/*.git"):
            if stop():
                return gone
            with suppress(GitError):
                self._mirror_at(path, path.stem, stop).tidy()
        clear_probes(self._root / MIRRORS, now)
        return gone

    def _wanted(
        self, task: Task, token: TokenOf, stop: Callable[[], bool] | None, late: Callable[[], bool] | None
    ) -> Wanted:
        found: dict[str, tuple[Mirror, RepositorySettings]] = {}
        for name in task.repos:
            settings = self._repositories.get(name) or RepositorySettings()
            address = address_of(name, settings.url)
            path = self._root / MIRRORS / address.mirror
            # The mirror is everybody's, this object with its token is this attempt's alone.
            mirror = Mirror(path, address, clock=self._clock, token=token(address.url), stop=stop, late=late)
            found.setdefault(address.name, (mirror, settings))
        return list(found.values())

    def _reclaim(self, place: Place, record: Record) -> bool:
        if not record.ready:
            return discard(self._root, place)
        try:
            for part in record.parts:
                folder = Path(part.folder)
                checkout = checkout_of(
                    self._mirror_at(Path(part.mirror), part.repository), part, folder, attempt=place.name
                )
                if checkout is None and folder.is_dir() and any(folder.iterdir()):
                    return False  # git knows nothing of it any more, so nothing can be kept
                if checkout is not None and not (self._is_kept(checkout) and checkout.remove()):
                    return False
        except (GitError, OSError):
            return False
        return place.remove()

    def _is_kept(self, checkout: Checkout) -> bool:
        left = checkout.part.left
        if left is not None and not checkout.worktree.is_empty() and checkout.tree() == left:
            return True
        checkout.keep("What was left uncommitted")
        return checkout.is_whole

    def _mirror_at(self, path: Path, name: str, stop: Callable[[], bool] | None = None) -> Mirror:
        """A mirror that is there already and is not fetched."""
        return Mirror(path, Address(name, "", PurePosixPath(path.name)), clock=self._clock, stop=stop)
