"""Which repositories a task may have tokens for, and what those may do there. The tokens themselves: grants.py.

A registration that somebody makes holds for the task. Where there is none, the first ask of an attempt makes one for
itself, from what the task names. Nothing here is ever wider than the settings allow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from msgspec import Meta

from shoal.clock import HOUR_MS
from shoal.errors import BadInput, Forbidden, NotFound, Refused, WrongStatus
from shoal.model.event import Kind
from shoal.model.fields import Limit, Name, TaskRef
from shoal.model.grant import LEVELS, Grant, GrantAction, Registration, grant_from_row, is_on, registration_from_row
from shoal.model.page import Page, position
from shoal.model.task import FINISHED, Task
from shoal.model.veil import veiled
from shoal.services import audit
from shoal.services.keys import Key, check_administrator, check_at_work, is_of_attempt, shown
from shoal.services.refs import get_task, lock_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb
from shoal.settings import Permissions, Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/(?!\.{1,2}$)[A-Za-z0-9._-]+", re.ASCII)
_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[^@/:]+):(?P<path>[^/].*)", re.ASCII)
Repositories = Annotated[list[Name], Meta(min_length=1, max_length=50)]


class Terms(NamedTuple):
    """What somebody may have."""

    repositories: list[str]
    permissions: Mapping[str, str]


@verb("POST /tasks/{task}/register", repeatable=True)
def register(
    tx: Tx,
    *,
    task: TaskRef,
    repositories: Annotated[Repositories | None, Meta(description="owner/name; the task's own when left out.")] = None,
    permissions: Annotated[Permissions | None, Meta(description="As the settings say when left out.")] = None,
    key: Key | None = None,
) -> Registration:
    """Say which repositories a task may have tokens for, and what these may do there.

    With the administrator's token it is anything that the settings allow, for `registration_hours` from now; with an
    attempt's own key only less than it may have already. Living tokens that reach further are ended.
    """
    found = lock_task(tx, task)
    own = is_of_attempt(tx, found, key)
    if own:
        check_at_work(tx, found)
        base = of_attempt(tx, found)
        limit, expires_at, attempt = Terms(base.repositories, base.permissions), base.expires_at, base.attempt
    else:
        check_administrator(tx, key, f"registering {found.task_id}")
        if found.status in FINISHED:
            raise WrongStatus(
                f"{found.task_id} is {found.status.value} and gets no tokens; `shoal reopen {found.task_id}` first",
                field="task",
            )
        limit, attempt = Terms([], allowed(tx.settings, found)), None
        expires_at = tx.now + tx.settings.broker.registration_hours * HOUR_MS
    names = _named(tx, found, repositories, limit if own else None)
    given = permissions if permissions is not None else limit.permissions
    _check_permissions(found, given, limit.permissions, own=own)
    made = _put(tx, found, Terms(names, given), expires_at=expires_at, attempt=attempt)
    _end_wider(tx, made)
    tx.emit(
        Kind.TASK_REGISTERED,
        found,
        was=found.status.value,
        data={"repositories": made.repositories, "permissions": made.permissions, "expires_at": made.expires_at},
    )
    return made


@verb("POST /tasks/{task}/deregister", repeatable=True)
def deregister(tx: Tx, *, task: TaskRef, key: Key | None = None) -> Registration:
    """Let a task have no tokens any more, until somebody registers it anew; its living ones are ended.

    It needs the attempt's own key, or the administrator's token.
    """
    found = lock_task(tx, task)
    if not is_of_attempt(tx, found, key):
        check_administrator(tx, key, f"deregistering {found.task_id}")
    before = find(tx, found.id)
    if before is not None and before.status == "removed":
        return before
    terms = Terms([], {}) if before is None else Terms(before.repositories, before.permissions)
    removed = _put(tx, found, terms, expires_at=tx.now, attempt=None, status="removed")
    for grant in _alive(tx, found.id):
        tx.all("grants.end", id=grant.id, reason="the task was deregistered")
    tx.emit(Kind.TASK_DEREGISTERED, found, was=found.status.value)
    return removed


@verb("GET /tasks/{task}/register")
def registration(tx: Tx, *, task: TaskRef) -> Registration:
    """Which repositories a task may have tokens for. Raises NotFound when nobody has registered it or asked yet."""
    named = get_task(tx, task)
    found = find(tx, named.id)
    if found is None:
        raise NotFound(f"{named.task_id} is not registered; it is when its attempt first asks for a token")
    return found


@verb("GET /grants/registrations")
def registrations(
    tx: Tx,
    *,
    cursor: Annotated[Name | None, Meta(description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> Page[Registration]:
    """A page of the registrations that hold, by task."""
    after = 0 if cursor is None else position(cursor)
    rows = tx.all("registrations.list", after=after, now=tx.now, limit=limit)
    following = str(rows[-1][0]) if len(rows) == limit else None
    return Page([registration_from_row(row, tx.identity.prefix) for row in rows], next=following)


def find(tx: Tx, task: int) -> Registration | None:
    """The registration of a task by its number, if there is one."""
    row = tx.one("registrations.get", task=task)
    return None if row is None else registration_from_row(row, tx.identity.prefix)


def of_attempt(tx: Tx, task: Task) -> Registration:
    """What the attempt that has a locked task may have; made from what the task names, when there is nothing yet."""
    found = find(tx, task.id)
    if found is None or (found.attempt is not None and found.attempt != task.attempt):
        expires_at = tx.now + tx.settings.broker.registration_hours * HOUR_MS
        terms = Terms(_own(tx, task), allowed(tx.settings, task))
        return _put(tx, task, terms, expires_at=expires_at, attempt=task.attempt)
    again = f"an administrator can change that: shoal broker register {task.task_id}"
    if found.status == "removed":
        raise Refused(f"{task.task_id} was deregistered by {found.registered_by}; {again}", field="task")
    if found.expires_at <= tx.now:
        raise Refused(f"the registration of {task.task_id} expired at {shown(found.expires_at)}; {again}", field="task")
    return found


def reachable(tx: Tx, task: Task) -> list[str]:
    """The repositories that are a task's, as its attempt would find them now; nothing is written."""
    found = find(tx, task.id)
    if found is not None and found.attempt in (None, task.attempt):
        return found.repositories
    named = _distinct(name for one in task.repos if (name := github_name(tx.settings, one)) is not None)
    return [name for name in named if is_open_to(tx.settings, name)]


def allowed(settings: Settings, task: Task) -> Mapping[str, str]:
    """What a token of a task may do at most: what all may, and of that what its type may."""
    at_most = settings.broker.permissions
    of_type = settings.broker.types.get(task.type)
    if of_type is None:
        return dict(at_most)
    both = {
        name: min(level, at_most[name], key=LEVELS.__getitem__) for name, level in of_type.items() if name in at_most
    }
    if not both:
        raise Refused(f"[broker.types] {task.type} allows nothing that broker.permissions allows, too", field="task")
    return both


def within(asked: Mapping[str, str], limit: Mapping[str, str]) -> list[str]:
    """What of the asked permissions goes beyond a limit. The reading of metadata is in every token."""
    most = {"metadata": "read", **limit}
    return [name for name, level in asked.items() if LEVELS[level] > LEVELS.get(most.get(name, ""), 0)]


def github_name(settings: Settings, name: str) -> str | None:
    """What GitHub calls a repository that a task names; None when it lies elsewhere."""
    known = settings.repositories.get(name)
    url = None if known is None else known.url
    if url is None:
        url = name
        if _NAME.fullmatch(plain := name.removesuffix(".git")):
            return plain
    if "://" in url:
        try:
            parts = urlsplit(url)
            protocol, host, path = parts.scheme, parts.netloc.rpartition("@")[2], parts.path
            if protocol not in {"https", "http"}:
                host = parts.hostname or ""  # a server's SSH has a port of its own
        except ValueError:
            return None
    elif found := _SCP.fullmatch(url):
        protocol, host, path = "ssh", found["host"], found["path"]
    else:
        return None
    path = path.strip("/").removesuffix(".git")
    return path if is_on(settings.broker.hosts, protocol, host) and _NAME.fullmatch(path) else None


def is_open_to(settings: Settings, repository: str) -> bool:
    """Whether tasks may have tokens for a repository, by broker.repositories; all, when that is empty."""
    patterns = settings.broker.repositories
    return not patterns or any(fnmatchcase(repository.lower(), pattern.lower()) for pattern in patterns)


def same(one: str, other: str) -> bool:
    """Whether two names are one repository: GitHub does not look at capitals."""
    return one.lower() == other.lower()


def _own(tx: Tx, task: Task) -> list[str]:
    """The repositories that a task names, as far as they are on GitHub and tasks may have tokens for them."""
    named = _distinct(name for one in task.repos if (name := github_name(tx.settings, one)) is not None)
    if not named:
        what = (
            f"none of {', '.join(map(veiled, task.repos))} is on a host of {_hosts(tx)}"
            if task.repos
            else "it names no repository"
        )
        raise Refused(
            f"{task.task_id} has nothing to get a token for: {what}; an administrator can register some: "
            f"shoal broker register {task.task_id}",
            field="task",
        )
    found = [name for name in named if is_open_to(tx.settings, name)]
    if not found:
        raise Forbidden(f"broker.repositories allows no token for {', '.join(named)}; an administrator can add them")
    return found


def _named(tx: Tx, task: Task, given: list[str] | None, limit: Terms | None) -> list[str]:
    """The repositories that somebody registers; those of a limit when nobody says."""
    if given is None:
        return _own(tx, task) if limit is None else limit.repositories
    names = []
    for one in given:
        name = github_name(tx.settings, one)
        if name is None:
            raise BadInput(
                f"{veiled(one)!r} is no repository on a host of {_hosts(tx)}; write owner/name", field="repositories"
            )
        if not is_open_to(tx.settings, name):
            raise Forbidden(f"broker.repositories allows no token for {name}; add it there", field="repositories")
        if limit is not None and not any(same(name, known) for known in limit.repositories):
            raise Forbidden(
                f"{name} is not among the repositories of {task.task_id} ({', '.join(limit.repositories)}), and an "
                "attempt can only give some up",
                field="repositories",
            )
        names.append(name)
    return _distinct(names)


def _check_permissions(task: Task, asked: Mapping[str, str], limit: Mapping[str, str], *, own: bool) -> None:
    if not asked:
        raise BadInput("permissions: name at least one, as contents=read", field="permissions")
    wider = within(asked, limit)
    if wider:
        whose = f"the registration of {task.task_id}" if own else "broker.permissions and [broker.types]"
        named = ", ".join(f"{name}={asked[name]}" for name in wider)
        raise Forbidden(f"{named} is more than {whose} allow{'s' if own else ''}; leave it out", field="permissions")


def _put(
    tx: Tx, task: Task, terms: Terms, *, expires_at: int, attempt: int | None, status: str = "active"
) -> Registration:
    row = tx.one(
        "registrations.put",
        task=task.id,
        repositories=audit.encoded(terms.repositories),
        permissions=audit.encoded(terms.permissions),
        status=status,
        now=tx.now,
        actor=tx.actor,
        expires_at=expires_at,
        attempt=attempt,
    )
    assert row is not None  # noqa: S101 - an insert gives its row
    made = registration_from_row(row, tx.identity.prefix)
    audit.note(
        tx,
        GrantAction.REGISTERED if status == "active" else GrantAction.DEREGISTERED,
        task=task.id,
        attempt=attempt,
        repositories=made.repositories,
        permissions=made.permissions,
        expires_at=expires_at if status == "active" else None,
    )
    return made


def _end_wider(tx: Tx, made: Registration) -> None:
    """End the living tokens that reach further than a registration."""
    for grant in _alive(tx, made.task):
        inside, around = (
            _are_among(grant.repositories, made.repositories),
            _are_among(made.repositories, grant.repositories),
        )
        if not inside or within(grant.permissions, made.permissions):
            what = "less" if inside or around else "other repositories"
            tx.all("grants.end", id=grant.id, reason=f"the task was registered for {what}")


def _are_among(names: list[str], known: list[str]) -> bool:
    return all(any(same(one, other) for other in known) for one in names)


def _alive(tx: Tx, task: int) -> list[Grant]:
    rows = tx.all("grants.alive_of_task", task=task, now=tx.now)
    return [grant_from_row(row, tx.identity.prefix) for row in rows]


def _hosts(tx: Tx) -> str:
    return f"broker.hosts ({', '.join(tx.settings.broker.hosts)})"


def _distinct(names: Iterable[str]) -> list[str]:
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name.lower(), name)
    return list(found.values())
