"""Looks for what jobs wait for that have no times: another commit in their checkout, or that no task is active.

Whether that makes a run is decided in one place, services/occasions.py: any number of servers look.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from shoal.errands.checks.look import head_of
from shoal.errands.projects import checkout_of
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.check import Check
from shoal.model.job import Cause, Definition
from shoal.services import occasions
from shoal.services.slots import occasion
from shoal.settings import Home

LOOK_SECONDS = 10.0


class Occasions:
    """The eyes of one server."""

    def __init__(self, engine: EmbeddedEngine, home: Home) -> None:
        self._engine = engine
        self._home = home
        # What this server saw last: two machines whose checkouts differ for long must not fire in turns for ever.
        self._heads: dict[str, str] = {}

    def tick(self) -> None:
        """Fire the jobs whose occasion has come."""
        heads: dict[Path, str | None] = {}
        for job in self._engine.read(occasions.watched):
            definition: Definition = job.definition
            wanted = occasion(definition.schedule)
            if wanted is not None and wanted[0] is Cause.IDLE:
                self._engine.write(partial(occasions.idle, job=definition.name))
                continue
            root = self._checkout(definition)
            if root not in heads:
                heads[root] = head_of(root)
            head = heads[root]
            if head is None or self._heads.get(definition.name) == head:
                continue
            if self._engine.write(partial(occasions.commit, job=definition.name, head=head)):
                self._heads[definition.name] = head

    def _checkout(self, definition: Definition) -> Path:
        project = definition.action.project if isinstance(definition.action, Check) else ""
        root = checkout_of(self._home, self._engine.settings, project, definition.folder)
        return root or self._home.folder
