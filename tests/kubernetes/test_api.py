"""The cluster that tests run on behaves as the real one does, where it matters; kr8s is the witness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kr8s
import pytest
from kr8s._async_utils import as_sync_func
from kr8s.objects import Job, Pod

from tests.conftest import wait_until
from tests.kubernetes.api import Api


@pytest.fixture
def client(api: Api) -> Iterator[Any]:
    client = kr8s.api(kubeconfig=str(api.kubeconfig), namespace="agents")
    yield client
    as_sync_func(client._session.aclose)()  # type: ignore[union-attr] # it has no close of its own


def a_job(name: str, client: Any, *command: str, **spec: Any) -> Job:
    container = {"name": "c", "image": "i", "command": [*command]}
    pod = {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": {"mine": "yes"}}, "spec": pod}
    manifest = {"metadata": {"name": name, "labels": {"mine": "yes"}}, "spec": {"template": template, **spec}}
    return Job(manifest, namespace="agents", api=client)


def test_job_runs_to_its_end(api: Api, client: Any) -> None:
    job = a_job("one", client, "sh", "-c", "echo hello")
    job.create()
    job.wait("condition=Complete", timeout=20)
    (pod,) = list(client.get(Pod, label_selector={"batch.kubernetes.io/job-name": "one"}))
    assert list(pod.logs()) == ["hello"]
    assert pod.status.phase == "Succeeded"


def test_log_is_told_from_a_whole_second_on_each_line_behind_its_time(api: Api, client: Any) -> None:
    long = "x" * 40_000
    job = a_job("one", client, "sh", "-c", f"echo a; sleep 2; echo b; echo {long}")
    job.create()
    job.wait("condition=Complete", timeout=20)
    (pod,) = list(client.get(Pod, label_selector={"batch.kubernetes.io/job-name": "one"}))
    first, second, third = pod.logs(timestamps=True)
    assert (first[-2:], second[-2:]) == (" a", " b")
    assert third.partition(" ")[2] == long, "the time stands before a long line only, not in its middle"
    since = second.partition(" ")[0]
    assert list(pod.logs(timestamps=True, since_time=since)) == [second, third], "what lies behind the point is cut off"
    assert list(pod.logs(limit_bytes=3)) == ["a", "b"]
    api.nodes.rotate("one")
    assert list(pod.logs()) == []


def test_same_name_is_refused(api: Api, client: Any) -> None:
    a_job("one", client, "true").create()
    with pytest.raises(kr8s.ServerError, match="already exists") as refused:
        a_job("one", client, "true").create()
    assert refused.value.response is not None
    assert refused.value.response.status_code == 409


@pytest.mark.parametrize(
    ("name", "spec", "code"), [("Not A Name", {}, 422), ("x" * 64, {}, 422), ("fine", {"backoffLimits": 1}, 400)]
)
def test_invalid_manifest_is_refused(api: Api, client: Any, name: str, spec: dict[str, Any], code: int) -> None:
    with pytest.raises(kr8s.ServerError) as refused:
        a_job(name, client, "true", **spec).create()
    assert refused.value.response is not None
    assert refused.value.response.status_code == code


def test_unknown_object_is_not_found(api: Api, client: Any) -> None:
    with pytest.raises(kr8s.NotFoundError):
        a_job("nobody", client, "true").refresh()


def test_deleting_a_job_orphans_its_pod_unless_told_otherwise(api: Api, client: Any) -> None:
    for name, policy in (("kept", None), ("gone", "Background")):
        job = a_job(name, client, "sleep", "60")
        job.create()
        wait_until(lambda name=name: name in api.nodes.starts)
        job.delete(propagation_policy=policy)
    wait_until(lambda: len(api.objects.list("Pod")) == 1)
    (pod,) = api.objects.list("Pod")
    assert pod["metadata"]["labels"]["job-name"] == "kept"
    assert pod["metadata"]["ownerReferences"] == []


def test_suspended_job_waits(api: Api, client: Any) -> None:
    job = a_job("later", client, "true", suspend=True)
    job.create()
    a_job("now", client, "true").create()
    wait_until(lambda: api.nodes.starts)
    assert api.nodes.starts == ["now"]
    job.patch({"spec": {"suspend": False}})
    job.wait("condition=Complete", timeout=20)


def test_deadline_and_time_to_live(api: Api, client: Any) -> None:
    job = a_job("slow", client, "sleep", "60", activeDeadlineSeconds=1, ttlSecondsAfterFinished=1)
    job.create()
    job.wait("condition=Failed", timeout=20)
    wait_until(lambda: api.jobs() == [])
    wait_until(lambda: api.objects.list("Pod") == [])


def test_watch_tells_every_change(api: Api, client: Any) -> None:
    a_job("one", client, "true").create()
    seen = []
    for kind, job in client.watch("jobs", namespace="agents", label_selector={"mine": "yes"}, since="0"):
        seen.append((kind, job.status.get("succeeded")))
        if seen[-1][1]:
            break
    assert seen[0] == ("ADDED", None)
    assert seen[-1] == ("MODIFIED", 1)


def test_stale_replacement_is_refused(api: Api, client: Any) -> None:
    a_job("one", client, "true", suspend=True).create()
    stale = api.objects.get("Job", "agents", "one")
    api.objects.patch("Job", "agents", "one", {"metadata": {"annotations": {"a": "b"}}})
    with pytest.raises(Exception, match="has been modified"):
        api.objects.replace("Job", "agents", "one", stale)
