"""The index of people's notes in the vault's knowledge folder. Who reads the notes: daemon/knowledge.py; who looks for
them: memory.py.
"""

from __future__ import annotations

from shoal.model.search import KnowledgeNote
from shoal.services.search import words_of
from shoal.services.transaction import Tx

SCOPE = "knowledge"
_FACT = "knowledge"


def indexed_tree(tx: Tx) -> str | None:
    """The folder's content that the index stands for, by git's name of it."""
    row = tx.one("facts.get", name=_FACT)
    return None if row is None else str(row[0])


def indexed(tx: Tx) -> dict[str, str]:
    """Every note that is indexed, by its path, with the name of its content."""
    return dict(tx.all("knowledge.all"))


def put(tx: Tx, *, notes: list[KnowledgeNote], gone: list[str]) -> None:
    """Index notes, each in the place of what was there under its path, and forget those that are gone."""
    paths = [{"path": path} for path in gone]
    if paths:
        tx.many("knowledge.drop_words", paths)
        tx.many("knowledge.drop", paths)
    rows = [{"path": one.path, "title": one.title, "lesson": int(one.lesson), "hash": one.hash} for one in notes]
    answers = tx.many("knowledge.put", rows)
    tx.many(
        "knowledge.put_words",
        [
            {"id": answer[0][0], "words": tx.store.words.indexed(words_of(f"{one.title}\n{one.text}"), SCOPE)}
            for one, answer in zip(notes, answers, strict=True)
        ],
    )


def finish(tx: Tx, tree: str) -> None:
    """Remember that the index stands for this content of the folder."""
    tx.all("facts.set", name=_FACT, value=tree)
