"""What the tests of the broker share: a ledger with an App, a task at work, and its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shoal import Ledger
from shoal.ledger.world import Sources
from shoal.model.task import Claim
from shoal.settings import BrokerSettings
from tests.github_app import APP_ID, AppApi

ADMIN = "the-administrators-token"
Open = Callable[..., Ledger]


def open_broker(open_at: Open, api: AppApi, *, actor: str = "ana", **broker: Any) -> Ledger:
    """A ledger whose tokens come from a GitHub on loopback."""
    ledger = open_at(actor=actor, broker=BrokerSettings(**{"app_id": APP_ID} | broker))
    ledger.engine.sources = Sources(tokens=api.source)  # type: ignore[attr-defined]
    source = api.source()
    ledger.engine.sources.tokens = lambda: source  # type: ignore[attr-defined]
    return ledger


def at_work(ledger: Ledger, *repos: str, **given: Any) -> Claim:
    """A new task that a worker has just taken."""
    made = ledger.tasks.create(title="work", repos=list(repos or ["acme/web"]), **given)
    [claim] = ledger.tasks.claim(worker="w", task=made.id).claims
    return claim


def audited(ledger: Ledger, **given: Any) -> list[str]:
    """The actions in the audit, oldest first."""
    return [line.action.value for line in reversed(ledger.grants.audit(limit=1000, **given))]
