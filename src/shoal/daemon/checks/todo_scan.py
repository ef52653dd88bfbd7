"""Work that is written down in TODO files, and in comments where asked; it becomes items of its own, not findings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from shoal.adapters.checks.check import Context
from shoal.daemon.scanning import COMMENTS, MARKDOWN, Ask, scan
from shoal.ledger import Ledger
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.check import Finding
from shoal.settings import Settings

NAME = "todo-scan"
VERSION = "1"


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is read."""

    markdown: Annotated[
        bool, Meta(description="whether every file of markdown is read; false: those of `todo_files`")
    ] = False
    comments: Annotated[bool, Meta(description="whether comments of source files are read, too; false")] = False


def run(context: Context) -> Iterator[Finding]:
    """Scan the checkout, and say in the log what came of it."""
    ledger: Ledger = context.ledger
    engine = ledger.engine
    settings = engine.settings if isinstance(engine, EmbeddedEngine) else Settings()
    for scanner in (MARKDOWN, COMMENTS) if context.options.comments else (MARKDOWN,):
        ask = Ask(context.project, context.checkout, markdown=context.options.markdown, scanner=scanner, named=True)
        done = scan(ledger, settings, ask)
        counts = ", ".join(f"{number} {what}" for what, number in done.report.counts.items() if number)
        context.warn(f"{scanner}: {done.read} files read, {done.unchanged} unchanged; {counts or 'nothing found'}")
        if done.report.rules:
            taken = ", ".join(f"{rule} {number}" for rule, number in done.report.rules.items())
            context.warn(f"by rules: {taken}")
        for note in done.report.notes:
            context.warn(note)
        for left_out in done.notes:
            context.warn(f"{left_out.path}: {left_out.why}")
    yield from ()
