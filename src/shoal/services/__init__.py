"""What may happen: a module per noun, a function per verb; one verb is one transaction with its events."""

from shoal.services import (
    contents,
    dependencies,
    events,
    leases,
    locks,
    migrations,
    outcomes,
    participants,
    prompts,
    queues,
    readiness,
    search,
    stats,
    sync,
    tasks,
    transfers,
)
from shoal.services.transaction import Identity, Tx
from shoal.services.verb import VERBS, Arguments, Call, Verb

__all__ = [
    "VERBS",
    "Arguments",
    "Call",
    "Identity",
    "Tx",
    "Verb",
    "contents",
    "dependencies",
    "events",
    "leases",
    "locks",
    "migrations",
    "outcomes",
    "participants",
    "prompts",
    "queues",
    "readiness",
    "search",
    "stats",
    "sync",
    "tasks",
    "transfers",
]
