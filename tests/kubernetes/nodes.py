"""What a cluster does with Jobs: makes a pod for each, runs its command here as a process, and says how it is.

An image is not pulled: the command runs in a scratch folder that stands for the pod's home, with the environment that
the manifest and its Secrets give, and nothing else of ours.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psutil

from tests.kubernetes.objects import Object, Objects, Problem, now

TURN_SECONDS = 0.02


class Nodes:
    """The Job controller and one node."""

    def __init__(self, objects: Objects, folder: Path) -> None:
        self._objects = objects
        self.folder = folder
        self._bin = folder / "bin"
        self._bin.mkdir(parents=True)
        program = self._bin / "shoal"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m shoal "$@"\n')
        program.chmod(0o755)
        self._running: dict[str, subprocess.Popen[bytes]] = {}  # by the pod's uid
        self._logging: dict[str, threading.Thread] = {}
        self._terminating: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._reasons: dict[str, str] = {}
        self.starts: list[str] = []  # every container that was started, by its pod's Job
        self.pull_seconds = 0.0
        self.broken_images: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End everything that runs."""
        self._stopping.set()
        self._thread.join()
        for process in self._running.values():
            _kill_all(process.pid)
            process.wait()

    def kill(self, job: str, reason: str = "OOMKilled") -> None:
        """End the container of a Job as the kernel does it, without a word."""
        with self._objects.lock:
            for pod in self._pods(job):
                self._reasons[pod["metadata"]["uid"]] = reason
                _kill_all(self._running[pod["metadata"]["uid"]].pid)

    def log(
        self, pod: Object, *, since: datetime | None = None, timestamps: bool = False, limit: int | None = None
    ) -> bytes:
        """What a pod has printed so far, as a kubelet tells it."""
        told, begins = b"", True
        for line in (self.folder / pod["metadata"]["uid"] / "log").read_bytes().splitlines(keepends=True):
            stamp, _, tag, text = line.removesuffix(b"\n").split(b" ", 3)
            if since is None or datetime.fromisoformat(stamp.decode()) >= since:
                told += (stamp + b" " if timestamps and begins else b"") + text + (b"\n" if tag == b"F" else b"")
                begins = tag == b"F"
        return told if limit is None else told[:limit]

    def rotate(self, job: str) -> None:
        """Put what a container has printed aside, as a kubelet does from 10 MB on: it is told no more."""
        for pod in self._pods(job):
            os.truncate(self.folder / pod["metadata"]["uid"] / "log", 0)

    def _run(self) -> None:
        while not self._stopping.wait(TURN_SECONDS):
            # A thing that is deleted between two looks is gone at the next turn.
            with self._objects.lock, contextlib.suppress(Problem):
                for job in self._objects.list("Job"):
                    self._control(job)
                for pod in self._objects.list("Pod"):
                    self._host(pod)
                self._objects.collect_garbage()

    def _pods(self, job: str) -> list[Object]:
        return [
            pod
            for pod in self._objects.list("Pod")
            if pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-name") == job
        ]

    def _control(self, job: Object) -> None:
        metadata, spec, status = job["metadata"], job["spec"], job["status"]
        uid, name, namespace = metadata["uid"], metadata["name"], metadata["namespace"]
        if spec.get("suspend"):
            return
        if status.get("completionTime") or any(one["type"] == "Failed" for one in status.get("conditions", [])):
            ended = self._started.setdefault(f"{uid} ended", time.monotonic())
            ttl = spec.get("ttlSecondsAfterFinished")
            if ttl is not None and time.monotonic() - ended > ttl:
                self._objects.delete("Job", namespace, name, {"propagationPolicy": "Background"})
            return
        began = self._started.setdefault(uid, time.monotonic())
        pods = [pod for pod in self._pods(name) if _owner(pod) == uid]
        if spec.get("activeDeadlineSeconds") and time.monotonic() - began > spec["activeDeadlineSeconds"]:
            for pod in pods:
                self._objects.delete("Pod", namespace, pod["metadata"]["name"], {})
            self._finish(job, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
        elif not pods and "active" not in status:
            owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": True}
            template = spec["template"]
            self._objects.create(
                "Pod",
                namespace,
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": template["metadata"] | {"generateName": f"{name}-", "ownerReferences": [owner]},
                    "spec": template["spec"],
                },
            )
            self._objects.update_status("Job", namespace, name, lambda s: s.update(active=1, startTime=now()))
        elif any(pod["status"].get("phase") == "Succeeded" for pod in pods):
            self._finish(job, "Complete", "CompletionsReached", "Reached expected number of succeeded pods")
        elif not pods or any(pod["status"].get("phase") == "Failed" for pod in pods):
            self._finish(job, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")

    def _finish(self, job: Object, kind: str, reason: str, message: str) -> None:
        def change(status: Object) -> None:
            status.pop("active", None)
            status["succeeded" if kind == "Complete" else "failed"] = 1
            condition = {"type": kind, "status": "True", "reason": reason, "message": message}
            status.setdefault("conditions", []).append(condition)
            if kind == "Complete":
                status["completionTime"] = now()

        self._objects.update_status("Job", job["metadata"]["namespace"], job["metadata"]["name"], change)

    def _host(self, pod: Object) -> None:
        metadata = pod["metadata"]
        uid = metadata["uid"]
        process = self._running.get(uid)
        if "deletionTimestamp" in metadata:
            self._terminate(pod, process)
        elif process is not None:
            code = process.poll()
            if code is not None:
                del self._running[uid]
                _kill_all(process.pid)  # what it leaves behind ends with its container
                self._logging[uid].join(5)
                self._say(pod, _ended(code, self._reasons.get(uid)))
        elif pod["status"].get("phase") in {None, "Pending"}:
            self._begin(pod)

    def _begin(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        container = pod["spec"]["containers"][0]
        began = self._started.setdefault(uid, time.monotonic())
        if container["image"] in self.broken_images:
            message = f'failed to pull image "{container["image"]}": not found'
            self._say(pod, ("Pending", {"waiting": {"reason": "ErrImagePull", "message": message}}))
            return
        if time.monotonic() - began < self.pull_seconds:
            self._say(pod, ("Pending", {"waiting": {"reason": "ContainerCreating"}}))
            return
        try:
            for claim in _claims(pod):
                self._objects.get("PersistentVolumeClaim", pod["metadata"]["namespace"], claim)
        except Problem as problem:
            self._leave_unscheduled(pod, f"0/1 nodes are available: {problem}")
            return
        try:
            environment = self._environment(pod, container)
        except Problem as problem:
            waiting = {"reason": "CreateContainerConfigError", "message": str(problem)}
            self._say(pod, ("Pending", {"waiting": waiting}))
            return
        folder = self.folder / uid
        folder.mkdir(exist_ok=True)
        places = {volume["name"]: self._mount(pod, volume, folder) for volume in pod["spec"].get("volumes", [])}
        mounts: dict[str, Path] = {}
        for mount in sorted(container.get("volumeMounts", []), key=lambda one: len(one["mountPath"])):
            place = places[mount["name"]] / mount.get("subPath", "")
            if place.is_file():
                _inside(mount["mountPath"], mounts).write_bytes(place.read_bytes())
            else:
                place.mkdir(parents=True, exist_ok=True)
                mounts[mount["mountPath"]] = place
        environment = {name: str(_inside(value, mounts)) for name, value in environment.items()}
        command = [_expanded(part, environment) for part in [*container["command"], *container.get("args", [])]]
        self._running[uid] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=_inside(container.get("workingDir", "/"), mounts),
            env={
                "PATH": f"{self._bin}:{os.environ['PATH']}",
                "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
                "TMPDIR": str(folder),
                **environment,
            },
            start_new_session=True,
        )
        self._logging[uid] = threading.Thread(
            target=_log, args=(self._running[uid].stdout, folder / "log"), daemon=True
        )
        self._logging[uid].start()
        self.starts.append(pod["metadata"]["labels"]["batch.kubernetes.io/job-name"])
        self._say(pod, ("Running", {"running": {"startedAt": now()}}))

    def _mount(self, pod: Object, volume: Object, folder: Path) -> Path:
        """Where a volume is here: in the pod's folder, which no other pod sees, unless it is a claim's."""
        claim = volume.get("persistentVolumeClaim")
        place = folder / volume["name"] if claim is None else self.folder / "claims" / str(claim["claimName"])
        place.mkdir(parents=True, exist_ok=True)
        if "configMap" in volume:
            found = self._objects.get("ConfigMap", pod["metadata"]["namespace"], volume["configMap"]["name"])
            for name, text in found["data"].items():
                (place / name).write_text(text)
        return place

    def _leave_unscheduled(self, pod: Object, message: str) -> None:
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}

        def change(status: Object) -> None:
            status.update(phase="Pending", conditions=[condition])

        self._objects.update_status("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], change)

    def _environment(self, pod: Object, container: Object) -> dict[str, str]:
        given: dict[str, str] = {}
        for source in container.get("envFrom", []):
            secret = self._objects.get("Secret", pod["metadata"]["namespace"], source["secretRef"]["name"])
            given |= {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
        for variable in container.get("env", []):
            given[variable["name"]] = _expanded(variable.get("value", ""), given)
        return given

    def _terminate(self, pod: Object, process: subprocess.Popen[bytes] | None) -> None:
        uid = pod["metadata"]["uid"]
        if process is not None and process.poll() is None:
            if uid not in self._terminating:
                self._terminating[uid] = time.monotonic()
                process.send_signal(signal.SIGTERM)
            grace = pod["spec"].get("terminationGracePeriodSeconds", 30)
            if time.monotonic() - self._terminating[uid] < grace:
                return
        if process is not None:
            _kill_all(process.pid)
            process.wait()
            del self._running[uid]
        self._objects.delete("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], {"force": True})

    def _say(self, pod: Object, said: tuple[str, Object]) -> None:
        phase, state = said
        statuses = [{"name": pod["spec"]["containers"][0]["name"], "state": state, "ready": "running" in state}]

        def change(status: Object) -> None:
            status.update(phase=phase, containerStatuses=statuses)

        self._objects.update_status("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], change)


def _log(printed: IO[bytes], path: Path) -> None:
    """Write what a container prints as container runtimes do: lines with their times, long ones in parts."""
    with printed, path.open("ab", buffering=0) as file:
        while part := printed.readline(16 * 1024):
            nanoseconds = time.time_ns()
            stamp = datetime.fromtimestamp(nanoseconds // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            tag = "F" if part.endswith(b"\n") else "P"
            head = f"{stamp}.{nanoseconds % 10**9:09}Z stdout {tag} "
            file.write(head.encode() + part.removesuffix(b"\n") + b"\n")


def _claims(pod: Object) -> list[str]:
    volumes = pod["spec"].get("volumes", [])
    return [one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one]


def _owner(pod: Object) -> str | None:
    owners = pod["metadata"].get("ownerReferences") or []
    return owners[0]["uid"] if owners else None


def _ended(code: int, reason: str | None) -> tuple[str, Object]:
    shown = 128 - code if code < 0 else code
    terminated = {"exitCode": shown, "reason": reason or ("Completed" if code == 0 else "Error"), "finishedAt": now()}
    return ("Succeeded" if code == 0 else "Failed"), {"terminated": terminated}


def _inside(path: str, mounts: dict[str, Path]) -> Any:
    """Where a path of the container is here."""
    for mounted, place in sorted(mounts.items(), key=lambda item: len(item[0])):
        if path == mounted or path.startswith(f"{mounted}/"):
            return place / path[len(mounted) :].lstrip("/")
    return path


def _expanded(text: str, variables: dict[str, str]) -> str:
    """The cluster's own expansion: $(NAME) when there is such a variable, $$ for one dollar."""

    def replaced(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", replaced, text)


def _kill_all(pid: int) -> None:
    """A process and everything below it; also what is in its group when it has gone itself."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
