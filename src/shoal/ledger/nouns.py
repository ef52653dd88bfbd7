"""The nouns of a ledger. Their methods are the verbs; editors and type checkers read them in nouns.pyi, which is made
from the verbs when Shoal is built or installed (hatch_build.py).
"""

from shoal.ledger.noun import Noun


class Tasks(Noun):
    """The work there is."""


class Queues(Noun):
    """Where tasks wait."""


class Events(Noun):
    """The log of everything that happened."""


class Locks(Noun):
    """What only one may do at a time."""


class Costs(Noun):
    """What the agents' model calls used and cost."""


class Sessions(Noun):
    """What agents said and did."""


class Stats(Noun):
    """Counts, ages and rates."""


class Checks(Noun):
    """What looks for what is wrong, and what it found."""


class Audits(Noun):
    """What somebody outside has found."""


class Sync(Noun):
    """How far the vault follows the ledger."""


class Supervision(Noun):
    """What is done about attempts that take too long, orphans, and tasks that nobody touches."""


class Jobs(Noun):
    """What fires by the clock."""


class Runs(Noun):
    """Each firing of a job."""


class Grants(Noun):
    """Tokens for tasks and services, and the audit of them."""


class Items(Noun):
    """The backlog: candidates for work."""
