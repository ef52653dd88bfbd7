"""Histories of TODO files, made up edit by edit, with the answer to who is who after each."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from shoal.adapters.scanners.markdown_files import scan_bytes
from shoal.model.found import FoundFile
from shoal.services.matching.pairs import KnownItem, Matching, match


def words_of(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


VERBS = words_of("""
add remove fix rewrite check test document measure move rename split merge cache retry validate log show
hide sort filter export import encrypt rotate pin upgrade drop support allow refuse warn limit batch stream index""")
THINGS = words_of("""
login session token password page table column row query index migration schema worker queue lease task
scheduler retry timeout cache header cookie form button menu chart export report invoice user group role permission
webhook event log metric alert backup restore archive vault note link anchor image upload download path file folder
branch commit merge review build release package wheel image container pod node cluster region zone bucket key secret
certificate proxy socket stream buffer parser lexer encoder decoder locale currency date calendar reminder digest mail
template draft comment thread search filter sort page cursor limit budget price cost account ledger""")
MORE = words_of("""
when for in on before after without with from under behind every empty large slow broken old new remote local
stale double missing unknown first last nested hidden public private optional default invalid concurrent
unicode""")
FRAMES = ["Write tests for the {}", "Document the {} module", "Remove deprecated code from {}", "Add metrics to {}"]
GENERIC = ["Write tests", "Update the docs", "Clean up", "Add a changelog line", "Review with the team", "TODO"]
KINDS = [
    *("move", "move far", "reword", "reorder", "tick", "nest", "unnest", "rename file", "retitle", "split", "insert"),
    *("delete", "delete", "delete", "duplicate", "restore", "move section", "replace"),
]


@dataclass
class Entry:
    """A line; `who` is the answer."""

    who: int
    text: str
    depth: int = 0
    done: bool = False
    id: str | None = None

    @property
    def words(self) -> str:
        """What its line says."""
        return self.text if self.id is None else f"{self.text} id:{self.id}"


@dataclass
class Section:
    title: str
    entries: list[Entry] = field(default_factory=list)


def below(part: Section, at: int) -> int:
    """The first place behind an entry and what stands below it."""
    place = at + 1
    while place < len(part.entries) and part.entries[place].depth > part.entries[at].depth:
        place += 1
    return place


class Document:
    """Files of sections of entries, and the edits that people make to them."""

    def __init__(
        self,
        seed: int,
        *,
        items: int = 60,
        files: int = 2,
        generic: float = 0.06,
        ids: float = 0.1,
        framed: float = 0.1,
    ) -> None:
        self.random = random.Random(seed)
        self.generic, self.ids, self.framed = generic, ids, framed
        self.names: set[str] = set()
        self.next = 0
        self.files: dict[str, list[Section]] = {}
        self.renamed: dict[str, str] = {}
        self.deleted: list[Entry] = []
        self.touched: dict[int, set[str]] = defaultdict(set)
        names = ["TODO.md", "docs/plans/next.md", "ROADMAP.md", "BACKLOG.md"][:files]
        for name in names:
            self.files[name] = [Section(self.title()) for _ in range(max(1, items // files // 8))]
        for _ in range(items):
            self.insert(touch=False)

    def sentence(self) -> str:
        pick = self.random
        if pick.random() < self.generic:
            return pick.choice(GENERIC)
        if pick.random() < self.framed:
            return pick.choice(FRAMES).format(self.name())
        words = [pick.choice(VERBS).title(), "the", pick.choice(THINGS)]
        for _ in range(pick.randint(1, 4)):
            words += [pick.choice(MORE), pick.choice(THINGS)]
        return " ".join(words)

    def name(self) -> str:
        """A name that no line had before."""
        while True:
            name = " ".join(self.random.choice(THINGS) for _ in range(self.random.randint(1, 2)))
            if name not in self.names:
                self.names.add(name)
                return name
            self.names.discard(self.random.choice(sorted(self.names)))

    def title(self) -> str:
        return " ".join(self.random.choice(THINGS).title() for _ in range(self.random.randint(1, 3)))

    def spots(self) -> list[tuple[Section, int]]:
        return [(part, at) for file in self.files.values() for part in file for at in range(len(part.entries))]

    def spot(self) -> tuple[Section, int]:
        return self.random.choice(self.spots())

    def section(self) -> Section:
        return self.random.choice([part for file in self.files.values() for part in file])

    def edit(self, kind: str) -> None:
        if self.spots():
            getattr(self, kind.replace(" ", "_"))()

    def touch(self, entry: Entry, kind: str) -> None:
        self.touched[entry.who].add(kind)

    def insert(self, *, touch: bool = True) -> None:
        part = self.section()
        at = self.random.randint(0, len(part.entries))
        below = at > 0 and self.random.random() < 0.25
        depth = min(part.entries[at - 1].depth + 1, 2) if below else 0
        entry = Entry(self.next, self.sentence(), depth)
        if self.random.random() < self.ids:
            entry.id = f"t{self.next:04}"
        self.next += 1
        part.entries.insert(at, entry)

    def delete(self) -> None:
        part, at = self.spot()
        self.deleted.append(part.entries.pop(at))

    def restore(self) -> None:
        if self.deleted:
            entry = self.deleted.pop(self.random.randrange(len(self.deleted)))
            part = self.section()
            part.entries.insert(self.random.randint(0, len(part.entries)), entry)
            self.touch(entry, "restore")

    def duplicate(self) -> None:
        part, at = self.spot()
        whole = part.entries[at]
        goal = part if self.random.random() < 0.5 else self.section()
        place = self.random.randint(0, len(goal.entries))
        if goal is part:
            place = below(part, at)
        goal.entries.insert(place, Entry(self.next, whole.text, whole.depth, whole.done))
        self.next += 1
        self.touch(whole, "duplicate")

    def move(self) -> None:
        part, at = self.spot()
        entry = part.entries.pop(at)
        part.entries.insert(self.random.randint(0, len(part.entries)), entry)
        self.touch(entry, "move")

    def move_far(self) -> None:
        part, at = self.spot()
        entry = part.entries.pop(at)
        goal = self.section()
        goal.entries.insert(self.random.randint(0, len(goal.entries)), entry)
        self.touch(entry, "move far")

    def move_section(self) -> None:
        name = self.random.choice([name for name, parts in self.files.items() if parts])
        part = self.files[name].pop(self.random.randrange(len(self.files[name])))
        goal = self.random.choice(list(self.files))
        self.files[goal].insert(self.random.randint(0, len(self.files[goal])), part)
        for entry in part.entries:
            self.touch(entry, "move section")

    def reword(self) -> None:
        part, at = self.spot()
        entry = part.entries[at]
        words = entry.text.split()
        if len(words) < 3:
            return  # a line of two other words is another line
        if any(entry.text.startswith(frame.partition("{")[0]) for frame in FRAMES):
            words.insert(self.random.randint(1, len(words)), self.random.choice(MORE))
            entry.text = " ".join(words)
            self.touch(entry, "reword")
            return  # with another name it is other work
        for _ in range(self.random.randint(1, max(1, len(words) // 3))):
            place = self.random.randrange(len(words))
            way = self.random.random()
            if way < 0.4:
                words[place] = self.random.choice(THINGS)
            elif way < 0.7:
                words.insert(place, self.random.choice(MORE))
            elif way < 0.85 and len(words) > 3:
                words.pop(place)
            else:
                spelled = list(words[place])
                self.random.shuffle(spelled)
                words[place] = "".join(spelled[:8])
        entry.text = " ".join(words)
        self.touch(entry, "reword")

    def replace(self) -> None:
        """Other work in the place of a line, and in much the same words: about other things, under the same verb."""
        part, at = self.spot()
        old = part.entries[at]
        frame = next((one for one in FRAMES if old.text.startswith(one.partition("{")[0])), None)
        if frame is not None:
            text = frame.format(self.name())
        else:
            words = [self.random.choice(THINGS) if word in THINGS else word for word in old.text.split()]
            text = " ".join(words)
            same = sum(one == other for one, other in zip(words, old.text.split(), strict=True))
            if 2 * same > len(words) + 1:
                return  # so much the same is a line that was reworded
        if text == old.text:
            return
        self.deleted.append(old)
        part.entries[at] = Entry(self.next, text, old.depth, old.done and self.random.random() < 0.5)
        self.next += 1
        self.touch(part.entries[at], "replace")

    def reorder(self) -> None:
        part = self.section()
        low = self.random.randint(0, max(0, len(part.entries) - 1))
        some = part.entries[low : low + self.random.randint(2, 6)]
        self.random.shuffle(some)
        part.entries[low : low + len(some)] = some
        for entry in some:
            self.touch(entry, "reorder")

    def tick(self) -> None:
        part, at = self.spot()
        part.entries[at].done = not part.entries[at].done
        self.touch(part.entries[at], "tick")

    def nest(self) -> None:
        part, at = self.spot()
        part.entries[at].depth = min(3, part.entries[at].depth + 1)
        self.touch(part.entries[at], "nest")

    def unnest(self) -> None:
        part, at = self.spot()
        part.entries[at].depth = max(0, part.entries[at].depth - 1)
        self.touch(part.entries[at], "unnest")

    def rename_file(self) -> None:
        old = self.random.choice(list(self.files))
        new = f"docs/{self.random.choice(THINGS)}-{self.next}-{self.random.randrange(10_000)}.md"
        self.files[new] = self.files.pop(old)
        if self.random.random() < 0.5:  # else nobody asked git
            self.renamed[new] = self.renamed.pop(old, old)
        for part in self.files[new]:
            for entry in part.entries:
                self.touch(entry, "rename file")

    def retitle(self) -> None:
        part = self.section()
        part.title = self.title()
        for entry in part.entries:
            self.touch(entry, "retitle")

    def split(self) -> None:
        part, at = self.spot()
        entry = part.entries[at]
        words = entry.text.split()
        cut = max(len(words) // 2 + 1, round(len(words) * 0.6))
        better, rest = " ".join(words[:cut]), " ".join(words[cut:])
        if len(better) < 1.3 * len(rest) or len(words) < 5:
            return  # nobody could say which half is the better one
        entry.text = better
        part.entries.insert(below(part, at), Entry(self.next, rest, entry.depth))
        self.next += 1
        self.touch(entry, "split")

    def text(self, path: str) -> tuple[str, dict[int, Entry]]:
        """A file as people write it, and what stands in which line."""
        lines = ["# Plan", ""]
        at: dict[int, Entry] = {}
        for part in self.files[path]:
            lines += [f"## {part.title}", ""]
            open_: list[int] = []
            for entry in part.entries:
                while open_ and open_[-1] >= entry.depth:
                    open_.pop()
                lines.append(f"{'  ' * len(open_)}- [{'x' if entry.done else ' '}] {entry.words}")
                at[len(lines)] = entry
                open_.append(entry.depth)
            lines.append("")
        return "\n".join(lines), at

    def found(self) -> tuple[list[FoundFile], dict[tuple[str, int], Entry]]:
        """The files as the scanner reads them, and who stands where."""
        files: list[FoundFile] = []
        who: dict[tuple[str, int], Entry] = {}
        for path in self.files:
            text, at = self.text(path)
            file = scan_bytes(path, text.encode(), hashlib.sha256(text.encode()).hexdigest())
            assert [(one.line, one.text) for one in file.found] == [(line, one.words) for line, one in at.items()]
            who |= {(path, place): at[found.line] for place, found in enumerate(file.found)}
            files.append(file)
        return files, who


def same_line(one: KnownItem, other: KnownItem) -> bool:
    """Whether two items are the same but for their place."""
    return (one.path, one.heading, one.text, one.called) == (other.path, other.heading, other.text, other.called)


class Follower:
    """Matches one version after the other and keeps count of who was known again."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.known: list[KnownItem] = []
        self.who: dict[int, int] = {}  # item -> the answer when it was first seen
        self.item: dict[int, int] = {}  # the answer -> its first item
        self.right: Counter[str] = Counter()
        self.all: Counter[str] = Counter()
        self.last = Matching([], [], [], {}, {})

    @property
    def who_has(self) -> dict[int, int]:
        """The answer by the item that stands for it now."""
        return {item: who for who, item in self.item.items()}

    def look(self) -> list[str]:
        """Match the document as it stands; what went wrong, in words."""
        files, entries = self.document.found()
        self.last = matching = match(self.known, files, self.document.renamed)
        before = {item.id: item for item in self.known}
        ids: dict[tuple[str, int], int] = {(pair.at.path, pair.at.place): pair.item for pair in matching.pairs}
        self._forgive(before, files, entries, ids)
        wrong = []
        for at, entry in entries.items():
            if entry.who in self.item:
                held = ids.get(at) == self.item[entry.who]
                kinds = self.document.touched.get(entry.who, {"untouched"})
                for kind in kinds | {"all"}:
                    self.all[kind] += 1
                    self.right[kind] += held
                if not held:
                    wrong.append(f"{at} {before[self.item[entry.who]].text!r} -> {entry.text!r} {sorted(kinds)}")
            else:
                if at in ids and not before[ids[at]].seen and before[ids[at]].text == entry.words:
                    # The words of a line that is gone: nobody could tell that it is not that one, come back.
                    self.item.pop(self.who_has.get(ids[at], -1), None)
                    self.who[ids[at]] = entry.who
                    self.item[entry.who] = ids[at]
                    continue
                for kind in self.document.touched.get(entry.who, set()) & {"replace"} | {"new"}:
                    self.all[kind] += 1
                    self.right[kind] += at not in ids
                if at in ids:
                    wrong.append(f"{at} new {entry.text!r} taken for {before[ids[at]].text!r}")
        for at, entry in entries.items():
            if at not in ids:
                ids[at] = len(self.who) + 1
                self.who[ids[at]] = entry.who
            # An item that went wrong stays wrong in the sums over a history, and starts anew in those of each step.
            self.item[entry.who] = ids[at]
        fresh: list[KnownItem] = []
        for file in files:
            for place, found in enumerate(file.found):
                fresh.append(
                    KnownItem(
                        id=ids[file.path, place],
                        path=file.path,
                        place=place,
                        line=found.line,
                        text=found.text,
                        heading=tuple(found.heading),
                        form=found.form.value,
                        called=found.id,
                        parent=None if found.above is None else ids[file.path, found.above],
                    )
                )
        present = {item.id for item in fresh}
        gone = [
            KnownItem(**{name: getattr(item, name) for name in item.__struct_fields__} | {"seen": False})
            for item in self.known
            if item.id not in present
        ]
        self.known = fresh + gone
        self.document.touched.clear()
        self.document.renamed.clear()
        return wrong

    def _forgive(
        self,
        before: dict[int, KnownItem],
        files: Sequence[FoundFile],
        entries: dict[tuple[str, int], Entry],
        ids: dict[tuple[str, int], int],
    ) -> None:
        """Equal lines that were, or are, under one heading may change places in the answer where nobody could tell:
        those that stood side by side, and those that are all still there. So may those that are gone.
        """
        holders = {entry.who: entry for entry in [*entries.values(), *self.document.deleted]}
        headings = {
            (file.path, place): (file.path, tuple(found.heading))
            for file in files
            for place, found in enumerate(file.found)
        }
        runs: dict[int, int] = {}
        for item, following in itertools.pairwise(self.known):
            if same_line(item, following) and item.seen and following.seen:
                runs[following.id] = runs.setdefault(item.id, item.id)
        places = {entry.who: at for at, entry in entries.items()}
        for at, entry in entries.items():
            true, told = self.item.get(entry.who), ids.get(at)
            if true is None or told is None or true == told:
                continue
            one, other = before[true], before[told]
            rival = holders.get(self.who_has.get(told, -1))
            gone = one.text == other.text and not (one.seen or other.seen)
            if rival is None or not (gone or same_line(one, other)):
                continue
            there = places.get(rival.who)
            beside = true in runs and runs[true] == runs.get(told)
            both = there is not None and headings[there] == headings[at] and entries[there].words == entry.words
            if beside or both or gone:
                places[rival.who], places[entry.who] = at, there or at
                entry.who, rival.who = rival.who, entry.who
                holders[entry.who], holders[rival.who] = entry, rival

    def lasting(self) -> tuple[int, int]:
        """Of those that are there now: how many are the item that they were at first, and how many there are."""
        _, entries = self.document.found()
        here = [entry.who for entry in entries.values()]
        return sum(self.who[self.item[one]] == one for one in here), len(here)


def follow(document: Document, kinds: Sequence[str], versions: int, edits: int) -> tuple[Follower, list[str]]:
    """A history of so many versions of so many edits at most each."""
    follower = Follower(document)
    follower.look()
    wrong: list[str] = []
    for version in range(versions):
        for _ in range(document.random.randint(1, edits)):
            document.edit(document.random.choice(kinds))
        wrong += [f"version {version}: {one}" for one in follower.look()]
    return follower, wrong
