"""What git logs in with for one attempt: tokens of the broker, asked for whenever git needs one, for the worker's own
clones, fetches and pushes and for its agent's. Where no broker is set up, git's own configuration holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import structlog

from shoal.adapters.git import credentials
from shoal.errors import GitError, ServerUnreachable, ShoalError, StoreError
from shoal.ledger import Ledger
from shoal.model.grant import answers_for
from shoal.model.task import Claim

log = structlog.get_logger()
# What gh and others take before anything else: keys that live long, in place of which an agent has tokens.
LONG_LIVED = frozenset({"GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"})


class Logins:
    """Those of one attempt."""

    def __init__(self, claim: Claim, ledger: Ledger, say: Callable[[Callable[[], Any]], Any]) -> None:
        """`say` asks the ledger until it answers. Raises what that raises."""
        self._claim = claim
        self._ledger = ledger
        self._say = say
        self._hosts: list[str] = []
        try:
            status = say(ledger.grants.status)
        except (ServerUnreachable, StoreError):
            raise
        except ShoalError as error:  # a server of before there were tokens
            log.debug("no token broker", reason=error.message)
        else:
            self._hosts = status.hosts if status.configured else []

    def of(self, url: str) -> Callable[[], str | None] | None:
        """What is asked for a token each time that git goes to this URL; None where the broker has no say."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        host = parts.netloc.rpartition("@")[2]
        if not answers_for(self._hosts, parts.scheme, host):
            return None
        return partial(self._ask, parts.scheme, host, parts.path.lstrip("/"))

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """An agent's environment: as inherited, and its git asks for tokens by the credential helper."""
        if not self._hosts:
            return dict(inherited)
        own = {name: value for name, value in inherited.items() if name not in LONG_LIVED}
        count = own.get("GIT_CONFIG_COUNT", "")
        settings = credentials.helped(self._hosts, credentials.helper_command())
        own |= credentials.variables(settings, int(count) if count.isdecimal() else 0)
        # Nobody is there to answer a question, and no program of a person's desktop may.
        return own | {"GIT_ASKPASS": "", "GIT_TERMINAL_PROMPT": "0"}

    def _ask(self, protocol: str, host: str, path: str) -> str | None:
        """A token that is good now; None for a repository that the task gets none for. Raises GitError."""
        task = self._claim.task
        ask = partial(
            self._ledger.tasks.credential, task.id, host=host, protocol=protocol, path=path, key=self._claim.key
        )
        try:
            token: str | None = self._say(ask).password
        except ShoalError as error:
            raise GitError(f"no token for {host}/{path}: {error.message}") from None
        return token
