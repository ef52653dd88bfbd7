"""Which files of a project a scan reads, and what they were called before. Which there are: adapters/git/files.py."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from shoal.adapters.git.files import Listing
from shoal.adapters.git.reading import Reading
from shoal.errors import GitError
from shoal.model.path_pattern import matches, parted

MARKDOWN = (".md", ".markdown", ".mdx")
_TEXT = (*MARKDOWN, ".txt")
_HASH = re.compile(r"[0-9a-f]{40,64}")


def repository(listing: Listing, known: str | None) -> str:
    """By what a project's root is known again: what it was `known` by if that still holds, else the first commit, else
    the folder. A clone or a moved folder has the same commits; a folder without commits is only itself.
    """
    folder = str(listing.root).encode("utf-8", "replace").decode()
    if known == folder or listing.head is None:
        return folder
    git = Reading(listing.root)
    if known is not None and _HASH.fullmatch(known):
        asked = git.run("cat-file", "-e", f"{known}^{{commit}}", codes=(0, 1, 128))
        if asked.returncode == 0:
            return known
    return git.run("rev-list", "--max-parents=0", listing.head).stdout.decode().split()[-1]


def wanted(
    paths: Iterable[str], patterns: Sequence[str], *, markdown: bool = False, known: Collection[str] = ()
) -> list[str]:
    """The paths that patterns name.

    With `markdown` all of that kind. What was read before (`known`) is read again: a file that somebody once asked for
    is not forgotten by the next scan.
    """
    taken, left = parted(patterns)
    found = []
    for path in paths:
        if any(_fits(path, one) for one in left):
            continue
        if path in known or (markdown and path.lower().endswith(MARKDOWN)) or any(_names(path, one) for one in taken):
            found.append(path)
    return found


def _names(path: str, pattern: str) -> bool:
    """A pattern that ends with a star is about folders, and takes the texts in them."""
    if pattern.endswith("*") and not path.lower().endswith(_TEXT):
        return False
    return _fits(path, pattern)


def _fits(path: str, pattern: str) -> bool:
    # TODO.md is also todo.md; TODO without an ending is not, as a program may be called todo.
    if "." in pattern and "/" not in pattern:
        return matches(path.lower(), pattern.lower())
    return matches(path, pattern)


def renamed(root: Path, since: str | None, paths: Collection[str], known: Collection[str]) -> dict[str, str]:
    """The files that got another name since a commit, new to old, as git has it; of those that were read before.

    The commit is compared with the index, so a new name counts from `git mv` or `git add` on. A commit that is not
    there any more has nothing to say. Raises nothing.
    """
    if since is None or not _HASH.fullmatch(since) or not set(known) - set(paths):
        return {}
    asked = ("diff-index", "--cached", "-M", "--name-status", "--diff-filter=R", "--relative", "-z")
    try:
        said = Reading(root).run(*asked, since, "--").stdout
    except GitError:
        return {}
    parts = said.decode("utf-8", "replace").split("\0")
    moves = zip(parts[1::3], parts[2::3], strict=False)
    return {new: old for old, new in moves if old in known and new in paths}
