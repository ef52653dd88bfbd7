"""Search: tasks found by words of their titles, bodies, results and notes. The texts themselves are kept elsewhere.

What a word is, is said here alone, for texts and for queries, so that every database finds the same. Whoever has the
texts (the ledger holds titles, the vault the others) puts them into the index inside of its own transactions.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from itertools import chain
from operator import itemgetter
from typing import Annotated

from msgspec import Meta

from shoal.errors import BadInput
from shoal.model.fields import Limit
from shoal.model.search import Document, DocumentKind, Hit, Term
from shoal.model.task import Status
from shoal.services.transaction import Tx
from shoal.services.verb import verb

# PostgreSQL numbers 16,383 words of a document, and holds a megabyte of them, none longer than 2 KB.
WORDS_PER_DOCUMENT = 16_000
CHARACTERS_PER_DOCUMENT = 200_000
CHARACTERS_PER_WORD = 100
TERMS_PER_QUERY = 32
# So many of the newest matches of each kind are compared; a frequent word would otherwise have every document read.
CANDIDATES = 200
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
# Scripts that put no space between words: each character is a word there, and several together are a phrase.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_WORD = re.compile(rf"(?![\W_])[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_TERM = re.compile(r'(-?)(?:"([^"]*)"?(\*?)|([^\s"]+))')
_score = itemgetter(5)
_QUOTES = str.maketrans("“”„«»", '"' * 5)


@verb("GET /tasks/search")
def search(
    tx: Tx,
    *,
    text: Annotated[
        str,
        Meta(
            max_length=500,
            description='Words that must all occur, "exact phrases", -without, begin*; case and accents do not matter.',
        ),
    ],
    kind: Annotated[DocumentKind | None, Meta(description="Look only into these texts.")] = None,
    limit: Limit = 20,
) -> list[Hit]:
    """Tasks by the words of one of their texts, each once, the best match first: titles, then the others.

    Notes are found by the agent who wrote them alone. The best are chosen from the newest matches.
    """
    terms = parse(text)
    if all(term.without for term in terms):
        raise BadInput("there is no word to look for; name one that must occur", field="text")
    if len(terms) > TERMS_PER_QUERY:
        raise BadInput(f"{len(terms)} terms are too many; leave {TERMS_PER_QUERY} at most", field="text")
    bounds = {"candidates": max(CANDIDATES, limit), "limit": limit}
    scopes = [_scope(one, tx.actor) for one in ([kind] if kind else DocumentKind)]
    asked = [{"scope": scope, **bounds, **tx.store.words.wanted(terms, scope)} for scope in scopes]
    first, *others = tx.many("search.best", asked)
    hits: dict[int, Hit] = {}
    for id, title, status, found_in, agent, _ in chain(first, sorted(chain(*others), key=_score, reverse=True)):
        if id not in hits:
            hits[id] = Hit(id, tx.shown(id), title, Status(status), DocumentKind(found_in), agent or None)
    return list(hits.values())[:limit]


def put(tx: Tx, documents: list[Document]) -> None:
    """Index texts, each in the place of what its task had of that kind; one that did not change costs little.

    A blank text is removed. Words behind the first 16,000 of a text are not found.
    """
    latest = {(one.task, one.kind, one.agent): one for one in documents}.values()
    gone = [_key(one) for one in latest if not one.text.strip()]
    if gone:
        tx.many("search.drop_words", gone)
        tx.many("search.drop", gone)
    kept = [one for one in latest if one.text.strip()]
    answers = tx.many("search.put", [_key(one) | {"hash": _hash(one.text)} for one in kept])
    tx.many(
        "search.put_words",
        [
            {"id": rows[0][0], "scope": scope, "words": tx.store.words.indexed(words_of(one.text), scope)}
            for one, rows in zip(kept, answers, strict=True)
            if rows and (scope := _scope(one.kind, one.agent))
        ],
    )


def replace(tx: Tx, *, tasks: list[int], documents: list[Document], anew: bool = False) -> None:
    """Make these the only texts of these tasks in the index; with `anew` also those that did not change."""
    if anew:
        given = [{"task": task} for task in tasks]
        tx.many("search.drop_words", given)
        tx.many("search.drop", given)
    kept = {(one.task, one.kind.value, one.agent) for one in documents if one.text.strip()}
    indexed = tx.many("search.of_task", [{"task": task} for task in tasks])
    gone = [
        {"task": task, "kind": kind, "agent": agent}
        for task, rows in zip(tasks, indexed, strict=True)
        for kind, agent in rows
        if (task, kind, agent) not in kept
    ]
    if gone:
        tx.many("search.drop_words", gone)
        tx.many("search.drop", gone)
    put(tx, documents)


def words_of(text: str) -> list[str]:
    """The words of a text, in order: letters and digits, without case, accents or typographic forms."""
    return [word[:CHARACTERS_PER_WORD] for word in _WORD.findall(_plain(text))[:WORDS_PER_DOCUMENT]]


def parse(text: str) -> list[Term]:
    """What a query asks for. Several words without a space between them are a phrase: `foo-bar`, `a.b`, 東京."""
    terms = []
    for minus, phrase, star, plain in _TERM.findall(text.translate(_QUOTES)):
        chunk = plain or phrase
        if words := words_of(chunk):
            prefix = bool(star) or chunk.endswith("*")
            terms.append(Term(tuple(words), prefix=prefix, without=bool(minus)))
    return list(dict.fromkeys(terms))


def _plain(text: str) -> str:
    text = text[:CHARACTERS_PER_DOCUMENT]
    if not text.isascii():
        # Folding case may make new compositions, and forms such as ™ decompose into capitals.
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        return _NOT_ASCII.sub(_without_marks, folded)[:CHARACTERS_PER_DOCUMENT]
    return text.lower()


def _without_marks(found: re.Match[str]) -> str:
    # Marks of any kind, and what is invisible: soft hyphens, joiners.
    return "".join(one for one in found[0] if unicodedata.category(one) not in {"Mn", "Mc", "Me", "Cf"})


def _scope(kind: DocumentKind, agent: str) -> str:
    """Who finds a document: those who ask for its kind, and of a note its agent, whose name may be any text."""
    if kind is not DocumentKind.NOTE:
        return kind.value
    return f"note{_hash(agent)}"


def _key(document: Document) -> dict[str, str | int]:
    return {"task": document.task, "kind": document.kind.value, "agent": document.agent}


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
