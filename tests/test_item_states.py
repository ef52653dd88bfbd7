"""Any order of what people, rules and workers do to items: they stand where their tasks say that they belong."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from shoal import Ledger
from shoal.errors import Refused, ShoalError
from shoal.ledger.connect import open_ledger
from shoal.services import item_ends
from shoal.settings import Settings
from tests.conftest import FakeClock

LIVE = {"queued", "scheduled", "blocked", "active", "review"}
CLOSED = {"done", "wontfix"}
which = st.integers(0, 20)


class Items(RuleBasedStateMachine):
    """What may happen to a handful of items; after each step the log is followed."""

    address: Callable[[], str]

    @initialize()
    def begin(self) -> None:
        self.ledger: Ledger = open_ledger(
            type(self).address(), settings=Settings(), actor="ana", create=True, clock=FakeClock()
        )

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()

    def some(self, number: int) -> int:
        numbers = [one.id for one in reversed(self.ledger.items.list())]
        return numbers[number % len(numbers)]

    def task(self, number: int) -> int:
        numbers = [one.id for one in reversed(self.ledger.tasks.list(limit=1000))]
        return numbers[number % len(numbers)]

    def attempt(self, verb: Callable[..., Any], *args: Any, **given: Any) -> None:
        with suppress(ShoalError):
            verb(*args, **given)

    @rule(accepted=st.booleans(), parent=st.none() | which)
    def create(self, accepted: bool, parent: int | None) -> None:
        given = {"parent": self.some(parent)} if parent is not None and self.ledger.items.list() else {}
        self.ledger.items.create(text="x", accepted=accepted, **given)

    @rule(parallel=st.booleans())
    def run_new_tree(self, parallel: bool) -> None:
        above = self.ledger.items.create(text="above", accepted=True).id
        for _ in range(2):
            self.ledger.items.create(text="below", accepted=True, parent=above)
        self.ledger.items.run(above, parallel=parallel)

    @precondition(lambda self: self.ledger.items.list())
    @rule(item=which, verb=st.sampled_from(["accept", "reject", "reopen", "done", "undo"]))
    def decide(self, item: int, verb: str) -> None:
        self.attempt(getattr(self.ledger.items, verb), self.some(item))

    @precondition(lambda self: self.ledger.items.list())
    @rule(item=which, other=which)
    def depend(self, item: int, other: int) -> None:
        self.attempt(self.ledger.items.depend, self.some(item), on=self.some(other))

    @precondition(lambda self: self.ledger.items.list())
    @rule(item=which, other=which)
    def merge(self, item: int, other: int) -> None:
        self.attempt(self.ledger.items.merge, self.some(item), into=self.some(other))

    @precondition(lambda self: self.ledger.items.list())
    @rule(item=which, blockers=st.booleans(), parallel=st.booleans())
    def run(self, item: int, blockers: bool, parallel: bool) -> None:
        number, before = self.some(item), len(self.ledger.tasks.list(limit=1000))
        try:
            came = self.ledger.items.run(number, with_blockers=blockers, parallel=parallel)
        except Refused:
            assert len(self.ledger.tasks.list(limit=1000)) == before, "what is refused makes nothing"
            return
        assert came.item.status == "in_progress"
        again = self.ledger.items.run(number)
        assert (again.made, [one.id for one in again.tasks]) == (0, [one.id for one in came.tasks])

    @precondition(lambda self: self.ledger.tasks.list())
    @rule(task=which, verb=st.sampled_from(["complete", "complete", "cancel", "reopen", "fail"]))
    def end(self, task: int, verb: str) -> None:
        given = {"error": "no"} if verb == "fail" else {}
        number = self.task(task)
        before = self.of_task(number)
        self.attempt(getattr(self.ledger.tasks, verb), number, **given)
        self.follow()
        after = self.of_task(number)
        states = {self.ledger.tasks.get(ref).status.value for ref in after.tasks}
        if before.status == "in_progress" and not after.children and states == {"completed"}:
            assert after.status == "done"
        if verb == "reopen" and self.ledger.tasks.get(number).status in LIVE and after.merged_into is None:
            assert after.status == "in_progress"

    def of_task(self, number: int) -> Any:
        numbers = [one.id for one in self.ledger.items.list(limit=1000)]
        found = [self.ledger.items.get(one) for one in numbers]
        return next(one for one in found if f"T{number}" in one.tasks)

    def follow(self) -> None:
        more = True
        while more:
            _, more = self.ledger.engine.write(item_ends.follow)  # type: ignore[attr-defined]

    @invariant()
    def items_stand_where_their_tasks_say(self) -> None:
        if not hasattr(self, "ledger"):
            return
        self.follow()
        found = {one.id: self.ledger.items.get(one.id) for one in self.ledger.items.list()}
        status = {one.id: one.status.value for one in self.ledger.tasks.list(limit=1000)}
        for item in found.values():
            live = [ref for ref in item.tasks if status[int(ref[1:])] in LIVE]
            below = [found[int(ref[1:])] for ref in item.children if int(ref[1:]) in found]
            busy = any(one.status == "in_progress" and one.accepted for one in below)
            if live:
                assert item.status == "in_progress", (item.item_id, item.status, live)
            if item.status == "in_progress":
                assert item.accepted
                assert live or busy, (item.item_id, item.tasks)
            if item.status in CLOSED:
                assert not live
            if item.status in ("triaged", "assessed"):
                assert item.accepted


def machine_at(address: Callable[[], str]) -> type[Items]:
    return type("ItemsThere", (Items,), {"address": staticmethod(address)})


QUICK = settings(
    max_examples=50,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_items_on_sqlite() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_machine(machine_at(lambda: str(Path(folder) / f"{secrets.token_hex(8)}.db")), settings=QUICK)


@pytest.mark.usefixtures("postgres_server")
def test_items_on_postgresql(postgres_server: str) -> None:
    def fresh() -> str:
        schema = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
        joint = "&" if "?" in postgres_server else "?"
        return f"{postgres_server}{joint}options=-c%20search_path%3D{schema}"

    run_machine(machine_at(fresh), settings=settings(QUICK, max_examples=8, stateful_step_count=15))
