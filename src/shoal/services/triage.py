"""Decisions about new items by the rules of the settings, `[triage.NAME]`: the first that fits decides, and is told of.

What a person decided, or took back, stays. Decisions by people: items.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from msgspec import Meta

from shoal.errors import ShoalError
from shoal.model import path_pattern
from shoal.model.backlog import Decision, Triaged
from shoal.model.fields import Count, Limit, Moment, Name
from shoal.model.item import Item, ItemStatus, Origin, Path, Project, Tier, item_from_row
from shoal.services import decomposition, items
from shoal.services.item_numbers import get_item, lock_item
from shoal.services.transaction import Tx
from shoal.services.verb import verb
from shoal.settings import TriageSettings

DAY_MS = 86_400_000
BY = "rule:"
LINKS = 1000
Changed = Annotated[
    dict[Project, dict[Path, Moment]],
    Meta(description="By project, which files commits changed lately, and when the last one did; the caller asks git."),
]


@verb("POST /items/triage")
def triage(
    tx: Tx,
    *,
    project: Name | None = None,
    changed: Changed | None = None,
    dry_run: bool = False,
    after: Annotated[Count, Meta(description="`next` of the page before.")] = 0,
    limit: Limit = 1000,
) -> Triaged:
    """Let the rules of the settings decide about new items, a page at a time.

    Only about what nobody has decided about yet. A rule with `queue` also makes the tasks of what it accepted, where
    that is a check's finding or `safe_always`. A dry run changes nothing.
    """
    filters = {} if project is None else {"project": project}
    page = [item_from_row(row) for row in tx.all("backlog.undecided", after=after, limit=limit, **filters)]
    taken, notes = by_rules(tx, page, changed or {}, dry_run=dry_run)
    left = len(page) - sum(one.then != "leave" for one in taken)
    following = page[-1].id if len(page) == limit else None
    if following is None:
        taken += _made_safe(tx, filters, dry_run=dry_run)
    return Triaged(decisions=taken, looked_at=len(page), left=left, notes=notes, dry_run=dry_run, next=following)


def by_rules(
    tx: Tx, found: list[Item], changed: Mapping[str, Mapping[str, int]], *, dry_run: bool = False
) -> tuple[list[Decision], list[str]]:
    """Let the rules decide about these items, as far as they are new: what each rule says, and what hindered one."""
    rules = tx.settings.triage
    with_files = any(rule.paths or rule.changed_within_days is not None for rule in rules.values())
    if not dry_run and any(rule.queue for rule in rules.values()):
        tx.all("dependencies.lock_edges")  # before any item, as whoever makes tasks of one does
    notes: list[str] = []
    taken: list[Decision] = []
    for item in found if rules else []:
        if item.status is not ItemStatus.NEW or item.decided_by is not None or item.merged_into is not None:
            continue
        files = _files(tx, item) if with_files else []
        for name, rule in rules.items():
            fits = _fits(rule, item, files, tx.now, changed)
            if fits is None:  # nobody can tell, so no later rule may decide in its place
                note = (
                    f"rule {name} asks which files of {item.project} were changed lately, and that is not known here: "
                    "what it may fit is left to you"
                )
                notes += [note] if note not in notes else []
            elif fits:
                taken.append(_decide(tx, item, name, rule, fits, notes, dry_run=dry_run))
            if fits is None or fits:
                break
    return taken, notes


def _decide(
    tx: Tx, item: Item, name: str, rule: TriageSettings, why: str, notes: list[str], *, dry_run: bool
) -> Decision:
    queued: list[str] = []
    if rule.then != "leave" and not dry_run:
        locked = lock_item(tx, item.id)
        if locked.status is ItemStatus.NEW and locked.decided_by is None:
            decided = items.decide(tx, locked, accepted=rule.then == "accept", by=f"{BY}{name}", reason=why)
            if rule.then == "accept" and rule.queue and _may_run(decided):
                queued = _queue(tx, decided, notes)
    return Decision(
        item_id=item.item_id,
        name=item.name,
        source_file=item.source_file,
        rule=name,
        then=rule.then,
        why=why,
        queued=queued,
    )


def _may_run(item: Item) -> bool:
    return item.origin is Origin.CHECK or item.tier is Tier.SAFE_ALWAYS


def _queue(tx: Tx, item: Item, notes: list[str]) -> list[str]:
    """Make the tasks of a simple item; what others hang on is left to people, so that nothing is made by halves."""
    blockers = [get_item(tx, number) for (number,) in tx.all("items.blockers", blocked=item.id, limit=LINKS)]
    if tx.all("items.children", parent=item.id, limit=1) or any(one.status is not ItemStatus.DONE for one in blockers):
        notes.append(f"{item.item_id} was not queued, other items hang on it: `shoal item run {item.item_id}`")
        return []
    try:
        return [task.task_id for task in decomposition.run(tx, item=item.id).tasks]
    except ShoalError as error:
        notes.append(f"{item.item_id} was not queued: {error.message}")
        return []


def _made_safe(tx: Tx, filters: dict[str, str], *, dry_run: bool) -> list[Decision]:
    """What rules accepted, and was found to be safe afterwards."""
    done = []
    for name, rule in tx.settings.triage.items():
        if not rule.queue or rule.then != "accept":
            continue
        for row in tx.all("backlog.safe_unqueued", decided_by=f"{BY}{name}", limit=LINKS, **filters):
            item = item_from_row(row)
            queued = [] if dry_run else _queue(tx, lock_item(tx, item.id), [])
            if not queued and not dry_run:
                continue  # it was told when it was accepted
            done.append(
                Decision(
                    item_id=item.item_id,
                    name=item.name,
                    source_file=item.source_file,
                    rule=name,
                    then="accept",
                    why="is safe_always now",
                    queued=queued,
                )
            )
    return done


def _files(tx: Tx, item: Item) -> list[str]:
    own = [] if item.source_file is None else [item.source_file]
    return list(dict.fromkeys([*own, *(path for path, _ in tx.all("items.files", item=item.id, limit=LINKS))]))


def _fits(
    rule: TriageSettings, item: Item, files: list[str], now: int, changed: Mapping[str, Mapping[str, int]]
) -> str | None:
    """Why a rule fits an item, in words; empty when it does not, None when that cannot be told."""
    text = f"{item.title or ''}\n{item.text}".casefold()
    severity = None if item.severity is None else item.severity.value
    tests: list[tuple[object, Callable[[], str]]] = [
        (rule.projects, lambda: item.project if item.project in rule.projects else ""),
        (rule.origins, lambda: f"from a {item.origin.value}" if item.origin.value in rule.origins else ""),
        (rule.severities, lambda: f"{severity}" if severity in rule.severities else ""),
        (rule.checks, lambda: f"check {item.check_name}" if item.check_name in rule.checks else ""),
        (rule.labels, lambda: _listed("label", [one for one in item.labels if one in rule.labels])),
        (rule.containing, lambda: _listed("says", [one for one in rule.containing if one.casefold() in text])),
        (rule.paths, lambda: _by_path(rule, files)),
    ]
    reasons = []
    for asked, test in tests:
        if asked:
            if not (reason := test()):
                return ""
            reasons.append(reason)
    if rule.older_than_days is not None:
        days = (now - item.first_seen_at) / DAY_MS
        if days <= rule.older_than_days:
            return ""
        reasons.append(f"first seen {int(days)} days ago")
    if rule.changed_within_days is not None:
        if not files:
            return ""
        if item.project not in changed:
            return None
        since = now - rule.changed_within_days * DAY_MS
        lately = [path for path in files if changed[item.project].get(path, -1) >= since]
        if not lately:
            return ""
        reasons.append(f"{lately[0]} changed in the last {rule.changed_within_days} days")
    return ", ".join(reasons) or "fits everything"


def _by_path(rule: TriageSettings, files: list[str]) -> str:
    return next((path for path in files for one in rule.paths if path_pattern.matches(path, one)), "")


def _listed(word: str, found: list[str]) -> str:
    return f"{word} {found[0]}" if found else ""
