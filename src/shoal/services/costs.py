"""Costs: what every model call used, each counted once, with its price, on the account of what it was for. List prices
are services/prices.py's.

Sums are added up in the transaction that records the calls: they are whole numbers, and exact at any moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from shoal.clock import DAY_MS
from shoal.errors import BadInput
from shoal.model.cost import Cost, CostOutcome, CostSum, NewCost, Priced, Purpose, Usage, cost_from_row
from shoal.model.event import Kind
from shoal.model.fields import Count, Limit, Moment, Name, Positive, TaskRef
from shoal.model.item import Item, ItemRef
from shoal.model.page import Page, position
from shoal.model.session import Session, session_from_row
from shoal.model.task import Task
from shoal.services.item_numbers import get_item
from shoal.services.prices import list_price
from shoal.services.refs import get_task, task_number, unknown
from shoal.services.transaction import Tx
from shoal.services.verb import verb

EPOCH = date(1970, 1, 1).toordinal()
ACCOUNT = ("task", "item", "purpose", "check_name", "project")
COUNTED = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd_micros")
_json = msgspec.json.Encoder().encode


class Charge(NamedTuple):
    """A model call and whose account it goes on; `at` is epoch milliseconds."""

    usage: Usage
    agent: str
    at: int
    purpose: Purpose = Purpose.WORK
    task: Task | None = None
    attempt: int | None = None
    session: int | None = None
    configuration: str | None = None
    item: int = 0
    assessment: int | None = None
    check: str = ""
    project: str = ""


class AgentCosts(NamedTuple):
    """What an agent used with a model, the sum's key; `last_day` counts from 1970-01-01 UTC."""

    agent: str
    configuration: str
    last_day: int
    sum: CostSum


@verb("POST /costs", repeatable=True)
def record(tx: Tx, *, costs: Annotated[list[NewCost], Meta(max_length=1000)]) -> CostOutcome:
    """Put model calls on their accounts, all of them or none. Each is counted once, by its request key.

    A call whose key is known already is left as it was, whatever it says now. An attempt may have ended or lost its
    lease: the money was spent. Without an agent it is the session's, or the actor's.
    """
    tasks, sessions = _tasks(tx, costs), _sessions(tx, costs)
    spent = []
    for place, cost in enumerate(costs):
        _require_account(cost, f"costs[{place}]")
        if cost.task is None:
            spent.append(_of_no_task(tx, cost))
            continue
        task = tasks[cost.task]
        if cost.attempt is not None and cost.attempt > task.attempt:
            raise BadInput(
                f"{task.task_id} has had {task.attempt} attempts, there is no attempt {cost.attempt}; leave it out "
                "for a call outside of any",
                field=f"costs[{place}].attempt",
            )
        session = None if cost.session is None else sessions.get(cost.session)
        if cost.session is not None and (session is None or session.task != task.id):
            raise BadInput(f"{task.task_id} has no session {cost.session}", field=f"costs[{place}].session")
        spent.append(
            Charge(
                usage=cost,
                agent=cost.agent or (tx.actor if session is None else session.agent),
                at=tx.now if cost.at is None else cost.at,
                task=task,
                attempt=cost.attempt,
                session=cost.session,
                configuration=None if session is None else session.configuration,
            )
        )
    return put(tx, spent)


@verb("GET /costs")
def list_(
    tx: Tx,
    *,
    task: TaskRef | None = None,
    item: Annotated[ItemRef | None, Meta(description="Only calls to scope this work item.")] = None,
    agent: Name | None = None,
    session: Positive | None = None,
    after: Annotated[Count, Meta(description="Only calls behind this id.")] = 0,
    cursor: Annotated[Name | None, Meta(description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> Page[Cost]:
    """A page of the model calls, in the order in which they were recorded."""
    filters = {name: value for name, value in (("agent", agent), ("session", session)) if value is not None}
    if task is not None:
        filters["task"] = get_task(tx, task).id
    if item is not None:
        filters["item"] = get_item(tx, item).id
    start = after if cursor is None else position(cursor)
    rows = tx.all("costs.list", after=start, limit=limit, **filters)
    following = str(rows[-1][0]) if len(rows) == limit else None
    return Page([cost_from_row(row, tx.identity.prefix) for row in rows], next=following)


@verb("GET /costs/sums")
def sums(
    tx: Tx,
    *,
    by: Literal["account", "purpose", "task", "agent", "configuration", "model", "provider", "day"] = "account",
    task: TaskRef | None = None,
    item: Annotated[
        ItemRef | None, Meta(description="Only what it cost: to scope it, and to work on its tasks.")
    ] = None,
    since: Annotated[Moment | None, Meta(description="Only calls at this moment or later.")] = None,
    limit: Limit = 100,
) -> list[CostSum]:
    """What was used and spent, added up exactly by account, purpose, task, agent, configuration of an agent, model,
    provider or day.

    Those with the most money first; days newest first, in UTC. An account is a task (`T42`), a work item that was
    scoped (`W17`), a check of a project (`check doc-health of web`), or the priorities of one (`prioritise web`). By
    task, calls for anything else are left out.
    """
    given: dict[str, Any] = {f"by_{by}": True, "day": 0}
    if by == "account":
        given["prefix"] = tx.identity.prefix
    if task is not None:
        given["task"] = get_task(tx, task).id
    if item is not None:
        given["item"] = get_item(tx, item).id
    if since is not None:
        given["day"] = -(-since // DAY_MS)
        if since % DAY_MS:
            given["since"] = since
            given |= {f"of_{name}": given[name] for name in ("task", "item") if name in given}
    rows = tx.all("costs.sums", limit=limit, **given)
    return [CostSum(_key(tx, by, key), *counted) for key, *counted in rows]


def by_agent(tx: Tx) -> list[AgentCosts]:
    """What each agent used with each model in each of its configurations since the ledger began."""
    return [
        AgentCosts(agent, configuration, day, CostSum(model, *found))
        for agent, model, configuration, day, *found in tx.all("costs.by_agent")
    ]


def of_tasks(tx: Tx, tasks: list[Task]) -> list[int]:
    """What each of these tasks has cost, in millionths of a dollar."""
    return [int(row[0]) for [row] in tx.many("costs.of_task", [{"task": task.id} for task in tasks])]


def count_assessment(tx: Tx, *, item: Item, version: int, usages: list[Usage]) -> CostOutcome:
    """Put the model calls that an assessment took on the item's account."""
    return put(tx, [Charge(one, tx.actor, tx.now, Purpose.SCOPE, item=item.id, assessment=version) for one in usages])


def count(tx: Tx, *, task: Task, attempt: int | None, session: Session, usages: list[Usage], at: int) -> CostOutcome:
    """Put the model calls of a session on its task's account. What is known by its request key stays as it was."""
    return put(
        tx,
        [
            Charge(
                usage,
                session.agent,
                at,
                task=task,
                attempt=attempt,
                session=session.id,
                configuration=session.configuration,
            )
            for usage in usages
        ],
    )


def put(tx: Tx, spent: Iterable[Charge]) -> CostOutcome:
    """The same for calls of several accounts and agents.

    Call it once in a transaction: it takes rows in one order, so that transactions that meet wait and don't deadlock.
    """
    calls = list(spent)
    first: dict[str, Charge] = {}
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
        sums = _summed(counted, *ACCOUNT, "day", "agent", "provider", "model", "configuration")
        tx.all("costs.add", rows=_encoded(sums))
        _tell(tx, counted, {call.task.id: call.task for call in calls if call.task is not None})
    unpriced = sum(row["cost_usd_micros"] is None for row in counted)
    return CostOutcome(len(counted), len(calls) - len(counted), unpriced)


def _require_account(cost: NewCost, place: str) -> None:
    """Raises BadInput for a call that does not name the account that its purpose asks for, or names another, too."""
    named = [name for name in ("task", "item", "check", "project") if getattr(cost, name) is not None]
    needed, may = {
        Purpose.WORK: (["task"], ["task"]),
        Purpose.SCOPE: (["item"], ["item"]),
        Purpose.CHECK: (["check", "project"], ["check", "project"]),
        Purpose.PRIORITISE: ([], ["project"]),
    }[cost.purpose]
    if missing := [name for name in needed if name not in named]:
        raise BadInput(
            f"a call to {cost.purpose} is on the account of its {missing[0]}; say `{missing[0]}`, or another `purpose`",
            field=f"{place}.{missing[0]}",
        )
    if foreign := [name for name in named if name not in may]:
        raise BadInput(
            f"a call to {cost.purpose} is not on the account of a {foreign[0]}; leave it out, or say another `purpose`",
            field=f"{place}.{foreign[0]}",
        )
    if cost.task is None and (cost.attempt is not None or cost.session is not None):
        field = "attempt" if cost.attempt is not None else "session"
        raise BadInput(f"only a call on a task's account has `{field}`; leave it out", field=f"{place}.{field}")


def _of_no_task(tx: Tx, cost: NewCost) -> Charge:
    return Charge(
        usage=cost,
        agent=cost.agent or tx.actor,
        at=tx.now if cost.at is None else cost.at,
        purpose=cost.purpose,
        item=0 if cost.item is None else get_item(tx, cost.item).id,
        check=cost.check or "",
        project=cost.project or "",
    )


def _tasks(tx: Tx, costs: list[NewCost]) -> dict[str | int, Task]:
    numbers = {cost.task: task_number(tx, cost.task) for cost in costs if cost.task is not None}
    found = tx.many("tasks.get", [{"id": number} for number in numbers.values()])
    for ref, rows in zip(numbers, found, strict=True):
        if not rows:
            raise unknown(ref)
    return {ref: tx.task(rows[0]) for ref, rows in zip(numbers, found, strict=True)}


def _sessions(tx: Tx, costs: list[NewCost]) -> dict[int, Session]:
    ids = sorted({cost.session for cost in costs if cost.session is not None})
    rows = (row for found in tx.many("sessions.get", [{"id": id} for id in ids]) for row in found)
    return {row[0]: session_from_row(row, tx.identity.prefix) for row in rows}


def _key(tx: Tx, by: str, key: Any) -> str:
    if by == "task":
        return tx.shown(key)
    return date.fromordinal(EPOCH + key).isoformat() if by == "day" else str(key)


def _row(call: Charge) -> dict[str, Any]:
    usage = call.usage
    cost, priced = usage.cost_usd_micros, Priced.REPORTED
    if cost is None:
        cost = list_price(usage, call.at)
        priced = Priced.UNKNOWN if cost is None else Priced.LIST
    return {
        "at": call.at,
        "day": call.at // DAY_MS,
        "task": 0 if call.task is None else call.task.id,
        "item": call.item,
        "assessment": call.assessment,
        "purpose": call.purpose,
        "check_name": call.check,
        "project": call.project,
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
        "configuration": call.configuration or "",
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
    return [
        found
        for _, found in sorted(sums.items(), key=lambda one: tuple(0 if part is None else part for part in one[0]))
    ]


def _tell(tx: Tx, counted: list[dict[str, Any]], tasks: dict[int, Task]) -> None:
    for found in _summed(counted, *ACCOUNT, "attempt", "session", "agent", "provider", "model"):
        task, attempt, item = tasks.get(found.pop("task")), found.pop("attempt"), found.pop("item")
        found["check"] = found.pop("check_name")
        for name in ("check", "project", "session"):
            if not found[name]:
                del found[name]
        if found["unpriced"] == found["calls"]:
            found["cost_usd_micros"] = None
        was = None if task is None else task.status.value
        tx.emit(Kind.COST_RECORDED, task, was=was, attempt=attempt, data=found, item=item or None)


def _encoded(rows: Iterable[dict[str, Any]]) -> str:
    return _json(list(rows)).decode()
