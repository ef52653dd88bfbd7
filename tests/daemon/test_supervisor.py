"""Rounds of supervision against a GitHub on loopback."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from shoal import Ledger
from shoal.daemon import inquiry
from shoal.daemon.supervisor import Supervisor
from shoal.errors import ForgeUnreachable
from shoal.settings import RepositorySettings
from tests.conftest import FakeClock
from tests.daemon.supervised import DAY, MINUTE, WEB, Jobs, orphan, reap
from tests.forge_api import ForgeApi
from tests.services.test_orphans import session


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
