"""How alike two texts are. Which texts are compared: evidence.py."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import pairwise
from math import log

_MARKS = re.compile(r"[\W_]+")


class Words:
    """A text without marks, capitals and spaces, and what of it is compared."""

    def __init__(self, text: str) -> None:
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
    def features(self) -> frozenset[str]:
        """Words, and pairs of neighbouring words: what finds texts that may be the same."""
        words = self.key.split()
        return self.words | {f"{first} {second}" for first, second in pairwise(words)}

    @cached_property
    def grams(self) -> frozenset[str]:
        """Every three letters in a row: a typing error spoils three of them and a word whole."""
        padded = f" {self.key} "
        return frozenset(padded[at : at + 3] for at in range(max(1, len(padded) - 2)))


class Likeness:
    """Compares texts among all those that a scan compares: a word that few of them have says more."""

    def __init__(self, texts: Iterable[Words]) -> None:
        counts: Counter[str] = Counter()
        total = 1
        for text in texts:
            counts.update(text.words)
            total += 1
        self._weight: Mapping[str, float] = {word: log(1 + total / count) for word, count in counts.items()}

    def between(self, one: Words, other: Words) -> float:
        """0 for nothing in common, 1 for the same words; by letters, and by words where these say more."""
        if one.key == other.key:
            return 1.0
        letters = 2 * len(one.grams & other.grams) / (len(one.grams) + len(other.grams))
        both = self._sum(one.words) + self._sum(other.words)
        words = 2 * self._sum(one.words & other.words) / both if both else 0.0
        return min(max(letters, (letters + words) / 2), 0.99)

    def within(self, part: Words, whole: Words) -> float:
        """How much of a text's words another one has."""
        weight = self._sum(part.words)
        return self._sum(part.words & whole.words) / weight if weight else 0.0

    def _sum(self, words: Iterable[str]) -> float:
        weight = self._weight
        return sum(weight.get(word, 1.0) for word in words)
