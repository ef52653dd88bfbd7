"""What speaks for it that a known item is one that was found: the candidates, and the score of each.

The score is a sum of at most 1: what stands there says most, where it stands says which of several alike. What is made
of the scores: pairs.py.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from shoal.model.found import Found, FoundFile
from shoal.model.item import named
from shoal.services.matching.likeness import Likeness, Words, change

# The parts of the score. Equal words elsewhere (0.6) are still the same item, half of the words elsewhere are not.
TEXT = 0.6
HEADING = 0.1
NEIGHBOURS = 0.15  # the one before and the one after, half each
START = 0.05  # on top: the same first word; of a split item that half keeps the identity that begins as it did
ORDER = 0.1  # between the same two others
PARENT = 0.05
CHILDREN = 0.15  # on top: what stands below it was known again
SAME_ID = 0.6  # on top: people who write t001.1 mean it
OTHER_ID = -0.3
OTHER_FILE = -0.1
GONE = -0.05  # rather one that was there until now
OTHER_FORM = -0.03
FURTHER = 0.0005  # for each line of drift, squared, so that equal lines keep their order; at most DRIFT
DRIFT = 0.04
RUN = 0.01  # for each place in a row of equal lines, so that the first of them stays the first; at most DRIFT
# So alike must the texts be, whatever else speaks for it; only who has the same id may say it anew.
ALIKE = 0.36
# So much of their content must be in both, less where words were only added or only taken away; and so much for an item
# about which something was decided.
KEPT, KEPT_OF_PART = 0.6, 0.4
CERTAIN, CERTAIN_OF_PART = 0.75, 0.6
RENAMED = 0.3  # so many of a file's items stand in a new file when it was renamed
MOST_CANDIDATES = 8
COMMON = 50  # a word of more items than this finds none

Alike = dict[tuple[bool, str], list[int]]  # items by whether they are gone, and their file


class KnownItem(Struct, frozen=True, kw_only=True):
    """A work item as a scan saw it last. `place` counts within its file, `called` is its own id, `parent` an item's.

    `seen` is false for what was not there when its file was read last. `decided` says that something was decided about
    it or came of it, which other work must not inherit.
    """

    id: int
    path: str
    place: int
    line: int
    text: str
    heading: tuple[str, ...] = ()
    form: str = "box"
    called: str | None = None
    parent: int | None = None
    seen: bool = True
    decided: bool = False


class Site:
    """A found thing and where it stands; `number` counts over all files."""

    __slots__ = ("above", "found", "heading", "number", "path", "place", "words")

    def __init__(self, number: int, path: str, place: int, found: Found, words: Words) -> None:
        self.number = number
        self.path = path
        self.place = place
        self.found = found
        self.words = words
        self.above: int | None = None
        self.heading = tuple(found.heading)


class Evidence:
    """The known and the found side by side, and which of them are paired so far."""

    def __init__(self, known: Sequence[KnownItem], files: Sequence[FoundFile], renamed: Mapping[str, str]) -> None:
        self.known = sorted(known, key=lambda item: (item.path, item.place, item.id))
        texts: dict[str, Words] = {}

        def words(text: str) -> Words:
            return texts.get(text) or texts.setdefault(text, Words(text))

        self.words = [words(item.text) for item in self.known]
        moved = {old: new for new, old in renamed.items()}
        self.paths = [moved.get(item.path, item.path) for item in self.known]  # where each would be now
        self.sites: list[Site] = []
        self.sites_of: dict[str, list[Site]] = {}
        for file in files:
            first = len(self.sites)
            sites = [
                Site(first + place, file.path, place, found, words(found.text))
                for place, found in enumerate(file.found)
            ]
            for site in sites:
                site.above = None if site.found.above is None else first + site.found.above
            self.sites_of[file.path] = sites
            self.sites.extend(sites)
        self._runs_in = {path: _runs([site.words.key for site in sites]) for path, sites in self.sites_of.items()}
        self._line_up()
        self.index = {item.id: number for number, item in enumerate(self.known)}
        self.partner: dict[int, int] = {}  # known -> found
        self.taken: dict[int, int] = {}  # found -> known
        self.likeness = Likeness()
        self._having: dict[str, set[int]] = defaultdict(set)

    def _line_up(self) -> None:
        self._rank: dict[int, int] = {}
        self._row_of: dict[str, list[int]] = defaultdict(list)
        for number, item in enumerate(self.known):
            if item.seen:
                row = self._row_of[self.paths[number]]
                self._rank[number] = len(row)
                row.append(number)
        self._runs_of = {path: _runs([self.words[one].key for one in row]) for path, row in self._row_of.items()}

    def find_renames(self) -> bool:
        """See which file is another one under a new name, by the pairs so far; whether there is one."""
        old_paths = set(self._row_of) - set(self.sites_of)
        votes: dict[str, Counter[str]] = defaultdict(Counter)
        for number, site in self.partner.items():
            if self.paths[number] in old_paths and self.sites[site].path not in self._row_of:
                votes[self.paths[number]][self.sites[site].path] += 1
        renamed = {
            old: new.most_common(1)[0][0]
            for old, new in votes.items()
            if new.most_common(1)[0][1] > max(1, RENAMED * len(self._row_of[old]))
        }
        if renamed:
            self.paths = [renamed.get(path, path) for path in self.paths]
            self._line_up()
        return bool(renamed)

    def pair(self, known: int, site: int) -> None:
        """Say that these two are the same."""
        self.partner[known] = site
        self.taken[site] = known

    def free_known(self) -> list[int]:
        """The known that have no pair."""
        return [number for number in range(len(self.known)) if number not in self.partner]

    def free_sites(self) -> list[Site]:
        """The found that have no pair."""
        return [site for site in self.sites if site.number not in self.taken]

    def ids_differ(self, known: int, site: Site) -> bool:
        """Whether both call themselves something, and not the same."""
        called = self.known[known].called
        return called is not None and site.found.id is not None and called != site.found.id

    def look(self) -> None:
        """Take stock: what pairs so far say about headings, parents and gaps."""
        free = self.free_known()
        self._learn_words()
        self._learn_headings()
        self._learn_children()
        self._learn_gaps()
        self._by_key: dict[str, Alike] = defaultdict(lambda: defaultdict(list))
        self._by_id: dict[str, Alike] = defaultdict(lambda: defaultdict(list))
        self._by_feature: dict[str, list[int]] = defaultdict(list)
        self._free_of: dict[str, list[int]] = defaultdict(list)
        for number in free:
            where = (not self.known[number].seen, self.paths[number])
            self._by_key[self.words[number].key][where].append(number)
            called = self.known[number].called
            if called is not None:
                self._by_id[called][where].append(number)
            for feature in self.words[number].features:
                self._by_feature[feature].append(number)
            if self.known[number].seen:
                self._free_of[self.paths[number]].append(number)

    def candidates(self, site: Site) -> set[int]:
        """The known items that a found one may be."""
        found: set[int] = set(self._nearest(self._by_key.get(site.words.key, {}), site))
        if site.found.id is not None:
            found.update(self._nearest(self._by_id.get(site.found.id, {}), site))
        found.update(self._votes.get(site.number, ()))
        found.update(self._in_gap(site))
        shared: Counter[int] = Counter()
        for feature in site.words.features:
            numbers = self._by_feature.get(feature, ())
            if len(numbers) <= COMMON:
                for number in numbers:
                    shared[number] += 1
        ordered = sorted(shared.items(), key=lambda one: (-one[1], one[0]))
        found.update(number for number, _ in ordered[:MOST_CANDIDATES])
        return {number for number in found if number not in self.partner}

    def score(self, number: int, site: Site) -> float:
        """How much speaks for it; 0 when the texts are too different."""
        item = self.known[number]
        alike = self.likeness.between(self.words[number], site.words)
        same_id = item.called is not None and item.called == site.found.id
        children = number in self._votes.get(site.number, ())
        if not same_id and (alike < ALIKE or (alike < 1.0 and self._is_other_work(number, site))):
            return 0.0
        total = TEXT * alike + HEADING * self._same_heading(item.heading, site.heading)
        total += CHILDREN * children + START * (self.words[number].first == site.words.first)
        if same_id:
            total += SAME_ID
        elif self.ids_differ(number, site):
            total += OTHER_ID
        if item.form != site.found.form.value:
            total += OTHER_FORM
        total += NEIGHBOURS * self._same_neighbours(number, site) if item.seen else GONE
        if self.paths[number] != site.path:
            return round(total + OTHER_FILE, 6)
        if item.seen:
            total += self._same_order(number, site)
        return round(total + PARENT * self._same_parent(item, site), 6)

    def is_certain(self, number: int, site: Site) -> bool:
        """Whether a pair may be taken although something was decided about the item: by id, or by most of its content.

        Its first line alone is enough: what is told below it may change.
        """
        item, words = self.known[number], self.words[number]
        if item.called is not None and item.called == site.found.id:
            return True
        names = Words(named(item.text)), Words(named(site.found.text))
        return any(self._keeps(old, new, CERTAIN, CERTAIN_OF_PART) for old, new in ((words, site.words), names))

    def _keeps(self, old: Words, new: Words, enough: float, enough_of_part: float) -> bool:
        """Whether enough of the content is in both; of words that were only added or taken away less is enough."""
        made = change(old, new)
        return self.likeness.kept(old, new) >= (enough if made.lost and made.gained else enough_of_part)

    def _learn_words(self) -> None:
        """Which words are rare, and who has them."""
        if self._having:
            return
        self.likeness = Likeness(self.words, (site.words for site in self.sites))
        for number in range(len(self.known)):
            for word in self.words[number].content if self.known[number].seen else ():
                self._having[word].add(number)

    def _is_other_work(self, number: int, site: Site) -> bool:
        """Whether other words than a known item had say other work, and not the same in other words.

        They do when too little is left of them, and when what is left is only a frame, as "Write tests for the …" is
        where there are more of these. Elsewhere than where it stood an item is not known by a frame and a name either.
        """
        old, new = self.words[number], site.words
        both, lost, gained = change(old, new)
        if not (lost or gained):
            return False
        if not self.known[number].seen or not self._keeps(old, new, KEPT, KEPT_OF_PART):
            return True
        if lost and gained and self._is_frame(both, number):
            return True
        here = self.paths[number] == site.path and self._same_heading(self.known[number].heading, site.heading) == 1.0
        return not here and len(both) > 2 and any(self._is_frame(both - {name}, number) for name in sorted(both))

    def _is_frame(self, words: frozenset[str], number: int) -> bool:
        """Whether another known item, with other words, has all of these, too."""
        having = sorted((self._having.get(word, set()) for word in words), key=len)
        others = set.intersection(*having) if having else set()
        return any(self.words[one].key != self.words[number].key for one in others)

    def _learn_headings(self) -> None:
        """Which heading became which: what most of its items say."""
        votes: dict[tuple[str, ...], Counter[tuple[str, ...]]] = defaultdict(Counter)
        for number, site in self.partner.items():
            votes[self.known[number].heading][self.sites[site].heading] += 1
        self._retitled = {old: new.most_common(1)[0][0] for old, new in votes.items()}

    def _same_heading(self, old: tuple[str, ...], new: tuple[str, ...]) -> float:
        if old == new or self._retitled.get(old) == new:
            return 1.0
        return 0.8 * len(set(old) & set(new)) / max(len(old), len(new), 1)

    def _learn_children(self) -> None:
        """Which found things have children of a known one below them."""
        self._votes: dict[int, set[int]] = defaultdict(set)
        for number, site in self.partner.items():
            parent, above = self.known[number].parent, self.sites[site].above
            if parent is not None and above is not None and parent in self.index:
                self._votes[above].add(self.index[parent])

    def _learn_gaps(self) -> None:
        """For each found thing, the pairs before and after it in its file."""
        self._before: dict[int, tuple[int, int]] = {}
        self._after: dict[int, tuple[int, int]] = {}
        for path, sites in self.sites_of.items():
            for reverse, gaps in ((False, self._before), (True, self._after)):
                edge = (len(self._row_of[path]), len(sites)) if reverse else (-1, -1)
                for site in reversed(sites) if reverse else sites:
                    gaps[site.number] = edge
                    known = self.taken.get(site.number)
                    if known is not None and known in self._rank and self.paths[known] == path:
                        edge = (self._rank[known], site.place)

    def _in_gap(self, site: Site) -> list[int]:
        """The known without a pair that stood between the pairs around a found thing."""
        free = self._free_of.get(site.path)
        if not free:
            return []
        row, half = self._row_of[site.path], MOST_CANDIDATES // 2
        low, high = self._before[site.number][0] + 1, self._after[site.number][0] - 1
        around: list[int] = []
        if low < len(row):
            at = bisect_left(free, row[low])
            around += free[max(0, at - half) : at + half]
        if high >= 0:
            at = bisect_right(free, row[high])
            around += free[max(0, at - half) : at + half]
        return around

    def _same_order(self, number: int, site: Site) -> float:
        rank = self._rank[number]
        (low, low_place), (high, high_place) = self._before[site.number], self._after[site.number]
        drift = min(abs((rank - low) - (site.place - low_place)), abs((high - rank) - (high_place - site.place)))
        run = abs(self._place_in_run_known(number) - self._place_in_run(site))
        return ORDER * (low < rank < high) - min(DRIFT, FURTHER * drift * drift) - min(DRIFT, RUN * run)

    def _place_in_run_known(self, number: int) -> int:
        """How many lines with the same words stood right before it."""
        beside = self._known_beside(number, -1)
        return self._rank[number] - (-1 if beside is None else self._rank[beside]) - 1

    def _place_in_run(self, site: Site) -> int:
        beside = self._found_beside(site, -1)
        return site.place - (-1 if beside is None else beside.place) - 1

    def _same_neighbours(self, number: int, site: Site) -> float:
        total = 0.0
        for step in (-1, 1):
            known, found = self._known_beside(number, step), self._found_beside(site, step)
            if known is None or found is None:
                total += 0.5 * (known is None and found is None)
            elif self.partner.get(known) == found.number:
                total += 0.5
            elif self.words[known].key == found.words.key:
                total += 0.4
        return total

    def _known_beside(self, number: int, step: int) -> int | None:
        """The next that stood before or after it and had other words: equal lines in a row are no landmarks."""
        row = self._row_of[self.paths[number]]
        rank = self._runs_of[self.paths[number]][self._rank[number]][step > 0]
        return row[rank] if 0 <= rank < len(row) else None

    def _found_beside(self, site: Site, step: int) -> Site | None:
        sites = self.sites_of[site.path]
        place = self._runs_in[site.path][site.place][step > 0]
        return sites[place] if 0 <= place < len(sites) else None

    def _same_parent(self, item: KnownItem, site: Site) -> float:
        if item.parent is None or site.above is None:
            return float(item.parent is None and site.above is None)
        parent = self.index.get(item.parent)
        return float(parent is not None and self.partner.get(parent) == site.above)

    def _nearest(self, alike: Mapping[tuple[bool, str], list[int]], site: Site) -> list[int]:
        """Of items that are alike some that stood nearest in the same file, then of other files, then gone ones."""
        found: list[int] = []
        for where in sorted(alike, key=lambda one: (one[0], one[1] != site.path, one[1])):
            numbers = alike[where]
            if len(numbers) > MOST_CANDIDATES:
                at = bisect_left(numbers, site.place, key=lambda number: self.known[number].place)
                numbers = numbers[max(0, at - MOST_CANDIDATES // 2) : at + MOST_CANDIDATES // 2]
            found += numbers
            if len(found) >= 2 * MOST_CANDIDATES:
                break
        return found


def _runs(keys: Sequence[str]) -> list[tuple[int, int]]:
    """For each line the places of the next ones before and after it that have other words."""
    before, after = [-1] * len(keys), [len(keys)] * len(keys)
    for at in range(1, len(keys)):
        before[at] = before[at - 1] if keys[at] == keys[at - 1] else at - 1
    for at in range(len(keys) - 2, -1, -1):
        after[at] = after[at + 1] if keys[at] == keys[at + 1] else at + 1
    return list(zip(before, after, strict=True))
