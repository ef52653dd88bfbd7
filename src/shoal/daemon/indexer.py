"""Feeds the search index with the texts of tasks: titles from the ledger, the others from the vault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from shoal.adapters.vault import files, task_file
from shoal.adapters.vault.vault import Vault
from shoal.errors import ShoalError
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.content import Facts
from shoal.model.search import Document, DocumentKind
from shoal.services import search

BATCH = 100
_AGENT = re.compile(r"# \S+: notes of (.+)")


def index(engine: EmbeddedEngine, vault: Vault, batch: list[Facts]) -> None:
    """Bring the index in step with the texts of these tasks, a few at a time: others write meanwhile."""
    for start in range(0, len(batch), BATCH):
        documents = [one for facts in batch[start : start + BATCH] for one in _documents(vault, facts)]
        engine.write(partial(search.put, documents=documents))


def _documents(vault: Vault, facts: Facts) -> Iterator[Document]:
    task = facts.task
    yield Document(task=task.id, kind=DocumentKind.TITLE, text=task.title)
    try:
        place = vault.find(task)
        body = "" if place is None else task_file.body(files.read(vault.path(place)))
    except ShoalError:
        return  # a file that cannot be read is told of by who writes it
    result = f"{task.summary or ''}\n{task_file.section(body, 'Result')}"
    yield Document(task=task.id, kind=DocumentKind.BODY, text=body)
    yield Document(task=task.id, kind=DocumentKind.RESULT, text=result)
    context = vault.path(vault.layout.context_file(task.task_id))
    if context.is_file():
        yield Document(task=task.id, kind=DocumentKind.CONTEXT, text=files.read(context))
    for path in vault.notes_of(task.task_id):
        text = files.read(path)
        if agent := _AGENT.match(text):
            yield Document(task=task.id, kind=DocumentKind.NOTE, agent=agent[1], text=text)
