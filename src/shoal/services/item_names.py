"""Which open item is meant by words: its number, its title, or nearly its title. Not for what is done about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from shoal.errors import NotFound
from shoal.model.assessment import Matched
from shoal.model.item import Item, named, shown
from shoal.services.item_numbers import item_number
from shoal.services.transaction import Tx

NEAR = 0.85  # as difflib's ratio has it: a word of six or so is another one
COMMON_WORDS = 0.5  # of the shorter one; what has less in common is not compared letter by letter, which is slow
MOST = 5000  # open items of a project that are looked at, the newest
_NUMBER = re.compile(r"\s*(W\d{1,18})\b", re.IGNORECASE)
_WORDS = re.compile(r"\w+")


class Names:
    """The open items of a project by what they are called, without one of them."""

    def __init__(self, tx: Tx, item: Item) -> None:
        self._item = item
        self._by_number: set[int] = set()
        self._by_words: dict[tuple[str, ...], int] = {}
        # The oldest first, so that of two with the same name the newer one is meant.
        for number, title, text in reversed(tx.all("items.open_names", project=item.project, limit=MOST)):
            self._by_number.add(number)
            for name in (text.split("\n", 1)[0], named(text), title):
                if words := _words(name or ""):
                    self._by_words[words] = number

    def match(self, text: str) -> Matched:
        """The item that is meant. Never raises; words that name none stay words."""
        if number := _NUMBER.match(text):
            return self._numbered(text, number[1])
        words = _words(text)
        if not words:
            return Matched(text=text, item=None, how="no such item")
        if (same := self._by_words.get(words)) is not None:
            return self._found(text, same, 1.0)
        near = max(self._near(words), default=(0.0, 0))
        if near[0] >= NEAR:
            return self._found(text, near[1], near[0])
        return Matched(text=text, item=None, how="no such item")

    def match_all(self, texts: Iterable[str]) -> list[Matched]:
        """What each of these texts means, in order; those that mean the same item once."""
        found: dict[str, Matched] = {}
        for text in texts:
            matched = self.match(text)
            found.setdefault(matched.item or f"\0{text}", matched)
        return list(found.values())

    def _numbered(self, text: str, ref: str) -> Matched:
        try:
            number = item_number(ref)
        except NotFound:
            number = 0
        if number == self._item.id:
            return Matched(text=text, item=self._item.item_id, how="itself")
        if number not in self._by_number:
            return Matched(text=text, item=None, how="no such item")
        return Matched(text=text, item=shown(number), how="by number")

    def _found(self, text: str, number: int, likeness: float) -> Matched:
        percent = int(100 * likeness)
        if number == self._item.id:
            return Matched(text=text, item=self._item.item_id, how="itself", likeness_percent=percent)
        is_same = likeness == 1.0
        return Matched(
            text=text,
            item=shown(number),
            how="same title" if is_same else "near title",
            likeness_percent=percent,
        )

    def _near(self, words: tuple[str, ...]) -> Iterator[tuple[float, int]]:
        asked, joined = set(words), " ".join(words)
        compared = SequenceMatcher(b=joined, autojunk=False)
        for others, number in self._by_words.items():
            if len(asked.intersection(others)) < COMMON_WORDS * min(len(asked), len(others)):
                continue
            compared.set_seq1(" ".join(others))
            if compared.real_quick_ratio() >= NEAR and compared.quick_ratio() >= NEAR:
                yield compared.ratio(), number


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORDS.findall(text[:500].casefold()))
