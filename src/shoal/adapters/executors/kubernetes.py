"""Attempts as Jobs of a Kubernetes cluster, one each. They go on when the dispatcher dies; the next one finds them.

A Job is made under a name that only its attempt has, and suspended; then its Secret, which belongs to it; then it is
let go. Each step may be repeated: a Job whose making was not acknowledged is found by its name, known by its labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shoal.adapters.executors import manifests
from shoal.adapters.executors.cluster import Absent, Cluster, NameTaken
from shoal.adapters.executors.executor import ENDED, Spawned, State
from shoal.adapters.executors.pod_log import PodLog
from shoal.errors import BadInput, ExecutorError, ExecutorUnreachable
from shoal.model.task import Claim
from shoal.settings import KubernetesSettings

LOG_LIMIT_BYTES = 64 * 1024 * 1024
Object = dict[str, Any]


class KubernetesExecutor:
    """The Jobs of one ledger in one namespace."""

    name = "kubernetes"

    def __init__(
        self, current: Callable[[], KubernetesSettings], *, arguments: Callable[[], Sequence[str]] = tuple
    ) -> None:
        """`arguments` are those of `shoal run-attempt`; both are asked for with each Job.

        Raises BadInput when a setting is missing.
        """
        settings = current()
        for given, what in (("image", "the pods' image"), ("url", "where the pods reach Shoal")):
            if getattr(settings, given) is None:
                raise BadInput(f"[kubernetes] {given} is not set in shoal.toml: {what}", field=given)
        assert settings.url is not None  # noqa: S101 - just checked
        self._current = current
        self._url = settings.url
        self._arguments = arguments
        self._cluster = Cluster(namespace=settings.namespace, context=settings.context, kubeconfig=settings.kubeconfig)
        self.scope: str | None = f"kubernetes {settings.namespace}"

    def spawn(self, claim: Claim, environment: Mapping[str, str]) -> None:
        """Make the Job, its Secret, and let it go; whatever of it is there already stays as it is."""
        name = manifests.job_name(claim)
        wanted = manifests.job(
            claim, self._current(), url=self._url, arguments=self._arguments(), environment=environment
        )
        try:
            job = self._cluster.create("jobs", wanted)
        except NameTaken:
            job = self._ours(name, wanted["metadata"]["labels"])
        if not job["spec"].get("suspend"):
            return
        secret = manifests.secret(claim, job, url=self._url)
        try:
            self._cluster.create("secrets", secret)
        except NameTaken:
            # From a Job of this name that the cluster has not wholly cleared away, or our own a moment ago.
            self._cluster.patch("secrets", name, {key: secret[key] for key in ("metadata", "stringData")})
        self._cluster.patch("jobs", name, {"spec": {"suspend": False}})

    def find(self, task: str, attempt: int) -> State:
        """How an attempt stands."""
        found = self._look({"shoal/task": task, "shoal/attempt": str(attempt)})
        return found[0].state if found else State.MISSING

    def list(self) -> Sequence[Spawned]:
        """All Jobs of this ledger that are not being deleted."""
        return self._look({})

    def logs(self, spawned: Spawned, path: Path, *, last: bool) -> None:
        """What the pod printed; nothing when there is no pod, or it never began."""
        pods = self._cluster.list("pods", {"batch.kubernetes.io/job-name": spawned.name})
        names = [pod["metadata"]["name"] for pod in pods if pod.get("status", {}).get("containerStatuses")]
        if not names:
            return
        with PodLog(path, worker=spawned.worker) as file:
            for name in names:
                try:
                    told = self._cluster.log(name, manifests.CONTAINER, LOG_LIMIT_BYTES, file.since(name))
                except ExecutorUnreachable:
                    raise
                except ExecutorError:
                    continue  # its container has not begun
                file.add(name, told, last=last)

    def delete(self, spawned: Spawned) -> None:
        """Remove the Job; its pod is asked to end, and goes with its Secret."""
        try:
            job = self._cluster.get("jobs", spawned.name)
        except Absent:
            return
        if job["metadata"]["labels"].get("shoal/worker") == spawned.worker:
            self._cluster.delete("jobs", spawned.name, job["metadata"]["uid"])

    def close(self) -> None:
        """Let go of the cluster; what runs there goes on."""
        self._cluster.close()

    def _look(self, labels: Mapping[str, str]) -> Sequence[Spawned]:
        wanted = manifests.selector(self._url) | dict(labels)
        jobs = [job for job in self._cluster.list("jobs", wanted) if "deletionTimestamp" not in job["metadata"]]
        pods: dict[str, Object] = {}
        if jobs:
            for pod in self._cluster.list("pods", wanted):
                pods[pod["metadata"]["labels"].get("batch.kubernetes.io/job-name", "")] = pod
        return [_spawned(job, pods.get(job["metadata"]["name"])) for job in jobs]

    def _ours(self, name: str, labels: Mapping[str, str]) -> Object:
        """The Job that has the name, when it is this very attempt's."""
        try:
            job = self._cluster.get("jobs", name)
        except Absent:
            raise ExecutorUnreachable(f"Job {name} is just going; it is made anew soon") from None
        others = job["metadata"].get("labels", {})
        if any(others.get(key) != value for key, value in labels.items()):
            raise ExecutorError(
                f"Job {name} in namespace {self._cluster.namespace} belongs to something else; give every Shoal a "
                f"namespace of its own, or delete that Job"
            )
        return job


def _spawned(job: Object, pod: Object | None) -> Spawned:
    state, reason = _state(job, pod)
    marked = job["metadata"]["labels"]
    return Spawned(
        name=job["metadata"]["name"],
        task=marked.get("shoal/task", ""),
        attempt=int(marked.get("shoal/attempt", "0")),
        worker=marked.get("shoal/worker", ""),
        state=state,
        reason=reason,
        incomplete=bool(job["spec"].get("suspend")) and state not in ENDED,
        code=next((ended["exitCode"] for ended in _ended(pod)), None),
    )


def _state(job: Object, pod: Object | None) -> tuple[State, str | None]:
    """From the Job's conditions, then from its pod."""
    for condition in job.get("status", {}).get("conditions") or []:
        if condition["status"] == "True" and condition["type"] == "Complete":
            return State.SUCCEEDED, None
        if condition["status"] == "True" and condition["type"] == "Failed":
            told = _said(condition.get("reason"), condition.get("message"))
            return State.FAILED, "; ".join(filter(None, [_end(pod), told]))
    if pod is None:
        return State.STARTING, "there is no pod yet"
    status = pod.get("status", {})
    containers = [one["state"] for one in status.get("containerStatuses") or [] if one["name"] == manifests.CONTAINER]
    for container in containers:
        if "waiting" in container:
            return State.STARTING, _said(container["waiting"].get("reason"), container["waiting"].get("message"))
    if containers or status.get("phase") == "Running":
        return State.RUNNING, None
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return State.STARTING, _said(condition.get("reason"), condition.get("message"))
    return State.STARTING, "the pod is pending"


def _end(pod: Object | None) -> str | None:
    """How the container ended."""
    for ended in _ended(pod):
        return _said(f"{ended.get('reason', 'ended')}, exit code {ended['exitCode']}", ended.get("message"))
    status = (pod or {}).get("status", {})
    told = _said(status.get("reason"), status.get("message"))
    return told or None


def _ended(pod: Object | None) -> list[Object]:
    statuses = (pod or {}).get("status", {}).get("containerStatuses") or []
    return [one["state"]["terminated"] for one in statuses if one["state"].get("terminated")]


def _said(reason: str | None, message: str | None) -> str:
    return ": ".join(filter(None, [reason, message]))
