"""A conversation with a cluster's API: every call bounded in time, its refusals and silences told apart.

kr8s knows the kubeconfig, a pod's own account, and how either is renewed. It is imported here alone, and only when a
cluster is spoken to.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from shoal.errors import ExecutorError, ExecutorUnreachable

if TYPE_CHECKING:
    from kr8s.asyncio import Api

TIMEOUT_SECONDS = 30.0
PAGE = 250
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
_PASSING = {401, 408, 429}  # beside everything from 500 on: ask again later
Answer = dict[str, Any]


class NameTaken(ExecutorError):
    """There is an object of this name already."""


class Absent(ExecutorError):
    """There is no object of this name."""


class Cluster:
    """The objects of one namespace."""

    def __init__(self, *, namespace: str, context: str | None, kubeconfig: str | None) -> None:
        """Raises ExecutorError when the extra is not installed; the cluster itself is asked later."""
        try:
            import kr8s.asyncio
            from anyio.from_thread import start_blocking_portal
        except ImportError as error:
            raise ExecutorError(
                f"the executor kubernetes needs what is not installed ({error.name}); pip install 'shoal[kubernetes]'"
            ) from error
        self._kr8s = kr8s
        self.namespace = namespace
        self._context = context
        self._kubeconfig = kubeconfig
        self._api: Api | None = None
        self._closing = ExitStack()
        self._portal = self._closing.enter_context(start_blocking_portal(name="shoal-kubernetes"))

    def get(self, kind: str, name: str) -> Answer:
        """One object. Raises Absent."""
        return _decoded(self._call("GET", f"{kind}/{name}"))

    def create(self, kind: str, manifest: Answer) -> Answer:
        """Make an object. Raises NameTaken."""
        return _decoded(self._call("POST", kind, body=manifest))

    def patch(self, kind: str, name: str, change: Answer) -> Answer:
        """Change an object. Raises Absent."""
        return _decoded(self._call("PATCH", f"{kind}/{name}", body=change, headers=MERGE_PATCH))

    def delete(self, kind: str, name: str, uid: str) -> None:
        """Remove this very object and, behind it, what belongs to it; one that is gone is as good."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            self._call("DELETE", f"{kind}/{name}", body=body)
        except (Absent, NameTaken):
            return  # gone, or another one has its name by now

    def log(self, pod: str, container: str, limit_bytes: int, since: str | None = None) -> bytes:
        """What a pod has printed from a second on, each line behind its time. Raises Absent."""
        params = {"container": container, "limitBytes": str(limit_bytes), "timestamps": "true"}
        return self._call("GET", f"pods/{pod}/log", params=params | ({"sinceTime": since} if since else {}))

    def list(self, kind: str, labels: Mapping[str, str]) -> Sequence[Answer]:
        """All objects with these labels."""
        found: builtins.list[Answer] = []
        params = {"labelSelector": ",".join(f"{name}={value}" for name, value in labels.items()), "limit": str(PAGE)}
        while True:
            page = _decoded(self._call("GET", kind, params=params))
            found += page["items"]
            if not page["metadata"].get("continue"):
                return found
            params["continue"] = page["metadata"]["continue"]

    def close(self) -> None:
        """Let go of the connections."""
        if self._api is not None:
            self._portal.call(_hang_up, self._api)
            self._api = None
        self._closing.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Answer | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The answer's body, or the error that it means."""
        import httpx

        try:
            if self._api is None:
                self._api = self._portal.call(self._connect)
            return self._portal.call(self._ask, self._api, method, path, body, params, headers)
        except self._kr8s.ServerError as error:
            if self._api is None:  # whatever it says then, it says nothing of this object
                raise ExecutorUnreachable(f"the Kubernetes API refuses to talk: {error}") from error
            raise _refusal(error, f"{method} {path}") from error
        except (httpx.HTTPError, self._kr8s.APITimeoutError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise ExecutorUnreachable(f"the Kubernetes API does not answer ({reason})") from error
        except (ValueError, KeyError, OSError, RuntimeError) as error:
            # No kubeconfig, a context that it does not have, or its login program failed.
            raise ExecutorUnreachable(
                f"no way into the cluster ({type(error).__name__}: {error}); see [kubernetes] kubeconfig and context"
            ) from error

    async def _connect(self) -> Api:
        import anyio

        with anyio.fail_after(TIMEOUT_SECONDS):
            return await self._kr8s.asyncio.api(
                namespace=self.namespace, context=self._context, kubeconfig=self._kubeconfig
            )

    async def _ask(
        self,
        api: Api,
        method: str,
        path: str,
        body: Answer | None,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
    ) -> bytes:
        import anyio

        with anyio.fail_after(TIMEOUT_SECONDS):
            given: dict[str, Any] = {}
            if body is not None:
                given["content"] = json.dumps(body)
            if params is not None:
                given["params"] = dict(params)
            if headers is not None:
                given["headers"] = dict(headers)
            version = "batch/v1" if path.startswith("jobs") else "v1"
            async with api.call_api(method, version=version, namespace=self.namespace, url=path, **given) as response:
                return response.content


async def _hang_up(api: Api) -> None:
    # kr8s leaves its connections to the garbage collector.
    if api._session is not None:
        await api._session.aclose()


def _decoded(answer: bytes) -> Answer:
    decoded: Answer = json.loads(answer)
    return decoded


def _refusal(error: Any, asked: str) -> ExecutorError:
    status = error.response.status_code if error.response is not None else 500
    message = f"the Kubernetes API refuses {asked}: {error}"
    if status >= 500 or status in _PASSING:
        return ExecutorUnreachable(message)
    return {404: Absent, 409: NameTaken}.get(status, ExecutorError)(message)
