"""Rounds of supervision against a GitHub on loopback, with servers and workers that are really there."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from shoal import Ledger, connect
from shoal.adapters.forges.github import GitHub
from shoal.daemon import inquiry
from shoal.daemon.supervisor import Supervisor
from shoal.errors import ForgeUnreachable
from shoal.model.task import Task
from shoal.services import leases
from shoal.settings import GITHUB_TOKEN, RepositorySettings
from tests import rows
from tests.conftest import FakeClock, wait_until
from tests.fleet import SHOAL, Server, environment
from tests.forge_api import TOKEN, ForgeApi
from tests.services.test_orphans import session

WEB = "acme/web"
MINUTE, DAY = 60, 86_400


class Jobs:
    """An executor that says what the test wants."""

    def __init__(self, **states: bool | None) -> None:
        self.states = states
        self.asked: list[tuple[str, int]] = []

    def gone(self, task: Task, attempt: int) -> bool | None:
        self.asked.append((task.task_id, attempt))
        return self.states.get(task.task_id, False)


@pytest.fixture
def api() -> Iterator[ForgeApi]:
    api = ForgeApi()
    api.repository()
    yield api
    api.close()


@pytest.fixture
def make(api: ForgeApi) -> Iterator[Callable[..., Supervisor]]:
    made: list[Supervisor] = []

    def make(ledger: Ledger, *, forge: bool = True, jobs: Jobs | None = None) -> Supervisor:
        supervisor = Supervisor(ledger.engine, GitHub(api.url, TOKEN) if forge else None, jobs)  # type: ignore[arg-type]
        made.append(supervisor)
        return supervisor

    yield make
    for supervisor in made:
        supervisor.close()


@pytest.fixture
def supervisor(ledger: Ledger, make: Callable[..., Supervisor]) -> Supervisor:
    """One that has made a first round, as a server that has run for a while."""
    supervisor = make(ledger)
    supervisor.tick()
    return supervisor


def orphan(ledger: Ledger, clock: FakeClock, **given: Any) -> Task:
    task = ledger.tasks.create(**{"title": "Build it", "repos": [WEB]} | given)
    ledger.tasks.claim(worker="w1", lease_seconds=60)
    clock.advance(61)
    return task


def reap(ledger: Ledger) -> int:
    return int(ledger.engine.write(leases.make_ready))  # type: ignore[attr-defined]


def test_orphan_with_an_open_pull_request_goes_to_review(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, supervisor: Supervisor
) -> None:
    orphan(ledger, clock)
    made = api.pull(WEB, "shoal/T1-build-it")
    assert reap(ledger) == 0, "it is left to the supervisor, who has promised to look"
    supervisor.tick()

    event = ledger.events.list(task=1)[0]
    assert (ledger.tasks.get(1).status, event.kind) == ("review", "task.orphaned")
    assert event.data["pull_requests"] == [made["html_url"]]
    assert event.data["message"] == (
        f"attempt 1 by w1 ended without a word. Its pull request {made['html_url']} is open."
    )
    supervisor.tick()
    assert ledger.events.list(task=1)[0] == event


@pytest.mark.parametrize("branch", ["shoal/T11-x", "shoal/T", "other", "shoal/T2-x"])
def test_pull_request_of_another_task_does_not_count(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, supervisor: Supervisor, branch: str
) -> None:
    orphan(ledger, clock)
    api.pull(WEB, branch, title="T1: shoal/T1-x", body="Closes T1")
    supervisor.tick()
    assert ledger.tasks.get(1).status == "queued"


@pytest.mark.parametrize("known", [True, False], ids=["known by its session", "found by its name"])
def test_branch_that_is_ahead_gets_its_pull_request(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, supervisor: Supervisor, known: bool
) -> None:
    branch = "anything/at-all" if known else "shoal/T1-build-it"
    orphan(ledger, clock, repos=[] if known else [WEB])
    api.repository().ahead = {branch: 3, "shoal/T11-other": 1}
    if known:
        session(ledger, 1, branch)
    supervisor.tick()

    [pull] = api.repositories[WEB].pulls
    assert (pull["head"]["ref"], pull["base"]["ref"], pull["title"]) == (branch, "main", "T1: Build it")
    assert "may not be finished" in pull["body"]
    orphaned, opened = ledger.events.list(task=1)[:2]
    assert (opened.kind, opened.data["url"], opened.data["number"]) == ("pull_request.opened", pull["html_url"], 1)
    assert (orphaned.kind, ledger.tasks.get(1).status) == ("task.orphaned", "review")
    assert pull["html_url"] in ledger.tasks.body(1).text


def test_branch_is_found_by_its_name_although_a_session_named_another(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, supervisor: Supervisor
) -> None:
    orphan(ledger, clock)
    session(ledger, 1, "mine")
    api.pull(WEB, "shoal/T1-x")
    supervisor.tick()
    assert ledger.tasks.get(1).status == "review"


def test_branch_that_is_not_ahead_leaves_nothing(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, supervisor: Supervisor
) -> None:
    orphan(ledger, clock)
    session(ledger, 1, "shoal/T1-x", "shoal/T1-never-pushed")
    api.repository().ahead = {"shoal/T1-x": 0}
    supervisor.tick()
    assert ledger.tasks.get(1).status == "queued"
    assert api.repositories[WEB].pulls == []


def test_pull_request_that_somebody_closed_is_not_opened_again(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, supervisor: Supervisor
) -> None:
    orphan(ledger, clock)
    api.repository().ahead = {"shoal/T1-x": 2}
    api.pull(WEB, "shoal/T1-x", state="closed")
    supervisor.tick()
    assert ledger.tasks.get(1).status == "queued"
    assert len(api.repositories[WEB].pulls) == 1
    assert ledger.events.list(task=1, kind="task.orphaned")[0].data["message"].endswith("/pull/1 is closed.")


def test_branch_that_cannot_be_proposed_is_noted(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan(ledger, clock)
    api.repository().ahead = {"shoal/T1-x": 2}
    refusal = 422, {}, {"message": "Validation Failed", "errors": [{"message": "Draft pull requests only"}]}
    monkeypatch.setattr(api, "_create", lambda *_: refusal)
    supervisor.tick()
    assert ledger.tasks.get(1).status == "queued"
    [event] = ledger.events.list(task=1, kind="task.orphaned")
    assert "shoal/T1-x in acme/web is ahead of main, without a pull request" in event.data["message"]
    assert "Draft pull requests only" in event.data["message"]


def test_last_attempt_without_anything_left_is_failed_and_investigated(
    ledger: Ledger, clock: FakeClock, supervisor: Supervisor
) -> None:
    orphan(ledger, clock, max_attempts=1)
    supervisor.tick()
    assert ledger.tasks.get(1).status == "failed"
    assert ledger.tasks.get("investigate-T1").type == "system"
    supervisor.tick()
    assert len(ledger.tasks.list()) == 2


def test_last_attempt_with_a_pull_request_is_not_failed(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, supervisor: Supervisor
) -> None:
    orphan(ledger, clock, max_attempts=1)
    api.pull(WEB, "shoal/T1")
    reap(ledger)
    supervisor.tick()
    assert (ledger.tasks.get(1).status, len(ledger.tasks.list())) == ("review", 1)


def test_forge_that_is_away_keeps_no_task_waiting(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, supervisor: Supervisor
) -> None:
    orphan(ledger, clock)
    api.broken = 502, {}, b""
    assert reap(ledger) == 0
    with pytest.raises(ForgeUnreachable):
        supervisor.tick()
    assert ledger.tasks.get(1).status == "active"
    assert reap(ledger) == 1
    assert ledger.tasks.get(1).status == "queued"

    api.broken = None
    supervisor.tick()
    orphan(ledger, clock)
    assert reap(ledger) == 0


def test_supervisor_that_is_gone_keeps_no_task_waiting(
    ledger: Ledger, clock: FakeClock, supervisor: Supervisor
) -> None:
    orphan(ledger, clock)
    assert reap(ledger) == 0
    clock.advance(150)
    assert ledger.tasks.claim(worker="w2").claims[0].attempt == 2


def test_without_a_forge_leases_end_as_always(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, make: Callable[..., Supervisor]
) -> None:
    supervisor = make(ledger, forge=False)
    supervisor.begin()
    supervisor.tick()
    orphan(ledger, clock, max_attempts=1)
    assert reap(ledger) == 1
    supervisor.tick()
    assert ledger.tasks.get("investigate-T1").status == "queued"
    assert api.asked == []


def test_server_that_starts_again_looks_before_leases_of_the_meantime_end(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, make: Callable[..., Supervisor]
) -> None:
    orphan(ledger, clock)
    clock.advance(DAY)
    api.pull(WEB, "shoal/T1-x")
    supervisor = make(ledger)
    supervisor.begin()
    assert reap(ledger) == 0
    supervisor.tick()
    assert ledger.tasks.get(1).status == "review"


def test_repository_elsewhere_or_out_of_sight_leaves_nothing(
    open_at: Callable[..., Ledger], clock: FakeClock, make: Callable[..., Supervisor]
) -> None:
    ledger = open_at(repositories={"local": RepositorySettings(url="/srv/git/local")})
    supervisor = make(ledger)
    supervisor.tick()
    orphan(ledger, clock, repos=["local", "acme/secret"])
    supervisor.tick()
    assert ledger.tasks.get(1).status == "queued"
    [remark] = supervisor.report()["remarks"]  # type: ignore[misc]
    assert "404 to GET /repos/acme/secret" in remark


def test_configured_name_and_base_are_used(
    open_at: Callable[..., Ledger], clock: FakeClock, api: ForgeApi, make: Callable[..., Supervisor]
) -> None:
    ledger = open_at(repositories={"web": RepositorySettings(url="https://127.0.0.1/acme/web.git", base="develop")})
    api.repository().default_branch = "develop"
    api.repository().ahead = {"shoal/T1-x": 1}
    supervisor = make(ledger)
    supervisor.tick()
    orphan(ledger, clock, repos=["web"])
    supervisor.tick()
    assert api.repositories[WEB].pulls[0]["base"]["ref"] == "develop"
    assert not any(line == "GET /repos/acme/web" for line in api.asked)


def overdue(ledger: Ledger, clock: FakeClock, **given: Any) -> None:
    ledger.tasks.create(title="Build it", repos=[WEB], **given)
    ledger.tasks.claim(worker="w1", lease_seconds=30 * DAY)
    clock.advance(45 * MINUTE)


def test_open_pull_request_keeps_an_attempt_from_being_overdue(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, supervisor: Supervisor, events_of: Callable[..., list[str]]
) -> None:
    overdue(ledger, clock)
    pull = api.pull(WEB, "shoal/T1-x")
    api.pull(WEB, "shoal/T11-x")
    for _ in range(3):
        supervisor.tick()
        clock.advance(DAY)
    assert events_of(1) == ["task.created", "task.claimed", "task.stale"]

    pull["state"] = "closed"
    supervisor.tick()
    assert events_of(1)[-1] == "task.warned"
    clock.advance(30)
    supervisor.tick()
    assert ledger.tasks.get(1).status == "scheduled"


def test_overdue_attempt_waits_for_an_absent_forge_only_so_long(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, supervisor: Supervisor, events_of: Callable[..., list[str]]
) -> None:
    overdue(ledger, clock)
    api.broken = 500, {}, b""
    for _ in range(2):
        with pytest.raises(ForgeUnreachable):
            supervisor.tick()
        assert events_of(1)[-1] == "task.claimed"
        clock.advance(30 * MINUTE)
    with pytest.raises(ForgeUnreachable):
        supervisor.tick()
    assert events_of(1)[-1] == "task.warned"


def test_attempt_without_a_repository_is_not_asked_about(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, supervisor: Supervisor, events_of: Callable[..., list[str]]
) -> None:
    ledger.tasks.create(title="Research")
    ledger.tasks.claim(worker="w1", lease_seconds=DAY)
    clock.advance(45 * MINUTE)
    api.broken = 500, {}, b""
    supervisor.tick()
    assert events_of(1)[-1] == "task.warned"
    assert api.asked == []


def test_gone_job_is_taken_back_before_its_lease_ends(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, make: Callable[..., Supervisor]
) -> None:
    jobs = Jobs(T1=True, T2=None, T3=False, T4=True)
    supervisor = make(ledger, jobs=jobs)
    ledger.tasks.create_many(tasks=[{"title": f"t{n}"} for n in range(3)] + [{"title": "t", "repos": [WEB]}])
    ledger.tasks.claim(worker="job", limit=4, lease_seconds=3600)
    api.pull(WEB, "shoal/T4-x")
    supervisor.tick()
    assert jobs.asked == [], "a claim is a moment older than its Job"
    clock.advance(61)
    supervisor.tick()

    assert [ledger.tasks.get(task).status for task in (1, 2, 3, 4)] == ["queued", "active", "active", "review"]
    assert ledger.tasks.get(1).last_error == "attempt 1 by job is gone"
    assert ledger.tasks.beat(worker="job", tasks={"T1": 1, "T2": 1}).lost == ["T1"]


def test_nothing_is_an_orphan_while_the_executor_cannot_be_asked(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, make: Callable[..., Supervisor]
) -> None:
    jobs = Jobs(T1=None)
    supervisor = make(ledger, jobs=jobs)
    supervisor.tick()
    orphan(ledger, clock)
    api.pull(WEB, "shoal/T1-x")
    supervisor.tick()
    assert ledger.tasks.get(1).status == "active"
    jobs.states["T1"] = True
    supervisor.tick()
    assert ledger.tasks.get(1).status == "review"


def test_gone_job_waits_for_an_absent_forge_no_longer_than_its_lease(
    ledger: Ledger, clock: FakeClock, api: ForgeApi, make: Callable[..., Supervisor]
) -> None:
    supervisor = make(ledger, jobs=Jobs(T1=True))
    ledger.tasks.create(title="t", repos=[WEB])
    ledger.tasks.claim(worker="job", lease_seconds=120)
    clock.advance(61)
    api.broken = 500, {}, b""
    for _ in range(2):
        with pytest.raises(ForgeUnreachable):
            supervisor.tick()
        assert ledger.tasks.get(1).status == "active"
        clock.advance(60)
    assert reap(ledger) == 1


def test_slow_forge_is_asked_about_the_rest_in_the_next_round(
    ledger: Ledger, clock: FakeClock, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}", "repos": [WEB]} for n in range(3)])
    ledger.tasks.claim(worker="w", limit=3, lease_seconds=60)
    clock.advance(61)
    ticking = iter(range(0, 10_000, 45))
    monkeypatch.setattr(inquiry, "monotonic_seconds", lambda: next(ticking))
    for left in (2, 1, 0):
        with suppress(ForgeUnreachable):
            supervisor.tick()
        assert len(ledger.tasks.list(status="active")) == left
        assert reap(ledger) == 0, "who looked at some will look at the others"


def test_supervisors_at_once_do_each_thing_once(
    open_at: Callable[..., Ledger], clock: FakeClock, api: ForgeApi, make: Callable[..., Supervisor]
) -> None:
    supervisors = [make(open_at()) for _ in range(3)]
    ledger = open_at()
    supervisors[0].tick()
    ledger.tasks.create_many(
        tasks=[{"title": f"t{n}", "repos": [WEB], "max_attempts": 1} for n in range(6)] + [{"title": "slow"}] * 3
    )
    ledger.tasks.claim(worker="w", limit=6, lease_seconds=60)
    ledger.tasks.claim(worker="x", limit=3, lease_seconds=DAY)
    api.repository().ahead = {"shoal/T1-a": 1, "shoal/T2-a": 1}
    api.pull(WEB, "shoal/T3-a")
    clock.advance(45 * MINUTE)
    barrier = threading.Barrier(3)

    def tick(supervisor: Supervisor) -> None:
        barrier.wait()
        supervisor.tick()
        barrier.wait()
        supervisor._round()  # also when two take themselves for the only one

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(tick, supervisors))

    kinds = Counter(event.kind for event in ledger.events.list(after=0, limit=1000))
    assert (kinds["task.orphaned"], kinds["task.expired"], kinds["task.warned"]) == (3, 3, 3)
    assert len(api.repositories[WEB].pulls) == 3
    assert len(ledger.tasks.list(type="system")) == 3


# What follows has real servers and workers.


@pytest.fixture
def forged(api: ForgeApi) -> dict[str, str]:
    """The settings of a server that looks at its tasks every second."""
    return {
        "SHOAL_SUPERVISE_SECONDS": "1",
        "SHOAL_GITHUB_URL": api.url,
        GITHUB_TOKEN: TOKEN,
        "SHOAL_VAULT": "",
    }


def test_servers_at_one_ledger_rescue_each_orphan_once(
    address: str, tmp_path: Path, api: ForgeApi, forged: dict[str, str]
) -> None:
    with connect(address, actor="ana") as ledger:
        servers = [Server(tmp_path / name, "--db", address, **forged) for name in "ab"]
        ledger.tasks.create_many(tasks=[{"title": f"t{n}", "repos": [WEB], "max_attempts": 1} for n in range(8)])
        api.repository().ahead = {f"shoal/T{n}-x": 1 for n in range(1, 5)}
        # A first round is over when it has begun to read the log.
        wait_until(lambda: rows.execute(address, "SELECT 1 FROM cursors WHERE name = 'investigations'"))
        ledger.tasks.claim(worker="w", limit=8, lease_seconds=1)
        wait_until(lambda: not ledger.tasks.list(status="active"))
        wait_until(lambda: len(ledger.tasks.list(type="system")) == 4)
        for server in servers:
            assert server.stop() == 0

        assert sorted(task.status for task in ledger.tasks.list(type="swe")) == ["failed"] * 4 + ["review"] * 4
        kinds = Counter(event.kind for event in ledger.events.list(after=0, limit=1000))
        assert (kinds["task.orphaned"], kinds["pull_request.opened"], kinds["task.expired"]) == (4, 4, 4)
    assert len(api.repositories[WEB].pulls) == 4


def test_timeout_stops_the_run_of_a_worker(tmp_path: Path) -> None:
    home, pids = tmp_path / "home", tmp_path / "pids"
    server = Server(home, SHOAL_SUPERVISE_SECONDS="1", SHOAL_VAULT="")
    command = ["sh", "-c", f"echo $$ > {pids}; sleep 120"]
    worker = subprocess.Popen(
        [*SHOAL, "--home", str(home), "work", "--lease", "3", "--grace", "0.2", "--until-empty", "--", *command],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(SHOAL_URL=server.url),
    )
    with connect(server.url, actor="ana") as ledger:
        ledger.tasks.create(title="hangs", estimate_minutes=1, max_attempts=1)
        wait_until(lambda: pids.exists() and pids.read_text())
        pid = int(pids.read_text())
        assert ledger.tasks.get(1).status == "active"
        rows.begun_earlier(str(home / "ledger.db"), 1, 60)
        wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")

        task = ledger.tasks.get(1)
        assert (task.status, task.last_error) == (
            "failed",
            "attempt 1 runs for 60 min, 1 min were thought enough; it may take 31 min",
        )
        told = {event.kind: event.data for event in ledger.events.list(task=1)}
        assert list(told)[:2] == ["task.failed", "task.warned"]
        assert told["task.failed"]["rule"] == "timeout"
    _, errors = worker.communicate(timeout=30)
    assert worker.returncode == 0, errors
    server.stop()


def test_server_says_what_it_cannot_supervise(tmp_path: Path, api: ForgeApi, forged: dict[str, str]) -> None:
    import json
    import urllib.request

    def health(server: Server) -> Any:
        with urllib.request.urlopen(f"{server.url}/health") as answer:
            return json.load(answer)

    server = Server(tmp_path / "a", SHOAL_VAULT="")
    found = health(server)
    assert found["supervision"]["forge"] is None
    assert "$SHOAL_GITHUB_TOKEN is not set" in found["supervision"]["remarks"][0]
    server.stop()
    server = Server(tmp_path / "b", **forged)
    wait_until(lambda: health(server)["loops"]["supervisor"]["ticks"])
    found = health(server)
    assert (found["ok"], found["supervision"]) == (True, {"forge": api.url, "remarks": []})
    server.stop()

    def doctor(**given: str) -> str:
        command = [*SHOAL, "--home", str(tmp_path / "b"), "doctor"]
        run = subprocess.run(command, env=environment(**given), capture_output=True, text=True, check=False)
        return run.stdout

    assert "$SHOAL_GITHUB_TOKEN is not set" in doctor()
    told = doctor(SHOAL_GITHUB_TOKEN="not a token")
    assert "is not a token" in told
