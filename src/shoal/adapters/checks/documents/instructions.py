"""What agents are told in CLAUDE.md, AGENTS.md and the like: copies that went apart, and age. Drift: references.py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import combinations
from posixpath import basename, dirname, normpath

from shoal.adapters.checks.checkout import Checkout
from shoal.adapters.checks.documents.pages import Pages
from shoal.model.check import Finding
from shoal.model.path_pattern import fits

FILES = (
    "CLAUDE.md", "CLAUDE.local.md", "AGENTS.md", "AGENT.md", "GEMINI.md", "CODEX.md", ".cursorrules", ".windsurfrules",
    ".clinerules", ".goosehints", ".github/copilot-instructions.md", "**/.cursor/rules/**", "**/.claude/rules/**",
    "**/.github/instructions/**",
)  # fmt: skip
ALIKE = 0.6  # of their lines in common, two files are meant to be one
DAY = 24 * 60 * 60


def is_instruction(path: str) -> bool:
    """Whether a file tells agents what to do."""
    return fits(path, FILES)


def differing(checkout: Checkout, paths: Sequence[str]) -> Iterator[Finding]:
    """Two files in one place that are mostly the same: one was changed, and the other forgotten."""
    here: dict[str, list[str]] = {}
    for path in sorted(paths):
        if not (checkout.root / path).is_symlink():
            here.setdefault(dirname(path).removesuffix(".github"), []).append(path)
    for together in here.values():
        for first, second in combinations(together, 2):
            yield from _differing(checkout, first, second)


def _differing(checkout: Checkout, first: str, second: str) -> Iterator[Finding]:
    ours, theirs = _lines(checkout.text(first)), _lines(checkout.text(second))
    if not ours or not theirs or ours == theirs:
        return
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    if matcher.quick_ratio() < ALIKE or matcher.ratio() < ALIKE:
        return
    apart = [(a, b, c, d) for kind, a, b, c, d in matcher.get_opcodes() if kind != "equal"]
    a, b, c, _ = apart[0]
    only = ours[a][1] if b > a else theirs[c][1]
    line = theirs[min(c, len(theirs) - 1)][0]
    yield Finding(
        rule="instructions-differ",
        message=f"says almost what {first} says, and not the same: {only[:100]!r} is in one of them only",
        file=second,
        line=line,
        key=first,
        files=[first],
    )


class _Line(tuple[int, str]):
    """A line with its number; equal to another with the same text."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Line) and self[1] == other[1]

    def __hash__(self) -> int:
        return hash(self[1])


def _lines(text: str) -> list[_Line]:
    numbered = enumerate(text.splitlines(), start=1)
    return [_Line((number, " ".join(line.split()))) for number, line in numbered if line.strip()]


def old(checkout: Checkout, pages: Pages, path: str, *, days: int) -> Iterator[Finding]:
    """Whether the files and folders that it names were changed so much later than itself."""
    named = sorted(set(_named(checkout, pages, path)))
    told, changed = checkout.changed_at(path), checkout.changed_at(*named) if named else None
    if told is not None and changed is not None and changed - told > days * DAY:
        yield Finding(
            rule="instructions-old",
            message=f"was last changed more than {days} days before what it names: {', '.join(named[:5])}",
            file=path,
            files=named[:200],
        )


def vanished(checkout: Checkout, pages: Pages, path: str) -> Iterator[tuple[int, str]]:
    """Names of files and folders in code spans that git had once and has no more, with their lines."""
    names = {basename(one) for one in checkout.deleted}
    folders = {folder for one in checkout.deleted for folder in _ends(dirname(one))}
    for code in pages.get(path).codes:
        named = code.text.strip()
        if code.language is not None or not re.fullmatch(r"[\w@.-]+(?:/[\w@.-]+)*/?", named):
            continue
        plain = normpath(named)
        if plain in checkout.tails or checkout.has(plain) or checkout.has(f"{dirname(path)}/{plain}".lstrip("/")):
            continue
        if (named.endswith("/") and plain in folders) or ("/" not in named and "." in named[1:] and plain in names):
            yield code.line, named


def _named(checkout: Checkout, pages: Pages, path: str) -> Iterator[str]:
    for code in pages.get(path).codes:
        plain = normpath(code.text.strip())
        if code.language is None and plain != "." and (plain in checkout.files or plain in checkout.folders):
            yield plain


def _ends(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = folder.partition("/")[2]
