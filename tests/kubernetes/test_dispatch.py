"""`shoal dispatch` to a cluster: from the queue through Job, Secret, pod and report, and through all that can fail."""

from __future__ import annotations

import base64
import contextlib
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

import shoal
from shoal import Ledger
from shoal.daemon.executors import Executors
from shoal.live_settings import LiveSettings
from shoal.settings import Home
from tests.conftest import wait_until
from tests.fleet import Server
from tests.kubernetes.api import Api
from tests.kubernetes.conftest import Dispatch, finish
from tests.kubernetes.objects import Problem
from tests.vaults import git
from tests.worker.places import REPOSITORY, Remote

ONCE = ("--until-empty",)


def test_ten_tasks_run_as_jobs_and_nothing_is_left_behind(
    api: Api, ledger: Ledger, dispatch: Dispatch, home: Path
) -> None:
    for number in range(10):
        ledger.tasks.create(title=f"t{number}")
    finish(
        dispatch(
            "sh",
            "-c",
            'echo "$SHOAL_TASK_ID by $SHOAL_ACTOR, costs $5 $(echo now)"',
            options=(*ONCE, "-n", "3", "--as", "claude-1"),
        )
    )

    assert ledger.stats.get().counts["completed"] == 10
    assert [ledger.tasks.get(n).attempt for n in range(1, 11)] == [1] * 10
    assert sorted(api.nodes.starts) == sorted(f"shoal-swe-t{n}-a1" for n in range(1, 11))
    assert api.most_at_once == 3
    assert (api.objects.list("Job"), api.objects.list("Secret")) == ([], [])
    wait_until(lambda: api.objects.list("Pod") == [])
    for number in range(1, 11):
        assert f"T{number} by claude-1, costs  now\n" in (home / "logs" / f"T{number}.1.log").read_text()


def test_claim_reaches_the_pod_by_its_secret_alone(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    ledger.tasks.create(title="x")
    api.nodes.pull_seconds = 60
    dispatch("true")
    wait_until(lambda: api.objects.list("Pod"))

    (job,), (secret,) = api.objects.list("Job"), api.objects.list("Secret")
    key = base64.b64decode(secret["data"]["SHOAL_TASK_KEY"]).decode()
    assert len(key) == 40
    assert key not in repr(job)
    assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    variables = {one["name"]: one["value"] for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert variables["SHOAL_URL"] == ledger.address


def test_settings_reach_the_pod(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    api.objects.create(
        "Secret",
        "agents",
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"API_KEY": "k"}},
    )
    ledger.tasks.create(title="x")
    finish(
        dispatch(
            *("sh", "-c", 'echo "$API_KEY $MODE"'),
            options=ONCE,
            kubernetes={"secrets": ["keys"], "env": {"MODE": "a$(X)$$b"}, "memory_limit": "1Gi"},
        )
    )
    assert ledger.tasks.get(1).summary == "k a$(X)$$b"


def test_agents_of_the_config_map_work_when_no_program_is_named(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    settings = 'agent = "mine"\n[agents.mine]\nkind = "command"\nprogram = ["sh", "-c", "pwd; echo from an agent"]\n'
    api.objects.create(
        "ConfigMap",
        "agents",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {"shoal.toml": settings}},
    )
    ledger.tasks.create(title="x")
    finish(dispatch(options=ONCE, kubernetes={"config": "mine"}))
    task = ledger.tasks.get(1)
    assert task.status == "completed"
    assert "from an agent" in task.summary
    (session,) = ledger.tasks.sessions(1)
    assert session.agent == "mine"


def test_work_of_a_cancelled_pod_is_at_the_remote(api: Api, ledger: Ledger, dispatch: Dispatch, tmp_path: Path) -> None:
    remote = configured(api, tmp_path)
    ledger.tasks.create(title="x", repos=[REPOSITORY])
    dispatch("sh", "-c", "echo half > done.py; sleep 60", kubernetes={"config": "mine"})
    wait_until(lambda: list(api.nodes.folder.glob("*/*/workspaces/T1.1/done.py")))
    ledger.tasks.cancel(1)
    wait_until(lambda: "shoal/T1-x" in remote.branches())
    assert git(remote.path, "show", "shoal/T1-x:done.py") == "half"
    wait_until(lambda: api.objects.list("Pod") == [])


def test_pod_goes_on_where_an_evicted_one_had_to_stop(
    api: Api, ledger: Ledger, dispatch: Dispatch, tmp_path: Path
) -> None:
    configured(api, tmp_path)
    ledger.tasks.create(title="x", repos=[REPOSITORY])
    command = 'if [ -f done.py ]; then cat done.py; else echo "half a job" > done.py; sleep 60; fi'
    process = dispatch("sh", "-c", command, options=ONCE, kubernetes={"config": "mine"})
    wait_until(lambda: list(api.nodes.folder.glob("*/*/workspaces/T1.1/done.py")))
    (pod,) = api.objects.list("Pod")
    api.objects.delete("Pod", "agents", pod["metadata"]["name"], {})
    finish(process)
    task = ledger.tasks.get(1)
    assert (task.status, task.attempt, task.failures) == ("completed", 2, 0)
    assert "half a job" in task.summary


def test_home_on_a_volume_keeps_mirrors_and_folders_for_the_next_pod(
    api: Api, ledger: Ledger, dispatch: Dispatch, tmp_path: Path
) -> None:
    remote = configured(api, tmp_path)
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "homes"}}
    api.objects.create("PersistentVolumeClaim", "agents", claim)
    ledger.tasks.create(title="x", repos=[REPOSITORY])
    command = 'if [ -f done.py ]; then cat done.py; else echo "half a job" > done.py; sleep 60; fi'
    settings = {"config": "mine", "volume": "homes"}
    process = dispatch("sh", "-c", command, options=(*ONCE, "--lease", "2"), kubernetes=settings)
    wait_until(lambda: list(api.nodes.folder.glob("claims/homes/*/workspaces/T1.1/done.py")))
    api.nodes.kill("shoal-swe-t1-a1")
    finish(process)
    task = ledger.tasks.get(1)
    assert (task.status, task.attempt) == ("completed", 2)
    assert "half a job" in task.summary
    assert remote.branches() == ["main"], "what stays is pushed only when the repository says so"
    (home,) = (api.nodes.folder / "claims" / "homes").iterdir()
    assert (home / "mirrors" / f"{REPOSITORY}.git").is_dir()


def test_volume_that_is_missing_is_told(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    ledger.tasks.create(title="x", max_attempts=1)
    finish(dispatch("true", options=ONCE, kubernetes={"volume": "homes"}, table={"start_seconds": 1}))
    assert 'persistentvolumeclaims "homes" not found' in ledger.tasks.get(1).last_error


def configured(api: Api, folder: Path) -> Remote:
    """A repository, and the ConfigMap that tells pods of it."""
    remote = Remote(folder)
    settings = f'[repositories."{REPOSITORY}"]\nurl = "{remote.path}"\n'
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {"shoal.toml": settings}}
    api.objects.create("ConfigMap", "agents", config)
    return remote


@pytest.mark.parametrize("without_logs", [(), ("shoal-swe-t1-a1", "shoal-swe-t2-a1")], ids=["logs", "no logs"])
def test_pods_whose_agent_cannot_work_are_not_made_one_after_the_other(
    api: Api, ledger: Ledger, dispatch: Dispatch, without_logs: tuple[str, ...]
) -> None:
    api.broken_logs.update(without_logs)
    settings = '[agents.it]\nkind = "claude"\nprogram = ["nosuchclaude"]\n'
    api.objects.create(
        "ConfigMap",
        "agents",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {"shoal.toml": settings}},
    )
    ledger.tasks.create_many(tasks=[{"title": f"t{n}", "max_attempts": 1} for n in range(6)])
    process = dispatch(options=("-n", "2"), kubernetes={"config": "mine"})
    assert process.stderr is not None
    said = next(line for line in process.stderr if "the set-up is at fault, no task's: nothing is claimed" in line)
    assert "nosuchclaude is not found" in said
    wait_until(lambda: [ledger.tasks.get(n).releases for n in (1, 2)] == [1, 1])
    api.broken_logs.clear()
    wait_until(lambda: api.jobs() == [])
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert len(api.nodes.starts) == 2
    assert [ledger.tasks.get(n).failures for n in range(1, 7)] == [0] * 6


def test_killed_dispatcher_is_followed_by_another_and_nothing_runs_twice(
    api: Api, ledger: Ledger, dispatch: Dispatch
) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}"} for n in range(6)])
    command = ("sh", "-c", "sleep 1; echo done")
    first = dispatch(*command, options=("-n", "2", "--lease", "10"))
    wait_until(lambda: len(api.nodes.starts) >= 2)
    first.send_signal(signal.SIGKILL)
    finish(dispatch(*command, options=(*ONCE, "-n", "2", "--lease", "10")), seconds=90)

    assert ledger.stats.get().counts["completed"] == 6
    assert len(api.nodes.starts) == len(set(api.nodes.starts))
    assert api.most_at_once <= 2
    # What ran when the first one died went on: nothing was tried again.
    assert [ledger.tasks.get(n).failures for n in (1, 2)] == [0, 0]
    assert (api.objects.list("Job"), api.objects.list("Secret")) == ([], [])


def test_job_that_a_killed_dispatcher_had_not_let_go_is_given_back(
    api: Api, ledger: Ledger, dispatch: Dispatch
) -> None:
    ledger.tasks.create(title="x")
    api.refused["POST", "secrets"] = Problem(503, "ServiceUnavailable", "etcd is slow")
    first = dispatch("true")
    wait_until(lambda: api.jobs())
    first.kill()
    first.wait()
    del api.refused["POST", "secrets"]
    finish(dispatch("true", options=ONCE))

    task = ledger.tasks.get(1)
    assert (task.status, task.attempt, task.failures) == ("completed", 2, 0)
    assert api.nodes.starts == ["shoal-swe-t1-a2"]


def test_cancelled_task_ends_its_pod(api: Api, ledger: Ledger, dispatch: Dispatch, home: Path) -> None:
    ledger.tasks.create(title="x")
    process = dispatch("sh", "-c", "echo begun; sleep 60", options=ONCE)
    wait_until(lambda: ledger.tasks.get(1).started_at)
    wait_until(lambda: "begun" in _log(api))
    ledger.tasks.cancel(1)
    finish(process)

    assert ledger.tasks.get(1).status == "cancelled"
    wait_until(lambda: api.objects.list("Pod") == [])
    assert (api.objects.list("Job"), api.objects.list("Secret")) == ([], [])
    assert "begun" in (home / "logs" / "T1.1.log").read_text()


def test_task_cancelled_while_its_image_is_pulled_never_begins(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    ledger.tasks.create(title="x")
    api.nodes.pull_seconds = 60
    process = dispatch("true", options=ONCE)
    wait_until(lambda: api.objects.list("Pod"))
    ledger.tasks.cancel(1)
    finish(process)
    assert api.jobs() == []
    assert api.nodes.starts == []


def test_lost_acknowledgements_double_nothing(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}"} for n in range(3)])
    api.lost = [("POST", "jobs"), ("POST", "secrets"), ("PATCH", "jobs"), ("DELETE", "jobs"), ("GET", "jobs")]
    finish(dispatch("true", options=(*ONCE, "-n", "2")))

    assert api.lost == []
    assert [ledger.tasks.get(n).attempt for n in (1, 2, 3)] == [1, 1, 1]
    assert sorted(api.nodes.starts) == ["shoal-swe-t1-a1", "shoal-swe-t2-a1", "shoal-swe-t3-a1"]
    assert ledger.stats.get().counts["completed"] == 3


def test_outage_delays_and_loses_nothing(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}", "max_attempts": 1} for n in range(4)])
    process = dispatch("sh", "-c", "sleep 2", options=(*ONCE, "-n", "2", "--lease", "5"))
    wait_until(lambda: len(api.nodes.starts) == 2)
    with api.outage():
        # What runs needs the ledger alone.
        wait_until(lambda: ledger.stats.get().counts["completed"] == 2)
        assert len(api.nodes.starts) == 2
    finish(process)
    assert ledger.stats.get().counts["completed"] == 4
    assert [ledger.tasks.get(n).attempt for n in range(1, 5)] == [1] * 4
    assert len(api.nodes.starts) == 4


def test_spawn_that_waits_for_the_api_keeps_its_lease(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    ledger.tasks.create(title="x", max_attempts=1)
    api.refused["POST", "jobs"] = Problem(503, "ServiceUnavailable", "etcd is slow")
    process = dispatch("true", options=(*ONCE, "--lease", "1"))
    claimed = wait_until(lambda: ledger.tasks.get(1).leased_until)
    wait_until(lambda: ledger.tasks.get(1).leased_until > claimed + 2000)
    del api.refused["POST", "jobs"]
    finish(process)
    assert (ledger.tasks.get(1).status, ledger.tasks.get(1).attempt) == ("completed", 1)


def test_lease_outlives_a_slow_pull(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    ledger.tasks.create(title="x", max_attempts=1)
    api.nodes.pull_seconds = 3
    finish(dispatch("true", options=(*ONCE, "--lease", "1")))
    assert (ledger.tasks.get(1).status, ledger.tasks.get(1).attempt) == ("completed", 1)


@pytest.mark.parametrize(
    ("kubernetes", "table", "reason"),
    [({}, {"start_seconds": 1}, "ErrImagePull: failed to pull"), ({"deadline_seconds": 1}, {}, "DeadlineExceeded")],
)
def test_image_that_cannot_be_pulled_fails_the_attempt_and_says_so(
    api: Api, ledger: Ledger, dispatch: Dispatch, kubernetes: dict[str, Any], table: dict[str, Any], reason: str
) -> None:
    ledger.tasks.create(title="x", max_attempts=1)
    api.nodes.broken_images.add("shoal:1")
    finish(dispatch("true", options=ONCE, kubernetes=kubernetes, table=table))
    assert reason in ledger.tasks.get(1).last_error
    assert api.jobs() == []


def test_refused_manifest_gives_the_task_back(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    ledger.tasks.create(title="x", max_attempts=1)
    api.refused["POST", "jobs"] = Problem(403, "Forbidden", "exceeded quota: jobs")
    dispatch("true")
    task = wait_until(lambda: (one := ledger.tasks.get(1)).releases and one)
    assert (task.status, task.failures) == ("scheduled", 0)
    released = ledger.events.list(task=1, kind="task.released")[0]
    assert "exceeded quota" in released.data["reason"]


def test_name_that_belongs_to_something_else_is_not_touched(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    ledger.tasks.create(title="x")
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i", "command": ["sleep", "60"]}]}
    theirs = {"metadata": {"name": "shoal-swe-t1-a1"}, "spec": {"template": {"spec": pod}}}
    api.objects.create("Job", "agents", {"apiVersion": "batch/v1", "kind": "Job"} | theirs)
    dispatch("true")
    wait_until(lambda: ledger.tasks.get(1).releases)
    assert api.jobs() == ["shoal-swe-t1-a1"]
    assert api.objects.list("Secret") == []


def test_pod_that_dies_without_a_word_is_told_and_tried_again(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    ledger.tasks.create(title="x")
    process = dispatch("sh", "-c", '[ "$SHOAL_TASK_ATTEMPT" = 2 ] || sleep 60', options=(*ONCE, "--lease", "2"))
    wait_until(lambda: ledger.tasks.get(1).started_at)
    api.nodes.kill("shoal-swe-t1-a1")
    finish(process)

    task = ledger.tasks.get(1)
    assert (task.status, task.attempt, task.failures) == ("completed", 2, 1)
    told = ledger.events.list(task=1, kind="task.progressed")[0]
    assert "OOMKilled, exit code 137" in told.data["message"]


def test_second_dispatcher_stands_by(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    ledger.tasks.create(title="x")
    first = dispatch("sleep", "2")
    wait_until(lambda: api.nodes.starts)
    second = dispatch("sleep", "2", options=("-n", "5"))
    ledger.tasks.create(title="y")
    wait_until(lambda: len(api.nodes.starts) == 2)
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0
    ledger.tasks.create(title="z")
    wait_until(lambda: ledger.stats.get().counts["completed"] == 3)
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0
    assert len(api.nodes.starts) == 3


def test_server_that_restarts_loses_no_attempt(
    api: Api, server: Server, ledger: Ledger, dispatch: Dispatch, tmp_path: Path
) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}"} for n in range(3)])
    process = dispatch("sh", "-c", "sleep 1", options=(*ONCE, "-n", "2", "--lease", "20"))
    wait_until(lambda: api.nodes.starts)
    server.kill()
    again = Server(tmp_path / "home", "--port", server.url.rpartition(":")[2])
    finish(process, seconds=90)
    assert ledger.stats.get().counts["completed"] == 3
    assert len(api.nodes.starts) == len(set(api.nodes.starts))
    again.stop()


def test_supervision_hears_what_became_of_an_attempt(api: Api, ledger: Ledger, dispatch: Dispatch, home: Path) -> None:
    ledger.tasks.create(title="x", max_attempts=1)
    process = dispatch("sleep", "60")
    wait_until(lambda: ledger.tasks.get(1).started_at)
    task = ledger.tasks.get(1)
    with contextlib.closing(Executors(Home(home), LiveSettings(Home(home)))) as executors:
        assert executors.gone(task, 1) is False
    with contextlib.closing(Executors(Home(home), LiveSettings(Home(home)))) as executors, api.outage():
        assert executors.gone(task, 1) is None, "an executor that cannot be asked says nothing"
    with contextlib.closing(Executors(Home(home), LiveSettings(Home(home)))) as executors:
        process.kill()
        api.nodes.kill("shoal-swe-t1-a1")
        wait_until(lambda: executors.gone(task, 1))
        api.objects.delete("Job", "agents", "shoal-swe-t1-a1", {"propagationPolicy": "Background"})
        assert executors.gone(task, 1) is True
        other = msgspec.structs.replace(task, worker="host-1-abc")
        assert executors.gone(other, 1) is False, "a worker of its own is not the executor's"


def test_missing_extra_is_named(dispatch: Dispatch, tmp_path: Path) -> None:
    (tmp_path / "kr8s.py").write_text("raise ModuleNotFoundError('no kr8s', name='kr8s')")
    process = dispatch("true", PYTHONPATH=f"{tmp_path}:{Path(shoal.__file__).parents[1]}")
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "pip install 'shoal[kubernetes]'" in said


def test_missing_setting_is_named(dispatch: Dispatch) -> None:
    process = dispatch("true", kubernetes={"image": ""})
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "image" in said


def _log(api: Api) -> str:
    return "".join(api.nodes.log(pod).decode() for pod in api.objects.list("Pod"))
