"""How work items look to people: in lists, and one by one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from shoal.cli import moments
from shoal.cli.costs import told
from shoal.cli.output import clean
from shoal.model.assessment import Answer, Assessment
from shoal.model.cost import CostSum, dollars
from shoal.model.item import Item, ItemDetail, shown

if TYPE_CHECKING:
    from rich.text import Text

STYLES = {
    "new": "cyan",
    "triaged": "blue",
    "assessed": "magenta",
    "in_progress": "bold green",
    "done": "green",
    "wontfix": "dim",
    "stale": "yellow",
}


def name_of(item: Item) -> str:
    """What people read of an item, on one line."""
    return " ".join(clean(item.name).split())


def status(value: str) -> Text:
    """A status in its colour."""
    from rich.text import Text

    return Text(value, STYLES.get(value, ""))


def listed(found: Iterable[Item], *, empty: str) -> None:
    """A list of items."""
    from shoal.cli import output

    output.table(
        ["Item", "Status", "Form", "P", "Effort", "Where", "Name"],
        [
            (
                one.item_id,
                status(one.status),
                one.form.value,
                "" if one.priority is None else one.priority,
                "" if one.effort == "unknown" else one.effort.value,
                place(one),
                name_of(one),
            )
            for one in found
        ],
        empty=empty,
        grows="Name",
    )


def place(item: Item) -> str:
    """Where an item stands, or where it came from."""
    if item.source_file is not None:
        return f"{item.source_file}:{item.source_line}" if item.source_line is not None else item.source_file
    return f"check {item.check_name}" if item.check_name is not None else ""


def whole(found: ItemDetail, costs: Iterable[CostSum]) -> None:
    """Everything about one item that has a value, and what it cost by purpose."""
    from rich.text import Text

    from shoal.cli import output

    out = output.console()
    out.print(Text.assemble((found.item_id, "bold"), " ", name_of(found), "  ", status(found.status)), soft_wrap=True)
    spent = [(f"{one.key} cost", told(one)) for one in costs]
    for label, value in [*_details(found), *spent]:
        if value:
            out.print(Text.assemble((f"  {label:<12} ", "dim"), clean(str(value))), soft_wrap=True)
    for label, text in (("summary", found.summary), ("text", found.text if found.text != found.name else None)):
        if text:
            out.print(Text.assemble((f"  {label}\n", "dim"), _indented(clean(text, lines=True))), soft_wrap=True)


def assessed(found: Iterable[Assessment]) -> None:
    """A list of assessments: what each said, or why there was nothing to say."""
    from shoal.cli import output

    output.table(
        ["Version", "When", "By", "Effort", "Risk", "Sure", "Sub-tasks", "Overlaps", "USD", "Said"],
        [
            (
                *(one.version, moments.shown(one.at), one.model or one.actor),
                *_said(one.answer),
                "" if one.cost_usd_micros is None else dollars(one.cost_usd_micros),
                clean(one.error or (one.answer and one.answer.title) or ""),
            )
            for one in found
        ],
        empty="Nobody has assessed it.",
        grows="Said",
    )


def _said(answer: Answer | None) -> tuple[str, ...]:
    if answer is None:
        return ("",) * 5
    known = ("" if one in (None, "unknown") else one for one in (answer.effort, answer.risk, answer.confidence))
    sub_tasks = "; ".join(f"{place}. {one}" for place, one in enumerate(answer.sub_tasks, start=1))
    return *known, clean(sub_tasks), clean(", ".join(one.item or one.text for one in answer.overlaps))


def _details(found: ItemDetail) -> list[tuple[str, Any]]:
    by = f", by {found.prioritised_by}" if found.prioritised_by is not None else ""
    known = {"unknown": None}
    there = [one.path for one in found.files]
    files = [*there, *(f"{path} (not found)" for path in found.missing_files if path not in there)]
    return [
        ("project", found.project),
        ("where", place(found)),
        ("heading", " > ".join(found.heading)),
        ("form", None if found.form == "note" else found.form.value),
        ("severity", found.severity and found.severity.value),
        ("priority", "" if found.priority is None else f"P{found.priority}{by}"),
        ("effort", known.get(found.effort, found.effort.value)),
        ("estimate", found.estimate_minutes is not None and f"{found.estimate_minutes} min"),
        ("risk", known.get(found.risk, found.risk.value)),
        ("confidence", found.confidence and found.confidence.value),
        ("tier", known.get(found.tier, found.tier.value)),
        ("type", found.type),
        ("labels", ", ".join(found.labels)),
        ("owner", found.owner),
        ("due", moments.shown(found.due_at)),
        ("part of", "" if found.parent is None else shown(found.parent)),
        ("parts", ", ".join(found.children)),
        ("waits for", ", ".join(found.blocked_by)),
        ("blocks", ", ".join(found.blocks)),
        ("files", ", ".join(files)),
        ("tasks", ", ".join(found.tasks)),
        ("elsewhere", ", ".join(f"{system}={name}" for system, name in found.refs.items())),
        ("origin", found.origin.value + (f", check {found.check_name}" if found.check_name is not None else "")),
        ("decided by", found.decided_by),
        ("assessed", found.assessed_at and f"{moments.shown(found.assessed_at)} by {found.assessed_by}"),
        ("first seen", moments.shown(found.first_seen_at)),
        ("last seen", moments.shown(found.last_seen_at)),
        ("merged into", "" if found.merged_into is None else shown(found.merged_into)),
        ("done", moments.shown(found.done_at) + (f" in {found.done_commit[:10]}" if found.done_commit else "")),
    ]


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
