"""A mirror: a bare clone that is kept, and whose worktrees many workers use at once.

The remote's branches are under refs/remotes/origin, so that a fetch touches no branch of an agent. What the remote's
HEAD was at the last fetch is refs/shoal/remote-head. Its configuration is for agents: Shoal's own calls see it by a
view, and have theirs from here.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shoal.adapters.git import credentials
from shoal.adapters.git.address import Address
from shoal.adapters.git.program import AUTHOR
from shoal.adapters.git.repository import Git, Rejected
from shoal.adapters.git.tree import remove_tree
from shoal.adapters.git.view import View, Viewing, probe, write, written
from shoal.adapters.processes import lock
from shoal.clock import Clock
from shoal.errors import GitError, WorkspaceError
from shoal.model.content import is_bundle

FETCH_SECONDS = 3600.0
REMOTE_HEAD = "refs/shoal/remote-head"
BRANCHES = "+refs/heads/*:refs/remotes/origin/*"
FETCHED = "shoal-fetched"  # when the last fetch began
RESCUED = "refs/shoal/rescued"
LOOSE_SHARE = 4  # objects by themselves may take so many times what they take in a bundle
REMOVED = "removed-"  # what is left of worktrees whose removal was cut short
STALE_LOCK_MS = 60_000  # git has its own locks for milliseconds; a killed one leaves them for ever
SETTINGS = {
    "remote.origin.fetch": BRANCHES,
    "core.logAllRefUpdates": "true",
    # Of a worktree whose folder is away for a while; ours are locked besides.
    "gc.worktreePruneExpire": "never",
    # `git push` of an agent, with no upstream to be written into the configuration that all share.
    "push.default": "current",
}
VIEW = "shoal"
CONFIGURED = ("config.worktree", "info/attributes", "info/exclude", "info/grafts")  # for all worktrees at once
LOGIN_ADVICE = "give git a credential helper or an SSH key"
BROKER_ADVICE = "the token broker decides about this host: `shoal broker status` and `shoal broker audit` say more"


class Mirror:
    """The clone of one repository on this machine."""

    def __init__(
        self,
        path: Path,
        address: Address,
        *,
        clock: Clock,
        token: Callable[[], str | None] | None = None,
        stop: Callable[[], bool] | None = None,
        late: Callable[[], bool] | None = None,
    ) -> None:
        """Clones and fetches end when `stop` says so; a push, which brings work to safety, when `late` does.

        `token` is asked each time git is about to reach the remote: what it gives is used, and nothing else; without it
        git's own configuration holds.
        """
        self.path = path
        self.address = address
        self._clock = clock
        self._token = token
        self._stop = stop
        self._late = late
        self._settings = SETTINGS | ({"remote.origin.url": address.url} if address.url else {})
        self.git = self.program(path)

    def __str__(self) -> str:
        return self.address.name

    def refresh(self) -> list[str]:
        """Clone it, or fetch; what is to be said about that. A fetch that somebody began after this call will do.

        Raises WorkspaceError when there is nothing to go on with.
        """
        asked = self._clock.now_ms()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.alone():
            # Of clones that were cut short; the git of a killed worker may fill one for a moment longer.
            for left in self.path.parent.glob(f"{self.path.name}.new-*"):
                remove_tree(left)
            if self.path.is_dir():
                self._configure(self.path)
            if self.path.is_dir() and not self._is_whole():
                aside = self.path.with_name(f"{self.path.name}.broken-{self._clock.now_ms()}")
                self.path.rename(aside)
                self._clone()
                return [f"the mirror of {self} was broken and cloned anew; the old one is {aside}"]
            if not self.path.is_dir():
                self._clone()
            elif not asked <= self._fetched_at() <= self._clock.now_ms():
                return self._fetch_again()
        return []

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody fetches or adds a worktree meanwhile. Raises WorkspaceError when somebody does not end."""
        with lock.held(self.path.with_name(f"{self.path.name}.lock"), FETCH_SECONDS, self._stop) as ours:
            if not ours:
                if self._stop is not None and self._stop():
                    raise WorkspaceError(f"stopped while the mirror of {self} was waited for")
                raise WorkspaceError(f"the mirror of {self} is busy: another process has been fetching it for too long")
            yield

    def base(self, name: str | None) -> str:
        """The commit that work begins at: of this branch, else of the remote's HEAD. Raises WorkspaceError."""
        commit = self.git.commit_of(f"refs/remotes/origin/{name}" if name else REMOTE_HEAD)
        if commit is not None:
            return commit
        listed = self.git.text("for-each-ref", "--format=%(refname:strip=3)", "refs/remotes/origin").split()
        known = [branch for branch in listed if branch != "HEAD"]
        if not known:
            return self._first_commit()
        wanted = f"no branch {name}" if name else "no branch that its HEAD means"
        raise WorkspaceError(
            f"{self} has {wanted}; name one of {', '.join(known[:10])} in shoal.toml: "
            f'[repositories."{self}"] base = "{known[0]}"'
        )

    def upstream(self, name: str | None) -> str:
        """The ref of what work is compared with: every fetch moves it, an agent's own too."""
        return f"refs/remotes/origin/{name or 'HEAD'}"

    def pushed(self, branch: str, commit: str) -> bool:
        """Whether the remote has this commit on its branch, as far as is known here."""
        there = self.git.commit_of(f"refs/remotes/origin/{branch}")
        return there is not None and self.git.holds(there, commit)

    def push(self, branch: str) -> None:
        """Bring a branch to the remote. Raises Rejected when the remote's has moved on, and GitError."""
        ref = f"refs/heads/{branch}"
        try:
            command = ("push", "--quiet", "--no-verify", "--recurse-submodules=no", "origin")
            self.program(self.path, stop=self._late).run(*command, f"{ref}:{ref}", environment=self._login())
        except GitError as error:
            if "[rejected]" in error.message or "non-fast-forward" in error.message:
                raise Rejected(error.message) from None
            raise

    def bundle(self, branches: Iterable[str], limit_bytes: int) -> bytes | None:
        """What the remote does not have of these branches, for `take_in`; None when it is larger. Raises GitError."""
        wanted = [*(f"refs/heads/{branch}" for branch in branches), "--not", "--remotes=origin"]
        size = int(self.git.text("rev-list", "--objects", "--disk-usage", *wanted))
        if size > limit_bytes * LOOSE_SHARE:
            return None
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "work.bundle"
            self.program(self.path, stop=self._late).run("bundle", "create", "--quiet", str(file), *wanted)
            return file.read_bytes() if file.stat().st_size <= limit_bytes else None

    def take_in(self, bundle: bytes, branches: Iterable[str]) -> None:
        """Bring the commits of a bundle's branches here, to refs/shoal/rescued. Raises GitError and OSError."""
        # Git would follow a file with `gitdir: …` in it, and fetch from any repository of this machine.
        if not is_bundle(bundle):
            raise GitError("what the vault has of it is no git bundle")
        refs = [f"+refs/heads/{branch}:{RESCUED}/{branch}" for branch in branches]
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "work.bundle"
            file.write_bytes(bundle)
            command = (
                "fetch",
                "--quiet",
                "--no-write-fetch-head",
                "--no-tags",
                "--no-auto-gc",
                "--no-recurse-submodules",
            )
            self.git.run(*command, str(file), *refs)

    def keep(self, branch: str, commit: str) -> None:
        """Have a branch at a commit, if there is none of that name yet."""
        if self.git.commit_of(f"refs/heads/{branch}") is None:
            self.git.run("update-ref", f"refs/heads/{branch}", commit, "")

    def folders(self) -> Iterator[tuple[Path, Path]]:
        """The worktrees: where git keeps its own files of each, and its folder, which may be gone."""
        for admin in sorted((self.path / "worktrees").glob("*")):
            try:
                yield admin, Path((admin / "gitdir").read_text().strip()).parent
            except OSError:
                continue  # it is just being made or removed

    def program(
        self, folder: Path, place: Mapping[str, str] | None = None, *, stop: Callable[[], bool] | None = None
    ) -> Viewing:
        """Git in the folder of the mirror, or in that of a worktree whose `place` is given."""
        common = folder if place is None else self.path
        return Viewing(
            folder,
            View(common / VIEW, common, lambda: probe(common.parent)),
            place,
            configuration=self._settings,
            timeout_seconds=FETCH_SECONDS,
            login_advice=LOGIN_ADVICE if self._token is None else BROKER_ADVICE,
            stop=stop,
        )

    def tidy(self) -> None:
        """Pack what has gathered, when git thinks that it is time."""
        for left in self.path.glob(f"{REMOVED}*"):
            remove_tree(left)
        self.git.run("-c", "gc.autoDetach=false", "gc", "--auto", "--quiet", codes=(0, 1, 128))

    def _clone(self) -> None:
        """Beside its place, then moved there: a mirror is there whole or not at all."""
        # A name of its own: the git of a killed worker may still be writing to the one before.
        new = self.path.with_name(f"{self.path.name}.new-{os.getpid()}-{secrets.token_hex(3)}")
        try:
            new.mkdir()
            Git(new).run("init", "--quiet", "--bare")
            self._configure(new)
            self._fetch(new)
            new.rename(self.path)
        except (GitError, OSError) as error:
            remove_tree(new)
            raise WorkspaceError(f"{self} cannot be cloned from {self.address.url}: {error}") from None

    def _fetch_again(self) -> list[str]:
        try:
            try:
                self._fetch(self.path)
            except GitError as error:
                if ".lock" not in error.message or not self._break_locks():
                    raise
                self._fetch(self.path)
        except GitError as error:
            if self._stop is not None and self._stop():
                raise WorkspaceError(f"stopped while {self} was fetched") from None
            return [f"{self} could not be fetched, so the work goes on from what was fetched last: {error.message}"]
        return []

    def _fetch(self, path: Path) -> None:
        git = self.program(path, stop=self._stop)
        began = self._clock.now_ms()
        command = ("fetch", "--quiet", "--prune", "--no-auto-gc", "--no-write-fetch-head", "--no-recurse-submodules")
        try:
            git.run(*command, "origin", BRANCHES, f"+HEAD:{REMOTE_HEAD}", environment=self._login())
        except GitError as error:
            if "remote ref HEAD" not in error.message:
                raise
            # The remote is empty, or its HEAD means a branch that it has not.
            git.run("update-ref", "-d", REMOTE_HEAD)
            git.run(*command, "origin", BRANCHES, environment=self._login())
        else:
            self._name_default(git)
        (path / FETCHED).write_text(str(began))

    def _name_default(self, git: Git) -> None:
        """Let origin/HEAD mean the remote's default branch; asks the remote only where that is not known here."""
        head = git.commit_of(REMOTE_HEAD)
        if head is not None and git.commit_of("refs/remotes/origin/HEAD") != head:
            found = git.run("ls-remote", "--symref", "origin", "HEAD", environment=self._login()).stdout.decode()
            if found.startswith("ref: refs/heads/"):
                branch = found.split()[1].removeprefix("refs/heads/")
                git.run("symbolic-ref", "refs/remotes/origin/HEAD", f"refs/remotes/origin/{branch}")

    def _fetched_at(self) -> int:
        try:
            return int((self.path / FETCHED).read_text())
        except (OSError, ValueError):
            return -1

    def _is_whole(self) -> bool:
        return Git(self.path).run("rev-parse", "--git-dir", codes=(0, 128)).stdout.strip() == b"."

    def _break_locks(self) -> bool:
        """Remove locks of refs that a killed git left; whether there were any."""
        broken = False
        for found in [*self.path.glob("*.lock"), *(self.path / "refs").rglob("*.lock")]:
            try:
                if self._clock.now_ms() - found.stat().st_mtime * 1000 > STALE_LOCK_MS:
                    found.unlink()
                    broken = True
            except OSError:
                continue
        return broken

    def _first_commit(self) -> str:
        """What work in an empty repository begins at: an empty commit, the same one on every machine."""
        date = {f"GIT_{who}_DATE": "@0 +0000" for who in ("AUTHOR", "COMMITTER")}
        tree = self.git.run("mktree", given=b"").stdout.decode().strip()
        return self.git.make_commit(tree, [], "Begin\n", date)

    def _login(self) -> dict[str, str]:
        user, password = self.address.login or ("", "")
        given = len(self.git.configuration)
        if self._token is not None:
            token = self._token()
            if token or self.address.login is None:
                return credentials.environment(self.address.url, token, given, alone=True)
        # A token may stand where the user does, alone.
        return credentials.environment(
            self.address.url, password or user, given, user=user if password else "x-access-token"
        )

    def _configure(self, path: Path) -> None:
        """Have what agents' git goes by as it was, whatever the agent of another task has set for all of them."""
        settings = dict(self._settings)
        if not self.program(path).text("config", "user.email", codes=(0, 1)):
            # Without a name git refuses an agent's commits.
            settings |= {"user.name": AUTHOR["NAME"], "user.email": AUTHOR["EMAIL"]}
        for name in CONFIGURED:
            remove_tree(path / name)
        write(path / "config", probe(path.parent) + written(settings))
