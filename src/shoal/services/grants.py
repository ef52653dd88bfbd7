"""Tokens: given out to attempts at work and to services, one for each scope while it is good. How they end before their
time: revocations.py; what they may reach: registrations.py.

GitHub is asked between two transactions. The second one looks again whether the attempt still has its task: when it
has not, the token is ended at once and nobody gets it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from shoal.errors import BadInput, Forbidden, NotConfigured, NotFound, Refused, ShoalError, StoreError
from shoal.model.event import Kind
from shoal.model.fields import Name, TaskRef
from shoal.model.grant import BrokerStatus, GrantAction, Registration, Token
from shoal.model.task import Task
from shoal.services import audit, registrations, revocations
from shoal.services.keys import Key, check_administrator, check_at_work, is_administrator, is_of_attempt
from shoal.services.outside import Outside, TokenSource
from shoal.services.purse import Purse, Scope, hash_of
from shoal.services.refs import get_task, lock_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb
from shoal.settings import ADMIN_TOKEN, Permissions

MARGIN_MS = 300_000  # a token with less than this to live is not given out again
TOKEN_END = 4


class Plan(Struct, frozen=True):
    """A token that has to be made. `at` is when that was decided."""

    scope: Scope
    renews: bool
    at: int


@verb("POST /tasks/{task}/token", outside=True, repeatable=True)
def token(
    outside: Outside,
    *,
    task: TaskRef,
    key: Key | None = None,
    repository: Annotated[
        Name | None, Meta(description="One of the task's, owner/name: the token is for those of its owner.")
    ] = None,
    permissions: Annotated[Permissions | None, Meta(description="Less than the registration allows.")] = None,
) -> Token:
    """A token of the GitHub App for the repositories of a task, while an attempt is at work on it.

    It needs the attempt's own key, or the administrator's token. The same token comes again until it has five minutes
    left, then a new one; each lives for an hour at most and ends with the attempt. A task with repositories of several
    owners has a token for each: `repository` says which. Raises Forbidden, WrongStatus, NotConfigured, ForgeError.
    """
    admit = partial(_admit_task, purse=outside.purse, ref=task, key=key, repository=repository, permissions=permissions)
    check = partial(_still, ref=task, key=key)
    return _give(outside, admit, check, reference=task)


@verb("POST /grants/service", outside=True, repeatable=True)
def service(outside: Outside, *, service: Name, key: Key | None = None) -> Token:
    """A token for something that is no task: one of [broker.services], with its repositories and permissions.

    It needs the administrator's token.
    """
    admit = partial(_admit_service, purse=outside.purse, name=service, key=key)
    return _give(outside, admit, lambda tx, plan: None, service=service)


@verb("GET /grants/status", outside=True)
def status(outside: Outside) -> BrokerStatus:
    """How the broker is set up: what is missing, whom the App is installed for, how many tokens live."""
    problem = None
    try:
        outside.token_source()
    except ShoalError as error:
        problem = error.message
    broker, settings = outside.settings.broker, outside.settings

    def count(tx: Tx) -> tuple[int, int]:
        rows = tx.one("registrations.count", now=tx.now), tx.one("grants.count", now=tx.now)
        registered, alive = (0 if row is None else int(row[0]) for row in rows)
        return registered, alive

    registered, alive = outside.read(count)
    return BrokerStatus(
        configured=problem is None,
        problem=problem,
        api=settings.github_url,
        app_id=None if broker.app_id is None else str(broker.app_id),
        owners=sorted(broker.installations),
        hosts=broker.hosts,
        repositories=broker.repositories,
        permissions={**broker.permissions},
        services=sorted(broker.services),
        has_administrator=bool(os.environ.get(ADMIN_TOKEN, "").strip()),
        open=broker.open,
        registrations=registered,
        alive=alive,
    )


def _give(
    outside: Outside,
    admit: Callable[[Tx], Token | Plan],
    check: Callable[[Tx, Plan], None],
    *,
    reference: str | int | None = None,
    service: str | None = None,
) -> Token:
    """The token that there is, or a new one; a refusal is written down before it is told."""
    try:
        source = outside.token_source()
        while True:
            found = outside.write(admit)
            if isinstance(found, Token):
                return found
            with outside.purse.asking(found.scope):
                known = outside.purse.current(found.scope)
                if known is not None and is_good(known, found.at):
                    continue
                return _issue(outside, source, found, check)
    except StoreError:
        raise
    except ShoalError as error:
        error.message = audit.told(error.message)
        error.args = (error.message, *error.args[1:])
        outside.write(partial(_refused, reference=reference, service=service, error=error))
        raise


def _issue(outside: Outside, source: TokenSource, plan: Plan, check: Callable[[Tx, Plan], None]) -> Token:
    scope, purse = plan.scope, outside.purse
    made = source.issue(list(scope.repositories), dict(scope.permissions))
    hashed = purse.keep(made)
    try:
        grant, over = outside.write(
            partial(_record, plan=plan, made=made, hashed=hashed, server=outside.server, check=check)
        )
    except BaseException:
        with contextlib.suppress(ShoalError):
            source.revoke(made.token)
        purse.drop(hashed)
        raise
    if over is not None:
        revocations.revoke(outside, source, revocations.Over(grant, hashed, over.message))
        raise over
    purse.answer_with(scope, hashed)
    return made


def _record(
    tx: Tx,
    *,
    plan: Plan,
    made: Token,
    hashed: str,
    server: str,
    check: Callable[[Tx, Plan], None],
) -> tuple[int, ShoalError | None]:
    """Write the grant down. What has ended meanwhile makes it one that has to end, too: the error says why."""
    scope, over = plan.scope, None
    try:
        check(tx, plan)
    except StoreError:
        raise
    except ShoalError as error:
        over = error
    row = tx.one(
        "grants.add",
        task=scope.task,
        attempt=scope.attempt,
        service=scope.service,
        repositories=audit.encoded(made.repositories),
        permissions=audit.encoded(made.permissions),
        actor=tx.actor,
        server=server,
        now=tx.now,
        expires_at=made.expires_at,
        token_hash=hashed,
        token_end=made.token[-TOKEN_END:],
        ends=None if over is None else over.message[: audit.LONGEST],
    )
    assert row is not None  # noqa: S101 - an insert gives its row
    grant = int(row[0])
    if over is not None:
        return grant, over
    _note(tx, GrantAction.RENEWED if plan.renews else GrantAction.ISSUED, scope, made)
    told = {"repositories": made.repositories, "permissions": made.permissions, "expires_at": made.expires_at}
    task = None
    if scope.task is not None:
        tx.all("registrations.count_token", task=scope.task)
        task = get_task(tx, scope.task)
    else:
        told["service"] = scope.service or ""
    was = None if task is None else task.status.value
    tx.emit(Kind.TOKEN_ISSUED, task, was=was, attempt=scope.attempt, data=told | {"grant": grant})
    return grant, None


def _admit_task(
    tx: Tx,
    *,
    purse: Purse,
    ref: str | int,
    key: str | None,
    repository: str | None,
    permissions: Mapping[str, str] | None,
) -> Token | Plan:
    """Whether the caller may have a token of a task; the one that there is, or what to make."""
    task = lock_task(tx, ref)
    _check_caller(tx, task, key)
    registration = registrations.of_attempt(tx, task)
    repositories = _of_one_owner(tx, registration, repository)
    given = registration.permissions if permissions is None else permissions
    if wider := registrations.within(given, registration.permissions):
        named = ", ".join(f"{name}={given[name]}" for name in wider)
        raise Forbidden(f"{named} is more than the registration of {task.task_id} allows", field="permissions")
    if not given:
        raise BadInput("permissions: name at least one, as contents=read", field="permissions")
    scope = Scope(task.id, task.attempt, None, tuple(sorted(repositories)), tuple(sorted(given.items())))
    return _known(tx, purse, scope)


def _admit_service(tx: Tx, *, purse: Purse, name: str, key: str | None) -> Token | Plan:
    """The same for a service."""
    check_administrator(tx, key, f"a token for the service {name}")
    services = tx.settings.broker.services
    found = services.get(name)
    if found is None:
        known = ", ".join(sorted(services)) or "there is none"
        raise NotFound(f"there is no service {name!r} in [broker.services]: {known}", field="service")
    if wild := [one for one in found.repositories if "*" in one]:
        raise NotConfigured(f"broker.services.{name}.repositories takes whole names, not {', '.join(wild)}")
    scope = Scope(None, None, name, tuple(sorted(found.repositories)), tuple(sorted(found.permissions.items())))
    return _known(tx, purse, scope)


def _known(tx: Tx, purse: Purse, scope: Scope) -> Token | Plan:
    known = purse.current(scope)
    if known is not None and _is_doomed(tx, scope, known):
        purse.answer_no_more(scope, known)
        return Plan(scope, True, tx.now)
    if known is None or not is_good(known, tx.now):
        return Plan(scope, known is not None, tx.now)
    _note(tx, GrantAction.REUSED, scope, known)
    return known


def _is_doomed(tx: Tx, scope: Scope, token: Token) -> bool:
    """Whether a token has to end, or was ended, although its scope would be allowed again."""
    of = {"task": scope.task} if scope.task is not None else {"alive": tx.now}
    return tx.one("grants.doomed", hashed=hash_of(token.token), **of) is not None


def is_good(token: Token, now: int) -> bool:
    """Whether a token has enough time left to be given out again."""
    return token.expires_at - now > MARGIN_MS


def _check_caller(tx: Tx, task: Task, key: str | None) -> None:
    check_at_work(tx, task)
    if is_of_attempt(tx, task, key) or is_administrator(key) or (key is None and tx.settings.broker.open):
        return
    if key is None:
        raise Forbidden(f"a token for {task.task_id} needs the key of its attempt {task.attempt}", field="key")
    raise Forbidden(
        f"the key is not that of attempt {task.attempt}, which has {task.task_id} now; "
        "stop this work if it is an earlier one's",
        field="key",
    )


def _still(tx: Tx, plan: Plan, *, ref: str | int, key: str | None) -> None:
    """Refuse when what was decided before the forge was asked is no longer so."""
    task = lock_task(tx, ref)
    scope = plan.scope
    _check_caller(tx, task, key)
    changed = Refused(f"what {task.task_id} may have changed while GitHub was asked; ask again", field="task")
    if task.attempt != scope.attempt:
        raise changed
    registration = registrations.of_attempt(tx, task)
    inside = all(
        any(registrations.same(one, known) for known in registration.repositories) for one in scope.repositories
    )
    if not inside or registrations.within(dict(scope.permissions), registration.permissions):
        raise changed


def _of_one_owner(tx: Tx, registration: Registration, repository: str | None) -> list[str]:
    """The repositories of the registration that have the owner of one of them."""
    found = registration.repositories
    if repository is not None:
        name = registrations.github_name(tx.settings, repository)
        if name is None or not any(registrations.same(name, one) for one in found):
            raise Forbidden(
                f"{repository} is not among the repositories of {registration.task_id}: {', '.join(found)}",
                field="repository",
            )
        owner = _owner(name)
        return [one for one in found if _owner(one) == owner]
    owners = {_owner(one) for one in found}
    if len(owners) > 1:
        raise BadInput(
            f"{registration.task_id} has repositories of {len(owners)} owners, and a token is for one; "
            f"say for which, by one of {', '.join(found)}",
            field="repository",
        )
    return found


def _owner(name: str) -> str:
    return name.partition("/")[0].lower()


def _note(tx: Tx, action: GrantAction, scope: Scope, token: Token) -> None:
    audit.note(
        tx,
        action,
        task=scope.task,
        attempt=scope.attempt,
        service=scope.service,
        repositories=token.repositories,
        permissions=token.permissions,
        expires_at=token.expires_at,
    )


def _refused(tx: Tx, *, reference: str | int | None, service: str | None, error: ShoalError) -> None:
    task = None
    if reference is not None:
        with contextlib.suppress(ShoalError):
            task = get_task(tx, reference if isinstance(reference, int) else audit.shown_reference(reference))
    audit.note(
        tx,
        GrantAction.REFUSED,
        task=None if task is None else task.id,
        attempt=None if task is None or not task.attempt else task.attempt,
        reference=reference,
        service=service,
        reason=error.message,
    )
