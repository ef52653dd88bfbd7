"""Which files of a checkout had other names before: for scans and checks, whose items go along."""

from __future__ import annotations

import re
from pathlib import Path

from shoal.adapters.git.reading import Reading
from shoal.errors import GitError
from shoal.model.item import is_path

GIT_SECONDS = 30


def renamed_since(root: Path, commit: str) -> dict[str, str]:
    """The files below a folder that got another name since a commit, new to old, as git has it.

    The commit is compared with the index, so a new name counts from `git mv` or `git add` on. A commit that is not
    there any more has nothing to say, nor has a folder without a repository. Raises nothing.
    """
    if not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        return {}
    asked = ("diff-index", "--cached", "-M", "--name-status", "--diff-filter=R", "--relative", "-z")
    try:
        said = Reading(root, timeout_seconds=GIT_SECONDS).run(*asked, commit, "--").stdout
    except GitError:
        return {}
    fields = said.decode("utf-8", "replace").split("\0")
    moves = zip(fields[1::3], fields[2::3], strict=False)  # after the last one is nothing
    return {new: old for old, new in moves if is_path(old) and is_path(new)}
