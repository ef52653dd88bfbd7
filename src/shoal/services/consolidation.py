"""Foundations that several items share: proposed with what speaks for it, made only when someone says so.

Two items belong together when an assessment of one names the other, when they are about the same files, or when they
say much the same. A group is as large as all its members belong together, two by two. The same backlog gives the same
proposals.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from shoal.errors import NotFound
from shoal.model.backlog import Proposal
from shoal.model.event import Kind
from shoal.model.fields import Name, Title
from shoal.model.item import Item, Origin, item_from_row, named, shown
from shoal.services import items
from shoal.services.item_numbers import lock_item
from shoal.services.transaction import Tx
from shoal.services.verb import verb

ENOUGH = 2.0  # points from which two items belong together
NAMED, PER_FILE, MOST_FOR_FILES, ALIKE = 2.0, 0.75, 2.25, 4.0
ALIKE_FROM = 0.3
COMMON = 25  # a file or word of more items than that says nothing about two of them
LARGEST = 12
SHORTEST_WORD = 4
LABEL = "foundation"
_WORD = re.compile(r"[^\W_]+")
_REF = re.compile(r"\bW(\d{1,18})\b")


class Bond(Struct):
    """What speaks for two items belonging together."""

    points: float = 0.0
    files: list[str] = msgspec.field(default_factory=list)
    said: list[str] = msgspec.field(default_factory=list)
    words: list[str] = msgspec.field(default_factory=list)


@verb("GET /items/consolidation")
def proposals(tx: Tx, *, project: Name | None = None) -> list[Proposal]:
    """Foundations that assessed items share, those with the most evidence first. Changes nothing."""
    filters = {} if project is None else {"project": project}
    found = {item.id: item for item in map(item_from_row, tx.all("backlog.assessed", **filters))}
    bonds: defaultdict[tuple[int, int], Bond] = defaultdict(Bond)
    _by_files(tx, filters, found, bonds)
    _by_names(tx, filters, found, bonds)
    _by_words(found, bonds)
    related = _related(tx)
    strong = {
        pair: bond
        for pair, bond in bonds.items()
        if bond.points >= ENOUGH and pair not in related and found[pair[0]].project == found[pair[1]].project
    }
    return [_proposal(group, found, strong) for group in _groups(strong)]


@verb("POST /items/consolidation", status=201)
def consolidate(
    tx: Tx,
    *,
    key: Annotated[Name, Meta(description="The key of a proposal.")],
    title: Annotated[Title | None, Meta(description="What to call the common item.")] = None,
) -> Item:
    """Make the common item of a proposal, accepted, and let its items depend on it.

    Raises NotFound when the backlog has changed so that this is not proposed any more.
    """
    tx.all("dependencies.lock_edges")
    proposal = next((one for one in proposals(tx) if one.key == key), None)
    if proposal is None:
        raise NotFound(
            f"{key!r} is not proposed, or not any more; `shoal backlog consolidate` shows what is", field="key"
        )
    names = "\n".join(f"- {ref}: {name}" for ref, name in zip(proposal.items, proposal.names, strict=True))
    made = items.insert(
        tx,
        origin=Origin.MANUAL,
        accepted=True,
        text=f"{title or proposal.title}\n\nWhat these share, to be done before them:\n\n{names}"[:4000],
        title=title or proposal.title,
        summary="\n".join(proposal.evidence)[:4000],
        project=proposal.project,
        labels=[LABEL],
    )
    for path in proposal.files:
        tx.all("items.put_file", item=made.id, path=path, validated=1)
    tx.emit(Kind.ITEM_CREATED, data={"text": made.name, "shared_by": proposal.items}, item=made.id)
    for ref in proposal.items:
        items.depend(tx, item=lock_item(tx, ref).id, on=made.id)
    return made


def _pair(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)


def _by_files(
    tx: Tx, filters: dict[str, str], found: dict[int, Item], bonds: defaultdict[tuple[int, int], Bond]
) -> None:
    about: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, path in tx.all("backlog.files_of_assessed", **filters):
        if number in found:
            about[found[number].project, path].append(number)
    for (_, path), numbers in sorted(about.items()):
        if len(numbers) <= COMMON:
            for one, other in combinations(sorted(numbers), 2):
                bonds[one, other].files.append(path)
    for bond in bonds.values():
        bond.points += min(PER_FILE * len(bond.files), MOST_FOR_FILES)


def _by_names(
    tx: Tx, filters: dict[str, str], found: dict[int, Item], bonds: defaultdict[tuple[int, int], Bond]
) -> None:
    by_name: dict[tuple[str, str], int] = {}
    for item in found.values():
        for name in (item.title, named(item.text)):
            if name:
                by_name.setdefault((item.project, _plain(name)), item.id)
    for number, answer in tx.all("backlog.answers_of_assessed", **filters):
        about = found.get(number)
        if about is None:
            continue
        for words in _overlaps(msgspec.json.decode(answer)):
            meant = {int(one) for one in _REF.findall(words)} & found.keys()
            same = by_name.get((about.project, _plain(words)))
            for other in sorted((meant | ({same} if same else set())) - {number}):
                bond = bonds[_pair(number, other)]
                bond.points += NAMED
                bond.said.append(f"the assessment of {shown(number)} names {shown(other)}: {words[:200]!r}")


def _overlaps(answer: Any) -> list[str]:
    """What an assessment says that an item overlaps with: words, or fields with words."""
    given = answer.get("overlaps") if isinstance(answer, dict) else None
    words = []
    for one in given if isinstance(given, list) else []:
        if isinstance(one, dict):
            words += [str(one[name]) for name in ("item", "item_id", "title", "name", "text") if one.get(name)][:1]
        elif isinstance(one, str | int):
            words.append(str(one))
    return words


def _by_words(found: dict[int, Item], bonds: defaultdict[tuple[int, int], Bond]) -> None:
    words = {number: _words(item) for number, item in found.items()}
    frequency = Counter(word for own in words.values() for word in own)
    weight = {word: math.log(1 + len(found) / count) for word, count in frequency.items()}
    having: defaultdict[str, list[int]] = defaultdict(list)
    for number in sorted(words):
        for word in words[number]:
            if 1 < frequency[word] <= COMMON:
                having[word].append(number)
    pairs = {pair for numbers in having.values() for pair in combinations(numbers, 2)}
    sums = {number: sum(weight[word] for word in sorted(own)) for number, own in words.items()}
    for one, other in sorted(pairs):
        shared = words[one] & words[other]
        common = sum(weight[word] for word in sorted(shared))
        alike = common / (sums[one] + sums[other] - common)
        if alike >= ALIKE_FROM and len(shared) > 1:
            bond = bonds[one, other]
            bond.points += ALIKE * alike
            bond.words = sorted(shared, key=lambda word: (-weight[word], word))[:5]


def _words(item: Item) -> frozenset[str]:
    text = f"{item.title or ''} {item.summary or item.text}".casefold()
    return frozenset(word for word in _WORD.findall(text) if len(word) >= SHORTEST_WORD)


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _related(tx: Tx) -> set[tuple[int, int]]:
    """Items of which one waits for the other, or which wait for the same one: they have their foundation."""
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    for blocked, blocker in tx.all("backlog.open_waits"):
        waiting[blocker].append(blocked)
    pairs = {_pair(one, blocker) for blocker, numbers in waiting.items() for one in numbers}
    return pairs | {pair for numbers in waiting.values() for pair in combinations(sorted(numbers), 2)}


def _groups(bonds: dict[tuple[int, int], Bond]) -> list[list[int]]:
    """The strongest pair, and whoever belongs with all that are in; then the strongest pair of the rest."""
    near: defaultdict[int, set[int]] = defaultdict(set)
    for one, other in bonds:
        near[one].add(other)
        near[other].add(one)
    taken: set[int] = set()
    groups = []
    for pair in sorted(bonds, key=lambda pair: (-bonds[pair].points, pair)):
        if not taken.isdisjoint(pair):
            continue
        group = list(pair)
        while len(group) < LARGEST:
            fitting = set.intersection(*(near[one] for one in group)) - taken
            if not fitting:
                break
            group.append(min(fitting, key=lambda one: (-sum(bonds[_pair(one, in_)].points for in_ in group), one)))
        taken.update(group)
        groups.append(sorted(group))
    return groups


def _proposal(group: list[int], found: dict[int, Item], bonds: dict[tuple[int, int], Bond]) -> Proposal:
    within = [bonds[pair] for pair in combinations(group, 2)]
    about: defaultdict[str, set[int]] = defaultdict(set)
    for pair in combinations(group, 2):
        for path in bonds[pair].files:
            about[path].update(pair)
    paths = sorted(about, key=lambda path: (-len(about[path]), path))
    evidence = [f"{_refs(about[path])} are about {path}" for path in paths[:5]]
    evidence += [said for bond in within for said in bond.said]
    evidence += [
        f"{_refs(pair)} say much the same: {', '.join(bonds[pair].words)}"
        for pair in combinations(group, 2)
        if bonds[pair].words
    ]
    words = Counter(word for bond in within for word in bond.words)
    subject = paths[0] if paths else " ".join(sorted(words, key=lambda word: (-words[word], word))[:4])
    told = "\n".join([*map(shown, group), *evidence])
    return Proposal(
        key=hashlib.sha256(told.encode()).hexdigest()[:12],
        project=found[group[0]].project,
        title=f"Lay the common ground of {_refs(group)}" + (f": {subject[:200]}" if subject else ""),
        items=[shown(one) for one in group],
        names=[found[one].name for one in group],
        files=[path for path in paths if len(about[path]) > 1][:50],
        evidence=evidence,
    )


def _refs(numbers: Iterable[int]) -> str:
    refs = [shown(one) for one in sorted(numbers)]
    return f"{', '.join(refs[:-1])} and {refs[-1]}"
