"""Links, anchors and images of markdown that lead nowhere, and what documents say that the code does not bear out.

External addresses are never fetched. What is in code, comments and templates is no link.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from shoal.adapters.checks.check import Context
from shoal.adapters.checks.checkout import Checkout
from shoal.adapters.checks.documents import instructions, links
from shoal.adapters.checks.documents.facts import Facts
from shoal.adapters.checks.documents.instructions import is_instruction
from shoal.adapters.checks.documents.pages import Pages, is_page
from shoal.adapters.checks.documents.references import References
from shoal.model.check import Finding
from shoal.model.path_pattern import fits

NAME = "doc-health"
VERSION = "1"
Rule = Literal[
    "broken-link", "broken-image", "broken-anchor", "outside-link", "undefined-reference", "missing-file",
    "missing-target", "missing-script", "missing-command", "missing-flag", "missing-variable", "missing-port",
    "instruction-drift", "instructions-differ", "instructions-old",
]  # fmt: skip
FOREIGN = ["**/node_modules/**", "**/vendor/**", "**/third_party/**", "**/testdata/**", "**/fixtures/**"]


# People who work on the code go by these as agents go by theirs.
CONTRIBUTING = ["{CONTRIBUTING,DEVELOPING,DEVELOPMENT,HACKING,ARCHITECTURE}*"]
# What tells of the past names what is gone.
HISTORIES = [
    "{CHANGELOG,CHANGES,HISTORY,NEWS,RELEASES,RELEASE_NOTES,RELEASE-NOTES,UPGRADING,MIGRATING}*", "**/changelog*/**",
    "**/{decisions,adr,adrs,rfcs,releases,release-notes,archive,plans}/**", "{TODO,BACKLOG,ROADMAP}*",
]  # fmt: skip


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is looked at."""

    root: Annotated[
        str | None,
        Meta(description="the folder that links like `/guide/x` are meant from; left out: they are not looked at"),
    ] = None
    ignore: Annotated[list[str], Meta(description="file patterns of what is not looked at; none")] = []
    vendored: Annotated[
        bool, Meta(description="whether files of others are looked at: in `vendor`, `node_modules`, `fixtures`; false")
    ] = False
    histories: Annotated[
        list[str],
        Meta(description="file patterns of what tells of the past: only its links count; changelogs and such"),
    ] = field(default_factory=HISTORIES.copy)
    off: Annotated[list[Rule], Meta(description="rules that are not applied; none")] = []
    commands: Annotated[
        list[str] | None, Meta(description="the project's own programs; left out: what its manifests say")
    ] = None
    prefixes: Annotated[
        list[str] | None,
        Meta(description="what the project's environment variables begin with; left out: its programs' names"),
    ] = None
    instruction_days: Annotated[
        int, Meta(ge=0, description="instructions so many days older than what they name are old; 0: never")
    ] = 0


def run(context: Context) -> Iterator[Finding]:
    """What is wrong with the documents of a checkout."""
    yield from examine(Checkout(context.checkout), context.options)


def examine(checkout: Checkout, options: Options) -> Iterator[Finding]:
    """What is wrong with the documents of this checkout."""
    off = frozenset(options.off)
    for finding in _findings(checkout, options):
        if finding.rule not in off:
            yield finding


def _findings(checkout: Checkout, options: Options) -> Iterator[Finding]:
    left_out = options.ignore if options.vendored else [*FOREIGN, *options.ignore]
    wanted = [path for path in checkout.files if is_page(path) or is_instruction(path)]
    pages = Pages(checkout, [path for path in wanted if not fits(path, left_out)])
    root = None if options.root is None else options.root.strip("/")
    for page in pages.paths:
        yield from links.dead(checkout, pages, page, root=root)
        yield from links.undefined(pages, page)
    yield from _missing(checkout, pages, options, left_out)
    told = [path for path in pages.paths if is_instruction(path)]
    yield from instructions.differing(checkout, told)
    for path in told:
        if options.instruction_days:
            yield from instructions.old(checkout, pages, path, days=options.instruction_days)


def _missing(checkout: Checkout, pages: Pages, options: Options, left_out: list[str]) -> Iterator[Finding]:
    """What pages name and is not there; in instructions for agents, who go by them, that is a warning."""
    references = References(Facts(checkout, ignore=left_out, commands=options.commands, prefixes=options.prefixes))
    for page in pages.paths:
        if not fits(page, options.histories):
            references.add(page, pages.get(page))
            if is_instruction(page) or fits(page, CONTRIBUTING):
                references.add_vanished(page, instructions.vanished(checkout, pages, page))
    for one in references.missing():
        if one.rule not in options.off:
            yield one.finding(drift=is_instruction(one.page))
