"""`shoal broker`: tokens of a GitHub App for tasks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from shoal.cli.moments import PAST, shown
from shoal.cli.session import Session, command, given
from shoal.errors import BadInput
from shoal.model.grant import GrantAction, Registration
from shoal.model.page import Page
from shoal.settings import ADMIN_TOKEN

TASK_KEY = "SHOAL_TASK_KEY"
KEY = click.option(
    "--key", help=f"The attempt's own key, or the administrator's token; else ${TASK_KEY}, else ${ADMIN_TOKEN}."
)

PAGE = click.option(
    "-n", "--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many at most."
)
CURSOR = click.option("--cursor", help="Where the page begins: 'next' of the page before.")


@click.group(epilog="Examples: shoal broker status; shoal broker register T42 -r acme/web -p contents=read")
def broker() -> None:
    """Short-lived GitHub tokens for tasks: status, registrations, audit, set-up of git."""


@broker.command()
@command
def status(session: Session) -> None:
    """Show how the broker is set up, and how many tokens live."""
    found = session.ledger.grants.status()

    def show() -> None:
        from shoal.cli import output

        output.sentence(found.problem or f"App {found.app_id} at {found.api}")
        lines = [
            ("owners", ", ".join(found.owners)),
            ("hosts", ", ".join(found.hosts)),
            ("repositories", ", ".join(found.repositories) or "all that the App may reach"),
            ("permissions", _levels(found.permissions)),
            ("services", ", ".join(found.services)),
            ("administrator", "" if found.has_administrator else f"none: ${ADMIN_TOKEN} is not set"),
            ("open", "yes: whoever reaches this server gets tokens" if found.open else ""),
            ("registrations", str(found.registrations)),
            ("living tokens", str(found.alive)),
        ]
        for name, value in lines:
            if value:
                output.sentence(f"  {name:<14} {value}")

    session.answer(found, show)


@broker.command(epilog="Example: shoal broker register T42 -r acme/web -r acme/api -p contents=read")
@click.argument("task")
@click.option("-r", "--repository", "repositories", multiple=True, help="owner/name; the task's own when left out.")
@click.option("-p", "--permission", "permissions", multiple=True, help="NAME=read, write or admin; else the settings'.")
@KEY
@command
def register(
    session: Session, task: str, repositories: tuple[str, ...], permissions: tuple[str, ...], key: str | None
) -> None:
    """Say which repositories a task may have tokens for, and what these may do there."""
    asked = given(
        repositories=list(repositories) or None, permissions=_permissions(permissions), key=key_of_caller(key)
    )
    found = session.ledger.tasks.register(task, **asked)
    session.answer(found, lambda: _show(found), ids=[found.task_id])


@broker.command(epilog="Example: shoal broker deregister T42")
@click.argument("task")
@KEY
@command
def deregister(session: Session, task: str, key: str | None) -> None:
    """Let a task have no tokens any more; its living ones are ended."""
    found = session.ledger.tasks.deregister(task, **given(key=key_of_caller(key)))
    session.answer(found, lambda: _show(found), ids=[found.task_id])


@broker.command(epilog="Examples: GH_TOKEN=$(shoal broker token T42 -q) gh pr list; shoal broker token --service vault")
@click.argument("task", required=False)
@click.option("--service", help="For a service of [broker.services] in place of a task.")
@click.option("-r", "--repository", help="One of the task's, where they have several owners.")
@click.option("-p", "--permission", "permissions", multiple=True, help="NAME=LEVEL; less than the registration allows.")
@KEY
@command
def token(
    session: Session,
    task: str | None,
    service: str | None,
    repository: str | None,
    permissions: tuple[str, ...],
    key: str | None,
) -> None:
    """Print a token for the repositories of a task that an attempt is at work on, or of a service."""
    asked, by = given(repository=repository, permissions=_permissions(permissions)), given(key=key_of_caller(key))
    if task is not None and service is None:
        found = session.ledger.tasks.token(task, **asked, **by)
    elif service is not None and task is None and not asked:
        found = session.ledger.grants.service(service=service, **by)
    else:
        raise BadInput("name a task, or a --service, which has the repositories of its settings", field="task")
    session.answer(found, lambda: click.echo(found.token), ids=[found.token])


@broker.command("list", epilog="Examples: shoal broker list --alive; shoal broker list T42")
@click.argument("task", required=False)
@click.option("--alive", is_flag=True, help="Only tokens that live still.")
@PAGE
@CURSOR
@command
def list_(session: Session, task: str | None, alive: bool, limit: int, cursor: str | None) -> None:
    """Show which tokens were given out, newest first; not the tokens themselves."""
    found = session.ledger.grants.list(limit=limit, **given(task=task, cursor=cursor, alive=alive or None))

    def show() -> None:
        from shoal.cli import output

        rows = [
            (
                shown(one.issued_at),
                one.task_id or one.service,
                f"…{one.token_end}",
                ", ".join(one.repositories),
                _levels(one.permissions),
                f"ended {shown(one.revoked_at)}" if one.revoked_at else f"until {shown(one.expires_at)}",
                one.revoke_error or one.ends,
            )
            for one in found
        ]
        heads = ["Made", "For", "Token", "Repositories", "Permissions", "Lives", "Why it ends"]
        output.table(heads, rows, empty="None yet.", grows="Repositories")
        _say_more(found.next)

    session.answer(found, show, ids=[one.id for one in found])


@broker.command(epilog="Examples: shoal broker registrations; shoal broker registrations T42")
@click.argument("task", required=False)
@PAGE
@CURSOR
@command
def registrations(session: Session, task: str | None, limit: int, cursor: str | None) -> None:
    """Show which tasks may have tokens, for what and until when."""
    if task is None:
        found = session.ledger.grants.registrations(limit=limit, **given(cursor=cursor))
    else:
        found = Page([session.ledger.tasks.registration(task)])

    def show() -> None:
        for one in found:
            _show(one)
        _say_more(found.next)
        if not found:
            click.echo("None: a task is registered when its attempt first asks for a token.")

    session.answer(found, show, ids=[one.task_id for one in found])


@broker.command(epilog="Example: shoal broker audit T42 --action refused --since 7d")
@click.argument("task", required=False)
@click.option("--action", type=click.Choice([one.value for one in GrantAction]), help="Only lines of this kind.")
@click.option("--service", help="Only lines of a service.")
@click.option("--since", type=PAST, help="Only lines since then: 7d, 2026-12-24.")
@PAGE
@CURSOR
@command
def audit(session: Session, task: str | None, limit: int, **filters: Any) -> None:
    """Show what was registered, given out, refused and ended, newest first."""
    found = session.ledger.grants.audit(limit=limit, **given(task=task, **filters))

    def show() -> None:
        from shoal.cli import output

        rows = [
            (
                shown(one.at),
                one.action.value,
                one.reference or one.service or one.task_id,
                one.actor,
                ", ".join(one.repositories),
                one.reason or (one.expires_at and f"until {shown(one.expires_at)}"),
            )
            for one in found
        ]
        output.table(["When", "What", "For", "Who", "Repositories", ""], rows, empty="Nothing yet.", grows="")
        _say_more(found.next)

    session.answer(found, show, ids=[one.id for one in found])


@broker.command(epilog="Examples: shoal broker setup --global; shoal broker setup --global --remove")
@click.option("--global", "scope", flag_value="--global", default=True, help="In your own git configuration (default).")
@click.option("--local", "scope", flag_value="--local", help="In that of the repository around.")
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="In this file.")
@click.option("--host", "hosts", multiple=True, help="A host to log in to; else those of broker.hosts.")
@click.option("--remove", is_flag=True, help="Take out what was put in.")
@command
def setup(session: Session, scope: str, file: Path | None, hosts: tuple[str, ...], remove: bool) -> None:
    """Let git ask Shoal, and no other helper, for what it logs in with on the hosts of the broker."""
    from shoal.errands import git_setup

    where = ["--file", str(file.absolute())] if file else [scope]
    names = list(hosts) or session.ledger.grants.status().hosts
    changed = git_setup.remove(where, names) if remove else git_setup.put(where, names)

    def show() -> None:
        done = ("no longer asks" if remove else "now asks") if changed else ("does not ask" if remove else "asks")
        click.echo(f"git {done} Shoal for {', '.join(names)} ({' '.join(where).removeprefix('--')})")

    session.answer({"hosts": names, "changed": changed}, show, ids=names)


def key_of_caller(given_key: str | None) -> str | None:
    """The key that is given, else the attempt's own, else the administrator's token."""
    return given_key or os.environ.get(TASK_KEY) or os.environ.get(ADMIN_TOKEN)


def _permissions(written: tuple[str, ...]) -> dict[str, str] | None:
    found = {}
    for one in written:
        name, mark, level = one.partition("=")
        if not mark or level not in {"read", "write", "admin"}:
            raise BadInput(f"--permission {one!r}: write NAME=read, NAME=write or NAME=admin", field="permissions")
        found[name] = level
    return found or None


def _say_more(cursor: str | None) -> None:
    if cursor:
        click.echo(f"More: --cursor {cursor}", err=True)


def _show(found: Registration) -> None:
    from shoal.cli import output

    if found.status == "removed":
        output.sentence(f"{found.task_id} gets no tokens until it is registered anew")
        return
    what = f"{', '.join(found.repositories)} ({_levels(found.permissions)})"
    output.sentence(f"{found.task_id} may have tokens for {what} until {shown(found.expires_at)}")


def _levels(permissions: dict[str, str]) -> str:
    return ", ".join(f"{name}={level}" for name, level in sorted(permissions.items()))
