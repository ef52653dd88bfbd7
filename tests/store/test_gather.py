"""Group commit: who waits, who is answered, who may give up."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from typing import Any

import pytest

from shoal.store import gather
from shoal.store.gather import Gatherer, Write


def test_caller_that_gives_up_harms_no_other() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def commit(batch: list[Write[Any]]) -> None:
        begun.set()
        go_on.wait(10)
        for write in batch:
            write.answer = len(batch)

    gatherer = Gatherer(commit, "test")
    first = gatherer.submit(lambda _: None, None)
    begun.wait(10)
    given_up = gatherer.submit(lambda _: None, None)
    third = gatherer.submit(lambda _: None, None)
    assert not first.cancel(), "what is under way is not cancelled"
    assert given_up.cancel()
    go_on.set()
    assert first.result(10) == 1
    assert third.result(10) == 1
    with pytest.raises(CancelledError):
        given_up.result(10)
    gatherer.close()


def test_writes_that_wait_together_are_committed_together() -> None:
    sizes: list[int] = []
    turn = threading.Event()

    def commit(batch: list[Write[Any]]) -> None:
        turn.wait(10)
        sizes.append(len(batch))
        for write in batch:
            write.answer = None

    gatherer = Gatherer(commit, "test")
    futures = [gatherer.submit(lambda _: None, None) for _ in range(50)]
    turn.set()
    for future in futures:
        future.result(10)
    gatherer.close()
    assert sum(sizes) == 50
    assert len(sizes) <= 3


def test_lone_caller_commits_in_its_own_thread() -> None:
    threads: list[str] = []

    def commit(batch: list[Write[Any]]) -> None:
        threads.append(threading.current_thread().name)
        for write in batch:
            write.answer = 7

    gatherer = Gatherer(commit, "test")
    assert gatherer.run(lambda _: 7, None) == 7
    assert threads == [threading.current_thread().name]
    gatherer.close()


def test_closed_gatherer_refuses() -> None:
    gatherer = Gatherer(lambda _: None, "test")
    gatherer.close()
    with pytest.raises(RuntimeError, match="closed"):
        gatherer.submit(lambda _: None, None)


def test_those_who_come_back_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "PATIENCE_SECONDS", 10.0)
    sizes: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def commit(batch: list[Write[Any]]) -> None:
        begun.set()
        go_on.wait(10)
        sizes.append(len(batch))
        for write in batch:
            write.answer = None

    gatherer = Gatherer(commit, "test")
    first = gatherer.submit(lambda _: None, None)
    begun.wait(10)
    others = [gatherer.submit(lambda _: None, None) for _ in range(3)]
    go_on.set()
    first.result(10)
    others.append(gatherer.submit(lambda _: None, None))
    for future in others:
        future.result(10)
    gatherer.close()
    assert sizes == [1, 4]


def test_nobody_is_waited_for_in_vain_twice() -> None:
    sizes: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def commit(batch: list[Write[Any]]) -> None:
        begun.set()
        go_on.wait(10)
        sizes.append(len(batch))
        for write in batch:
            write.answer = None

    gatherer = Gatherer(commit, "test")
    futures = [gatherer.submit(lambda _: None, None)]
    begun.wait(10)
    futures += [gatherer.submit(lambda _: None, None) for _ in range(3)]
    go_on.set()
    for future in futures:
        future.result(10)
    gatherer.submit(lambda _: None, None).result(10)
    assert gatherer._expected == 1
    gatherer.close()
    assert sum(sizes) == 5
