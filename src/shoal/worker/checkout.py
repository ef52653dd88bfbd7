"""One repository in the folder of an attempt: the branch that its work goes to, and how all of it gets there."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from shoal.adapters.git.mirror import Mirror
from shoal.adapters.git.repository import Rejected
from shoal.adapters.git.worktree import KEPT, Worktree
from shoal.errors import GitError
from shoal.model.session import Branch
from shoal.worker.place import Part


class Checkout:
    """A worktree, and the task's branch in it. `base` is the commit that the branch left its upstream at."""

    def __init__(
        self, worktree: Worktree, part: Part, *, attempt: str, push: bool = False, ephemeral: bool = False
    ) -> None:
        self.worktree = worktree
        self.part = part
        self.repository = part.repository
        self.folder = worktree.folder
        self.branch = part.branch
        self.base = part.base
        self.notes: list[str] = []
        self.is_whole = False
        self.unpushed: dict[str, tuple[str, str]] = {}
        """By branch: its commit that could not be pushed at the last `keep`, and why."""
        self._said: set[str] = set()
        self._attempt = attempt
        self._push = push or ephemeral
        self._ephemeral = ephemeral
        self._mirror = worktree.mirror
        self._git = worktree.mirror.git

    def keep(self, message: str, *, author: str | None = None) -> None:
        """Bring everything that is in the folder to the branch; `notes` says what is to be known about that.

        What has another history than the branch, a rebase in its middle for one, goes to a branch of its own under
        shoal/kept. Raises GitError or OSError when the mirror cannot take it.
        """
        worktree = self.worktree
        missing: list[str] = []
        self.notes += worktree.recover()
        if worktree.is_linked:
            missing.append("it leads elsewhere by a link, which is not followed, and what was here was not found")
        head = commit = worktree.head()
        if not worktree.is_empty():
            worktree.mend()
            snapshot = worktree.snapshot(base=self.base or None)
            missing = list(snapshot.missing)
            self.notes += [note for note in snapshot.notes if note not in self._said]
            self._said.update(snapshot.notes)
            commit = self._known(snapshot.tree, head) or worktree.commit(snapshot, message, author=author)
            self._keep_other_repository()
        kept = [self.branch]
        if commit is not None:
            kept.append(self._place(commit))
        if commit != head and worktree.branch() == self.branch:
            worktree.settle()
        kept += self._keep_stash()
        self.notes += [f"{self.folder} stays: {problem}" for problem in missing]
        self.is_whole = not missing
        if self._push:
            self._push_all(dict.fromkeys(kept))

    def branches(self) -> list[Branch]:
        """Where the work stands: the task's branch, and others that this attempt's work had to go to."""
        git = self._git
        tip, head = git.commit_of(f"refs/heads/{self.branch}"), self.worktree.head()
        if tip is None or (head is not None and head != tip and git.holds(head, tip)):
            tip = head
        found = [] if tip is None else [self._describe(self.branch, tip)]
        return found + [self._describe(branch, commit) for branch, commit in self._others()]

    def remove(self) -> bool:
        """Remove the folder; whether it is gone. Only after `keep`."""
        with suppress(GitError):
            self._clear_branches()
        return self.worktree.remove()

    def tree(self) -> str:
        """The tree of the folder as it is now."""
        return self.worktree.snapshot().tree

    def _known(self, tree: str, head: str | None) -> str | None:
        """A commit that has this tree on top of HEAD already, from an earlier time."""
        refs = [f"refs/heads/{self.branch}", f"refs/heads/{KEPT}/{self._attempt}-*"]
        for line in self._git.text("for-each-ref", "--format=%(objectname) %(tree)", *refs).splitlines():
            commit, _, its_tree = line.partition(" ")
            if its_tree == tree and (head is None or self._git.holds(commit, head)):
                return commit
        return None

    def _place(self, commit: str) -> str:
        """Let the branch go on to this commit, or have it on one of its own; which branch has it."""
        ref = f"refs/heads/{self.branch}"
        for last_try in (False, True):
            tip = self._git.commit_of(ref)
            if tip is not None and self._git.holds(tip, commit):
                return self.branch
            if tip is not None and not self._git.holds(commit, tip):
                break
            try:
                self._git.run("update-ref", "-m", "shoal: keep", ref, commit, tip or "")
            except GitError:
                if last_try:
                    raise
            else:
                return self.branch
        other = f"{KEPT}/{self._attempt}-{commit[:8]}"
        self._mirror.keep(other, commit)
        self.notes.append(f"{self._attempt} had work of another history than {self.branch}: it is kept on {other}")
        return other

    def _keep_stash(self) -> list[str]:
        kept = []
        for commit, message in self.worktree.stashes():
            branch = f"{KEPT}/{self._attempt}-stash-{commit[:8]}"
            self._mirror.keep(branch, commit)
            self.worktree.drop_stash(commit)
            self.notes.append(f"{self._attempt} stashed work ({message}): `git stash apply {branch}` brings it back")
            kept.append(branch)
        return kept

    def _keep_other_repository(self) -> None:
        """Where the agent began a repository of its own in the folder, its commits go to the mirror as well."""
        if not (self.folder / ".git").is_dir():
            return
        with suppress(GitError):
            commit = self.worktree.adopt()
            if commit is not None:
                branch = f"{KEPT}/{self._attempt}-{commit[:8]}"
                self._mirror.keep(branch, commit)
                self.notes.append(f"{self._attempt} began a repository of its own: its commits are kept on {branch}")

    def _push_all(self, branches: Iterable[str]) -> None:
        self.unpushed = {}
        for branch in branches:
            commit = self._git.commit_of(f"refs/heads/{branch}")
            # A branch without any work of its own is nothing that others should see.
            if commit is None or commit == self.base or self._mirror.pushed(branch, commit):
                continue
            try:
                self._push_one(branch, commit)
            except GitError as error:
                self.notes.append(f"{branch} was not pushed: {error.message}")
                self.unpushed[branch] = commit, error.message

    def _push_one(self, branch: str, commit: str) -> None:
        try:
            self._mirror.push(branch)
        except Rejected:
            other = f"{KEPT}/{self._attempt}-{commit[:8]}"
            if not self._ephemeral or branch == other:
                raise
            self._mirror.keep(other, commit)
            self._mirror.push(other)
            self.notes.append(f"{branch} has gone on at the remote without {self._attempt}: its work is on {other}")

    def _others(self) -> list[tuple[str, str]]:
        pattern = f"refs/heads/{KEPT}/{self._attempt}-*"
        lines = self._git.text("for-each-ref", "--format=%(refname:strip=2) %(objectname)", pattern).splitlines()
        pairs = [(branch, commit) for branch, _, commit in (line.partition(" ") for line in lines)]
        return [(branch, commit) for branch, commit in pairs if "-stash-" not in branch]

    def _describe(self, branch: str, commit: str) -> Branch:
        git = self._git
        upstream = git.commit_of(self.part.upstream)
        known = [f"^{one}" for one in (self.base, upstream) if one]
        commits = int(git.text("rev-list", "--count", commit, *known))
        if commits == 0 and commit != self.base and branch == self.branch:
            # Upstream has it already: merged meanwhile or pushed there by the agent, or merely fetched by it.
            commits = min(self.worktree.made_commits(), int(git.text("rev-list", "--count", commit, f"^{self.base}")))
        pushed = self._mirror.pushed(branch, commit)
        return Branch(self.repository, branch, self.base, commit, commits, pushed)

    def _clear_branches(self) -> None:
        """Take the branches that the agent made off the mirror: the next one may want the same names, at its own base.

        Commits that are nowhere else stay under shoal/kept.
        """
        used = {Worktree(self._mirror, admin, folder).branch() for admin, folder in self._mirror.folders()}
        used -= {self.worktree.branch()}
        for branch in self.worktree.visited() - used - {self.branch}:
            commit = None if branch.startswith("shoal/") else self._git.commit_of(f"refs/heads/{branch}")
            if commit is None:
                continue
            others = ("refs/heads/shoal", "refs/remotes")
            if not self._git.text("for-each-ref", "--count=1", "--contains", commit, *others):
                self._mirror.keep(f"{KEPT}/{self._attempt}-{commit[:8]}", commit)
            self._git.run("update-ref", "-d", f"refs/heads/{branch}", commit)


def checkout_of(mirror: Mirror, part: Part, folder: Path, *, attempt: str) -> Checkout | None:
    """The checkout in a folder that was made before; None when git knows nothing of it any more."""
    for admin, place in mirror.folders():
        if place == folder:
            return Checkout(Worktree(mirror, admin, folder), part, attempt=attempt)
    return None
