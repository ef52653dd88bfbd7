"""Which files of a project a scan reads. Which there are: adapters/git/files.py."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from shoal.model.path_pattern import matches, parted

MARKDOWN = (".md", ".markdown", ".mdx")
_TEXT = (*MARKDOWN, ".txt")


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
