"""How words are indexed, and looked for, in the full-text index of each database.

What a word is, services/search.py says: letters and digits alone. A scope, which says who may find a document, is
indexed as one more word; a filter behind the index would first read all that it then drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from shoal.model.search import Term

if TYPE_CHECKING:
    from apsw import FTS5ExtensionApi

TYPICAL_WORDS = 100


class WordIndex(Protocol):
    """What a database's full-text index takes. A scope is one lower-case word."""

    def indexed(self, words: Sequence[str], scope: str) -> str:
        """The words of a document of a scope."""
        ...

    def wanted(self, terms: Sequence[Term], scope: str) -> dict[str, str]:
        """Parameters that look for documents of a scope with every term, and none that is `without`."""
        ...


class _FTS5:
    def indexed(self, words: Sequence[str], scope: str) -> str:
        return f"#{scope} {' '.join(words)}"

    def wanted(self, terms: Sequence[Term], scope: str) -> dict[str, str]:
        with_these = [f'"#{scope}"', *(self._phrase(term) for term in terms if not term.without)]
        match = " AND ".join(with_these)
        if without := [self._phrase(term) for term in terms if term.without]:
            match = f"({match}) NOT ({' OR '.join(without)})"
        return {"match": match}

    def _phrase(self, term: Term) -> str:
        return f'"{" ".join(term.words)}"{" *" if term.prefix else ""}'


class _TSVector:
    # Written out rather than made by to_tsvector, whose parser has its own mind about numbers, hosts and other scripts.
    # Every word begins with the capital of its scope: what begins with "a" in bodies does not slow titles down.
    def indexed(self, words: Sequence[str], scope: str) -> str:
        numbered = (f"'{scope[0].upper()}{word}':{place}" for place, word in enumerate(words, start=1))
        return " ".join([f"'#{scope}'", *numbered])

    def wanted(self, terms: Sequence[Term], scope: str) -> dict[str, str]:
        mark = f"'#{scope}'"
        phrases = [self._phrase(term, scope) for term in terms]
        ranked = [phrase for phrase, term in zip(phrases, terms, strict=True) if not term.without]
        # The index has to gather all that a prefix begins; the rows that whole words lead to are sooner looked at.
        whole = [phrase for phrase, term in zip(phrases, terms, strict=True) if not (term.without or term.prefix)]
        return {
            "match": " & ".join([mark, *phrases]),
            "lookup": " & ".join([mark, *(whole or ranked)]),
            "ranked": " & ".join(ranked),
        }

    def _phrase(self, term: Term, scope: str) -> str:
        words = " <-> ".join(f"'{scope[0].upper()}{word}'" for word in term.words)
        return f"{'!' if term.without else ''}({words}{':*' if term.prefix else ''})"


FTS5: WordIndex = _FTS5()
TSVector: WordIndex = _TSVector()


def match_score(index: FTS5ExtensionApi, *_: object) -> float:
    """How well a document matches: how often each term occurs, for its length.

    It is bm25 without how rare a word is: finding that out reads every match, and would tell of others' notes.
    """
    length = 0.3 + 0.9 * index.column_size() / TYPICAL_WORDS
    score = 0.0
    for phrase in range(index.phrase_count):
        if times := len(index.phrase_column_offsets(phrase, 0)):
            score += times / (times + length)
    return score
