"""Applies the manifest of jobs when it was changed: looks at its files, or fetches its repository.

Any number of servers do so: what one has applied, the others find done.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial

import structlog

from shoal.clock import monotonic_seconds
from shoal.errors import BadInput, ShoalError, StoreError
from shoal.ledger.embedded import EmbeddedEngine
from shoal.services import manifest
from shoal.services.outside import ManifestSource

log = structlog.get_logger()
LOOK_SECONDS = 1.0
RETRY_SECONDS = 30.0  # after what was no mistake in the manifest: a remote that is away


class ManifestWatch:
    """The looks of one server."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine
        self._seen: Hashable = None
        self._done: Hashable = None
        self._problem: str | None = None
        self._again_at = float("inf")

    def tick(self) -> None:
        """Apply it if it changed and has settled. Raises BadInput for as long as it cannot be."""
        source = self._engine.sources.manifest
        if source is None:
            return
        try:
            mark = source.mark()
        except ShoalError as error:
            self._fail(error)
            mark = self._done
        seen, self._seen = self._seen, mark
        is_due = mark != self._done or monotonic_seconds() >= self._again_at
        # Editors empty a file before they write it: one that is still being written looks different the next time.
        if is_due and mark == seen:
            self._apply(source, mark)
        if self._problem is not None:
            raise BadInput(self._problem)

    def _apply(self, source: ManifestSource, mark: Hashable) -> None:
        self._again_at = float("inf")
        try:
            found = source()
            if source.mark() != mark:
                return  # it is being written again
            done = manifest.follow(self._engine.world("shoal"), found)
        except StoreError:
            raise  # the manifest is not at fault: the next tick tries again
        except ShoalError as error:
            self._fail(error)
        except Exception as error:
            # Told like any other, and once: nothing that a file says may stop the watch or flood the log.
            log.exception("manifest cannot be read")
            self._fail(BadInput(f"the manifest cannot be read: {type(error).__name__}: {error}", field="jobs"))
        else:
            self._problem = None
            if done is not None:
                log.info("jobs synced", sha=done.sha, changed=done.message)
        self._done = mark

    def _fail(self, error: ShoalError) -> None:
        if not isinstance(error, BadInput):
            self._again_at = monotonic_seconds() + RETRY_SECONDS
        if self._problem != error.message:
            self._engine.write(partial(manifest.tell_problem, reason=error.message))
        self._problem = error.message
