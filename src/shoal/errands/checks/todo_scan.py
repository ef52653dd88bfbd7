"""Work that is written down in TODO files, and in comments where asked; it becomes items of its own, not findings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from shoal.adapters.checks.check import Context
from shoal.errands.scanning import COMMENTS, MARKDOWN, Ask, scan
from shoal.model.check import Brought, Finding

NAME = "todo-scan"
VERSION = "1"
NEW = frozenset({"new", "split"})
GONE = frozenset({"gone", "stale"})  # they were not there to be found


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is read."""

    markdown: Annotated[
        bool, Meta(description="whether every file of markdown is read; false: those of `todo_files`")
    ] = False
    comments: Annotated[bool, Meta(description="whether comments of source files are read, too; false")] = False


def run(context: Context) -> Iterator[Finding]:
    """Scan the checkout, and say in the log what came of it."""
    found, new = 0, list[str]()
    for scanner in (MARKDOWN, COMMENTS) if context.options.comments else (MARKDOWN,):
        ask = Ask(context.project, context.checkout, markdown=context.options.markdown, scanner=scanner, named=True)
        done = scan(context.ledger, context.settings, ask, dry_run=context.dry_run)
        files = "file" if done.read == 1 else "files"
        counts = ", ".join(f"{number} {what}" for what, number in done.report.counts.items() if number)
        context.warn(f"{scanner}: {done.read} {files} read, {done.unchanged} unchanged; {counts or 'nothing found'}")
        if done.report.rules:
            taken = ", ".join(f"{rule} {number}" for rule, number in done.report.rules.items())
            context.warn(f"by rules: {taken}")
        for note in done.report.notes:
            context.warn(note)
        for left_out in done.notes:
            context.warn(f"{left_out.path}: {left_out.why}")
        found += sum(number for became, number in done.report.counts.items() if became not in GONE)
        new += [one.item_id for one in done.report.changes if one.item_id is not None and one.became in NEW]
    context.brought(Brought(found=found, new=new))
    yield from ()
