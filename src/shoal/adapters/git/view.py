"""A repository that agents work in as Shoal's own calls see it: its objects and branches, none of its configuration.

Whoever works in a worktree can set what git does in all of them: where a push goes, which program is given every file,
what is ignored. A view is a folder that git takes for the shared part of a repository (GIT_COMMON_DIR): links to what
the repository holds, and a configuration of its own. Of people it has what they configured for themselves. What the
environment of every call sets besides: program.py.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path

from shoal.adapters.git.repository import Git, records
from shoal.adapters.git.tree import remove_tree
from shoal.errors import GitError

FOLDERS = ("logs", "worktrees", "lfs")
SHARED = ("objects", "refs", *FOLDERS, "packed-refs", "shallow")
LONGEST = 10_000  # characters of a path
PLAIN = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
PROBE = ".probe-"  # how the folders begin in which it is probed
PROBE_MS = 600_000  # of a probe that takes so long nobody waits any more
PROBED = ("filemode", "ignorecase", "precomposeunicode", "symlinks")


class View:
    """The folder of a view. It is made anew, whatever became of it, before each use."""

    def __init__(
        self,
        folder: Path,
        common: Path,
        configuration: Callable[[], str] = lambda: PLAIN,
        shared: Sequence[str] = SHARED,
    ) -> None:
        self.folder = folder
        self._common = common
        self._configuration = configuration
        self._shared = shared

    def ensure(self) -> None:
        """Have it as it must be; nothing without the repository. Raises OSError."""
        if not self._common.is_dir():
            return
        self.folder.mkdir(exist_ok=True)
        where = self._common
        if self.folder.parent == self._common:
            where = Path("..")  # it may be moved
            for name in FOLDERS:
                (self._common / name).mkdir(exist_ok=True)  # git makes none behind a link
        for name in self._shared:
            link, target = self.folder / name, str(where / name)
            if not link.is_symlink() or os.readlink(link) != target:
                _replace(link, partial(_link, target))
        for name, text in (("config", self._configuration()), ("HEAD", "ref: refs/heads/main\n")):
            file = self.folder / name
            if file.is_symlink() or not file.is_file() or file.read_text(errors="replace") != text:
                write(file, text)


class Viewing(Git):
    """Git in a repository that agents work in, by a view of it."""

    def __init__(
        self,
        root: Path,
        view: View,
        place: Mapping[str, str] | None = None,
        *,
        configuration: Mapping[str, str] | None = None,
        timeout_seconds: float = 120.0,
        login_advice: str = "",
        stop: Callable[[], bool] | None = None,
    ) -> None:
        """`place` says where a worktree is, to git; the repository itself without."""
        super().__init__(
            root,
            timeout_seconds=timeout_seconds,
            login_advice=login_advice,
            stop=stop,
            configuration=configuration,
        )
        self._view = view
        self._place = {"GIT_DIR": str(view.folder)} if place is None else {"GIT_COMMON_DIR": str(view.folder), **place}
        self._place |= {"GIT_NO_REPLACE_OBJECTS": "1"}

    def run(
        self,
        *arguments: str,
        given: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        codes: Iterable[int] = (0,),
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git, told where it is, with what the view has."""
        try:
            self._view.ensure()
        except OSError as error:
            raise GitError(f"git {arguments[0]} in {self.root}: {error}") from None
        return super().run(*arguments, given=given, environment=self._place | dict(environment or {}), codes=codes)


@contextmanager
def viewing(folder: Path) -> Iterator[Viewing]:
    """Git in a repository that somebody made in a folder, on a copy of its index. Raises GitError without one."""
    place, common = places(folder)
    with tempfile.TemporaryDirectory() as scratch:
        index = Path(scratch) / "index"
        if (place / "index").is_file():
            shutil.copyfile(place / "index", index)
        where = {"GIT_DIR": str(place), "GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(index)}
        git = Viewing(folder, View(Path(scratch) / "view", common), where)
        show_changes(git)
        yield git


def places(folder: Path) -> tuple[Path, Path]:
    """Where git keeps what is of a working tree, and what all of its repository share. Raises GitError."""
    link = folder / ".git"
    try:
        place = link if link.is_dir() else folder / _said(link).partition("gitdir:")[2].strip()
        shared = place / "commondir"
        common = place / _said(shared).strip() if shared.is_file() else place
        if place.is_dir() and place != folder:
            return place.resolve(), common.resolve()
    except (OSError, ValueError) as error:
        raise GitError(f"no repository in {folder}: {error}") from None
    raise GitError(f"no repository in {folder}")


def _said(file: Path) -> str:
    """The one path in a file of git's. Raises OSError, ValueError."""
    with open(
        os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8", errors="surrogateescape"
    ) as opened:
        return opened.read(LONGEST)


def show_changes(git: Git, environment: Mapping[str, str] | None = None) -> None:
    """Take the flags off the entries of an index by which git does not look at their files.

    Files that are away stay as they are where a sparse checkout left them out.
    """
    listed = records(git.run("ls-files", "-v", "-z", environment=environment).stdout)
    flagged = [(line[0], line[2:]) for line in listed if line[0] not in "HMK"]
    assumed = [path for mark, path in flagged if mark.islower()]
    skipped = [path for mark, path in flagged if mark in "Ss" and os.path.lexists(git.root / path)]
    for option, paths in (("--no-assume-unchanged", assumed), ("--no-skip-worktree", skipped)):
        if paths:
            given = "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")
            git.run("update-index", option, "-z", "--stdin", given=given, environment=environment)


@cache
def probe(folder: Path) -> str:
    """The configuration that git gives a new bare repository in a folder, by what its file system can do."""
    # Not a TemporaryDirectory: that would be removed a second time, at the end of the interpreter, under git's hands.
    scratch = Path(tempfile.mkdtemp(prefix=PROBE, dir=folder))
    try:
        git = Git(scratch)
        git.run("init", "--quiet", "--bare", "--template=", ".")
        lines = git.text("config", "--file", "config", "--list").splitlines()
    finally:
        remove_tree(scratch)
    told = [line.partition("=") for line in lines if line.removeprefix("core.").partition("=")[0] in PROBED]
    return PLAIN + written({name: value for name, _, value in told})


def clear_probes(mirrors: Path, now: int) -> None:
    """Remove the folders of probes whose process was killed; `now` in milliseconds since 1970."""
    for left in mirrors.glob(f"*/{PROBE}*"):
        with suppress(OSError):
            if now - left.stat().st_mtime * 1000 > PROBE_MS:
                remove_tree(left)


def written(settings: Mapping[str, str]) -> str:
    """Settings as a file of git's has them."""
    lines = []
    for key, value in settings.items():
        section, _, rest = key.partition(".")
        inner, _, name = rest.rpartition(".")
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'[{section} "{inner}"]' if inner else f"[{section}]")
        lines.append(f'\t{name} = "{quoted}"')
    return "".join(f"{line}\n" for line in lines)


def write(file: Path, text: str) -> None:
    """Have this text in a file, whole at every moment, and whatever was in its place gone."""
    _replace(file, lambda new: new.write_text(text))


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(3)}")
    make(new)
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    new.replace(path)


def _link(target: str, link: Path) -> None:
    link.symlink_to(target)
