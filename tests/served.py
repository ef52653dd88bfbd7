"""A server in the process of the tests: its ledger has the tests' clock."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import uvicorn

from shoal import Ledger
from shoal.api.app import App
from shoal.api.guard import Guard
from shoal.daemon.daemon import Daemon
from shoal.live_settings import LiveSettings
from shoal.settings import Home
from tests.conftest import wait_until


class Served:
    """Serves a ledger at `url` until `close`; its loops do not run."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        engine: Any = ledger.engine
        home = Home(folder)
        self._app = App(engine, Daemon(engine, home, LiveSettings(home)), {})
        self._listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(Guard(self._app), log_config=None, access_log=False, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})
        self._thread.start()
        wait_until(lambda: self._server.started)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._server.should_exit = True
        self._app.stop_soon()
        self._thread.join()
        self._listener.close()
