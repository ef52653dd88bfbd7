"""How alike two texts are. Which texts are compared: evidence.py."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from itertools import pairwise
from math import log
from typing import NamedTuple

from shoal.model.item import named

_MARKS = re.compile(r"[\W_]+")
_WORD = re.compile(r"[^\W_]+(?:\.[^\W_]+)*")
_SIZE = re.compile(r"\(\w{1,2}\)|\bP[0-3]\b")  # "(5)", "(XL)", "P1": how much and how urgent, not what
# Words that hold a sentence together and say nothing about what it is about.
_SMALL = frozenset({
    "a", "again", "already", "also", "an", "and", "any", "are", "as", "at", "be", "been", "by", "can", "do", "does",
    "for", "from", "has", "have", "if", "in", "into", "is", "it", "its", "just", "more", "now", "of", "off", "on",
    "onto", "or", "our", "out", "over", "please", "so", "some", "still", "than", "that", "the", "their", "them",
    "then", "there", "these", "this", "to", "under", "until", "up", "via", "was", "we", "were", "what", "when",
    "where", "which", "while", "who", "why", "will", "with", "without", "you", "your",
})  # fmt: skip
# So many of their letters have two words in common that are one word, spelled or inflected otherwise.
TYPING_ERROR = 0.6


class Words:
    """A text without marks, capitals and spaces, and what of it is compared."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.key = _MARKS.sub(" ", text).casefold().strip() or text.strip()

    @property
    def first(self) -> str:
        """Its first word."""
        return self.key.partition(" ")[0]

    @cached_property
    def words(self) -> frozenset[str]:
        """Its different words."""
        return frozenset(self.key.split())

    @cached_property
    def content(self) -> frozenset[str]:
        """The words that say what it is about, without tags; a number or a name with dots in it is one word. All words
        when none says anything.
        """
        first, _, rest = self.text.partition("\n")
        text = _SIZE.sub(" ", f"{named(first)}\n{rest}")
        words = frozenset(_WORD.findall(text.casefold()))
        return words - _SMALL or words

    @cached_property
    def features(self) -> frozenset[str]:
        """Words, and pairs of neighbouring words: what finds texts that may be the same."""
        words = self.key.split()
        return self.words | {f"{first} {second}" for first, second in pairwise(words)}

    @cached_property
    def grams(self) -> frozenset[str]:
        """Every three letters in a row: a typing error spoils three of them and a word whole."""
        return _grams(self.key)


class Change(NamedTuple):
    """The content of two texts side by side: what both have, and what only the one or the other has."""

    both: frozenset[str]
    lost: frozenset[str]
    gained: frozenset[str]


def change(one: Words, other: Words) -> Change:
    """What became of a text's content. A word that is spelled or inflected otherwise is neither lost nor gained."""
    both = one.content & other.content
    lost, gained = set(one.content - both), set(other.content - both)
    for word in sorted(lost):
        again = max(sorted(gained), key=lambda new: _same_word(word, new), default=None)
        if again is not None and _same_word(word, again) >= TYPING_ERROR:
            lost.remove(word)
            gained.remove(again)
    return Change(both, frozenset(lost), frozenset(gained))


class Likeness:
    """Compares texts among all those that a scan compares: a word that few of them have says more."""

    def __init__(self, *sides: Iterable[Words]) -> None:
        counts: Counter[str] = Counter()
        total = 1
        for side in sides:
            texts = list(side)
            counts |= Counter(word for text in texts for word in text.words | text.content)
            total = max(total, 1 + len(texts))
        self._weight: Mapping[str, float] = {word: log(1 + total / count) for word, count in counts.items()}

    def between(self, one: Words, other: Words) -> float:
        """0 for nothing in common, 1 for the same words; by letters, and by words where these say more."""
        if one.key == other.key:
            return 1.0
        both = self._sum(one.words) + self._sum(other.words)
        words = 2 * self._sum(one.words & other.words) / both if both else 0.0
        letters = _dice(one.grams, other.grams)
        return min(max(letters, (letters + words) / 2), 0.99)

    def kept(self, one: Words, other: Words) -> float:
        """How much of the content of two texts is in both, 0 to 1."""
        if one.key == other.key:
            return 1.0
        whole = self._sum(one.content) + self._sum(other.content)
        made = change(one, other)
        return 1.0 - self._sum(made.lost | made.gained) / whole if whole else 0.0

    def within(self, part: Words, whole: Words) -> float:
        """How much of a text's words another one has."""
        weight = self._sum(part.words)
        return self._sum(part.words & whole.words) / weight if weight else 0.0

    def _sum(self, words: Iterable[str]) -> float:
        weight = self._weight
        return sum(weight.get(word, 1.0) for word in words)


@lru_cache(maxsize=10_000)
def _grams(text: str) -> frozenset[str]:
    padded = f" {text} "
    return frozenset(padded[at : at + 3] for at in range(max(1, len(padded) - 2)))


def _same_word(one: str, other: str) -> float:
    """How surely two words are one, with a typing error or another ending; letters that changed places are one."""
    return 1.0 if sorted(one) == sorted(other) else _dice(_grams(one), _grams(other))


def _dice(one: frozenset[str], other: frozenset[str]) -> float:
    return 2 * len(one & other) / (len(one) + len(other))
