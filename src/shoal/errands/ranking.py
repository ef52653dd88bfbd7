"""Priorities by a model over many assessed items at once. What stands whatever it says: services/priorities.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from shoal.adapters.llm import prioritiser
from shoal.adapters.llm.model import DEFAULT, Model, most_used
from shoal.adapters.screens.secrets import redacted
from shoal.errands.scoping import cost_of, record
from shoal.errors import ModelError, Refused
from shoal.model.cost import Purpose, dollars
from shoal.model.item import CLOSED, ItemDetail
from shoal.model.priority import NewPriority, Prioritised
from shoal.settings import Settings

if TYPE_CHECKING:
    from shoal.ledger import Ledger

PAGE = 500
SUMMARY = 400  # characters


class Question(Struct, frozen=True, kw_only=True):
    """What a model would be asked, and the most that it may cost; null where no list has a price.

    `left` items are too many for it.
    """

    model: str
    items: list[prioritiser.Known]
    goals: list[str]
    left: int
    most_usd_micros: int | None

    @property
    def prompt(self) -> str:
        """All that would be sent."""
        return f"{prioritiser.SYSTEM}\n\n{prioritiser.prompt(self.items, self.goals)}"

    @property
    def tokens(self) -> int:
        """About how many are sent."""
        return len(self.prompt) // 4


class Ranked(Struct, frozen=True, kw_only=True):
    """What came of it. `left` items were too many for it; `cost_usd_micros` is null where no list has a price."""

    prioritised: Prioritised
    left: int
    cost_usd_micros: int | None


def question(
    ledger: Ledger, settings: Settings, *, model: str | None, items: Sequence[str] = (), project: str | None = None
) -> Question:
    """What a model would be asked about assessed items; nothing is sent. Raises Refused when none is assessed."""
    found = _assessed(ledger, items, project)
    chosen = found[: prioritiser.AT_ONCE]
    if not chosen:
        raise Refused("no item is assessed, so there is nothing to put in order: `shoal scope W1`", field="items")
    known = [_known(ledger.items.get(number)) for number in chosen]
    goals = [goal for name, one in settings.projects.items() if project in (None, name) for goal in one.goals]
    name = model or settings.backlog.model or DEFAULT
    most = cost_of(most_used(name, prioritiser.SYSTEM, prioritiser.prompt(known, goals)))
    return Question(model=name, items=known, goals=goals, left=len(found) - len(chosen), most_usd_micros=most)


def rank(
    ledger: Ledger, settings: Settings, asked: Question, *, project: str | None = None, all: bool = False
) -> Ranked:
    """Ask a model to put assessed items in order, keep what it says, and what that cost, whatever comes of it.

    Raises NotConfigured, ModelError, and Refused when it could cost more than max_usd of [backlog].
    """
    most = asked.most_usd_micros
    if most is not None and most > round(settings.backlog.max_usd * 1_000_000):
        raise Refused(f"that may cost {dollars(most)} USD; raise max_usd in [backlog], or name fewer items")
    with Model(asked.model, base_url=settings.backlog.base_url) as model:
        reply = prioritiser.prioritise(model, asked.items, asked.goals)
    record(ledger, reply.calls, purpose=Purpose.PRIORITISE, **({} if project is None else {"project": project}))
    if reply.stopped:
        raise KeyboardInterrupt
    if reply.value is None:
        raise reply.error or ModelError(f"{asked.model} gave no answer")
    given = [
        NewPriority(item=one.item, priority=one.priority, sort_order=one.sort_order, reason=one.reason)
        for one in reply.value.items
    ]
    came = ledger.items.set_priorities(priorities=given, by=f"model:{asked.model}", all=all)
    return Ranked(prioritised=came, left=asked.left, cost_usd_micros=cost_of(reply.calls))


def _assessed(ledger: Ledger, items: Sequence[str], project: str | None) -> list[int]:
    if items:
        named = [ledger.items.get(one) for one in dict.fromkeys(items)]
        for item in named:  # before anything is paid
            if item.assessed_at is None or item.status in CLOSED:
                raise Refused(
                    f"{item.item_id} is not assessed, or is over; `shoal scope {item.item_id}`", field="items"
                )
        return [one.id for one in named]
    found: list[int] = []
    cursor: str | None = None
    filters = {} if project is None else {"project": project}
    while True:
        page = ledger.items.list(status="assessed", limit=PAGE, cursor=cursor, **filters)  # type: ignore[arg-type]
        found += [one.id for one in page]
        cursor = page.next
        if cursor is None:
            return found


def _known(item: ItemDetail) -> prioritiser.Known:
    return prioritiser.Known(
        item=item.item_id,
        name=redacted(item.name)[:200],
        summary=" ".join(redacted(item.summary or "").split())[:SUMMARY],
        effort=item.effort.value,
        risk=item.risk.value,
        severity=None if item.severity is None else item.severity.value,
        waits_for=item.blocked_by,
    )
