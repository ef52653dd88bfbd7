"""Runs: claimed, beaten for, ended, tried again, cancelled, forgotten."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import NotFound, WrongStatus
from shoal.model.job import OUTPUT_LIMIT, OUTPUT_LINES, Claimed, Held, Run, RunStatus
from shoal.services import runs
from tests.conftest import START_MS, FakeClock
from tests.services.conftest import ECHO


def write(ledger: Ledger, work: Any) -> Any:
    return ledger.engine.write(work)  # type: ignore[attr-defined]


def begin(ledger: Ledger, claim: Any) -> Run:
    ledger.jobs.trigger("sweep")
    [claimed] = claim()
    run: Run = claimed.run
    return run


def test_claimed_run_has_a_server_a_lease_and_a_log(ledger: Ledger, make_job: Any, claim: Any) -> None:
    make_job()
    run = begin(ledger, claim)
    assert (run.status, run.server, run.started_at) == ("running", "s1", START_MS)
    assert run.log == f"/logs/sweep/{run.id}.log"
    assert claim("s2") == []
    assert ledger.events.list(after=0, kind="run.started")[0].data["server"] == "s1"


def test_servers_that_claim_at_once_share_no_run_and_overlap_none(
    open_at: Callable[..., Ledger], clock: FakeClock
) -> None:
    ledgers = [open_at() for _ in range(4)]
    for number in range(10):
        ledgers[0].jobs.create(name=f"j{number}", schedule="every 1s", action=ECHO, catch_up="all", grace_seconds=0)
    clock.advance(4)
    from shoal.services import firing

    assert write(ledgers[0], firing.fire).runs == 40

    def take(number: int) -> list[Claimed]:
        return write(ledgers[number], lambda tx: runs.claim(tx, server=f"s{number}", limit=7, logs="/l"))  # type: ignore

    done: list[int] = []
    while len(done) < 40:
        with ThreadPoolExecutor(4) as pool:
            claimed = [one for found in pool.map(take, range(4)) for one in found]
        names = [one.run.job for one in claimed]
        assert names
        assert len(names) == len(set(names)), "two runs of a job at once"
        for one in claimed:
            ended = write(
                ledgers[0],
                lambda tx, one=one: runs.end(tx, run=one.run.id, server=str(one.run.server), status=RunStatus.SUCCESS),
            )
            assert ended is not None
            done.append(one.run.id)
    assert len(done) == len(set(done)) == 40


def test_beat_renews_stores_output_and_tells_what_is_to_end(
    ledger: Ledger, make_job: Any, claim: Any, clock: FakeClock
) -> None:
    make_job()
    run = begin(ledger, claim)
    ledger.runs.cancel(run.run_id)
    clock.advance(5)
    pulse = write(
        ledger, lambda tx: runs.beat(tx, server="s1", held=[run.id, 999], outputs={run.id: "a\nb\0", 999: "?"})
    )
    assert pulse == runs.Pulse([run.id], [run.id])
    found = ledger.runs.get(run.id)
    assert found.output == "a\nb"
    assert write(ledger, lambda tx: runs.beat(tx, server="s2", held=[run.id], outputs={run.id: "no"})) == runs.Pulse(
        [], []
    )
    assert ledger.runs.get(run.id).output == "a\nb"


def test_only_the_last_lines_of_an_output_are_kept() -> None:
    assert runs.tail("\n".join(map(str, range(1000)))) == "\n".join(map(str, range(1000 - OUTPUT_LINES, 1000)))
    assert len(runs.tail("x" * 100_000)) == OUTPUT_LIMIT


def test_end_is_fenced_by_its_server(ledger: Ledger, make_job: Any, claim: Any, end: Any, clock: FakeClock) -> None:
    make_job()
    run = begin(ledger, claim)
    clock.advance(3)
    assert end(run.id, server="s2") is None
    ended = end(run.id, "failed", exit_code=3, output="out")
    assert (ended.status, ended.exit_code, ended.duration_ms, ended.output) == ("failed", 3, 3000, "out")
    assert end(run.id, "success") is None
    job = ledger.jobs.get("sweep")
    assert (job.run_count, job.fail_count) == (1, 1)


@pytest.mark.parametrize("status", ["failed", "timeout", "error"])
def test_bad_end_is_tried_again_later_each_time(
    ledger: Ledger, make_job: Any, claim: Any, end: Any, clock: FakeClock, status: str
) -> None:
    make_job(max_attempts=3, backoff_seconds=10)
    run = begin(ledger, claim)
    for attempt, wait in ((2, 10), (3, 20)):
        end(run.id, status)
        clock.advance(wait - 1)
        assert claim() == []
        clock.advance(1)
        [again] = claim()
        assert (again.run.slot, again.run.attempt, again.run.cause) == (run.slot, attempt, "trigger")
        run = again.run
    end(run.id, status)
    clock.advance(1000)
    assert claim() == []


def test_what_was_cancelled_is_not_tried_again(ledger: Ledger, make_job: Any, claim: Any, end: Any) -> None:
    make_job(max_attempts=3)
    waiting = ledger.jobs.trigger("sweep")
    assert ledger.runs.cancel(waiting.id).status == "cancelled"
    run = begin(ledger, claim)
    assert ledger.runs.cancel(run.id).cancelled_by == "ana"
    assert ledger.runs.cancel(run.id).cancelled_by == "ana"
    assert end(run.id, "cancelled").reason == "cancelled by ana"
    assert {one.status.value for one in ledger.jobs.runs("sweep")} == {"cancelled"}
    assert ledger.jobs.get("sweep").fail_count == 0


def test_ended_run_cannot_be_cancelled_and_unknown_ones_are_said_so(
    ledger: Ledger, make_job: Any, claim: Any, end: Any
) -> None:
    make_job()
    run = begin(ledger, claim)
    end(run.id)
    with pytest.raises(WrongStatus, match="has ended: success"):
        ledger.runs.cancel(run.id)
    for ref in (99, "R99", "x", "R", "-1"):
        with pytest.raises(NotFound):
            ledger.runs.get(ref)


def test_run_of_a_silent_server_is_ended_and_tried_again(
    ledger: Ledger, make_job: Any, claim: Any, clock: FakeClock
) -> None:
    make_job(max_attempts=2, backoff_seconds=1)
    run = begin(ledger, claim)
    [seen] = ledger.engine.read(runs.held)  # type: ignore[attr-defined]
    assert seen == Held(run.id, "s1", 1)
    write(ledger, lambda tx: runs.beat(tx, server="s1", held=[run.id], outputs={}))
    assert write(ledger, lambda tx: runs.expire(tx, silent=[seen])) == 0
    seen = Held(run.id, "s1", 2)
    assert write(ledger, lambda tx: runs.expire(tx, silent=[seen])) == 1
    found = ledger.runs.get(run.id)
    assert (found.status, found.reason) == ("error", "its server is gone")
    clock.advance(1)
    assert [one.run.attempt for one in claim("s2")] == [2]


def test_cancelled_run_of_a_silent_server_ends_as_cancelled(ledger: Ledger, make_job: Any, claim: Any) -> None:
    make_job(max_attempts=2)
    run = begin(ledger, claim)
    ledger.runs.cancel(run.id)
    write(ledger, lambda tx: runs.expire(tx, silent=[Held(run.id, "s1", 1)]))
    assert [one.status for one in ledger.jobs.runs("sweep")] == ["cancelled"]


def test_runs_are_listed_in_pages_and_filtered(ledger: Ledger, make_job: Any, claim: Any, end: Any) -> None:
    make_job(overlap="allow")
    made = [ledger.jobs.trigger("sweep").id for _ in range(4)]
    end(claim(limit=1)[0].run.id, output="text")
    claim(limit=1)
    page = ledger.runs.list(limit=3)
    assert [run.id for run in page] == made[:0:-1]
    assert [(run.id, run.output) for run in ledger.runs.list(cursor=page.next)] == [(made[0], None)]
    by_status = {status: [run.id for run in ledger.runs.list(status=status)] for status in ("waiting", "running")}
    assert by_status == {"waiting": [made[3], made[2]], "running": [made[1]]}
    assert [run.id for run in ledger.runs.list(status="success", job="sweep")] == [made[0]]
    assert ledger.runs.list(job="other") == []


def test_old_runs_are_forgotten_but_not_those_under_way(
    ledger: Ledger, make_job: Any, claim: Any, end: Any, clock: FakeClock
) -> None:
    make_job(overlap="allow")
    begun = begin(ledger, claim)
    ended = begin(ledger, claim)
    end(ended.id)
    clock.advance(100)
    ledger.jobs.trigger("sweep")
    assert write(ledger, lambda tx: runs.prune(tx, before=clock.now)) == 1
    assert [run.status for run in ledger.runs.list()] == ["waiting", "running"]
    assert ledger.runs.get(begun.id).status == "running"


def test_run_that_its_server_never_heard_of_falls_silent(
    make_job: Any, fire: Any, ledger: Ledger, clock: FakeClock
) -> None:
    """The answer to a claim may be lost, with the server alive."""
    for name in ("heard", "unheard"):
        make_job(name)
    clock.advance(60)
    fire()
    taken = write(ledger, lambda tx: runs.claim(tx, server="s1", limit=7, logs="/l"))
    heard = next(one.run.id for one in taken if one.run.job == "heard")
    before = {one.id: one for one in ledger.engine.read(runs.held)}  # type: ignore[attr-defined]
    assert write(ledger, lambda tx: runs.beat(tx, server="s1", held=[heard], outputs={})).held == [heard]
    after = {one.id: one for one in ledger.engine.read(runs.held)}  # type: ignore[attr-defined]
    assert [id for id in before if before[id] == after[id]] == [one.run.id for one in taken if one.run.id != heard]
