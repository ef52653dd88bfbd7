"""The executors as they are configured, made when they are first needed; and the one question that supervision has."""

from __future__ import annotations

import threading
from collections.abc import Callable

from shoal.adapters.executors.executor import Executor, State
from shoal.clock import monotonic_seconds
from shoal.errors import BadInput, ExecutorError
from shoal.live_settings import LiveSettings
from shoal.model.task import Status, Task
from shoal.settings import DispatchSettings, Home

SILENCE_SECONDS = 20.0


class Executors:
    """The executors of one process."""

    def __init__(
        self, home: Home, settings: LiveSettings, *, dispatch: Callable[[], DispatchSettings] | None = None
    ) -> None:
        """`settings` are asked for at each use; `dispatch` stands in for their own table."""
        self._home = home
        self._settings = settings
        self._dispatch = dispatch or (lambda: settings().dispatch)
        self._made: dict[str, Executor] = {}
        self._lock = threading.Lock()
        self._silent_until = float("-inf")

    def get(self, name: str) -> Executor:
        """An executor by name. Raises BadInput or ExecutorError when it cannot be used as it is configured."""
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def hold(self, name: str) -> str | None:
        """Why nothing should be started now: each process here reads shoal.toml, and would fail while it is broken."""
        return self._settings.problem if name == "local" else None

    def gone(self, task: Task, attempt: int) -> bool | None:
        """Whether an attempt that an executor runs has gone without a word; None when the executor cannot be asked.

        False for attempts of other workers and of executors that this home knows nothing of, and before an attempt has
        begun: the dispatcher looks after those.
        """
        name = self._of(task)
        if name is None or task.status is not Status.ACTIVE or task.attempt != attempt or task.started_at is None:
            return False
        if monotonic_seconds() < self._silent_until:
            return None
        try:
            return self.get(name).find(task.task_id, attempt) in {State.MISSING, State.FAILED}
        except (ExecutorError, BadInput):
            # Not to wait for it once for every task.
            self._silent_until = monotonic_seconds() + SILENCE_SECONDS
            return None

    def _of(self, task: Task) -> str | None:
        """The executor that runs a task's attempt, when it can be asked from here."""
        name, ours, _ = (task.worker or "").partition(":")
        # Processes are known to the dispatcher that started them alone, and end with it: their leases tell.
        is_known = ours and name == "kubernetes" and self._settings().kubernetes.image is not None
        return name if is_known else None

    def close(self) -> None:
        """Let go of all."""
        with self._lock:
            for executor in self._made.values():
                executor.close()
            self._made.clear()

    def _make(self, name: str) -> Executor:
        if name == "kubernetes":
            from shoal.adapters.executors.kubernetes import KubernetesExecutor

            return KubernetesExecutor(lambda: self._settings().kubernetes, arguments=self._arguments)
        if name == "local":
            from shoal.adapters.executors.local import LocalExecutor

            return LocalExecutor(home=self._home.folder, logs=self._home.logs, arguments=self._arguments)
        raise BadInput(f"there is no executor {name!r}; choose local or kubernetes", field="executor")

    def _arguments(self) -> list[str]:
        """Those of `shoal run-attempt`."""
        dispatch = self._dispatch()
        return ["--lease", str(dispatch.lease_seconds), *(["--", *dispatch.command] if dispatch.command else [])]
