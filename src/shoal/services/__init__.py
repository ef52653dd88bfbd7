"""What may happen: a module per noun, a function per verb; one verb is one transaction with its events."""

from shoal.services import (
    dependencies,
    events,
    leases,
    locks,
    outcomes,
    participants,
    queues,
    readiness,
    search,
    stats,
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
    "dependencies",
    "events",
    "leases",
    "locks",
    "outcomes",
    "participants",
    "queues",
    "readiness",
    "search",
    "stats",
    "tasks",
    "transfers",
]
