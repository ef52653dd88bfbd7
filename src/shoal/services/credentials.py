"""What git logs in with: the token of a task, for a place on the broker's hosts that is one of its repositories.

What a credential helper asks for and what is not the task's is no error: git goes on without, and the audit tells it.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated

from msgspec import Meta

from shoal.model.fields import Name, TaskRef
from shoal.model.grant import Credential, GrantAction, answers_for
from shoal.services import audit, grants, registrations
from shoal.services.keys import Key
from shoal.services.outside import Outside
from shoal.services.refs import get_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb

USER = "x-access-token"
_REPOSITORY = re.compile(r"([^/]+/[^/]+?)(?:\.git)?(?:/info/lfs(?:/.*)?)?", re.ASCII | re.DOTALL)
AGAIN_SECONDS = 60
NOTHING = Credential(username=None, password=None, expires_at=None)


@verb("POST /tasks/{task}/credential", outside=True, repeatable=True)
def credential(
    outside: Outside,
    *,
    task: TaskRef,
    host: Annotated[Name, Meta(description="As git says it, with its port where that is not the usual one.")],
    protocol: Name = "https",
    path: Annotated[str, Meta(max_length=2000, description="OWNER/NAME.git; left out: the task's only repository.")]
    | None = None,
    key: Key | None = None,
) -> Credential:
    """What git logs in with to a repository of a task, as its credential helper asks for it.

    Nothing (null) for a host that is none of `broker.hosts`, a connection that is not encrypted, and a repository that
    is none of the task's, of which the audit tells. It needs the attempt's own key, or the administrator's token, and
    raises what `token` does.
    """
    if not answers_for(outside.settings.broker.hosts, protocol, host):
        return NOTHING
    repository = outside.read(partial(_meant, ref=task, path=path))
    if repository is None:
        if path is not None and outside.settings.broker.app_id is not None:
            outside.write(partial(_note, ref=task, host=host, path=path))
        return NOTHING
    found = grants.token(outside, task=task, key=key, repository=f"https://{host}/{repository}")
    return Credential(username=USER, password=found.token, expires_at=found.expires_at)


def _note(tx: Tx, *, ref: str | int, host: str, path: str) -> None:
    """Write into the audit that a repository was tried that is not the task's: once a minute, whoever goes on."""
    found, asked = get_task(tx, ref), _REPOSITORY.fullmatch(path.strip("/"))
    if asked is None:
        return
    names = [audit.shown_reference(asked[1]).lower()]
    since = tx.now - AGAIN_SECONDS * 1000
    if not audit.is_told(tx, GrantAction.REFUSED, task=found.id, repositories=names, since=since):
        reason = f"git asked to log in to {host}/{names[0]}, which is none of the task's"
        audit.note(
            tx, GrantAction.REFUSED, task=found.id, attempt=found.attempt or None, repositories=names, reason=reason
        )


def _meant(tx: Tx, *, ref: str | int, path: str | None) -> str | None:
    """The repository of the task that a path means; without a path the only one that it has."""
    known = registrations.reachable(tx, get_task(tx, ref))
    if path is None:
        return known[0] if len(known) == 1 else None
    asked = _REPOSITORY.fullmatch(path.strip("/"))
    return next((one for one in known if asked is not None and registrations.same(one, asked[1])), None)
