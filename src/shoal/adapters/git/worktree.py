"""A worktree of a mirror that an agent works in: made, and everything in it kept, whatever the agent did to it.

Nothing here relies on what an agent may break or set: git is told by its environment where its own files and the folder
are, works on an index of its own, and reads no configuration of agents (view.py), nor that of a repository within the
folder; so a deleted .git, a lock left behind, a merge or rebase in the middle are no matter.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from shoal.adapters.git.ignored import newly_ignored
from shoal.adapters.git.mirror import REMOVED, Mirror
from shoal.adapters.git.repository import Git, records
from shoal.adapters.git.tree import remove_tree
from shoal.adapters.git.view import show_changes, viewing, write
from shoal.clock import monotonic_seconds
from shoal.errors import GitError

HALF_MADE_SECONDS = 1.0
SHOWN = 10
KEPT = "shoal/kept"  # where branches go that are not the task's


class Snapshot(Struct, frozen=True):
    """The tree of a folder as it is now. `missing` says what is not in it, `notes` what is to be known about it."""

    tree: str
    missing: list[str]
    notes: list[str]


class Worktree:
    """One worktree: its folder, and `admin`, where git keeps its own files of it, within the mirror."""

    def __init__(self, mirror: Mirror, admin: Path, folder: Path) -> None:
        self.mirror = mirror
        self.admin = admin
        self.folder = folder
        self._place = {"GIT_DIR": str(admin), "GIT_WORK_TREE": str(folder)}

    @classmethod
    def add(cls, mirror: Mirror, folder: Path, branch: str, *, reason: str) -> Worktree:
        """Check a branch of the mirror out. Locked, so that no `git worktree prune` of anybody takes it."""
        # Git trips over a worktree that another git is just making, when it makes one and when it fetches.
        with mirror.alone():
            _remove_half_made(mirror)
            command = ("worktree", "add", "--quiet", "--no-checkout", "--lock", "--reason", reason)
            mirror.git.run(*command, str(folder), branch)
        # Git wrote where the mirror's view has it.
        admin = mirror.path / "worktrees" / Path((folder / ".git").read_text().strip()).name
        write(folder / ".git", f"gitdir: {admin}\n")
        worktree = cls(mirror, admin, folder)
        worktree.run("reset", "--hard", "--quiet", "--no-recurse-submodules")
        return worktree

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None, codes: tuple[int, ...] = (0,)) -> str:
        """What git prints, told that this is its place."""
        folder = self.folder if self.folder.is_dir() and not self.is_linked else self.mirror.path
        said = self._program(folder).run(*arguments, environment=environment, codes=codes).stdout
        return said.decode("utf-8", "surrogateescape")

    def _program(self, folder: Path) -> Git:
        return self.mirror.program(folder, self._place)

    def head(self) -> str | None:
        """The commit that is checked out; None before a first one."""
        return self.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", codes=(0, 1, 128)).strip() or None

    def branch(self) -> str | None:
        """The branch that is checked out; None when HEAD is detached or cannot be read."""
        try:
            text = (self.admin / "HEAD").read_text().strip()
        except OSError:
            return None
        return text.removeprefix("ref: refs/heads/") if text.startswith("ref: refs/heads/") else None

    @property
    def is_linked(self) -> bool:
        """Whether a link leads from the folder's place to somewhere else: what is there is nobody's work."""
        return os.path.realpath(self.folder) != str(self.folder)

    def recover(self) -> list[str]:
        """Bring the folder back, if it was moved within the folder it was in; what is to be said about that.

        Raises OSError.
        """
        way = (*reversed(self.folder.parents), self.folder)
        moved = next((path for path in way if path.is_symlink() or not path.exists()), None)
        if moved is None or not moved.parent.is_dir():
            return []
        for other in sorted(moved.parent.iterdir()):
            if not other.is_symlink() and self._is_at(other / self.folder.relative_to(moved)):
                moved.unlink(missing_ok=True)
                other.rename(moved)
                return [f"{moved} was gone or a link; the folder was found at {other}, and is back in its place"]
        return []

    def is_empty(self) -> bool:
        """Whether there is no file at all, but perhaps git's own."""
        return (
            self.is_linked or not self.folder.is_dir() or not any(path.name != ".git" for path in self.folder.iterdir())
        )

    def mend(self) -> None:
        """Bring the .git file back, if it is gone, so that git works in the folder again."""
        link = self.folder / ".git"
        if self.folder.is_dir() and self.admin.is_dir() and not link.exists():
            link.write_text(f"gitdir: {self.admin}\n")

    def snapshot(self, environment: Mapping[str, str] | None = None, *, base: str | None = None) -> Snapshot:
        """Everything that is in the folder and not ignored. Raises GitError when it cannot be stored.

        Of a `base` is said what was not ignored there and is now.
        """
        missing: list[str] = []
        notes: list[str] = []
        if self.is_linked:
            raise GitError(f"{self.folder} is a link, which is not followed")
        with self._index() as index:
            around = dict(environment or {}) | {"GIT_INDEX_FILE": str(index)}
            tree = self._add(self.folder, around, missing, notes)
            found = newly_ignored(self._program(self.folder), base, around) if base else []
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            notes.append(f"not kept, since a .gitignore was changed to ignore it: {', '.join(found[:SHOWN])}{more}")
        return Snapshot(tree, missing, notes)

    def commit(self, snapshot: Snapshot, message: str, *, author: str | None = None) -> str | None:
        """The commit that has the snapshot: HEAD when it is that already, else a new one on top of it."""
        head = self.head()
        if head is not None and self.mirror.git.tree_of(head) == snapshot.tree:
            return head
        parents = [] if head is None else [head]
        merging = self.admin / "MERGE_HEAD"
        if head is not None and merging.exists() and not self.run("ls-files", "--unmerged"):
            parents += [commit for commit in merging.read_text().split() if self.mirror.git.commit_of(commit)]
        named = {"GIT_AUTHOR_NAME": author} if author else None
        return self.mirror.git.make_commit(snapshot.tree, parents, message + "\n", named)

    def write_patch(self, target: Path) -> None:
        """What is not committed, as a patch, where the mirror takes no commit. Raises GitError or OSError."""
        with tempfile.TemporaryDirectory() as scratch:
            elsewhere = {
                "GIT_OBJECT_DIRECTORY": scratch,
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.mirror.path / "objects"),
            }
            snapshot = self.snapshot(elsewhere)
            base = self.head() or self.run("hash-object", "-t", "tree", "/dev/null").strip()
            patch = self.run("diff-tree", "-p", "--binary", "--full-index", base, snapshot.tree, environment=elsewhere)
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.partial")
            try:
                partial.write_bytes(patch.encode("utf-8", "surrogateescape"))
                partial.replace(target)  # half of it would look like the work
            finally:
                partial.unlink(missing_ok=True)

    def settle(self) -> None:
        """After a commit made beside the index: let git in the folder see it. What an agent left may forbid it."""
        with suppress(GitError):
            self.run("reset", "--quiet")

    def adopt(self) -> str | None:
        """The newest commit of a repository that was begun anew in the folder, brought to the mirror."""
        with viewing(self.folder) as git:
            commit = git.commit_of("HEAD")
        if commit is not None and self.mirror.git.commit_of(commit) is None:
            self.mirror.git.run("fetch", "--quiet", "--no-write-fetch-head", "--no-tags", str(self.folder), "HEAD")
        return commit

    def detach(self) -> None:
        """Let go of the branch, so that it can be checked out elsewhere; the folder stays as it is."""
        head = self.head()
        if head is not None and self.branch() is not None:
            self.run("update-ref", "--no-deref", "HEAD", head)

    def stashes(self) -> list[tuple[str, str]]:
        """The stash entries of this worktree, and their messages.

        All worktrees of a mirror share one stash. An entry that may be another's, made on a branch that both had,
        stays on it.
        """
        visited = self.visited()
        for admin, folder in self.mirror.folders():
            if admin != self.admin:
                visited -= Worktree(self.mirror, admin, folder).visited()
        found = []
        for line in self._stash_lines():
            commit, _, message = line.partition(" ")
            if any(message.startswith((f"WIP on {branch}:", f"On {branch}:")) for branch in visited):
                found.append((commit, message))
        return found

    def drop_stash(self, commit: str) -> None:
        """Take an entry off the stash. Another worktree may add one meanwhile: then that one is put back."""
        for _ in range(10):
            commits = [line.partition(" ")[0] for line in self._stash_lines()]
            if commit not in commits:
                return
            lines = dict(line.split(" ", 1) for line in self._stash_lines())
            said = self.run("stash", "drop", f"stash@{{{commits.index(commit)}}}")
            dropped = said.rpartition("(")[2].partition(")")[0]
            if dropped == commit:
                return
            self.run("stash", "store", "--message", lines.get(dropped, "put back"), dropped)

    def visited(self) -> set[str]:
        """The branches that were checked out here."""
        found = {branch} if (branch := self.branch()) else set()
        try:
            lines = (self.admin / "logs" / "HEAD").read_text(errors="replace").splitlines()
        except OSError:
            return found
        for line in lines:
            _, mark, move = line.partition("\tcheckout: moving from ")
            if mark:
                found.update(move.split(" to ", 1))
        return found

    def made_commits(self) -> int:
        """How many commits were made here, as the log of HEAD has it."""
        try:
            lines = (self.admin / "logs" / "HEAD").read_text(errors="replace").splitlines()
        except OSError:
            return 0
        made = ("commit", "cherry-pick", "revert", "am")
        return sum(line.partition("\t")[2].startswith(made) for line in lines)

    def remove(self) -> bool:
        """Remove the folder, and what git knows of it; whether it is gone."""
        if self.is_linked or not remove_tree(self.folder):
            return False
        return forget(self.admin)

    @contextmanager
    def _index(self) -> Iterator[Path]:
        """An index to work on: a copy of the agent's, which saves reading every file; of HEAD, if that is no good."""
        with tempfile.TemporaryDirectory() as scratch:
            index = Path(scratch) / "index"
            around = {"GIT_INDEX_FILE": str(index)}
            try:
                shutil.copyfile(self.admin / "index", index)
                show_changes(self._program(self.folder), around)
            except (OSError, GitError):
                index.unlink(missing_ok=True)
                head = self.head()
                if head is not None:
                    self.run("read-tree", head, environment=around)
            yield index

    def _add(self, folder: Path, around: dict[str, str], missing: list[str], notes: list[str]) -> str:
        """The tree of a folder. A repository in it becomes plain files, or is left out when its remote has it all."""
        here = around | {"GIT_WORK_TREE": str(folder)}
        git = self._program(folder)
        listed = git.run("ls-files", "-z", "--others", "--exclude-standard", environment=here).stdout
        inner = [path.rstrip("/") for path in records(listed) if path.endswith("/")]
        # Git would be run in submodules to see whether they are changed, and do there what an agent configured.
        modules = _populated(git, here)
        others = [f":(exclude,literal){path}" for path in inner + modules]
        commands = [["add", "--all", "--ignore-errors", "--", ".", *others]]
        commands += [["update-index", "--", path] for path in modules]
        for command in commands:
            said = git.run(*command, environment=here, codes=(0, 1, 128))
            if said.returncode:
                missing.append(" ".join(said.stderr.decode(errors="replace").split())[:500])
        unsaved = [path for path in modules if not _is_elsewhere(folder / path)]
        missing += [f"the submodule {path} has work that is in no remote" for path in unsaved]
        for path in inner:
            if _is_elsewhere(folder / path):
                notes.append(f"{path} is a clone with nothing new in it, and was left out")
                continue
            with tempfile.TemporaryDirectory() as scratch:
                tree = self._add(folder / path, around | {"GIT_INDEX_FILE": f"{scratch}/index"}, missing, notes)
            removal = ("rm", "-r", "--cached", "--quiet", "--ignore-unmatch", "--", f":(literal){path}")
            git.run(*removal, environment=here)
            git.run("read-tree", f"--prefix={path}/", tree, environment=here)
            notes.append(f"{path} is a repository of its own: its files were kept, its history was not")
        return git.run("write-tree", environment=here).stdout.decode().strip()

    def _is_at(self, folder: Path) -> bool:
        try:
            return not folder.is_symlink() and (folder / ".git").read_text().strip() == f"gitdir: {self.admin}"
        except (OSError, UnicodeDecodeError):
            return False

    def _stash_lines(self) -> list[str]:
        return self.run("stash", "list", "--format=%H %gs", codes=(0, 1, 128)).splitlines()


def _populated(git: Git, environment: Mapping[str, str] | None = None) -> list[str]:
    """The submodules of a repository that are there, as repositories."""
    staged = records(git.run("ls-files", "--stage", "-z", environment=environment).stdout)
    paths = [entry.partition("\t")[2] for entry in staged if entry.startswith("160000")]
    return [path for path in dict.fromkeys(paths) if os.path.lexists(git.root / path / ".git")]


def _is_elsewhere(folder: Path) -> bool:
    """Whether the repository in a folder has nothing that its own remote has not."""
    try:
        with viewing(folder) as git:
            if git.text("status", "--porcelain", "--ignore-submodules=dirty") or git.text("stash", "list"):
                return False
            if not git.commit_of("HEAD") or not all(_is_elsewhere(folder / path) for path in _populated(git)):
                return False
            return not git.text("rev-list", "--max-count=1", "HEAD", "--branches", "--not", "--remotes")
    except (GitError, OSError):
        return False


def forget(admin: Path) -> bool:
    """Remove what git knows of a worktree; at one blow, since git trips over one that is half removed."""
    gone = admin.parent.parent / f"{REMOVED}{admin.name}-{secrets.token_hex(4)}"
    with suppress(FileNotFoundError):
        admin.rename(gone)
    return remove_tree(gone)


def _remove_half_made(mirror: Mirror) -> None:
    """A git that was killed while it made a worktree would stop every further one of the mirror."""
    nap = threading.Event()
    for admin in (mirror.path / "worktrees").glob("*"):
        deadline = monotonic_seconds() + HALF_MADE_SECONDS
        while _is_half_made(admin):  # or an agent's own git is at it
            if monotonic_seconds() > deadline:
                forget(admin)
            else:
                nap.wait(0.05)


def _is_half_made(admin: Path) -> bool:
    try:
        return not all((admin / name).stat().st_size for name in ("commondir", "gitdir", "HEAD"))
    except OSError:
        return admin.exists()
