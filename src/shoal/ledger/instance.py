"""One server per home: a file that its server keeps locked, with its pid and address for everyone else."""

from __future__ import annotations

import fcntl
import os
from types import TracebackType

import msgspec
from msgspec import Struct

from shoal.errors import ServerRunning
from shoal.settings import Home


class Instance(Struct, frozen=True):
    """A running server."""

    pid: int
    url: str


def read_instance(home: Home) -> Instance | None:
    """The server that has this home. A file that nobody locks was left by one that died."""
    try:
        descriptor = os.open(home.server_file, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _content(descriptor)
    finally:
        os.close(descriptor)
    return None


class InstanceLock:
    """Held by `shoal serve` for as long as it runs; the kernel lets go of it however the process ends."""

    def __init__(self, home: Home) -> None:
        self._home = home
        home.folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(home.server_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _content(self._descriptor)
            os.close(self._descriptor)
            who = f"pid {other.pid} at {other.url}" if other else "another process"
            raise ServerRunning(f"{home} is served already by {who}; stop that one, or choose another --home") from None

    def announce(self, url: str) -> None:
        """Write down where the server listens."""
        content = msgspec.json.encode(Instance(os.getpid(), url))
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, content, 0)

    def __enter__(self) -> InstanceLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _content(descriptor: int) -> Instance | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Instance)
    except (msgspec.DecodeError, OSError):
        return None
