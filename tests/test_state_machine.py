"""The engine against a plain-Python model of it: any order of verbs, clock jumps, two connections interleaved."""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shoal import Ledger
from shoal.errors import Cycle, LeaseLost, Refused, WrongStatus
from shoal.ledger.connect import open_ledger
from shoal.ledger.embedded import EmbeddedEngine
from shoal.services import leases
from shoal.settings import Settings
from tests.conftest import FakeClock

LEASE = 60
WORKERS = ["w1", "w2"]


@dataclass
class Expected:
    """What the model believes of one task."""

    id: int
    priority: int
    run_at: int
    max_attempts: int
    requires_qa: bool
    status: str = "queued"
    attempt: int = 0
    failures: int = 0
    worker: str | None = None
    leased_until: int = 0
    held: bool = False
    waits_for: dict[int, bool] = field(default_factory=dict)  # blocker -> done

    def open_blockers(self) -> int:
        return sum(not done for done in self.waits_for.values())

    def settle(self, now: int) -> None:
        if self.held or self.open_blockers():
            self.status = "blocked"
        else:
            self.status = "scheduled" if self.run_at > now else "queued"


class Machine(RuleBasedStateMachine):
    """Drives the ledger and the model side by side."""

    address: str = ""

    @initialize()
    def start(self) -> None:
        self.clock = FakeClock()
        self.tasks: dict[int, Expected] = {}
        self.address = self.fresh_address()
        self.ledgers = [
            open_ledger(self.address, settings=Settings(), actor="m", create=True, clock=self.clock) for _ in range(2)
        ]

    def fresh_address(self) -> str:
        raise NotImplementedError

    def teardown(self) -> None:
        for ledger in getattr(self, "ledgers", []):
            ledger.close()

    def pick(self, side: int) -> Ledger:
        return self.ledgers[side]

    def some(self, choice: int) -> Expected:
        return self.tasks[sorted(self.tasks)[choice % len(self.tasks)]]

    def make_ready(self) -> None:
        """What an idle claimer or the reaper does."""
        for task in self.tasks.values():
            if task.status == "scheduled" and task.run_at <= self.clock.now:
                task.status = "queued"
            elif task.status == "active" and task.leased_until < self.clock.now:
                task.failures += 1
                task.worker = None
                task.status = "failed" if task.failures >= task.max_attempts else "queued"

    def completed(self, task: Expected) -> None:
        task.status = "completed"
        for child in self.tasks.values():
            if child.waits_for.get(task.id) is False:
                child.waits_for[task.id] = True
                if child.status == "blocked":
                    child.settle(self.clock.now)

    sides = st.integers(0, 1)
    choices = st.integers(0, 50)

    @rule(
        side=sides,
        priority=st.integers(0, 3),
        later=st.sampled_from([0, 0, 0, 90]),
        qa=st.booleans(),
        on=st.lists(choices, max_size=2),
        attempts=st.integers(1, 3),
    )
    def create(self, side: int, priority: int, later: int, qa: bool, on: list[int], attempts: int) -> None:
        blockers = {self.some(choice).id for choice in on} if self.tasks else set()
        made = self.pick(side).tasks.create(
            title="t",
            priority=priority,
            run_at=self.clock.now + later * 1000,
            requires_qa=qa,
            max_attempts=attempts,
            depends_on=sorted(blockers),
        )
        task = Expected(made.id, priority, self.clock.now + later * 1000, attempts, qa)
        task.waits_for = {blocker: self.tasks[blocker].status == "completed" for blocker in blockers}
        task.settle(self.clock.now)
        self.tasks[made.id] = task

    @precondition(lambda self: self.tasks)
    @rule(side=sides, blocked=choices, blocker=choices)
    def depend(self, side: int, blocked: int, blocker: int) -> None:
        task, other = self.some(blocked), self.some(blocker)
        try:
            self.pick(side).tasks.depend(task.id, on=other.id)
        except Cycle:
            assert self.reaches(task.id, other.id)
            return
        except WrongStatus:
            assert task.status not in {"queued", "scheduled", "blocked"}
            return
        assert not self.reaches(task.id, other.id)
        assert task.status in {"queued", "scheduled", "blocked"}
        if other.id not in task.waits_for:
            task.waits_for[other.id] = other.status == "completed"
            if not task.waits_for[other.id]:
                task.status = "blocked"

    def reaches(self, start: int, goal: int) -> bool:
        """Whether `goal` waits, directly or not, for `start`."""
        seen, pending = set(), [goal]
        while pending:
            id = pending.pop()
            if id == start:
                return True
            if id not in seen:
                seen.add(id)
                pending += self.tasks[id].waits_for
        return False

    @rule(side=sides, worker=st.sampled_from(WORKERS), limit=st.integers(1, 3))
    def claim(self, side: int, worker: str, limit: int) -> None:
        outcome = self.pick(side).tasks.claim(worker=worker, limit=limit, lease_seconds=LEASE)
        if not any(task.status == "queued" for task in self.tasks.values()):
            self.make_ready()
        order = sorted(
            (task for task in self.tasks.values() if task.status == "queued"),
            key=lambda t: (t.priority, t.run_at, t.id),
        )
        expected = order[:limit]
        assert [claim.task.id for claim in outcome.claims] == [task.id for task in expected]
        for task, claim in zip(expected, outcome.claims, strict=True):
            task.status, task.worker, task.attempt = "active", worker, task.attempt + 1
            task.leased_until = self.clock.now + LEASE * 1000
            assert claim.attempt == task.attempt

    @rule(side=sides, worker=st.sampled_from(WORKERS))
    def beat(self, side: int, worker: str) -> None:
        beat = self.pick(side).tasks.beat(worker=worker, lease_seconds=LEASE)
        mine = [task for task in self.tasks.values() if task.status == "active" and task.worker == worker]
        assert beat.held == {f"T{task.id}": task.attempt for task in mine}
        for task in mine:
            task.leased_until = max(task.leased_until, self.clock.now + LEASE * 1000)

    @precondition(lambda self: self.tasks)
    @rule(
        side=sides, choice=choices, stale=st.booleans(), how=st.sampled_from(["complete", "fail", "fatal", "release"])
    )
    def end(self, side: int, choice: int, stale: bool, how: str) -> None:
        task = self.some(choice)
        attempt = max(1, task.attempt - stale)
        tasks = self.pick(side).tasks
        holds = task.status == "active" and attempt == task.attempt
        repeated = attempt == task.attempt and (
            (how == "complete" and task.worker and task.status in {"completed", "review"})
            or (how in {"fail", "fatal"} and task.status == "failed")
        )
        try:
            if how == "complete":
                answer = tasks.complete(task.id, attempt=attempt)
            elif how == "release":
                answer = tasks.release(task.id, attempt=attempt)
            else:
                answer = tasks.fail(
                    task.id, attempt=attempt, error="x", permanent=how == "fatal", retry_after_seconds=30
                )
        except LeaseLost:
            assert not holds
            assert not repeated
            return
        assert holds or repeated
        if not holds:
            return
        if how == "complete":
            if task.requires_qa:
                task.status = "review"
            else:
                self.completed(task)
        elif how == "release":
            task.worker = None
            task.settle(self.clock.now)
        else:
            task.failures += 1
            task.worker = None
            if how == "fatal" or task.failures >= task.max_attempts:
                task.status = "failed"
            else:
                task.run_at = self.clock.now + 30_000
                task.settle(self.clock.now)
        assert answer.status == task.status

    @precondition(lambda self: self.tasks)
    @rule(
        side=sides,
        choice=choices,
        verb=st.sampled_from(["cancel", "hold", "unhold", "reopen", "approve", "reject", "done"]),
    )
    def decide(self, side: int, choice: int, verb: str) -> None:
        task = self.some(choice)
        waiting = task.status in {"queued", "scheduled", "blocked"}
        allowed = {
            "cancel": task.status not in {"completed", "failed"},
            "hold": waiting,
            "unhold": task.held,
            "reopen": task.status in {"completed", "failed", "cancelled"},
            "approve": task.status == "review",
            "reject": task.status == "review",
            "done": waiting or task.status == "completed",
        }[verb]
        tasks = self.pick(side).tasks
        calls: dict[str, Any] = {
            "cancel": lambda: tasks.cancel(task.id),
            "hold": lambda: tasks.hold(task.id, reason="r"),
            "unhold": lambda: tasks.unhold(task.id),
            "reopen": lambda: tasks.reopen(task.id),
            "approve": lambda: tasks.review(task.id, approve=True),
            "reject": lambda: tasks.review(task.id, approve=False, notes="n"),
            "done": lambda: tasks.complete(task.id),
        }
        try:
            calls[verb]()
        except Refused:
            assert not allowed
            return
        assert allowed
        self.decided(task, verb)

    def decided(self, task: Expected, verb: str) -> None:
        if verb == "cancel":
            task.status = "cancelled"
        elif verb in {"hold", "unhold"}:
            task.held = verb == "hold"
            if task.status in {"queued", "scheduled", "blocked"}:
                task.settle(self.clock.now)
        elif verb in {"reopen", "reject"}:
            task.worker = None
            if verb == "reopen":
                task.failures = 0
            task.settle(self.clock.now)
        elif verb == "approve":
            self.completed(task)
        elif task.status != "completed":
            if task.requires_qa:
                task.status = "review"
            else:
                self.completed(task)

    @rule(side=sides)
    def reap(self, side: int) -> None:
        engine = self.pick(side).engine
        assert isinstance(engine, EmbeddedEngine)
        while engine.write(leases.make_ready):
            pass
        self.make_ready()

    @rule(seconds=st.sampled_from([1, 20, 59, 61, 300]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def ledger_agrees(self) -> None:
        if not getattr(self, "tasks", None):
            return
        for task in self.ledgers[0].tasks.list(limit=1000):
            expected = self.tasks[task.id]
            assert (task.status, task.attempt, task.failures, task.blockers) == (
                expected.status,
                expected.attempt,
                expected.failures,
                expected.open_blockers(),
            ), f"T{task.id}"
            assert (task.leased_until is not None) == (task.status == "active")

    @invariant()
    def counters_agree(self) -> None:
        if not getattr(self, "tasks", None):
            return
        engine = self.ledgers[1].engine
        assert isinstance(engine, EmbeddedEngine)
        assert engine.read(lambda tx: tx.all("dependencies.recount", limit=5)) == []
        counted: dict[str, int] = {}
        for task in self.tasks.values():
            counted[task.status] = counted.get(task.status, 0) + 1
        assert {name: n for name, n in self.ledgers[1].stats.get().counts.items() if n} == counted


SETTINGS = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)


def test_engine_agrees_with_the_model_on_sqlite() -> None:
    with tempfile.TemporaryDirectory() as folder:

        class OnSQLite(Machine):
            def fresh_address(self) -> str:
                return str(Path(folder) / f"{secrets.token_hex(6)}.db")

        run_state_machine_as_test(OnSQLite, settings=SETTINGS)


@pytest.mark.timeout(400)
def test_engine_agrees_with_the_model_on_postgresql(postgres_server: str) -> None:
    schemas: list[str] = []

    class OnPostgres(Machine):
        def fresh_address(self) -> str:
            schema = f"machine_{secrets.token_hex(6)}"
            schemas.append(schema)
            with psycopg.connect(postgres_server, autocommit=True) as connection:
                connection.execute(f"CREATE SCHEMA {schema}")
            joint = "&" if "?" in postgres_server else "?"
            return f"{postgres_server}{joint}options=-c%20search_path%3D{schema}"

        def teardown(self) -> None:
            super().teardown()
            with psycopg.connect(postgres_server, autocommit=True) as connection:
                connection.execute("SET client_min_messages = error")
                for schema in schemas:
                    connection.execute(f"DROP SCHEMA {schema} CASCADE")
                schemas.clear()

    run_state_machine_as_test(OnPostgres, settings=settings(SETTINGS, max_examples=15))
