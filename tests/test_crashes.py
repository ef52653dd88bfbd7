"""kill -9 at random points: what was acknowledged is there, nothing is stuck, nothing finishes twice."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import apsw

from shoal import Ledger, connect
from shoal.ledger.connect import open_ledger
from shoal.settings import Settings
from tests import fleet
from tests.conftest import wait_until
from tests.postgres import Cluster

ROUNDS = 4


def test_killed_writers_lose_nothing_acknowledged(address: str, open_at: Callable[..., Ledger]) -> None:
    open_at()
    created: set[int] = set()
    completed: list[int] = []
    for _ in range(ROUNDS):
        workers = [fleet.start("churn", address, f"w{number}") for number in range(3)]
        lines: list[list[str]] = [[] for _ in workers]
        readers = [
            threading.Thread(target=lambda out=worker.stdout, kept=kept: kept.extend(out))
            for worker, kept in zip(workers, lines, strict=True)
        ]
        for reader in readers:
            reader.start()
        wait_until(lambda lines=lines: all(len(kept) > 5 for kept in lines))
        threading.Event().wait(random.uniform(0, 0.3))
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
        for worker, reader in zip(workers, readers, strict=True):
            worker.wait()
            reader.join()
            worker.stdout.close()
        for kept in lines:
            for line in kept:
                if not line.endswith("\n"):
                    continue  # the last line may be cut
                word, number = line.split()
                (completed.append if word == "completed" else created.add)(int(number))

    # Real time: what the killed workers held comes back when its lease of one second ends.
    with open_ledger(address, settings=Settings(), actor="after", create=False) as ledger:
        found = {}
        cursor = None
        while True:
            page = ledger.tasks.list(limit=1000, cursor=cursor)
            found |= {task.id: task for task in page}
            cursor = page.next
            if cursor is None:
                break
        assert created <= found.keys()
        assert len(completed) == len(set(completed))
        assert all(found[id].status == "completed" for id in completed)

        def nothing_left() -> bool:
            for claim in ledger.tasks.claim(worker="after", limit=100).claims:
                ledger.tasks.complete(claim.task.id, attempt=claim.attempt)
            counts = ledger.stats.get().counts
            return counts["active"] == counts["queued"] == 0

        wait_until(nothing_left)
        assert ledger.stats.get().counts["failed"] == 0
        assert ledger.engine.database.check() == []  # type: ignore[attr-defined]


def test_killed_server_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    for number in range(ROUNDS):
        server = fleet.Server(tmp_path)
        with connect(server.url, actor=f"c{number}") as ledger:
            stopped = threading.Event()

            def create(ledger: Ledger = ledger, stopped: threading.Event = stopped) -> None:
                while not stopped.is_set():
                    try:
                        acknowledged.append(ledger.tasks.create(title="x").id)
                    except Exception:
                        if not stopped.is_set():
                            continue

            ledger.engine._retry_seconds = 0.0  # type: ignore[attr-defined]
            threads = [threading.Thread(target=create) for _ in range(4)]
            before = len(acknowledged)
            for thread in threads:
                thread.start()
            wait_until(lambda before=before: len(acknowledged) > before + 50)
            threading.Event().wait(random.uniform(0, 0.1))
            stopped.set()
            server.kill()
            for thread in threads:
                thread.join()
    copy = apsw.Connection(str(tmp_path / "ledger.db"))
    assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = {row[0] for row in copy.execute("SELECT id FROM tasks")}
    copy.close()
    assert set(acknowledged) <= found
    assert len(set(acknowledged)) == len(acknowledged)


def test_workers_carry_on_after_postgresql_crashes(private_postgres: Cluster) -> None:
    ledger = open_ledger(private_postgres.url, settings=Settings(), actor="a", create=True)
    ledger.tasks.create_many(tasks=[{"title": f"t{n}", "max_attempts": 100} for n in range(400)])
    done: list[int] = []
    ended = threading.Event()
    strange: list[BaseException] = []

    def work(name: str) -> None:
        from shoal.errors import LeaseLost, StoreError

        while not ended.is_set():
            try:
                for claim in ledger.tasks.claim(worker=name, lease_seconds=2).claims:
                    ledger.tasks.complete(claim.task.id, attempt=claim.attempt)
                    done.append(claim.task.id)
            except (StoreError, LeaseLost):
                continue
            except BaseException as error:
                strange.append(error)
                return

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for wanted in (50, 150):
        wait_until(lambda wanted=wanted: len(done) > wanted or strange)
        private_postgres.stop("immediate")
        private_postgres.start()
    try:
        wait_until(lambda: ledger.stats.get().counts["completed"] == 400 or strange, seconds=60)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert strange == []
    assert len(done) == len(set(done))
    ledger.close()
