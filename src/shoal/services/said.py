"""Reports that may be said twice, because nobody knows whether the first was heard: their ids stand in the log."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shoal.model.event import Kind
from shoal.services.transaction import Tx

Report = Annotated[
    str,
    Meta(pattern=r"^[0-9a-f]{16}(?![\s\S])", description="An id of the report, for when it may have to be said again."),
]
Again = Annotated[bool, Meta(description="The report may have been heard before; it counts once.")]


def before(tx: Tx, task: int, kind: Kind, report: str | None, *, again: bool) -> bool:
    """Whether a report that is said again is in the log. To be asked when the task is locked."""
    if report is None or not again:
        return False
    return tx.one("events.later", task=task, after=0, kind=kind.value, data=f'%"report":"{report}"%') is not None


def told(report: str | None) -> dict[str, str]:
    """What of it stands in the event."""
    return {} if report is None else {"report": report}
