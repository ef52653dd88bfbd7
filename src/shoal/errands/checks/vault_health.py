"""Pages of the vault that cannot be read, dead links, files without a task, tasks without a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated

from msgspec import Meta, Struct

from shoal.adapters.checks.check import Context
from shoal.adapters.vault.vault import Vault
from shoal.errands.checks.vault_pages import Opened, Targets, files_of, links, pages
from shoal.errands.vault_check import unreadable
from shoal.ledger import Ledger
from shoal.model.check import Finding
from shoal.model.item import Severity
from shoal.model.task import Task

NAME = "vault-health"
VERSION = "1"
PAGE = 500


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is looked at."""

    ignore: Annotated[
        list[str], Meta(max_length=200, description="file patterns of pages whose links are not looked at; none")
    ] = []
    links: Annotated[bool, Meta(description="whether dead links are looked for; true")] = True
    grace_minutes: Annotated[
        int, Meta(ge=0, le=100_000, description="how long the file of a task may be missing after a change; 30")
    ] = 30


def run(context: Context) -> Iterator[Finding]:
    """Look at every page, and at every task."""
    opened: Opened | None = context.vault()
    if opened is None:
        return
    vault = opened.vault
    options: Options = context.options
    for path, reason in unreadable(vault):
        yield Finding(
            rule="unreadable", message=reason[:2000], file=str(path), key="unreadable", severity=Severity.CRITICAL
        )
    files = files_of(vault.root)
    yield from _orphans(context, opened, files)
    if options.links:
        targets = Targets(files)
        made = [f"/{vault.layout.overview}", f"/{vault.layout.views}/"]  # they link to every task, and are written anew
        for page in pages(vault.root, files, [*options.ignore, *made]):
            for link in links(page.text):
                if targets.find(page.path, link) is None and not _is_archived(vault, link.target):
                    shown = f"[[{link.target}]]" if link.wiki else link.target
                    message = f"{shown} leads nowhere"
                    yield Finding(
                        rule="dead-link", message=message, file=page.path, line=link.line, key=link.target[:200]
                    )


def _is_archived(vault: Vault, target: str) -> bool:
    """Whether a link leads to a task whose files were packed away."""
    return vault.archived(PurePosixPath(target).name.removesuffix(".md")) is not None


def _orphans(context: Context, opened: Opened, files: list[str]) -> Iterator[Finding]:
    vault, prefix = opened.vault, opened.prefix
    numbers = {vault.layout.number_of(PurePosixPath(path), prefix): path for path in files}
    of_tasks = {number: path for number, path in numbers.items() if number is not None}
    known = set[int]()
    for task in _tasks(context.ledger):
        known.add(task.id)
        age = context.now_ms - task.updated_at
        if (
            task.id not in of_tasks
            and age >= 60_000 * context.options.grace_minutes
            and vault.archived(task.task_id) is None
        ):
            message = f"{task.task_id} ({task.title}) has no file; `shoal vault sync` writes it"
            yield Finding(rule="task-without-file", message=message, key=task.task_id)
    for number, path in of_tasks.items():
        if number not in known:
            message = f"{path} is the file of {prefix}{number}, which the ledger does not have"
            yield Finding(rule="file-without-task", message=message, file=path, key="orphan")


def _tasks(ledger: Ledger) -> Iterator[Task]:
    cursor: str | None = None
    while True:
        page = ledger.tasks.list(limit=PAGE, cursor=cursor)
        yield from page
        cursor = page.next
        if cursor is None:
            return
