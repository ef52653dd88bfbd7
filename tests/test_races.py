"""Many threads and processes at one ledger: nothing is done twice, nothing is lost, no limit is exceeded."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from shoal import Ledger
from shoal.errors import LeaseLost
from shoal.ledger.embedded import EmbeddedEngine
from shoal.services import leases
from tests import fleet
from tests.conftest import FakeClock


@pytest.mark.parametrize("limit", [1, 5])
def test_processes_do_each_task_once(address: str, open_at: Callable[..., Ledger], limit: int) -> None:
    ledger = open_at()
    ledger.tasks.create_many(tasks=[{"title": f"t{n}", "max_attempts": 1} for n in range(300)])

    workers = [fleet.start("drain", address, f"w{number}", str(limit)) for number in range(4)]
    done = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]

    assert sorted(id for ids in done for id in ids) == list(range(1, 301))
    assert ledger.stats.get().counts["completed"] == 300
    events = [event for start in range(0, 900, 1000) for event in ledger.events.list(after=start, limit=1000)]
    assert Counter(event.kind for event in events)["task.completed"] == 300


def test_processes_create_beside_each_other(address: str, open_at: Callable[..., Ledger]) -> None:
    ledger = open_at()
    creators = [fleet.start("create", address, f"c{number}", "50") for number in range(4)]
    printed = [[int(line) for line in creator.communicate(timeout=60)[0].split()] for creator in creators]
    assert sorted(id for ids in printed for id in ids) == sorted(task.id for task in ledger.tasks.list(limit=1000))
    assert len(ledger.tasks.list(limit=1000)) == 200


def test_two_parents_completed_at_once_unblock_the_child_once(open_at: Callable[..., Ledger]) -> None:
    ledgers = [open_at(), open_at()]
    for _ in range(25):
        parents = ledgers[0].tasks.create_many(tasks=[{"title": "a"}, {"title": "b"}])
        child = ledgers[0].tasks.create(title="child", depends_on=[task.id for task in parents])
        barrier = threading.Barrier(2)

        def complete(side: int, parents: list[object] = parents, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            ledgers[side].tasks.complete(parents[side].id)  # type: ignore[attr-defined]

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(complete, range(2)))
        found = ledgers[0].tasks.get(child.id)
        assert (found.status, found.blockers) == ("queued", 0)
        kinds = [event.kind for event in ledgers[0].events.list(after=0, task=child.id)]
        assert kinds == ["task.created", "task.unblocked"]


def test_reaper_against_completer_ends_in_one_status(open_at: Callable[..., Ledger], clock: FakeClock) -> None:
    ledgers = [open_at(), open_at()]
    engine = ledgers[1].engine
    assert isinstance(engine, EmbeddedEngine)
    winners: Counter[str] = Counter()
    for number in range(30):
        ledgers[0].tasks.create(title="a", max_attempts=1)
        claim = ledgers[0].tasks.claim(worker="w", lease_seconds=1).claims[0]
        clock.advance(2)
        barrier = threading.Barrier(2)

        def complete(claim: object = claim, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            try:
                ledgers[0].tasks.complete(claim.task.id, attempt=claim.attempt)  # type: ignore[attr-defined]
            except LeaseLost:
                return False
            return True

        def reap(barrier: threading.Barrier = barrier) -> int:
            barrier.wait()
            return engine.write(leases.make_ready)

        with ThreadPoolExecutor(2) as pool:
            first, second = (complete, reap) if number % 2 else (reap, complete)
            futures = [pool.submit(first), pool.submit(second)]
            outcomes = {
                function.__name__: future.result() for function, future in zip((first, second), futures, strict=True)
            }
        assert outcomes["complete"] != bool(outcomes["reap"])
        task = ledgers[0].tasks.get(claim.task.id)
        assert task.status == ("completed" if outcomes["complete"] else "failed")
        terminal = [
            event
            for event in ledgers[0].events.list(after=0, task=task.id)
            if event.kind in {"task.completed", "task.expired"}
        ]
        assert len(terminal) == 1
        winners[task.status] += 1
    assert sum(winners.values()) == 30


def test_concurrency_limit_holds_under_sixteen_claimers(open_at: Callable[..., Ledger]) -> None:
    ledger = open_at()
    limit = 5
    ledger.queues.limit("default", concurrency=limit)
    ledger.tasks.create_many(tasks=[{"title": f"t{n}"} for n in range(120)])
    others = [open_at() for _ in range(2)]
    done: list[int] = []
    exceeded: list[int] = []

    def work(number: int) -> None:
        mine = others[number % 2]
        while len(done) < 120:
            for claim in mine.tasks.claim(worker=f"w{number}", limit=random.randint(1, 3)).claims:
                active = len(mine.tasks.list(status="active", limit=100))
                if active > limit:
                    exceeded.append(active)
                mine.tasks.complete(claim.task.id, attempt=claim.attempt)
                done.append(claim.task.id)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert exceeded == []
    assert sorted(done) == list(range(1, 121))


def test_threads_of_one_ledger_get_their_own_answers(ledger: Ledger) -> None:
    def make(number: int) -> list[tuple[str, int]]:
        made = [ledger.tasks.create(title=f"{number}-{one}") for one in range(40)]
        return [(task.title, task.id) for task in made]

    with ThreadPoolExecutor(16) as pool:
        answers = [answer for answers in pool.map(make, range(16)) for answer in answers]
    assert len({id for _, id in answers}) == 640
    for title, id in random.sample(answers, 40):
        assert ledger.tasks.get(id).title == title


def test_refused_writes_harm_no_other_in_their_batch(ledger: Ledger) -> None:
    ledger.tasks.create(title="taken", slug="taken")

    def make(number: int) -> str:
        try:
            return str(ledger.tasks.create(title=f"{number}", slug="taken" if number % 3 == 0 else f"s-{number}").id)
        except Exception as error:
            return type(error).__name__

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(make, range(120)))
    assert [outcome for number, outcome in enumerate(outcomes) if number % 3 == 0] == ["Duplicate"] * 40
    assert len({outcome for number, outcome in enumerate(outcomes) if number % 3}) == 80
    assert len(ledger.tasks.list(limit=1000)) == 81


def test_reader_sees_each_event_once_and_in_order_beside_many_writers(open_at: Callable[..., Ledger]) -> None:
    ledger = open_at()
    writers = [open_at() for _ in range(2)]
    seen: list[int] = []
    ended = threading.Event()

    def write(number: int) -> None:
        mine = writers[number % 2]
        for one in range(30):
            if one % 3:
                mine.tasks.create(title=f"{number}-{one}")
            else:
                mine.tasks.create_many(tasks=[{"title": f"{number}-{one}-{n}"} for n in range(random.randint(1, 5))])

    def read() -> None:
        position = 0
        while True:
            over = ended.is_set()
            page = ledger.events.list(after=position, limit=50)
            seen.extend(event.id for event in page)
            if page:
                position = page[-1].id
            elif over:
                return

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(16)))
    ended.set()
    reader.join()

    position, everything = 0, []
    while page := ledger.events.list(after=position, limit=1000):
        everything += [event.id for event in page]
        position = page[-1].id
    assert seen == everything
    assert len(everything) == len(ledger.tasks.list(limit=1000)) or len(everything) > 1000
