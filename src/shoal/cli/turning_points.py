"""What became of a task's attempts, a line each: why it runs again, waits, or was given up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shoal.cli import moments
from shoal.model.event import Event, Kind

SHOWN = 300
# Those that say why an agent begins, goes on, or does not.
KINDS = frozenset(
    {
        Kind.TASK_CLAIMED,
        Kind.TASK_VERIFIED,
        Kind.TASK_RETRIED,
        Kind.TASK_RELEASED,
        Kind.TASK_FAILED,
        Kind.TASK_EXPIRED,
        Kind.TASK_REJECTED,
        Kind.TASK_REOPENED,
    }
)
_BAD = frozenset({Kind.TASK_RETRIED, Kind.TASK_FAILED, Kind.TASK_EXPIRED, Kind.TASK_REJECTED})


def line(event: Event) -> str:
    """The event with its reason: `task.retried: exit 1 · again in 5s · T42 is scheduled`."""
    head = f"{event.kind}: {shortened(reason)}" if (reason := _reason(event)) else str(event.kind)
    return " · ".join([head, *_consequences(event)])


def is_why(event: Event) -> bool:
    """Whether it says why the attempt after it was made."""
    return event.kind in _BAD | {Kind.TASK_RELEASED, Kind.TASK_REOPENED}


def style(event: Event) -> dict[str, Any]:
    """How it stands out: red for what went wrong."""
    return {"fg": "red"} if event.kind in _BAD or event.data.get("failed") else {"fg": "bright_black"}


def shortened(text: str) -> str:
    """On one line, and not too long for one."""
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _reason(event: Event) -> str:
    data = event.data
    match event.kind:
        case Kind.TASK_CLAIMED:
            worker = _new(event, "worker") or data.get("worker") or event.actor
            return f"attempt {event.attempt} by {worker}"
        case Kind.TASK_VERIFIED:
            return _verdict(data.get("failed") or [], data.get("manual") or [])
    error = _new(event, "last_error") or data.get("error") or data.get("reason") or data.get("notes")
    return str(error or "")


def _verdict(failed: list[str], manual: list[str]) -> str:
    parts = []
    if failed:
        parts.append("does not hold: " if len(failed) == 1 else f"{len(failed)} do not hold: ")
        room = SHOWN // len(failed)
        parts[0] += "; ".join(one if len(one) <= room else f"{one[: room - 1]}…" for one in map(_on_one_line, failed))
    if manual:
        parts.append(f"a person must judge: {'; '.join(manual)}")
    return ", ".join(parts) or "everything holds"


def _consequences(event: Event) -> Iterator[str]:
    if event.kind == Kind.TASK_RETRIED and (wait := event.data.get("retry_after_ms")):
        yield f"again in {moments.span(wait)}"
    if event.kind != Kind.TASK_CLAIMED and (status := _new(event, "status")):
        yield f"{event.task_id} is {status}"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _new(event: Event, field: str) -> Any:
    change = event.changes.get(field)
    return None if change is None else change[1]
