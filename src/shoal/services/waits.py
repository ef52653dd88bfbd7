"""What items wait for because their files say so: names become items, and items that wait for others in no circle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from shoal.model.found import FoundFile
from shoal.model.item import named
from shoal.services.item_graph import way
from shoal.services.matching.likeness import Words
from shoal.services.matching.pairs import Place
from shoal.services.sightings import rows_of
from shoal.services.transaction import Tx

Target = Place | int


class Blockers:
    """What others may wait for, by what it is called: own ids first, then exactly the words, then the words without
    the tags behind them; in the same file first."""

    def __init__(self) -> None:
        self._there: dict[tuple[str | None, str], list[Target]] = defaultdict(list)

    def add(self, target: Target, path: str, called: str | None, text: str) -> None:
        """Something that others may wait for."""
        names = [f"={Words(text).key}", f"~{Words(named(text)).key}"]
        for name in names if called is None else [f"#{called.casefold()}", *names]:
            self._there[path, name].append(target)
            self._there[None, name].append(target)

    def find(self, name: str, path: str) -> Target | None:
        """What a name means in a file; None when nothing has it, or when more than one has it."""
        words = Words(name).key
        for kind in (f"#{name.casefold()}", f"={words}", f"~{words}"):
            for where in (path, None):
                targets = self._there.get((where, kind), [])
                if len(targets) == 1:
                    return targets[0]
        return None


def blockers_of(files: Iterable[FoundFile], others: Iterable[tuple[int, str, str | None, str]]) -> Blockers:
    """What was found, and the items in files that were not read, by their names."""
    blockers = Blockers()
    for file in files:
        for place, found in enumerate(file.found):
            blockers.add(Place(file.path, place), file.path, found.id, found.text)
    for item, path, called, text in others:
        blockers.add(item, path, called, text)
    return blockers


def without_circles(tx: Tx, wanted: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Dependencies that are to be added, (blocked, blocker) each, but for those by which one would wait for itself."""
    waits: dict[int, set[int]] = defaultdict(set)
    met: set[int] = set()
    frontier = {blocker for _, blocker in wanted}
    while frontier:
        met |= frontier
        for blocked, blocker in tx.all("scans.waiting", rows=rows_of([{"id": one} for one in sorted(frontier)])):
            waits[blocked].add(blocker)
        frontier = {blocker for one in frontier for blocker in waits[one]} - met
    added = []
    for blocked, blocker in wanted:
        if way(blocker, blocked, lambda one: waits.get(one, ())) is None:
            waits[blocked].add(blocker)
            added.append((blocked, blocker))
    return added
