"""Memory: what earlier work and people's notes have to say about a task.

What is looked for comes from what people wrote: the task's title, its objective, and their newest message. Machines'
words (results, errors, what agents say) never count: an agent would be led by its own mistakes.
"""

from __future__ import annotations

import re
from itertools import chain
from math import log
from typing import TypeVar

from msgspec import Struct

from shoal.model.event import event_from_row
from shoal.model.prompt import LIMITS, one_line, plain
from shoal.model.search import DocumentKind, Term
from shoal.model.task import FINISHED, Status, Task
from shoal.services import knowledge, tasks
from shoal.services.search import words_of
from shoal.services.transaction import Tx

TERMS = {"title": 10, "objective": 10, "message": 6}  # words that are looked for, from each
CHARACTERS_READ = 4_000
CANDIDATES = 200  # the newest texts with a word; one that is in so many says little
TASKS, NOTES, LESSONS = 5, 4, 3
EXCERPT_LIMIT = 500
SCOPES = (DocumentKind.TITLE, DocumentKind.BODY, DocumentKind.RESULT)
FEW = 8  # a ledger of fewer tasks tells nothing about how frequent a word is
FREQUENT_SHARE = 0.25
FREQUENT_WEIGHT = 0.1
Key = TypeVar("Key", int, str)
_WORD = re.compile(r"\S+")
_SHORT = re.compile(r"[a-z]{1,2}")


class Memory(Struct, frozen=True):
    """What was found, the best first, as lines for an agent."""

    tasks: list[str] = []
    notes: list[str] = []
    lessons: list[str] = []


def derive_query(*, title: str, objective: str = "", message: str = "") -> list[Term]:
    """The words to look for: of a person's texts and nothing else. The same texts give the same words."""
    found: dict[Term, None] = {}
    for name, text in (("title", title), ("objective", objective), ("message", message)):
        new = [term for term in _terms(text) if term not in found]
        if name != "title":
            new = [term for term in new if len(term.words) > 1 or not _SHORT.fullmatch(term.words[0])]
        found |= dict.fromkeys(list(dict.fromkeys(new))[: TERMS[name]])
    return list(found)


def newest_human_message(tx: Tx, task: Task) -> str:
    """What a person said last about a task: told, commented, or asked for in a rejection."""
    said = [(at, actor, text) for at, actor, text in tx.all("prompts.newest_told", task=task.id, limit=20)]
    for row in tx.all("prompts.comments", task=task.id, limit=20):
        event = event_from_row(row, tx.identity.prefix)
        said.append((event.at, event.actor, event.data.get("message") or event.data.get("notes") or ""))
    for _, actor, text in sorted(said, key=lambda one: one[0], reverse=True):
        if text and not is_agent(tx, task, actor):
            return str(text)
    return ""


def is_agent(tx: Tx, task: Task, name: str) -> bool:
    """Whether a name is that of a machine: Shoal, a configured agent, one that had a session or claimed the task."""
    if name in {"shoal", task.worker} or name in tx.settings.agents:
        return True
    return bool(tx.one("prompts.session_of", agent=name) or tx.one("prompts.claimed_by", task=task.id, actor=name))


def recall(tx: Tx, task: Task, query: list[Term], *, known: set[int]) -> Memory:
    """Finished tasks, notes and lessons that have to do with a query; never the task itself or one that is `known`."""
    if not query:
        return Memory()
    related = _related_tasks(tx, query, known | {task.id})
    notes = _related_notes(tx, query) if tx.has_vault else []
    lessons = [_note(tx, one, query) for one in notes if one.lesson][:LESSONS]
    lessons += [line for one in related if (line := _lesson(one))]
    return Memory(
        tasks=[_line(one) for one in related],
        notes=[_note(tx, one, query) for one in [one for one in notes if not one.lesson][:NOTES]],
        lessons=lessons,
    )


class _Note(Struct, frozen=True):
    path: str
    title: str
    lesson: bool


def _terms(text: str) -> list[Term]:
    """The words of a text; of scripts without spaces each two characters that stand together."""
    terms = []
    for chunk in _WORD.findall(plain(text)[:CHARACTERS_READ]):
        words = words_of(chunk)
        single = [len(word) == 1 and not word.isascii() for word in words]
        for number, word in enumerate(words):
            if not single[number]:
                terms.append(Term((word,)))
            elif number + 1 < len(words) and single[number + 1]:
                terms.append(Term((word, words[number + 1])))
            elif number == 0 or not single[number - 1]:
                terms.append(Term((word,)))
    return terms


def _related_tasks(tx: Tx, query: list[Term], known: set[int]) -> list[Task]:
    words = tx.store.words
    asked = [
        {"scope": scope.value, "candidates": CANDIDATES, **words.wanted([term], scope.value)}
        for term in query
        for scope in SCOPES
    ]
    answers = iter(tx.many("search.having", asked))
    finished: dict[int, bool] = {}
    found = []
    for _ in query:
        rows = list(chain.from_iterable(next(answers) for _ in SCOPES))
        finished |= {task: bool(done) for task, done in rows}
        found.append({task for task, _ in rows} - known)
    newest = tx.one("search.newest_task")
    scores = _scores(found, int(newest[0]) if newest else 0)
    ordered = sorted(scores, key=lambda number: (-scores[number], -number))
    wanted = [number for number in ordered if finished[number]][: TASKS * 2]
    related = {task.id: task for task in tasks.by_numbers(tx, wanted)}
    return [related[number] for number in wanted if number in related and related[number].status in FINISHED][:TASKS]


def _related_notes(tx: Tx, query: list[Term]) -> list[_Note]:
    words = tx.store.words
    asked = [{"candidates": CANDIDATES, **words.wanted([term], knowledge.SCOPE)} for term in query]
    answers = tx.many("knowledge.having", asked)
    notes = {path: _Note(path, title, bool(lesson)) for rows in answers for path, title, lesson in rows}
    count = tx.one("knowledge.count")
    scores = _scores([{row[0] for row in rows} for rows in answers], int(count[0]) if count else 0)
    return [notes[path] for path in sorted(scores, key=lambda path: (-scores[path], path))]


def _scores(found: list[set[Key]], total: int) -> dict[Key, float]:
    """How many of the words each has, the rarest counting most; one word in common, out of several, is chance."""
    scores: dict[Key, float] = {}
    shared: dict[Key, int] = {}
    for having in found:
        frequent = len(having) >= CANDIDATES or (total >= FEW and len(having) > total * FREQUENT_SHARE)
        weight = FREQUENT_WEIGHT if frequent else log(1 + max(total, 1) / max(len(having), 1))
        for key in having:
            scores[key] = scores.get(key, 0.0) + weight
            shared[key] = shared.get(key, 0) + (not frequent)
    needed = 2 if len(found) > 2 else 1
    return {key: round(score, 6) for key, score in scores.items() if shared[key] >= needed}


def _line(task: Task) -> str:
    told = task.last_error if task.status is Status.FAILED else task.summary
    what = f": {one_line(told, EXCERPT_LIMIT)}" if told and told.strip() else ""
    return f"{task.task_id} {task.status.value}, {one_line(task.title, 200)}{what}"


def _lesson(task: Task) -> str | None:
    """What a person thought of a related task."""
    if task.feedback is None or not task.feedback.notes:
        return None
    return f"{task.task_id} was rated {task.feedback.quality} of 5: {one_line(task.feedback.notes, EXCERPT_LIMIT)}"


def _note(tx: Tx, note: _Note, query: list[Term]) -> str:
    return f"{note.path}, {one_line(note.title, 200)}: {_excerpt(tx.vault.knowledge(note.path), query)}"


def _excerpt(text: str, query: list[Term]) -> str:
    """The paragraph of a note that has the most of the words."""
    wanted = {word for term in query for word in term.words}
    paragraphs = [
        one for one in re.split(r"\n\s*\n", plain(text)[: LIMITS["body"]]) if not one.lstrip().startswith("#")
    ]
    best = max(paragraphs, key=lambda one: len(wanted.intersection(words_of(one))), default="")
    return one_line(best, EXCERPT_LIMIT)
