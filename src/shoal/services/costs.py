"""Costs: what every model call used, each counted once, with its price. List prices are services/prices.py's.

Sums are added up in the transaction that records the calls: they are whole numbers, and exact at any moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from shoal.model.cost import CostOutcome, Usage
from shoal.model.event import Kind
from shoal.model.task import Task
from shoal.services.prices import list_price
from shoal.services.transaction import Tx

DAY_MS = 86_400_000
COUNTED = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd_micros")
_json = msgspec.json.Encoder().encode


class Spent(NamedTuple):
    """A model call and whose account it goes on; `at` is epoch milliseconds."""

    usage: Usage
    task: Task
    attempt: int | None
    session: int | None
    agent: str
    at: int


def count(
    tx: Tx, *, task: Task, attempt: int | None, session: int | None, agent: str, usages: list[Usage], at: int
) -> CostOutcome:
    """Put the model calls of one agent on a task's account. What is known by its request key stays as it was."""
    return put(tx, [Spent(usage, task, attempt, session, agent, at) for usage in usages])


def put(tx: Tx, spent: Iterable[Spent]) -> CostOutcome:
    """The same for calls of several tasks and agents.

    Call it once in a transaction: it takes rows in one order, so that transactions that meet wait and don't deadlock.
    """
    calls = list(spent)
    first: dict[str, Spent] = {}
    for call in calls:
        first.setdefault(call.usage.request_key, call)
    keys = _encoded({"request_key": key} for key in first)
    for (key,) in tx.all("costs.known", rows=keys) if first else ():
        del first[key]
    if not first:
        return CostOutcome(0, len(calls))
    rows = {key: _row(call) for key, call in sorted(first.items())}
    inserted = tx.all("costs.insert", rows=_encoded(rows.values()))
    counted = [rows[key] for (key,) in inserted]
    if counted:
        sums = _summed(counted, "task", "day", "agent", "provider", "model")
        tx.all("costs.add", rows=_encoded(sums))
        _tell(tx, counted, {call.task.id: call.task for call in calls})
    return CostOutcome(len(counted), len(calls) - len(counted))


def _row(call: Spent) -> dict[str, Any]:
    usage = call.usage
    cost, priced = usage.cost_usd_micros, "reported"
    if cost is None:
        cost = list_price(usage, call.at)
        priced = "unknown" if cost is None else "list"
    return {
        "at": call.at,
        "day": call.at // DAY_MS,
        "task": call.task.id,
        "attempt": call.attempt,
        "session": call.session,
        "agent": call.agent,
        "provider": usage.provider,
        "model": usage.model,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cost_usd_micros": cost,
        "priced": priced,
        "request_key": usage.request_key,
    }


def _summed(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """The rows added up by these columns, in the order of them."""
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        found = sums.get(key)
        if found is None:
            found = sums[key] = dict(zip(names, key, strict=True)) | dict.fromkeys(("calls", *COUNTED, "unpriced"), 0)
        found["calls"] += 1
        found["unpriced"] += row["cost_usd_micros"] is None
        for name in COUNTED:
            found[name] += row[name] or 0
    # A row may have no attempt or session: numbers and None have no order, 0 is nobody's.
    return [found for _, found in sorted(sums.items(), key=lambda one: tuple(part or 0 for part in one[0]))]


def _tell(tx: Tx, counted: list[dict[str, Any]], tasks: dict[int, Task]) -> None:
    for found in _summed(counted, "task", "attempt", "session", "agent", "provider", "model"):
        task, attempt = tasks[found.pop("task")], found.pop("attempt")
        if found["session"] is None:
            del found["session"]
        if found["unpriced"] == found["calls"]:
            found["cost_usd_micros"] = None
        tx.emit(Kind.COST_RECORDED, task, was=task.status.value, attempt=attempt, data=found)


def _encoded(rows: Iterable[dict[str, Any]]) -> str:
    return _json(list(rows)).decode()
