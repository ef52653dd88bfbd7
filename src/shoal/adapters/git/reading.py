"""Git for reading a folder that anybody may have made: it runs nothing that its files or its configuration name.

Git obeys the configuration of the repository that it works in, and that names programs: for hooks, file monitors,
differences, signatures, fetches. Here git gets a view in its place (view.py), with none of it. What then may still run
are the filters that the user configured, chosen by the .gitattributes of the folder: so nothing that asks reads a
working tree through git, or a difference as text that a program made. Nothing is fetched, and nothing is written.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from shoal.adapters.git.program import Program
from shoal.adapters.git.view import PLAIN, PROBED, SHARED, View, places, written
from shoal.errors import GitError

FORMAT = "extensions.objectformat"
SHAPE = (FORMAT, *(f"core.{name}" for name in PROBED))
NOWHERE = {"GIT_DIR": os.devnull}  # where git finds no repository, not even in a folder that is laid out as one
QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1", "GIT_NO_REPLACE_OBJECTS": "1"}


class Reading(Program):
    """Git for reading in a folder: in the repository that it is in, or in none."""

    @cached_property
    def top(self) -> Path | None:
        """The top folder of the repository that the folder is in; None when it is in none."""
        return top_of(self.root)

    def head(self) -> str | None:
        """The commit that is checked out; None when there is none."""
        said = self.text("rev-parse", "--verify", "--quiet", "HEAD^{commit}", codes=(0, 1, 128))
        return said or None

    def run(
        self,
        *arguments: str,
        given: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        codes: Iterable[int] = (0,),
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git, with no more of the repository than there is to read."""
        with self.place() as place:
            return super().run(*arguments, given=given, environment=place | dict(environment or {}), codes=codes)

    @contextmanager
    def place(self) -> Iterator[dict[str, str]]:
        """Where git is to look, as its environment, while this is open. Raises GitError."""
        if self.top is None:
            yield QUIET | NOWHERE
            return
        inner, common = places(self.top)
        with tempfile.TemporaryDirectory(prefix="shoal-") as scratch:
            view = View(Path(scratch) / "view", common, lambda: self._format, (*SHARED, "info"))
            try:
                view.ensure()
            except OSError as error:
                raise GitError(f"no view of {self.top}: {error}") from None
            where = {"GIT_DIR": inner, "GIT_COMMON_DIR": view.folder, "GIT_WORK_TREE": self.top}
            yield QUIET | {name: str(folder) for name, folder in where.items()}

    @cached_property
    def _format(self) -> str:
        """What the repository's configuration says of its own shape, and nothing else that it says."""
        assert self.top is not None  # noqa: S101 - only a repository has one
        file = places(self.top)[1] / "config"
        said = super().run(*("config", "--file", str(file), "--list", "-z"), environment=NOWHERE, codes=(0, 1, 128))
        told = [line.partition("\n") for line in said.stdout.decode("utf-8", "replace").split("\0")]
        shape = {name: value for name, _, value in told if name in SHAPE}
        return PLAIN + written(shape | ({"core.repositoryformatversion": "1"} if FORMAT in shape else {}))


def top_of(folder: Path) -> Path | None:
    """The top folder of the repository that a folder is in; None when it is in none."""
    folder = Path(os.path.realpath(folder))
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), None)
