"""The status report in words: a page as the vault's views are, and a few lines for a chat."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from shoal.clock import span
from shoal.daemon.built_ins.snapshot import SHOWN, Snapshot
from shoal.daemon.views.page import LONGEST_CELL, Cell, Markdown, Page, escaped, moment, section, shortened, table, view
from shoal.daemon.views.reads import QUEUES, SCANNED
from shoal.model.cost import CostSum, dollars
from shoal.model.task import Status, Task

NAME = "status report"
IN_CHAT = 3
LONGEST_IN_CHAT = 80
ENDS = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


def page(one: Snapshot, place: PurePosixPath) -> Page:
    """The whole report."""
    counts = one.totals | {
        "completed_in_a_day": one.ended.get(Status.COMPLETED, 0),
        "failed_in_a_day": one.ended.get(Status.FAILED, 0),
        "cost_usd_micros_today": one.today.cost_usd_micros,
        "jobs_failing": len(one.jobs),
    }
    return view(
        place,
        NAME,
        f"How the ledger stood at {moment(one.now)}.",
        counts,
        section("## Trouble", "\n".join(f"- {escaped(shortened(text, LONGEST_CELL))}" for text in one.troubles))
        if one.troubles
        else "",
        section("## Tasks", _counts(one), _in_a_day(one)),
        section(
            f"## At work ({one.totals[Status.ACTIVE]})",
            f"{_number(one.workers, 'worker')}. The longest held first.",
            _tasks(
                ["For", "Agent", "Attempt", "Title"],
                ([_age(one, task.claimed_at), task.assignee, task.attempt, task.title] for task in one.active),
                one.active,
            ),
        ),
        section(
            f"## Ready ({one.totals[Status.QUEUED]})",
            "What has waited the longest.",
            _tasks(
                ["For", "Queue", "Title"],
                ([_age(one, task.queued_at), task.queue, task.title] for task in one.queued),
                one.queued,
            ),
        ),
        section(
            "## Waiting for a person",
            f"In review ({one.totals[Status.REVIEW]}), then what somebody holds, the longest unchanged first, "
            f"up to {SHOWN} of each."
            + (f" Only the oldest {SCANNED} blocked tasks were looked through." if one.held_in_part else ""),
            _tasks(
                ["For", "Status", "Title", "Reason"],
                (
                    [_age(one, task.updated_at), task.status.value, task.title, task.hold_reason]
                    for task in [*one.review, *one.held]
                ),
                [*one.review, *one.held],
            ),
        ),
        section(
            f"## Failed in the last 24 hours ({_at_least(one)}{one.ended.get(Status.FAILED, 0)})",
            _tasks(
                ["Ago", "Attempt", "Title", "Reason"],
                ([_age(one, task.completed_at), task.attempt, task.title, task.last_error] for task in one.failed),
                one.failed,
            ),
        ),
        section(
            "## Spending",
            f"{_money(one.today)} today, {_money(one.spent)} in {_number(one.days, 'day')} with it (UTC).",
            table(["Agent", "Calls", "USD", "Without a price"], map(_spent, one.agents)) if one.agents else "",
        ),
        section(
            "## Jobs whose last run was bad",
            table(
                ["Job", "Run", "Status", "Ago", "Reason"],
                (
                    [run.job, run.run_id, run.status.value, _age(one, run.finished_at), run.reason]
                    for summary in one.jobs
                    if (run := summary.ended) is not None
                ),
            ),
        ),
    )


def chat(one: Snapshot) -> tuple[str, str]:
    """A title, and a few lines of markdown; what people and agents wrote stands in them as code, never as mark-up."""
    totals = ", ".join(
        f"{number} {status}" for status in Status if (number := one.totals[status]) and status not in ENDS
    )
    review = [f"{task.task_id} ({_age(one, task.updated_at)}) {_quoted(task.title)}" for task in one.review[:IN_CHAT]]
    held = [f"{task.task_id} {_quoted(task.hold_reason or '')}" for task in one.held[:IN_CHAT]]
    held += ["and more"] if len(one.held) > IN_CHAT else []
    failed = [f"{task.task_id} {_quoted(task.last_error or '')}" for task in one.failed[:IN_CHAT]]
    jobs = [f"{run.job} {run.status.value}: {_quoted(run.reason or '')}" for job in one.jobs if (run := job.ended)]
    lines = [
        f"**{totals or 'nothing to do'}**; {_number(one.workers, 'worker')}",
        _in_a_day(one),
        *(f"Ready for {_age(one, task.queued_at)}: {task.task_id} {_quoted(task.title)}" for task in one.queued[:1]),
        *(
            f"At work for {_age(one, task.claimed_at)}: {task.task_id} {_quoted(task.title)}, "
            f"{_quoted(task.assignee or 'nobody')}, attempt {task.attempt}"
            for task in one.active[:1]
        ),
        *_listed("In review", review, one.totals[Status.REVIEW]),
        *_listed("Held", held, len(held)),
        *_listed("Failed", failed, one.ended.get(Status.FAILED, 0)),
        f"Spent: {_money(one.today)} today, {_money(one.spent)} in {_number(one.days, 'day')}",
        *_listed("Failing jobs", jobs[:IN_CHAT], len(jobs)),
        *(f"Trouble: {_quoted(text)}" for text in one.troubles[:IN_CHAT]),
    ]
    return f"Shoal at {moment(one.now)}", "\n".join(f"- {line}" for line in lines)


def _counts(one: Snapshot) -> str:
    rows: list[list[Cell]] = [["all", *(one.totals[status] for status in Status)]]
    if len(one.by_queue) > 1:
        named = sorted(one.by_queue.items(), key=lambda queue: -sum(queue[1].values()))[:QUEUES]
        rows += [[name, *(counts.get(status, 0) for status in Status)] for name, counts in named]
    return table(["Queue", *(status.value.capitalize() for status in Status)], rows)


def _in_a_day(one: Snapshot) -> str:
    ended = ", ".join(f"{_at_least(one)}{one.ended.get(status, 0)} {status}" for status in ENDS)
    return f"In the last 24 hours: {ended}"


def _at_least(one: Snapshot) -> str:
    return "at least " if one.ended_in_part else ""


def _tasks(headers: list[str], rows: Iterable[list[Cell]], tasks: list[Task]) -> str:
    # By the name alone: where the file is changes with the task, and the report stays as it is.
    named = ([Markdown(f"[[{task.task_id}]]"), *row] for task, row in zip(tasks, rows, strict=True))
    return table(["Task", *headers], named)


def _spent(one: CostSum) -> list[Cell]:
    return [one.key, one.calls, dollars(one.cost_usd_micros), one.unpriced or None]


def _money(one: CostSum) -> str:
    unpriced = f" and {_number(one.unpriced, 'call')} without a price" if one.unpriced else ""
    return f"${dollars(one.cost_usd_micros)}{unpriced}"


def _age(one: Snapshot, since: int | None) -> str:
    return "" if since is None else span(one.now - since)


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _listed(what: str, shown: list[str], total: int) -> list[str]:
    more = f"; {total - len(shown)} more" if total > len(shown) else ""
    return [f"{what}: {'; '.join(shown)}{more}"] if shown else []


def _quoted(text: str, length: int = LONGEST_IN_CHAT) -> str:
    plain = shortened(" ".join(text.replace("`", "'").split()), length)
    return f"`{plain}`" if plain else "?"
