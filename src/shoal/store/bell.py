"""Processes on one PostgreSQL database tell each other that something was committed.

NOTIFY inside a transaction makes all commits of the server queue up, so it is sent afterwards, from a connection of
its own, once for all commits of some milliseconds. Nobody may rely on it: whoever waits also looks now and then.
"""

from __future__ import annotations

import os
import random
import select
import threading
from collections.abc import Callable

import psycopg

CHANNEL = "shoal"
PAUSE_SECONDS = 0.01
RETRY_SECONDS = 2.0


class Bell:
    """Rings for other processes, and calls `heard`, in a thread of its own, when another one rang."""

    def __init__(self, url: str, heard: Callable[[], None]) -> None:
        self.listening = False
        self._url = url
        self._heard = heard
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = threading.Event()
        self._rung = False
        self._woken, self._wake = os.pipe()

    def start(self) -> None:
        """Begin to listen, if it has not begun."""
        with self._starting:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="shoal-bell", daemon=True)
                self._thread.start()

    def ring(self) -> None:
        """Tell the others, soon."""
        if not self._rung:
            self._rung = True
            self.start()
            os.write(self._wake, b"!")

    def close(self) -> None:
        """Ring a last time if someone asked for it, and end."""
        with self._starting:
            self._closed.set()
            os.write(self._wake, b"!")
        if self._thread is not None:
            self._thread.join()
        os.close(self._woken)
        os.close(self._wake)

    def _run(self) -> None:
        while self._rung or not self._closed.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=10, keepalives_idle=10) as connection:
                    self._attend(connection)
            except psycopg.Error:
                if self._closed.is_set():
                    return
            finally:
                self.listening = False
            self._closed.wait(RETRY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311

    def _attend(self, connection: psycopg.Connection) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        own = connection.info.backend_pid
        self.listening = True
        self._heard()  # of what was missed before
        poll = select.poll()
        for source in (self._woken, connection.fileno()):
            poll.register(source, select.POLLIN)
        while True:
            if self._rung:
                self._rung = False
                connection.execute(f"NOTIFY {CHANNEL}")
            if self._closed.is_set():
                return
            if [notify for notify in connection.notifies(timeout=0) if notify.pid != own]:
                self._heard()
            # The pause is what brings many commits together.
            if self._closed.wait(PAUSE_SECONDS):
                continue
            if any(source == self._woken for source, _ in poll.poll()):
                os.read(self._woken, 4096)
