"""Which of the known work items is which of those that a scan found: pure functions.

Unmistakable pairs come first: the same words, there once and here once, in its file and then in another. What is left
is compared by all that evidence.py knows, and paired so that the sum over all pairs is the best (assignment.py), not
line by line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

from msgspec import Struct

from shoal.model.found import FoundFile
from shoal.services.matching.assignment import assign
from shoal.services.matching.evidence import Evidence, KnownItem, Site

# What a pair must score. The sure ones are taken first: they are the neighbours by which the others are known.
SURE = 0.7
LIKELY = 0.45
# So much of the words of a new item, and so little of the half that kept the identity, make it a piece of a split one.
PIECE = 0.75

__all__ = ["KnownItem", "Matching", "Pair", "Place", "match"]


class Place(Struct, frozen=True):
    """Where a found thing stands: the file's path, and its place in the file's list."""

    path: str
    place: int


class Pair(Struct, frozen=True):
    """A known item and where it is now. `why` says by what it was known again."""

    item: int
    at: Place
    score: float
    why: str
    moved: bool


class Matching(Struct, frozen=True):
    """What came of it. `split` has the new ones that were a part of a known item, and which; `instead` those that may
    be a known item in other words, but not so surely that they take over what was decided about it.
    """

    pairs: list[Pair]
    new: list[Place]
    unseen: list[int]
    split: dict[Place, int]
    instead: dict[Place, int]


def match(known: Sequence[KnownItem], files: Sequence[FoundFile], renamed: Mapping[str, str] | None = None) -> Matching:
    """Find the known items among the found ones. `renamed` maps new paths to old ones.

    All of one project and scanner; each known item has one place at most, and each place one item.
    """
    evidence = Evidence(known, files, renamed or {})
    scores: dict[int, float] = {}
    _exact(evidence, scores)
    if evidence.find_renames():
        _exact(evidence, scores)
    doubtful: dict[int, int] = {}
    for enough in (SURE, LIKELY):
        if len(evidence.partner) == len(evidence.known) or len(evidence.taken) == len(evidence.sites):
            break
        _best(evidence, scores, enough, doubtful)
    moved = _moved(evidence)
    pairs = [
        Pair(
            evidence.known[number].id,
            Place(evidence.sites[site].path, evidence.sites[site].place),
            scores[number],
            _why(evidence, number, evidence.sites[site]),
            number in moved,
        )
        for number, site in sorted(evidence.partner.items(), key=lambda pair: pair[1])
    ]
    new = [Place(site.path, site.place) for site in evidence.free_sites()]
    unseen = [evidence.known[number].id for number in evidence.free_known()]
    instead = {
        Place(site.path, site.place): evidence.known[number].id
        for site in evidence.free_sites()
        if (number := doubtful.get(site.number)) is not None and number not in evidence.partner
    }
    return Matching(pairs, new, unseen, _split(evidence), instead)


def _exact(evidence: Evidence, scores: dict[int, float]) -> None:
    """Pair what has the same words and cannot be mistaken: in its file, then in another."""
    known, words, paths = evidence.known, evidence.words, evidence.paths
    keys: list[tuple[Callable[[int], Hashable], Callable[[Site], Hashable]]] = [
        (lambda one: (paths[one], words[one].key), lambda site: (site.path, site.words.key)),
        (lambda one: words[one].key, lambda site: site.words.key),
    ]
    ids_known = {item.called for item in known} - {None}
    ids_found = {site.found.id for site in evidence.sites} - {None}
    for key_of_known, key_of_site in keys:
        there: dict[Hashable, list[int]] = defaultdict(list)
        here: dict[Hashable, list[Site]] = defaultdict(list)
        for number in evidence.free_known():
            if known[number].seen:
                there[key_of_known(number)].append(number)
        for site in evidence.free_sites() if there else ():
            here[key_of_site(site)].append(site)
        for key, numbers in there.items():
            if len(numbers) == 1 and len(here.get(key, ())) == 1:
                number, site = numbers[0], here[key][0]
                if evidence.ids_differ(number, site) and (
                    known[number].called in ids_found or site.found.id in ids_known
                ):
                    continue  # whoever has the id is asked first
                evidence.pair(number, site.number)
                scores[number] = 1.0


def _best(evidence: Evidence, scores: dict[int, float], enough: float, doubtful: dict[int, int]) -> None:
    """Pair what is left so that the sum is the best, of pairs that score enough; those that do not for certain, where
    something was decided about the item, come into `doubtful`.
    """
    evidence.look()
    gains: dict[tuple[int, int], float] = {}
    score: dict[tuple[int, int], float] = {}
    for site in evidence.free_sites():
        for number in evidence.candidates(site):
            scored = evidence.score(number, site)
            if scored >= enough and evidence.known[number].decided and not evidence.is_certain(number, site):
                doubtful[site.number] = number
            elif scored >= enough:
                # Two fair pairs are better than a good one and two left alone; two poor ones are not.
                gains[number, site.number] = scored - LIKELY / 2
                score[number, site.number] = scored
    for number, chosen in assign(gains).items():
        evidence.pair(number, chosen)
        scores[number] = min(1.0, score[number, chosen])


def _moved(evidence: Evidence) -> set[int]:
    """The items that changed places: all but the longest row of those that still follow each other."""
    moved: set[int] = set()
    rows: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, site in sorted(evidence.partner.items(), key=lambda pair: pair[1]):
        rows[evidence.known[number].path, evidence.sites[site].path].append(number)
    for (old, new), numbers in rows.items():
        if numbers == sorted(numbers):
            staying = set(numbers)
        else:
            staying = _longest_rise(numbers)
        same = old == new or all(evidence.paths[number] == new for number in numbers)
        moved.update(number for number in numbers if number not in staying or not same)
    return moved


def _longest_rise(numbers: list[int]) -> set[int]:
    """The longest part of a row that rises, by patience sorting."""
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for number in numbers:
        low, high = 0, len(ends)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if ends[middle] < number else (low, middle)
        before[number] = ends[low - 1] if low else None
        ends[low : low + 1] = [number]
    kept: set[int] = set()
    at: int | None = ends[-1] if ends else None
    while at is not None:
        kept.add(at)
        at = before[at]
    return kept


def _split(evidence: Evidence) -> dict[Place, int]:
    """The new ones whose words stood in an item next to which they stand now, and that lost them."""
    pieces: dict[Place, int] = {}
    for site in evidence.free_sites():
        sites = evidence.sites_of[site.path]
        for step in (-1, 1, -2, 2):
            if not 0 <= site.place + step < len(sites):
                continue
            number = evidence.taken.get(sites[site.place + step].number)
            if number is None or evidence.words[number].key == sites[site.place + step].words.key:
                continue
            likeness, kept = evidence.likeness, sites[site.place + step].words
            whole = evidence.words[number]
            if likeness.within(site.words, whole) >= PIECE and likeness.within(site.words, kept) < PIECE:
                pieces[Place(site.path, site.place)] = evidence.known[number].id
                break
    return pieces


def _why(evidence: Evidence, number: int, site: Site) -> str:
    """By what an item was known again, in words; empty when nothing has changed but its line."""
    item = evidence.known[number]
    said: list[str] = []
    alike = evidence.words[number].key == site.words.key
    if item.called is not None and item.called == site.found.id and not alike:
        said.append(f"the same id {item.called}")
    if alike:
        said.append("same text")
    else:
        said.append(f"reworded ({evidence.likeness.between(evidence.words[number], site.words):.0%} alike)")
    if item.path != site.path:
        said.append(
            f"in the renamed file {site.path}, formerly {item.path}"
            if evidence.paths[number] == site.path
            else f"moved from {item.path} to {site.path}"
        )
    elif item.line != site.found.line:
        lines = site.found.line - item.line
        said.append(f"{abs(lines)} line{'s' * (abs(lines) > 1)} further {'down' if lines > 0 else 'up'}")
    said.append(_why_heading(item.heading, site.heading))
    if not item.seen:
        said.append("back after it was gone")
    return ", ".join(filter(None, said))


def _why_heading(old: tuple[str, ...], new: tuple[str, ...]) -> str:
    if old == new:
        return "under the same heading" if new else ""
    return f"under “{new[-1] if new else '(none)'}”, formerly “{old[-1] if old else '(none)'}”"
