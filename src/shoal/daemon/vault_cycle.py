"""One cycle of the vault's sync, step by step. It may die after any of them: what is not committed is written again,
what is not pushed is pushed again, and the cursor moves last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from msgspec import Struct

from shoal.adapters.git.repository import Git, Rejected
from shoal.adapters.vault import files, replaced
from shoal.adapters.vault.heal import heal
from shoal.adapters.vault.merge import Conflict, Merger
from shoal.adapters.vault.vault import Vault
from shoal.clock import monotonic_seconds
from shoal.daemon.indexer import index
from shoal.daemon.knowledge import index_knowledge
from shoal.daemon.task_files import TaskFiles, Trouble
from shoal.daemon.views import VIEWS
from shoal.errors import GitError, ShoalError
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.content import Facts
from shoal.model.event import Kind
from shoal.model.task import Task
from shoal.services import Tx, contents, sync, tasks

CHUNK = 100  # tasks at a time: others write meanwhile
TRIES = 8
SHOWN = 50
SETUP = (".gitignore", ".gitattributes")
PACKED_EVERY = 100  # cycles that committed, about
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
        self,
        engine: EmbeddedEngine,
        vault: Vault,
        git: Git,
        *,
        on_step: Callable[[str], None],
        on_batch: Callable[[float], None],
    ) -> None:
        """`on_batch` is called between batches of tasks, with the seconds that the last one took."""
        self._engine = engine
        self._vault = vault
        self._git = git
        self._everything = False
        self._say = on_step
        self._on_batch = on_batch
        self._merger = Merger(git, vault.layout)
        self._files = TaskFiles(vault)
        self._remote = git.remote()
        self._found: set[str] = set()
        self._touched: set[str] = set()
        self._written: set[int] = set()
        self._commit: str | None = None
        self._problem: GitError | None = None

    def run(self) -> Report:
        """Go through the steps."""
        self._say("heal")
        healed = heal(self._git)
        with self._vault.exclusive():
            for folder in self._vault.layout.folders:
                files.clear_partials(self._vault.folder(folder))
        after, upto = self._engine.read(self._stretch)
        anew = self._everything
        pushed = False
        refusal: GitError | None = None
        for _ in range(TRIES):
            refusal = self._take_in()
            if refusal is not None:
                continue
            self._write_tasks(after, upto)
            self._write_views()
            self._say("commit")
            self._commit = self._git.commit(self._message(after, upto), replacing=self._commit)
            self._engine.write(lambda tx: sync.move(tx, sync.WRITTEN, upto))
            if self._remote is not None and not self._failed:
                pushed = self._push(self._remote)
            if pushed or self._remote is None or self._failed:
                break
        else:
            changed = f"{self._remote} changed {TRIES} times while it was pushed to; it is tried again"
            self._problem = refusal or GitError(changed)
        self._say("knowledge")
        index_knowledge(self._engine, self._vault, self._git, anew=anew)
        if self._problem is None:
            self._say("cursor")
            self._engine.write(lambda tx: sync.move(tx, sync.CURSOR, upto))
            # By chance, so that nothing needs to be counted over restarts.
            if self._commit is not None and int(self._commit[:8], 16) % PACKED_EVERY == 0:
                replaced.clear(self._git)
                self._git.run("gc", "--auto", "--quiet")
        return Report(
            position=upto if self._problem is None else after,
            tasks=len(self._written),
            edits=len(self._edits(after, upto)),
            commit=self._commit,
            pushed=pushed,
            problem=None if self._problem is None else self._problem.message,
            healed=healed,
            conflicts=self._merger.conflicts,
            troubles=self._files.troubles,
        )

    @property
    def _failed(self) -> bool:
        return self._problem is not None

    def _stretch(self, tx: Tx) -> tuple[int, int]:
        """The part of the log that this cycle brings into the vault; what only waits to be pushed is there already."""
        after = max(sync.position(tx), sync.position(tx, sync.WRITTEN))
        if sync.asks_for_everything(tx, after, tx.horizon()):
            self._everything = True
        if not sync.is_whole(tx, after) or self._git.commit_of("HEAD") is None:
            self._everything = True
        return after, tx.horizon()

    def _take_in(self) -> GitError | None:
        """Take in people's edits here and what the remote has got; why not, when somebody wrote meanwhile."""
        git = self._git
        self._say("edits")
        git.stay_on(git.branch())
        found = git.changed()
        self._bring_back([one.path for one in found if one.deleted], "HEAD")
        self._found |= {one.path for one in found}
        self._touched |= {one.path for one in found}
        if self._remote is None:
            return None
        self._say("fetch")
        try:
            upstream = git.fetch(self._remote, git.branch())
        except GitError as error:
            self._problem = error
            return None
        if upstream is None or git.holds("HEAD", upstream):
            return None
        self._say("rebase")
        if found:
            message = _edits_message(self._found)
            self._commit = git.commit(message, replacing=self._commit)
        head = git.commit_of("HEAD")
        if head is None:
            git.adopt(upstream)
            return None
        base = git.common(head, upstream)
        arrived = git.between(base, upstream)
        self._touched |= {one.path for one in arrived}
        tip = self._merger.rebase(upstream)
        self._say("move")
        try:
            git.move_to(tip)
        except GitError as error:
            return error  # most likely a file was saved since we looked: an edit like the others
        if self._commit is not None:
            self._commit = self._merger.newest
        self._bring_back([one.path for one in arrived if one.deleted], base)
        return None

    def _bring_back(self, deleted: list[str], commit: str | None) -> None:
        """The page of a task is not deleted or moved by hand: it goes back to where it belongs, with what is in it."""
        vault, prefix = self._vault, self._engine.identity.prefix
        numbers = {number for path in deleted if (number := vault.layout.number_of(PurePosixPath(path), prefix))}
        if not numbers or commit is None:
            return
        known = self._engine.read(lambda tx: tasks.by_numbers(tx, sorted(numbers)))
        for task in known:
            name = f"{task.task_id}.md"
            path = next(path for path in deleted if PurePosixPath(path).name == name)
            if vault.find(task) is not None or vault.archived(task.task_id) is not None:
                continue
            moved = [one for one in self._git.untracked(name) if one != path]
            if moved:
                files.move(vault.root / moved[0], vault.path(PurePosixPath(path)))
                reason = f"it was moved to {moved[0]}, where nobody finds it; it is back"
            else:
                self._git.bring_back(commit, path)
                reason = "it was deleted, and is back; `shoal archive` takes the page of a finished task away"
            self._merger.conflicts.append(Conflict(path, reason))

    def _write_tasks(self, after: int, upto: int) -> None:
        self._say("tasks")
        began = monotonic_seconds()
        for batch in self._batches(after, upto):
            self._written |= {facts.task.id for facts in batch}
            self._files.write(batch)
            index(self._engine, self._vault, batch, anew=self._everything)
            self._on_batch(monotonic_seconds() - began)
            began = monotonic_seconds()
        self._everything = False
        self._touched.clear()

    def _batches(self, after: int, upto: int) -> Iterator[list[Facts]]:
        """The tasks whose files are to be looked at."""
        read = self._engine.read
        if self._everything:
            last = 0
            while chunk := read(lambda tx, last=last: contents.facts(tx, tasks.after(tx, last, CHUNK))):
                last = chunk[-1].task.id
                yield chunk
            return
        numbers = set(read(lambda tx: sync.changed_since(tx, after, upto))) - self._written
        self._vault.old_names.refresh()
        names = self._vault.old_names.names()
        prefix = self._engine.identity.prefix
        pages = (self._vault.layout.number_of(PurePosixPath(path), prefix) for path in self._touched)
        numbers |= {number for number in pages if number is not None}
        if names:
            numbers |= {task.id for task in read(lambda tx: tasks.named(tx, names))}
        ordered = sorted(numbers)
        for start in range(0, len(ordered), CHUNK):
            some = ordered[start : start + CHUNK]
            yield read(lambda tx, some=some: contents.facts(tx, tasks.by_numbers(tx, some)))

    def _write_views(self) -> None:
        self._say("views")
        for view in VIEWS:
            page = self._engine.write(lambda tx, view=view: view(tx, self._vault.layout))
            try:
                with self._vault.exclusive():
                    files.write(self._vault.path(page.path), page.text)
            except (ShoalError, OSError) as error:
                reason = error.message if isinstance(error, ShoalError) else str(error)
                self._files.troubles.append(Trouble(str(page.path), reason))

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
            return sync.counted(tx, after, upto), tasks.by_numbers(tx, numbers)

        counted, shown = self._engine.read(read)
        parts = [f"{counted[kind]} {word}" for kind, word in TOLD.items() if counted.get(kind)]
        if edits := len(self._edits(after, upto)):
            parts.append(f"{edits} file{'' if edits == 1 else 's'} edited")
        more = len(self._written) - len(shown)
        lines = [f"{task.task_id} {task.status.value}: {task.title}" for task in shown]
        if more > 0:
            lines.append(f"and {more} more")
        return "\n".join([f"Sync: {', '.join(parts) or 'tasks brought up to date'}", "", *lines]).rstrip() + "\n"

    def _edits(self, after: int, upto: int) -> set[str]:
        """What people changed here: not the files of tasks whose content was written through the ledger."""
        numbers = self._engine.read(lambda tx: sync.changed_since(tx, after, upto))
        prefix = self._engine.identity.prefix
        own = tuple(f"{prefix}{number}." for number in numbers)
        archives = tuple(f"task_{prefix}{number}_" for number in numbers)
        return {path for path in self._found if not PurePosixPath(path).name.startswith((*own, *archives, *SETUP))}


def _edits_message(found: set[str]) -> str:
    shown = sorted(found)
    return "\n".join([f"Edit {len(shown)} file{'' if len(shown) == 1 else 's'}", "", *shown[:SHOWN]]) + "\n"
