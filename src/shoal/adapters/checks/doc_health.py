"""Links, anchors and images of markdown that lead nowhere, and what documents say that the code does not bear out.

External addresses are never fetched. What is in code, comments and templates is no link.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from shoal.adapters.checks.check import Context
from shoal.adapters.checks.checkout import Checkout, matches
from shoal.adapters.checks.documents import links
from shoal.adapters.checks.documents.pages import Pages, is_page
from shoal.model.check import Finding

NAME = "doc-health"
VERSION = "1"
Rule = Literal[
    "broken-link", "broken-image", "broken-anchor", "outside-link", "undefined-reference", "missing-file",
    "missing-target", "missing-script", "missing-command", "missing-flag", "missing-variable", "missing-port",
    "instruction-drift", "instructions-differ", "instructions-old",
]  # fmt: skip
FOREIGN = ["**/node_modules/**", "**/vendor/**", "**/third_party/**", "**/testdata/**", "**/fixtures/**"]


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is looked at."""

    root: Annotated[
        str | None, Meta(description="The folder that links like `/guide/x` are meant from; without it they are skipped.")
    ] = None
    exclude: Annotated[list[str], Meta(description="Globs of files that are not looked at.")] = field(default_factory=FOREIGN.copy)
    off: Annotated[list[Rule], Meta(description="Rules that are not applied.")] = []


def run(context: Context) -> Iterator[Finding]:
    """What is wrong with the documents of a checkout, file by file."""
    yield from examine(Checkout(context.checkout), context.options)


def examine(checkout: Checkout, options: Options) -> Iterator[Finding]:
    """What is wrong with the documents of this checkout."""
    pages = Pages(checkout, [path for path in checkout.files if is_page(path) and not matches(path, options.exclude)])
    root = None if options.root is None else options.root.strip("/")
    for page in pages.paths:
        for finding in links.dead(checkout, pages, page, root=root):
            if finding.rule not in options.off:
                yield finding
        if "undefined-reference" not in options.off:
            yield from links.undefined(pages, page)
