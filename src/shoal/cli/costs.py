"""`shoal costs`: what model calls used and cost."""

from __future__ import annotations

from typing import Any

import click

from shoal.cli.moments import PAST, shown
from shoal.cli.session import Function, Session, command, given
from shoal.model.cost import Cost, CostSum, dollars

BY = ["account", "purpose", "task", "agent", "configuration", "model", "provider", "day"]
COUNTS = ["Calls", "Input", "From cache", "Output", "USD", "Without a price"]


@click.group(
    invoke_without_command=True, epilog="Examples: shoal costs; shoal costs --by agent --since 7d; shoal costs task T42"
)
@click.option("--by", type=click.Choice(BY), default="account", show_default=True, help="What is added up.")
@click.option("--since", type=PAST, help="Only calls since then: 7d, 2026-12-24.")
@click.option("-n", "--limit", type=int, default=50, show_default=True, help="How many lines.")
@command
def costs(session: Session, by: str, since: int | None, limit: int) -> None:
    """What model calls used and cost."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    found = session.ledger.costs.sums(limit=limit, **given(by=by, since=since))

    def show() -> None:
        from shoal.cli import output

        empty = "No model call has been recorded."
        output.table([by.capitalize(), *COUNTS], [(one.key, *_cells(one)) for one in found], empty=empty)

    session.answer(found, show, ids=[one.key for one in found])


def _paged(function: Function) -> Function:
    """The options of a list of calls."""
    for option in (
        click.option("--all", "every", is_flag=True, help="Every page."),
        click.option("--cursor", help="Where the page begins: 'next' of the page before."),
        click.option("-n", "--limit", type=int, default=50, show_default=True, help="Calls per page."),
    ):
        function = option(function)
    return function


@costs.command(epilog="Example: shoal costs task T42 --all")
@click.argument("task")
@_paged
@command
def task(session: Session, task: str, **paging: Any) -> None:
    """Show each model call on the account of a task, and their sum."""
    _calls(session, "task", task, **paging)


@costs.command(epilog="Example: shoal costs item W17 --all")
@click.argument("item")
@_paged
@command
def item(session: Session, item: str, **paging: Any) -> None:
    """Show each model call to scope a work item, their sum, and those of its tasks."""
    _calls(session, "item", item, **paging)


def _calls(session: Session, kind: str, ref: str, *, limit: int, cursor: str | None, every: bool) -> None:
    chosen: dict[str, Any] = {kind: ref}
    page = session.ledger.costs.list(limit=limit, **chosen, **given(cursor=cursor))
    found, following = list(page), page.next
    while every and following:
        page = session.ledger.costs.list(limit=limit, cursor=following, **chosen)
        found += page
        following = page.next
    sums = session.ledger.costs.sums(**chosen)
    if session.json:
        session.print_json({"calls": found, "sums": sums}, next=following)
        return

    def show() -> None:
        from shoal.cli import output

        rows = [(shown(one.at), one.agent, one.model, *_tokens(one), _price(one)) for one in found]
        columns = ["When", "Agent", "Model", "Input", "From cache", "Output", "USD"]
        output.table(columns, rows, empty=f"No model call of this {kind} has been recorded.", grows="Model")
        if following:
            click.echo(f"More: shoal costs {kind} {ref} --cursor {following}, or --all", err=True)
        for one in sums:
            output.sentence(f"{one.key}: {told(one)}")

    session.answer(found, show, ids=[one.id for one in found])


@costs.command(
    epilog="Example: shoal costs add T42 --model gpt-5 --provider openai --key resp_1 --input 900 --output 80"
)
@click.argument("task")
@click.option("--provider", required=True, help="Whose model it was: anthropic, openai.")
@click.option("--model", required=True, help="The model.")
@click.option("--key", "request_key", required=True, help="What the call is known by; the same key is counted once.")
@click.option("--input", "input_tokens", type=int, help="Input tokens, without those of a cache.")
@click.option("--output", "output_tokens", type=int, help="Output tokens, with those of reasoning.")
@click.option("--cache-read", "cache_read_tokens", type=int, help="Input tokens read from a cache.")
@click.option("--cache-write", "cache_write_tokens", type=int, help="Input tokens written to a cache.")
@click.option("--usd-micros", "cost_usd_micros", type=int, help="Millionths of a dollar; else the list price.")
@click.option("--attempt", type=int, help="The attempt that made the call.")
@click.option("--agent", help="The agent; else who you are.")
@click.option("--at", type=PAST, help="When; else now.")
@command
def add(session: Session, task: str, **options: Any) -> None:
    """Record one model call of a task."""
    outcome = session.ledger.costs.record(costs=[given(task=task, **options)])

    def show() -> None:
        from shoal.cli import output

        output.sentence("counted" if outcome.counted else "known already: nothing was counted")
        if outcome.unpriced:
            model = f"{options['provider']}/{options['model']}"
            output.sentence(f"no list price of {model} is known: it stays without one; --usd-micros gives one")

    session.answer(outcome, show)


def told(one: CostSum) -> str:
    """A sum on one line."""
    percent = "" if one.cached_percent is None else f", {one.cached_percent} % of the input from a cache"
    unpriced = f", {one.unpriced} without a known price" if one.unpriced else ""
    calls = f"{one.calls} call{'' if one.calls == 1 else 's'}"
    tokens = f"{one.all_input_tokens} tokens in, {one.output_tokens} out"
    if one.unpriced == one.calls:
        return f"an unknown price, {calls}; {tokens}{percent}"
    return f"{dollars(one.cost_usd_micros)} USD in {calls}{unpriced}; {tokens}{percent}"


def _cells(one: CostSum) -> tuple[Any, ...]:
    price = "unknown" if one.unpriced == one.calls else dollars(one.cost_usd_micros)
    return (one.calls, *_tokens(one), price, one.unpriced or "")


def _tokens(one: CostSum | Cost) -> tuple[Any, ...]:
    total = one.input_tokens + one.cache_read_tokens + one.cache_write_tokens
    return total, f"{100 * one.cache_read_tokens // total} %" if total else "", one.output_tokens


def _price(one: Cost) -> str:
    """The money of one call, and where it is from: what the agent reported, or the list."""
    return one.priced if one.cost_usd_micros is None else f"{dollars(one.cost_usd_micros)} {one.priced}"
