"""One repository with a working tree, and what may be asked of it. How git is called: program.py."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from shoal.adapters.git import credentials
from shoal.adapters.git.program import Program
from shoal.errors import GitError

_NOT_TAKEN = re.compile(r"fetch first|non-fast-forward|cannot lock ref|failed to update ref|reference already exists")


class Rejected(GitError):
    """The remote has something that we have not: fetch, and push again."""


class Change(Struct, frozen=True):
    """A path that differs between two trees, or in the working tree; its blob is gone when it was deleted."""

    path: str
    deleted: bool


class Entry(Struct, frozen=True):
    """What a tree has at a path: git's mode and the object's name."""

    mode: str
    oid: str

    @property
    def is_file(self) -> bool:
        """Whether it is a plain file, and no link or submodule."""
        return self.mode.startswith("100")


class Git(Program):
    """A repository with a working tree."""

    @cached_property
    def folder(self) -> Path:
        """Where git keeps its own files; elsewhere for a worktree or a submodule."""
        return Path(self.text("rev-parse", "--absolute-git-dir"))

    @property
    def exists(self) -> bool:
        """Whether the root is a repository of its own."""
        return (self.root / ".git").exists()

    @property
    def is_whole(self) -> bool:
        """Whether git takes the root for a repository."""
        return self.exists and self.run("rev-parse", "--git-dir", codes=(0, 128)).returncode == 0

    def enclosing(self) -> Path | None:
        """The repository around the root, if it lies within one."""
        found = self.text("rev-parse", "--show-toplevel", codes=(0, 128))
        return Path(found) if found else None

    def branch(self) -> str:
        """The branch that is checked out. Raises GitError when none is."""
        found = self.text("symbolic-ref", "--quiet", "--short", "HEAD", codes=(0, 1))
        if not found:
            raise GitError(f"HEAD of {self.root} is detached; check out a branch: git -C {self.root} switch main")
        return found

    def commit_of(self, name: str) -> str | None:
        """The commit that a name stands for."""
        return self.text("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", codes=(0, 1)) or None

    def remote(self) -> str | None:
        """The remote that is synced with: origin, or the only one there is."""
        names = self.text("remote").split()
        return "origin" if "origin" in names else names[0] if len(names) == 1 else None

    def changed(self) -> list[Change]:
        """What differs between the last commit and the working tree; new files too, ignored ones not."""
        listed = self.run("status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames").stdout
        found = []
        for entry in records(listed):
            state, path = entry[:2], entry[3:]
            found.append(
                Change(
                    path,
                    deleted="D" in state and not (self.root / path).is_symlink() and not (self.root / path).exists(),
                )
            )
        return found

    def between(self, old: str | None, new: str) -> list[Change]:
        """What differs between two commits; everything, when the first is none."""
        if old is None:
            return [
                Change(path, deleted=False)
                for path in records(self.run("ls-tree", "-r", "-z", "--name-only", new).stdout)
            ]
        fields = list(records(self.run("diff-tree", "-r", "-z", "--no-renames", "--name-status", old, new).stdout))
        return [Change(path, deleted=state == "D") for state, path in zip(fields[::2], fields[1::2], strict=True)]

    def tree_of(self, commit: str) -> str:
        """The tree of a commit."""
        return self.text("rev-parse", f"{commit}^{{tree}}")

    def paths(self, commit: str) -> set[str]:
        """Every path of a commit."""
        return set(records(self.run("ls-tree", "-r", "-z", "--name-only", commit).stdout))

    def entry_at(self, commit: str, path: str) -> Entry | None:
        """What a commit has at a path."""
        found = (
            self.run("ls-tree", "-z", commit, "--", path).stdout.partition(b"\0")[0].decode("utf-8", "surrogateescape")
        )
        if not found:
            return None
        mode, kind, oid = found.partition("\t")[0].split()
        return None if kind == "tree" else Entry(mode, oid)

    def differences(self, old: str, new: str) -> dict[str, Entry | None]:
        """What the second commit has at the paths where it differs from the first; None where it has nothing."""
        found: dict[str, Entry | None] = {}
        fields = list(records(self.run("diff-tree", "-r", "-z", "--no-renames", old, new).stdout))
        for raw, path in zip(fields[::2], fields[1::2], strict=True):
            _, mode, _, oid, state = raw.split()
            found[path] = None if state == "D" else Entry(mode, oid)
        return found

    def write_blob(self, data: bytes) -> str:
        """Store a file's content; the object's name."""
        return self.run("hash-object", "-w", "--stdin", given=data).stdout.decode().strip()

    def tree_with(self, commit: str, entries: Mapping[str, Entry | None]) -> str:
        """The tree of a commit with other entries, or none, at some paths."""
        removed = [path for path, entry in entries.items() if entry is None]
        added = [(path, entry) for path, entry in entries.items() if entry is not None]
        lines = [f"0 {'0' * 40}\t{path}\0" for path in removed]
        lines += [f"{entry.mode} {entry.oid}\t{path}\0" for path, entry in added]
        with tempfile.TemporaryDirectory() as folder:
            environment = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self.run("read-tree", commit, environment=environment)
            given = "".join(lines).encode("utf-8", "surrogateescape")
            self.run("update-index", "-z", "--index-info", given=given, environment=environment)
            return self.run("write-tree", environment=environment).stdout.decode().strip()

    def commit(self, message: str, *, replacing: str | None = None) -> str | None:
        """Commit everything that changed; the new commit, or None when nothing did.

        It takes the place of the commit `replacing`, if that is still the newest.
        """
        # A repository of somebody's own in a folder, with no commit yet, would make git refuse everything.
        others = [f":(exclude,literal){one.path}" for one in self.changed() if one.path.endswith("/")]
        self.run("add", "--all", "--", ".", *others)
        tree = self.text("write-tree")
        head = self.commit_of("HEAD")
        replaced = head is not None and head == replacing
        parents = [] if head is None else self.parents(head) if replaced else [head]
        if parents and tree == self.tree_of(parents[0]):
            if replaced:
                self.run("update-ref", "HEAD", parents[0], head or "")
            return None
        new = self.make_commit(tree, parents, message)
        # Only if nobody else has committed meanwhile.
        self.run("update-ref", "-m", "shoal: sync", "HEAD", new, head or "")
        return new

    def make_commit(self, tree: str, parents: list[str], message: str, author: Mapping[str, str] | None = None) -> str:
        """A commit object that no branch points at yet."""
        named = [argument for parent in parents for argument in ("-p", parent)]
        made = self.run(
            "commit-tree", tree, *named, given=message.encode("utf-8", "surrogateescape"), environment=author
        )
        return made.stdout.decode().strip()

    def holds(self, commit: str, other: str) -> bool:
        """Whether a commit has another one among its ancestors."""
        return self.run("merge-base", "--is-ancestor", other, commit, codes=(0, 1, 128)).returncode == 0

    def common(self, commit: str, other: str) -> str | None:
        """The newest commit that both have; None when they share nothing."""
        return self.text("merge-base", commit, other, codes=(0, 1)) or None

    def adopt(self, commit: str) -> None:
        """Begin a branch that has no commit yet with this one."""
        self.run("update-ref", "HEAD", commit)
        self.run("read-tree", "-m", "-u", commit)

    def parents(self, commit: str) -> list[str]:
        """The parents of a commit."""
        return self.text("rev-list", "--parents", "--max-count=1", commit).split()[1:]

    def fetch(self, remote: str, branch: str) -> str | None:
        """The newest commit of a remote's branch, which is here afterwards; None when it has no such branch."""
        name = f"refs/remotes/{remote}/{branch}"
        fetched = self.run(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-auto-gc",
            "--no-write-fetch-head",
            remote,
            f"+refs/heads/{branch}:{name}",
            environment=self._credentials(remote),
            codes=(0, 1, 128),
        )
        if fetched.returncode != 0:
            said = fetched.stderr.decode(errors="replace")
            if "couldn't find remote ref" not in said:
                raise self._error(("fetch",), said)
            return None
        return self.commit_of(name)

    def push(self, remote: str, branch: str) -> None:
        """Bring the branch to the remote. Raises Rejected when the remote has moved on."""
        pushed = self.run(
            "push",
            "--quiet",
            "--porcelain",
            "--set-upstream",
            remote,
            f"HEAD:refs/heads/{branch}",
            environment=self._credentials(remote),
            codes=(0, 1),
        )
        if pushed.returncode != 0:
            said = (pushed.stdout + pushed.stderr).decode(errors="replace")
            error = self._error(("push",), said)
            raise Rejected(error.message) if _NOT_TAKEN.search(said) else error
        self.run("update-ref", f"refs/remotes/{remote}/{branch}", "HEAD")

    def move_to(self, commit: str) -> None:
        """Bring branch and working tree to a commit. Refused by git when that would touch what is not committed."""
        head = self.commit_of("HEAD")
        for path, entry in self.differences(head, commit).items() if head else ():
            # What git ignores here it would overwrite without a word.
            if entry is not None and (self.root / path).exists() and self.entry_at(str(head), path) is None:
                (self.root / path).rename(self.root / f"{path}.other-{commit[:8]}")
        self.run("reset", "--quiet", "--keep", commit)

    def untracked(self, name: str) -> list[str]:
        """The new files of that name, anywhere."""
        pattern = f":(glob)**/{name}"
        return list(records(self.run("ls-files", "-z", "--others", "--exclude-standard", "--", pattern).stdout))

    def bring_back(self, commit: str, path: str) -> None:
        """Bring a file that was deleted back as a commit has it."""
        self.run("checkout", "--quiet", commit, "--", f":(literal){path}")

    def stay_on(self, branch: str) -> None:
        """Remember which branch is synced. Raises GitError when that is another one than was before."""
        known = self.text("config", "--local", "--get", "shoal.branch", codes=(0, 1))
        if not known:
            self.run("config", "--local", "shoal.branch", branch)
        elif known != branch:
            raise GitError(
                f"{self.root} is on the branch {branch}, and the vault on {known}; go back with "
                f"`git -C {self.root} switch {known}`, or take this one: "
                f"git -C {self.root} config shoal.branch {branch}"
            )

    def _credentials(self, remote: str) -> dict[str, str]:
        return credentials.environment(self.text("remote", "get-url", remote), self._token, len(self.configuration))


def records(output: bytes) -> Iterator[str]:
    """What git lists with -z."""
    for record in output.split(b"\0"):
        if record:
            yield record.decode("utf-8", "surrogateescape")
