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
from shoal.services import item_following
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

    def expect(self, refused: bool, verb: Callable[..., Any], *args: Any, **given: Any) -> None:
        """Do something that must be refused, or must not be."""
        refusal: ShoalError | None = None
        try:
            verb(*args, **given)
        except ShoalError as error:
            refusal = error
        assert (refusal is not None) == refused, (verb, args, given, refusal)

    def above(self, number: int) -> list[int]:
        """What an item is part of, and so on; fails when that does not end."""
        found: list[int] = []
        at = self.ledger.items.get(number).parent
        while at is not None:
            assert at not in found, f"W{at} is above itself"
            found.append(at)
            at = self.ledger.items.get(at).parent
        return found

    def before(self, number: int) -> set[int]:
        """What an item waits for, and what that waits for, and so on."""
        found: set[int] = set()
        new = {number}
        while new:
            new = {int(ref[1:]) for one in new for ref in self.ledger.items.get(one).blocked_by} - found
            found |= new
        return found

    def live(self, number: int) -> bool:
        """Whether tasks of an item, or of those below it that are in progress, are under way."""
        item = self.ledger.items.get(number)
        below = [self.ledger.items.get(ref) for ref in item.children]
        return any(self.ledger.tasks.get(ref).status in LIVE for ref in item.tasks) or any(
            self.live(one.id) for one in below if one.accepted and one.status == "in_progress"
        )

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
        number = self.some(item)
        found = self.ledger.items.get(number)
        refused = {
            "accept": found.status == "done",
            "reject": found.status == "in_progress",
            "reopen": False,
            "done": found.status != "done" and self.live(number),
            "undo": self.cannot_be_undone(number),
        }
        self.expect(refused[verb], getattr(self.ledger.items, verb), number)

    def cannot_be_undone(self, number: int) -> bool:
        kinds = ("item.accepted", "item.rejected", "item.updated", "item.prioritised")
        events = self.ledger.events.list(item=number, limit=1000)
        last = next((one for one in events if one.kind in kinds and one.changes), None)
        if last is None:
            return True
        if not {"in_progress", "done"}.isdisjoint(last.changes.get("status", ())):
            return True
        parent = last.changes.get("parent", [None])[0]
        if parent is None:
            return False
        return self.ledger.items.get(parent).merged_into is not None or number in [parent, *self.above(parent)]

    @precondition(lambda self: self.ledger.items.list())
    @rule(item=which, other=which)
    def depend(self, item: int, other: int) -> None:
        number, on = self.some(item), self.some(other)
        self.expect(number == on or number in self.before(on), self.ledger.items.depend, number, on=on)

    @precondition(lambda self: self.ledger.items.list())
    @rule(item=which, other=which)
    def depend_no_more(self, item: int, other: int) -> None:
        number, on = self.some(item), self.some(other)
        refused = f"W{on}" not in self.ledger.items.get(number).blocked_by
        self.expect(refused, self.ledger.items.undepend, number, on=on)

    @precondition(lambda self: self.ledger.items.list())
    @rule(item=which, other=which)
    def put_below(self, item: int, other: int) -> None:
        number, parent = self.some(item), self.some(other)
        self.expect(number in [parent, *self.above(parent)], self.ledger.items.update, number, parent=parent)

    @precondition(lambda self: self.ledger.items.list())
    @rule(item=which)
    def take_out(self, item: int) -> None:
        self.expect(False, self.ledger.items.update, self.some(item), parent=None)

    @precondition(lambda self: self.ledger.items.list())
    @rule(item=which, other=which)
    def merge(self, item: int, other: int) -> None:
        number, into = self.some(item), self.some(other)
        found = self.ledger.items.get(number)
        circle = any(
            one in self.before(int(ref[1:]))
            for one, another in ((into, number), (number, into))
            for ref in self.ledger.items.get(another).blocked_by
            if ref != f"W{one}"
        )
        refused = number == into or found.status in (*CLOSED, "in_progress") or bool(found.tasks) or circle
        self.expect(refused, self.ledger.items.merge, number, into=into)

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
        with suppress(ShoalError):  # what tasks refuse, test_state_machine.py knows
            getattr(self.ledger.tasks, verb)(number, **given)
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
            _, more = self.ledger.engine.write(item_following.follow)  # type: ignore[attr-defined]

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

    @invariant()
    def no_item_is_above_itself_or_waits_for_itself(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for item in self.ledger.items.list():
            self.above(item.id)
            assert item.id not in self.before(item.id), item.item_id


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
