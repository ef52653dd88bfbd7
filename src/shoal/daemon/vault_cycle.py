"""One cycle of the vault's sync, step by step. It may die after any of them: what is not committed is written again,
what is not pushed is pushed again, and the cursor moves last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from msgspec import Struct

from shoal.adapters.vault import files
from shoal.adapters.vault.git import Git, Rejected
from shoal.adapters.vault.merge import Conflict, Merger
from shoal.adapters.vault.vault import Vault
from shoal.daemon.indexer import index
from shoal.daemon.task_files import TaskFiles, Trouble
from shoal.daemon.views import VIEWS
from shoal.errors import GitError
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.content import Facts
from shoal.model.event import Kind
from shoal.model.task import Task
from shoal.services import Tx, contents, search, sync

CHUNK = 500
TRIES = 8
SHOWN = 50
TOLD = {
    Kind.TASK_CREATED: "created",
    Kind.TASK_CLAIMED: "claimed",
    Kind.TASK_COMPLETED: "completed",
    Kind.TASK_APPROVED: "approved",
    Kind.TASK_FAILED: "failed",
    Kind.TASK_CANCELLED: "cancelled",
    Kind.TASK_MIGRATED: "migrated",
}


class Report(Struct, frozen=True):
    """What a cycle came to. `problem` is why the remote has not got it yet."""

    position: int
    tasks: int = 0
    edits: int = 0
    commit: str | None = None
    pushed: bool = False
    problem: str | None = None
    healed: list[str] = []
    conflicts: list[Conflict] = []
    troubles: list[Trouble] = []


class Cycle:
    """The state of one cycle."""

    def __init__(
        self, engine: EmbeddedEngine, vault: Vault, git: Git, *, everything: bool, on_step: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._git = git
        self._everything = everything
        self._say = on_step
        self._merger = Merger(git, vault.layout)
        self._files = TaskFiles(vault)
        self._remote = git.remote()
        self._edited: set[str] = set()
        self._touched: set[str] = set()
        self._written: set[int] = set()
        self._commit: str | None = None
        self._problem: GitError | None = None

    def run(self) -> Report:
        """Go through the steps."""
        self._say("heal")
        healed = self._git.heal()
        files.clear_partials(self._vault.root)
        after, upto = self._engine.read(self._stretch)
        pushed = False
        for _ in range(TRIES):
            if not self._take_in():
                continue
            self._write_tasks(after, upto)
            self._write_views()
            self._say("commit")
            self._commit = self._git.commit(self._message(after, upto), amend=self._commit is not None)
            if self._problem is not None or self._remote is None or (pushed := self._push(self._remote)):
                break
        else:
            self._problem = GitError(f"{self._remote} changed {TRIES} times while it was pushed to; it is tried again")
        if self._problem is None:
            self._say("cursor")
            self._engine.write(lambda tx: sync.move(tx, upto))
        return Report(
            position=upto if self._problem is None else after,
            tasks=len(self._written),
            edits=len(self._edited),
            commit=self._commit,
            pushed=pushed,
            problem=None if self._problem is None else self._problem.message,
            healed=healed,
            conflicts=self._merger.conflicts,
            troubles=self._files.troubles,
        )

    def _stretch(self, tx: Tx) -> tuple[int, int]:
        """The part of the log that this cycle brings into the vault."""
        after = sync.position(tx)
        if sync.asks_for_everything(tx, after, tx.horizon()):
            self._everything = True
        if not sync.is_whole(tx, after) or self._git.commit_of("HEAD") is None:
            self._everything = True
        return after, tx.horizon()

    def _take_in(self) -> bool:
        """Take in people's edits here and what the remote has got; False when somebody wrote meanwhile."""
        git = self._git
        self._say("edits")
        found = git.changed()
        self._edited |= {one.path for one in found}
        self._touched |= {one.path for one in found if not one.deleted}
        if self._remote is None:
            return True
        self._say("fetch")
        try:
            upstream = git.fetch(self._remote, git.branch())
        except GitError as error:
            self._problem = error
            return True
        if upstream is None or git.holds("HEAD", upstream):
            return True
        self._say("rebase")
        if found:
            message = self._edits_message()
            self._commit = git.commit(message, amend=self._commit is not None)
        head = git.commit_of("HEAD")
        if head is None:
            git.adopt(upstream)
            return True
        base = git.common(head, upstream)
        self._touched |= {one.path for one in git.between(base, upstream) if not one.deleted}
        tip = self._merger.rebase(upstream)
        self._say("move")
        try:
            git.move_to(tip)
        except GitError:
            return False  # a file was saved since we looked; it is an edit like the others
        if self._commit is not None:
            self._commit = None if tip == upstream else tip
        return True

    def _write_tasks(self, after: int, upto: int) -> None:
        self._say("tasks")
        if self._everything:
            self._engine.write(search.clear)
        for batch in self._batches(after, upto):
            self._written |= {facts.task.id for facts in batch}
            self._files.write(batch)
            index(self._engine, self._vault, batch)
        self._everything = False
        self._touched.clear()

    def _batches(self, after: int, upto: int) -> Iterator[list[Facts]]:
        """The tasks whose files are to be looked at."""
        read = self._engine.read
        if self._everything:
            last = 0
            while tasks := read(lambda tx, last=last: sync.tasks_after(tx, last, CHUNK)):
                last = tasks[-1].id
                yield read(lambda tx, tasks=tasks: contents.facts(tx, tasks))
            return
        numbers = set(read(lambda tx: sync.changed_since(tx, after, upto))) - self._written
        self._vault.old_names.refresh()
        names = self._vault.old_names.names()
        own = {PurePosixPath(path) for path in self._touched}
        prefix = self._engine.identity.prefix
        for place in own:
            digits = place.stem.removeprefix(prefix)
            if place.parent in self._vault.layout.task_folders and place.stem.startswith(prefix) and digits.isdecimal():
                numbers.add(int(digits))
        if names:
            numbers |= {task.id for task in read(lambda tx: sync.named(tx, names))}
        ordered = sorted(numbers)
        for start in range(0, len(ordered), CHUNK):
            chunk = ordered[start : start + CHUNK]
            yield read(lambda tx, chunk=chunk: contents.facts(tx, sync.tasks(tx, chunk)))

    def _write_views(self) -> None:
        self._say("views")
        for view in VIEWS:
            page = self._engine.write(lambda tx, view=view: view(tx, self._vault.layout))
            files.write(self._vault.path(page.path), page.text)

    def _push(self, remote: str) -> bool:
        git = self._git
        branch = git.branch()
        if git.commit_of(f"refs/remotes/{remote}/{branch}") == git.commit_of("HEAD"):
            return True
        self._say("push")
        try:
            git.push(remote, branch)
        except Rejected:
            return False
        except GitError as error:
            self._problem = error
            return False
        return True

    def _message(self, after: int, upto: int) -> str:
        def read(tx: Tx) -> tuple[dict[str, int], list[Task]]:
            numbers = sorted(self._written)[-SHOWN:]
            return sync.counted(tx, after, upto), sync.tasks(tx, numbers)

        counted, tasks = self._engine.read(read)
        parts = [f"{counted[kind]} {word}" for kind, word in TOLD.items() if counted.get(kind)]
        if self._edited:
            parts.append(f"{len(self._edited)} files edited")
        more = len(self._written) - len(tasks)
        lines = [f"{task.task_id} {task.status.value}: {task.title}" for task in tasks]
        if more > 0:
            lines.append(f"and {more} more")
        return "\n".join([f"Sync: {', '.join(parts) or 'tasks brought up to date'}", "", *lines]).rstrip() + "\n"

    def _edits_message(self) -> str:
        shown = sorted(self._edited)
        return "\n".join([f"Edit {len(shown)} files", "", *shown[:SHOWN]]) + "\n"
