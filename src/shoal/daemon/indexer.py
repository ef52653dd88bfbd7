"""Feeds the search index with the texts of tasks: titles from the ledger, the others from the vault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from shoal.adapters.vault import files, task_file
from shoal.adapters.vault import sections as page_sections
from shoal.adapters.vault.vault import Vault
from shoal.errors import ShoalError
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.content import Facts
from shoal.model.search import Document, DocumentKind
from shoal.services import search

_AGENT = re.compile(r"# \S+: notes of (.+)")


def index(engine: EmbeddedEngine, vault: Vault, batch: list[Facts], *, anew: bool) -> None:
    """Bring the index in step with the texts of these tasks; with `anew` also where nothing seems to have changed."""
    documents = [one for facts in batch for one in _documents(vault, facts)]
    tasks = [facts.task.id for facts in batch]
    engine.write(partial(search.replace, tasks=tasks, documents=documents, anew=anew))


def _documents(vault: Vault, facts: Facts) -> Iterator[Document]:
    task = facts.task
    yield Document(task=task.id, kind=DocumentKind.TITLE, text=task.title)
    try:
        place = vault.find(task)
        body = "" if place is None else task_file.body(files.read(vault.path(place)))
    except ShoalError:
        return  # a file that cannot be read is told of by who writes it
    # With the title, so that words of both are found together.
    if body.strip() not in ("", task_file.sections(task).strip()):
        yield Document(task=task.id, kind=DocumentKind.BODY, text=f"{task.title}\n{body}")
    result = f"{task.summary or ''}\n{page_sections.section(body, 'Result')}".strip()
    if result:
        yield Document(task=task.id, kind=DocumentKind.RESULT, text=f"{task.title}\n{result}")
    context = vault.path(vault.layout.context_file(task.task_id))
    if context.is_file():
        yield Document(task=task.id, kind=DocumentKind.CONTEXT, text=files.read(context))
    for path in vault.notes_of(task.task_id):
        text = files.read(path)
        # The heading may be edited by anybody; only the agent whose file it is finds the note.
        agent = _AGENT.match(text)
        if agent and path.name == vault.layout.notes_file(task.task_id, agent[1]).name:
            yield Document(task=task.id, kind=DocumentKind.NOTE, agent=agent[1], text=text)
