"""`shoal triage`: new work items one by one, a key each; or as the rules of the settings have it."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.output import remark
from shoal.cli.session import Session, command, given
from shoal.errors import ShoalError
from shoal.model.item import NO_WORK, Item, ItemDetail, Severity

if TYPE_CHECKING:
    from shoal.cli.keys import Keys
    from shoal.model.triage import Decision

KEYS = {
    "a": "accept",
    "r": "reject",
    "s": "skip",
    "e": "edit its title",
    "p": "priority, then 0-3, or - for none",
    "u": "undo the last step",
    "q": "quit",
    "?": "this",
}
PAGE = 1000
RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, None: 2, Severity.INFO: 3}
DONE = {"accept": "accepted", "reject": "rejected", "leave": "left to you"}


@click.command(epilog="Examples: shoal triage; shoal triage --project web; shoal triage --rules --dry-run")
@click.option("--project", help="Only items of this project.")
@click.option("--rules", is_flag=True, help="Let the rules of the settings, [triage.NAME], decide.")
@click.option("--dry-run", is_flag=True, help="With --rules: only show what each would take.")
@command
def triage(session: Session, project: str | None, rules: bool, dry_run: bool) -> None:
    """Decide about new work items, one key each; or let the rules decide.

    a accepts, r rejects, s skips, e edits the title, p gives a priority, u undoes the last step, q quits, ? helps.
    What is decided holds at once.
    """
    if rules:
        _by_rules(session, project, dry_run=dry_run)
        return
    if dry_run:
        raise click.UsageError("--dry-run is for --rules")
    if session.json or session.quiet or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(
            "triage asks about each item, and needs a terminal for it. Without one: `shoal triage --rules`, or "
            "`shoal backlog list -s new` and `shoal item accept W1 W2`"
        )
    from shoal.cli.keys import Keys

    with Keys() as keys:
        Triage(session, project, keys).run()


def _by_rules(session: Session, project: str | None, *, dry_run: bool) -> None:
    from shoal.errands.changed_files import changed_files

    settings = session.home.settings()
    changed, problems = changed_files(settings, session.home.folder, project=project)
    taken: list[Decision] = []
    notes = [f"cannot ask git about {problem}" for problem in problems]
    left, after = 0, 0
    while True:
        came = session.ledger.items.triage(changed=changed, dry_run=dry_run, after=after, **given(project=project))
        taken += came.decisions
        notes += [note for note in came.notes if note not in notes]
        left += came.left
        if came.next is None:
            break
        after = came.next

    def show() -> None:
        from shoal.cli import output

        rows = [
            (one.item_id, DONE[one.then], one.rule, one.why, ", ".join(one.queued), " ".join(one.name.split()))
            for one in taken
        ]
        if rows:
            output.table(["Item", "Then", "Rule", "Why", "Tasks", "Name"], rows, empty="", grows="Name")
        elif left and not settings.triage:
            output.sentence("There are no rules. Write one into shoal.toml: [triage.docs] then = 'accept' …")
        counts: Counter[str] = Counter(one.then for one in taken)
        said = [f"{counts[then]} {words}" for then, words in DONE.items() if then != "leave"]
        would = "This would be: " if dry_run else ""
        output.sentence(f"{would}{', '.join(said)}, {left} left to you")
        for note in notes:
            output.remark(f"note: {note}")

    session.answer(
        {"decisions": taken, "left": left, "notes": notes, "dry_run": dry_run},
        show,
        ids=[one.item_id for one in taken if one.then != "leave"],
    )


class Triage:
    """One sitting. Each step is remembered with the event that it made, so that it can be taken back."""

    def __init__(self, session: Session, project: str | None, keys: Keys) -> None:
        self._ledger = session.ledger
        self._project = project
        self._keys = keys
        self._items: list[Item] = []
        self._at = 0
        self._steps: list[tuple[int, str, int | None]] = []  # place, what was done, its event
        self._files: dict[tuple[str, str], list[Item]] = {}

    def run(self) -> None:
        """From the first item to the last, or until `q`."""
        self._items = self._new()
        if not self._items:
            click.echo("Nothing to decide about. Find something: shoal scan, or shoal item add 'Fix the login'")
            return
        with suppress(KeyboardInterrupt):  # also between two keys: what was decided holds, and is told
            self._decide()
        counts = Counter(done for _, done, _ in self._steps)
        said = ", ".join(f"{counts[done]} {word}" for done, word in (("a", "accepted"), ("r", "rejected")))
        left = max(len(self._items) - self._at, 0) + counts["s"]
        click.echo(f"{said}, {left} left")

    def _decide(self) -> None:
        """One item after the other, until somebody has enough."""
        going = True
        while going:
            if self._at >= len(self._items):
                click.echo("That was the last one. u takes back, any other key ends.")
                going = self._key() == "u"
                if going:
                    self._undo()
                continue
            found = self._ledger.items.get(self._items[self._at].id)
            if found.status != "new":
                click.echo(f"{found.item_id} is {found.status.value} meanwhile.")
                self._at += 1
                continue
            self._show(found)
            going = self._ask(found)

    def _new(self) -> list[Item]:
        found: list[Item] = []
        cursor: str | None = None
        while True:
            page = self._ledger.items.list(status="new", limit=PAGE, **given(project=self._project, cursor=cursor))
            found += page
            cursor = page.next
            if cursor is None:
                break
        return sorted(found, key=_order)

    def _ask(self, item: ItemDetail) -> bool:
        """Take keys until one leads to another item; whether to go on."""
        while True:
            click.echo(f"[{self._at + 1}/{len(self._items)}] a r s e p u q ? ", nl=False)
            key = self._key().lower()
            click.echo(key if key.isprintable() else "")
            if key == "q":
                return False
            if key in ("?", "h") or key not in KEYS:
                click.echo("\n".join(f"  {one}  {meaning}" for one, meaning in KEYS.items()))
                continue
            try:
                if self._do(key, item):
                    return True
            except ShoalError as error:
                remark(f"error: {error.message}")

    def _do(self, key: str, item: ItemDetail) -> bool:
        """One step; whether the item is to be shown anew, or another one."""
        items = self._ledger.items
        if key == "u":
            return self._undo()
        if key == "a":
            self._step("a", lambda: items.accept(item.id), item)
        elif key == "r":
            self._step("r", lambda: items.reject(item.id), item)
        elif key == "s":
            self._steps.append((self._at, "s", None))
        elif key == "e":
            from shoal.cli.items import name_of

            title = self._keys.line(f"Title ({name_of(item)}): ")
            if not title:
                return False
            self._step("e", lambda: items.update(item.id, title=title), item)
            return True
        else:
            click.echo("Priority 0-3, - for none: ", nl=False)
            given_key = self._key()
            click.echo(given_key if given_key.isprintable() else "")
            if given_key not in ("0", "1", "2", "3", "-"):
                click.echo("No priority given.")
                return False
            priority = None if given_key == "-" else int(given_key)
            self._step("p", lambda: items.update(item.id, priority=priority), item)
            return True
        self._at += 1
        return True

    def _key(self) -> str:
        """The next key; Ctrl-C and Ctrl-D are `q`."""
        try:
            return self._keys.key()
        except (KeyboardInterrupt, EOFError):
            return "q"

    def _step(self, key: str, verb: Any, item: ItemDetail) -> None:
        before = self._last_event(item)
        verb()
        event = self._last_event(item)
        if event != before:
            self._steps.append((self._at, key, event))

    def _last_event(self, item: Item) -> int:
        found = self._ledger.events.list(item=item.id, limit=1)
        return found[0].id if found else 0

    def _undo(self) -> bool:
        if not self._steps:
            click.echo("There is nothing to take back.")
            return False
        at, _, event = self._steps[-1]
        if event is not None:
            self._ledger.items.undo(self._items[at].id, event=event)
        self._steps.pop()
        self._at = at
        click.echo(f"{self._items[at].item_id} is as it was.")
        return True

    def _show(self, item: ItemDetail) -> None:
        from rich.text import Text

        from shoal.cli import output
        from shoal.cli.items import place
        from shoal.cli.output import clean

        out = output.console()

        def say(text: str, style: str = "") -> None:
            out.print(Text(clean(text, lines=True), style, overflow="fold"))

        out.rule(style="dim")
        about = [item.item_id, item.project, place(item), " > ".join(item.heading)]
        say("  ".join(part for part in about if part), "dim")
        known = [
            None if item.form not in NO_WORK else f"a {item.form.value}",
            item.severity and item.severity.value,
            None if item.priority is None else f"P{item.priority}",
            *item.labels,
            item.owner and f"@{item.owner}",
        ]
        if item.title:
            say(item.title, "bold")
        say(item.text, "" if item.title else "bold")
        if any(known):
            say(", ".join(one for one in known if one), "cyan")
        before, after = self._neighbours(item)
        for mark, other in (("↑", before), ("↓", after)):
            if other is not None:
                say(f"{mark} {other.source_line}: {other.name} ({other.status.value})", "dim")

    def _neighbours(self, item: Item) -> tuple[Item | None, Item | None]:
        """What stands before and after it in its file."""
        if item.source_file is None or item.source_line is None:
            return None, None
        key = (item.project, item.source_file)
        if key not in self._files:
            page = self._ledger.items.list(project=item.project, source_file=item.source_file, limit=PAGE)
            self._files[key] = sorted(page, key=lambda one: (one.source_line or 0, one.id))
        others = [one for one in self._files[key] if one.id != item.id and one.source_line is not None]
        place = (item.source_line, item.id)
        before = [one for one in others if (one.source_line or 0, one.id) < place]
        after = [one for one in others if (one.source_line or 0, one.id) > place]
        return (before[-1] if before else None), (after[0] if after else None)


def _order(item: Item) -> tuple[Any, ...]:
    """Bad findings first; then as it stands in the files; what is no work comes last."""
    place = (item.project, item.source_file or "", item.source_line or 0, item.id)
    return (item.form in NO_WORK, RANK[item.severity], *place)
