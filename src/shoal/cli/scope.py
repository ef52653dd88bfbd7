"""`shoal scope`: what accepted items take, by a model or by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoal.cli.output import clean
from shoal.cli.session import Session, command
from shoal.errors import BadInput
from shoal.model.cost import dollars

if TYPE_CHECKING:
    from shoal.errands.scoping import Batch, Prepared, Scoped, Scoping
    from shoal.model.assessment import Assessed
    from shoal.model.item import Item

FAILED, STOPPED = 1, 130
BAR = 24  # signs


@click.command(
    epilog="Examples: shoal scope W17; shoal scope --batch --project web --limit 20 --max-usd 1; "
    "shoal scope W17 --dry-run; shoal scope W17 --by-hand; shoal scope W17 --from answer.yaml"
)
@click.argument("items", nargs=-1)
@click.option("--batch", is_flag=True, help="All items that are accepted and that nobody has assessed.")
@click.option("--project", help="With --batch: only of this project.")
@click.option("--limit", type=click.IntRange(min=1), help="With --batch: no more items than that.")
@click.option("--oldest", is_flag=True, help="With --batch: the oldest first; else the newest.")
@click.option("--max-usd", type=click.FloatRange(min=0), help="Stop before more is spent; else max_usd of [backlog].")
@click.option("--no-limit", is_flag=True, help="Spend without a limit, as for a model that has no list price.")
@click.option("--force", is_flag=True, help="Ask again about what is as it was.")
@click.option("--model", help="What is asked, as anthropic:claude-haiku-4-5; else model of [backlog].")
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and the most that it may cost; send nothing.")
@click.option("--by-hand", is_flag=True, help="Fill in a form in $EDITOR; no model is asked.")
@click.option("--from", "file", type=click.Path(), help="The filled-in form: a file of JSON, TOML or YAML; - reads it.")
@command
def scope(
    session: Session,
    items: tuple[str, ...],
    batch: bool,
    project: str | None,
    limit: int | None,
    oldest: bool,
    max_usd: float | None,
    no_limit: bool,
    force: bool,
    model: str | None,
    dry_run: bool,
    by_hand: bool,
    file: str | None,
) -> int:
    """Say what accepted items take: effort, risk, files, sub-tasks, what comes before.

    A model reads the item and code around it, and its answer is kept as a suggestion with its cost. Secrets are taken
    out of what it is sent. Exit code 1 when it failed for some, 130 when you stopped it; what was done stays.
    """
    if batch == bool(items):
        raise click.UsageError("name items (W17 W18), or say --batch")
    if not batch and (project or limit or oldest):
        raise click.UsageError("--project, --limit and --oldest are for --batch")
    if no_limit and max_usd is not None:
        raise click.UsageError("--no-limit or --max-usd, not both")
    if (by_hand or file is not None) and (batch or len(items) != 1 or dry_run or model):
        raise click.UsageError("--by-hand and --from are for one item, and for no model")
    from shoal.errands.scoping import Scoping

    settings = session.home.settings()
    scoping = Scoping(session.ledger, session.home, settings, model=model)
    if by_hand or file is not None:
        return _by_hand(session, scoping, items[0], file)
    wanted: list[Item] = [session.ledger.items.get(one) for one in dict.fromkeys(items)]
    if batch:
        wanted = scoping.waiting(project, oldest_first=oldest, limit=limit)
    scoping.require_accepted(wanted)
    if dry_run:
        return _dry_run(session, scoping, wanted)
    spend = None
    if not no_limit:
        usd = settings.backlog.max_usd if max_usd is None else max_usd
        # Who names items, and no limit, may ask models whose price nobody knows.
        spend = None if not batch and max_usd is None and scoping.has_no_price() else round(usd * 1_000_000)
    return _run(session, scoping, wanted, spend, force=force)


def _run(session: Session, scoping: Scoping, items: list[Item], spend: int | None, *, force: bool) -> int:
    from shoal.errands.scoping import Batch, run

    batch = Batch(total=len(items), limit_usd_micros=spend)
    progress = _progress(session)
    code = 0
    try:
        for one in run(scoping, items, batch, force=force, tell=progress) if items else ():
            if one.outcome == "failed" and not session.json:
                _say(f"{one.item_id} failed: {one.error}")
    except KeyboardInterrupt:
        batch.stopped, code = "you stopped it", STOPPED
    finally:
        _clear(session)
    for note in batch.notes:
        if not session.json:
            _say(note)
    if batch.stopped is not None and not session.json:
        _say(f"stopped: {batch.stopped}")
    if batch.stopped is not None or any(one.outcome == "failed" for one in batch.done):
        code = code or FAILED
    done = [one.item_id for one in batch.done if one.outcome != "failed"]
    session.answer(batch, lambda: _summary(batch), ids=done)
    return code


def _summary(batch: Batch) -> None:
    from shoal.cli import output

    rows = [_row(one) for one in batch.done if one.outcome != "failed"]
    columns = ["Item", "Effort", "Risk", "Sure", "Files", "Parts", "USD", "Title"]
    if rows:
        output.table(columns, rows, empty="", grows="Title")
    unpriced = [one for one in batch.done if one.cost_usd_micros is None]
    unknown = sum(one.reckoned_usd_micros is None for one in unpriced)
    reckoned = len(unpriced) - unknown
    counts = [
        f"{sum(one.outcome == kind for one in batch.done)} {kind}" for kind in ("assessed", "unchanged", "failed")
    ]
    left = batch.total - len(batch.done)
    told = ", ".join([*(one for one in counts if not one.startswith("0 ")), *([f"{left} left"] if left else [])])
    price = ", ".join([
        f"{dollars(batch.spent_usd_micros)} USD",
        *([f"{reckoned} reckoned at the most that may have been"] if reckoned else []),
        *([f"{unknown} without a known price"] if unknown else []),
    ])  # fmt: skip
    output.sentence(f"{told}; {price}" if told else "Nothing to assess: no accepted item waits for it.")
    for one in batch.done:
        for line in _unmatched(one.assessed):
            output.sentence(f"{one.item_id}: {line}")


def _row(one: Scoped) -> tuple[object, ...]:
    if one.assessed is None:
        return (one.item_id, "", "", "", "", "", "unchanged", one.name)
    item, answer = one.assessed.item, one.assessed.assessment.answer
    sure = item.confidence.value if item.confidence else ""
    files, parts = (len(answer.files), len(answer.sub_tasks)) if answer is not None else (0, 0)
    return (one.item_id, item.effort.value, item.risk.value, sure, files, parts, _cost(one), item.name)


def _cost(one: Scoped) -> str:
    if one.cost_usd_micros is not None:
        return dollars(one.cost_usd_micros)
    return "unknown" if one.reckoned_usd_micros is None else f"at most {dollars(one.reckoned_usd_micros)}"


def _unmatched(assessed: Assessed | None) -> list[str]:
    """What a person should look at: names of other items that fit none, and files that are not there."""
    if assessed is None:
        return []
    kinds = (("waits for", assessed.dependencies), ("overlaps with", assessed.overlaps))
    lines = [
        f"{kind} {one.text!r}: {one.how}"
        for kind, mentioned in kinds
        for one in mentioned
        if one.how in ("no such item", "would make a circle")
    ]
    missing = assessed.assessment.answer.missing_files if assessed.assessment.answer is not None else []
    return [*lines, *([f"names files that are not there: {', '.join(missing)}"] if missing else [])]


def _dry_run(session: Session, scoping: Scoping, items: list[Item]) -> int:
    prepared = [scoping.prepare(one) for one in items]
    if session.json:
        session.print_json([_told(scoping, one) for one in prepared])
        return 0

    def show() -> None:
        from shoal.cli import output

        rows = [
            (
                *(one.item.item_id, f"{one.tokens:,}", len({file.path for file in one.material.excerpts})),
                "unknown" if one.most_usd_micros is None else dollars(one.most_usd_micros),
                *("yes" if scoping.is_known(one) else "", one.item.name),
            )
            for one in prepared
        ]
        columns = ["Item", "Tokens", "Files", "USD at most", "As it was", "Name"]
        output.table(columns, rows, empty="Nothing to assess.", grows="Name")
        if len(prepared) == 1:
            click.echo(clean(scoping.whole_prompt(prepared[0]), lines=True))
        for note in dict.fromkeys(one.note for one in prepared if one.note):
            _say(note)

    session.answer(prepared, show, ids=[one.item.item_id for one in prepared])
    return 0


def _told(scoping: Scoping, one: Prepared) -> dict[str, object]:
    return {
        "item_id": one.item.item_id,
        "tokens": one.tokens,
        "most_usd_micros": one.most_usd_micros,
        "unchanged": scoping.is_known(one),
        "input_hash": one.input_hash,
        "excerpts": one.material.excerpts,
        "prompt": scoping.whole_prompt(one),
        "note": one.note,
    }


def _by_hand(session: Session, scoping: Scoping, ref: str, file: str | None) -> int:
    from shoal.errands import scope_form

    item = session.ledger.items.get(ref)
    if file is None:
        scoping.require_accepted([item])  # before somebody fills the form in
        blank = scope_form.blank(item)
        text, name = click.edit(blank, extension=".toml"), "the form.toml"
        if text is None or text == blank:
            raise BadInput("the form was not filled in; nothing is kept", field="by-hand")
    elif file == "-":
        text, name = sys.stdin.read(), "standard input"
    else:
        text, name = Path(file).read_text(encoding="utf-8", errors="replace"), file
    assessed = scoping.by_hand(item, scope_form.read(text, name))

    def show() -> None:
        from shoal.cli import output

        kept = assessed.item
        output.sentence(f"{kept.item_id} assessed: effort {kept.effort.value}, risk {kept.risk.value}; {kept.name}")
        for line in _unmatched(assessed):
            output.sentence(f"{kept.item_id}: {line}")

    session.answer(assessed, show, ids=[assessed.item.item_id])
    return 0


def _progress(session: Session) -> Callable[[Batch, Item], None]:
    """A bar on standard error, where somebody looks at it."""

    def tell(batch: Batch, item: Item) -> None:
        if _is_watched(session) and batch.total:
            done = len(batch.done)
            bar = "#" * (BAR * done // batch.total)
            spent = dollars(batch.spent_usd_micros)
            text = f"[{bar:<{BAR}}] {done}/{batch.total}  {spent} USD  {item.item_id} {item.name}"
            click.echo(f"\r\x1b[K{clean(text)[: _width() - 1]}", nl=False, err=True)

    return tell


def _say(text: str) -> None:
    click.echo(("\r\x1b[K" if sys.stderr.isatty() else "") + clean(text, lines=True), err=True)


def _clear(session: Session) -> None:
    if _is_watched(session):
        click.echo("\r\x1b[K", nl=False, err=True)


def _is_watched(session: Session) -> bool:
    return sys.stderr.isatty() and not session.quiet


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns
