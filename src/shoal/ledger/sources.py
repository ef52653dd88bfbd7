"""What verbs ask outside of the database, by a home's settings: GitHub's App for tokens, the manifest of the jobs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from shoal.clock import Clock
from shoal.ledger.world import Sources
from shoal.model.manifest import Manifest
from shoal.services.outside import TokenSource
from shoal.settings import BrokerSettings, Home, Settings

if TYPE_CHECKING:
    from shoal.adapters.forges.github_app import GitHubApp
    from shoal.adapters.manifests import Manifests


def sources_of(place: Home, settings: Callable[[], Settings], clock: Clock | None = None) -> Sources:
    """Those of a home; nothing is loaded or asked before a verb needs it."""
    app = AppOfHome(place, settings, clock)
    return Sources(tokens=app, manifest=ManifestOfHome(place, settings), close=app.close)


class AppOfHome:
    """The GitHub App of a home; its key is read when a token is asked for, for the first time and when it changed."""

    def __init__(self, place: Home, settings: Callable[[], Settings], clock: Clock | None) -> None:
        self._place = place
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._app: GitHubApp | None = None
        self._made_of: tuple[str, BrokerSettings] | None = None

    def __call__(self) -> TokenSource:
        """The source of tokens. Raises NotConfigured, which names the settings that are missing."""
        settings = self._settings()
        wanted = settings.github_url, settings.broker
        with self._lock:
            if self._app is None or self._made_of != wanted:
                from shoal.adapters.forges import github_app

                # The one before is not closed: somebody may be asking it, and it is let go of with them.
                self._app = github_app.configured(*wanted, self._place.folder, os.environ, clock=self._clock)
                self._made_of = wanted
            return self._app

    def close(self) -> None:
        """Let go of connections."""
        with self._lock:
            if self._app is not None:
                self._app.close()


class ManifestOfHome:
    """The manifest of a home's jobs; what reads it is loaded when somebody asks."""

    def __init__(self, place: Home, settings: Callable[[], Settings]) -> None:
        self._place = place
        self._settings = settings
        self._manifests: Manifests | None = None

    def __call__(self) -> Manifest:
        """What is written down now. Raises BadInput with file, line and reason, GitError and WorkspaceError."""
        return self._loaded()()

    def mark(self) -> Hashable:
        """What differs when a look at it is due; None when there is none and none was asked for."""
        return self._loaded().mark()

    def _loaded(self) -> Manifests:
        if self._manifests is None:
            from shoal.adapters.manifests import Manifests

            self._manifests = Manifests(self._place.folder, self._settings)
        return self._manifests
