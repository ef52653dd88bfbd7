"""The settings of a home as its shoal.toml has them now: whoever runs for long asks here each time it uses one.

The file is looked at when somebody asks, 20 times a second at most. One that is broken changes nothing until it is
mended, and some settings hold from the start of a process to its end: AT_START.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from shoal.clock import SystemClock, monotonic_seconds
from shoal.default_agent import unusable
from shoal.errors import ShoalError
from shoal.settings import Home, Settings

LOOK_SECONDS = 0.05  # a look takes 5 µs, a claim 20
# Editors empty a file before they write it: what was changed a moment ago may not be whole yet.
SETTLED_MS = 100
AT_START = frozenset(
    {
        *("host", "port", "db", "prefix", "patience_seconds", "stop_seconds"),
        *("vault", "vault_git_seconds", "github_url", "dispatch.executor"),
        *("kubernetes.url", "kubernetes.namespace", "kubernetes.context", "kubernetes.kubeconfig"),
        *(name for name in Settings.__struct_fields__ if name.endswith("_folder")),
    }
)
Mark = tuple[int, int, int, int]


class Change(Struct, frozen=True):
    """What became of a changed file: names of settings that hold now, of those that wait for a restart; or why none.

    `remark` is why no worker could use what holds now.
    """

    taken_up: list[str] = []
    at_restart: list[str] = []
    problem: str | None = None
    remark: str | None = None


class LiveSettings:
    """Call it for the settings in force. `problem` is why the file, as it is now, is not what they come from."""

    def __init__(self, home: Home, *, on_change: Callable[[Change], None] = lambda _: None, **given: Any) -> None:
        """What is `given` goes before the file. `on_change` is called from any thread. Raises BadInput."""
        self._home = home
        self._given = given
        self._on_change = on_change
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._mark = self._look()
        self._settings = home.settings(**given)
        self.problem: str | None = None

    def __call__(self) -> Settings:
        """The settings in force."""
        now = monotonic_seconds()
        if now - self._looked < LOOK_SECONDS:
            return self._settings
        self._looked = now
        mark = self._look()
        # Who comes while somebody else reads it has what was until then.
        if mark != self._mark and (mark is None or self._is_settled(mark)) and self._lock.acquire(blocking=False):
            try:
                if mark != self._mark:
                    self._take_up(mark)
            finally:
                self._lock.release()
        return self._settings

    def _look(self) -> Mark | None:
        try:
            found = os.stat(self._home.config)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino

    @staticmethod
    def _is_settled(mark: Mark) -> bool:
        # One from the future has a clock of its own.
        return not 0 <= SystemClock().now_ms() - mark[1] // 1_000_000 < SETTLED_MS

    def _take_up(self, mark: Mark | None) -> None:
        before, problem = self.problem, None if mark else f"{self._home.config} is gone"
        try:
            written = self._home.settings(**self._given)
        except ShoalError as error:
            problem = error.message
        if self._look() != mark:
            return  # it is being written again
        self._mark, self.problem = mark, problem
        if self.problem is not None:
            if self.problem != before:
                self._on_change(Change(problem=self.problem))
            return
        changed = list(_differences(self._settings, written))
        waiting = [name for name in changed if name in AT_START]
        for name in waiting:
            table, _, field = name.rpartition(".")
            if table:
                kept = getattr(getattr(self._settings, table), field)
                value = msgspec.structs.replace(getattr(written, table), **{field: kept})
                written = msgspec.structs.replace(written, **{table: value})
            else:
                written = msgspec.structs.replace(written, **{name: getattr(self._settings, name)})
        self._settings = written
        if changed or before is not None:
            taken_up = [name for name in changed if name not in AT_START]
            self._on_change(Change(taken_up, waiting, remark=unusable(written)))


def _differences(old: Settings, new: Settings) -> Iterator[str]:
    """The names of what differs; of a repository not its own, which may be a URL with a password."""
    for name in Settings.__struct_fields__:
        was, now = getattr(old, name), getattr(new, name)
        if was == now:
            continue
        if isinstance(was, Struct):
            yield from (f"{name}.{one}" for one in was.__struct_fields__ if getattr(was, one) != getattr(now, one))
        elif name in ("agents", "workflows", "channels"):
            yield from (f"{name}.{one}" for one in sorted({*was, *now}) if was.get(one) != now.get(one))
        else:
            yield name
