"""What a claim would give, and why a task is not among it."""

from __future__ import annotations

from shoal import Ledger
from tests.conftest import FakeClock


def test_ready_is_what_a_claim_gives(ledger: Ledger) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}", "priority": n % 3} for n in range(9)])
    ready = [task.id for task in ledger.tasks.ready(limit=9)]
    assert ready == [claim.task.id for claim in ledger.tasks.claim(worker="w", limit=9).claims]
    assert ledger.tasks.ready() == []


def test_claimable_task_has_no_obstacles(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    assert ledger.tasks.explain(1).claimable


def test_explain_names_every_obstacle(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="blocker")
    ledger.tasks.create(title="a", depends_on=["T1"], hold_reason="no key")
    explained = ledger.tasks.explain(2)
    assert not explained.claimable
    assert [(one.reason, one.task_id) for one in explained.obstacles] == [("hold", None), ("blocker", "T1")]

    ledger.tasks.create(title="later", run_at=clock.now + 1000)
    assert [(one.reason, one.until) for one in ledger.tasks.explain(3).obstacles] == [("time", clock.now + 1000)]

    ledger.queues.pause("default")
    assert [one.reason for one in ledger.tasks.explain(1).obstacles] == ["paused"]
    assert ledger.tasks.ready() == []


def test_explain_tells_what_to_do_about_a_dead_blocker(ledger: Ledger) -> None:
    ledger.tasks.create(title="blocker")
    ledger.tasks.create(title="a", depends_on=["T1"])
    ledger.tasks.cancel(1)
    [obstacle] = ledger.tasks.explain(2).obstacles
    assert "shoal reopen T1" in obstacle.message


def test_graph_finds_the_critical_path(ledger: Ledger) -> None:
    for title, minutes in (("a", 30), ("b", 120), ("c", 10)):
        ledger.tasks.create(title=title, estimate_minutes=minutes)
    ledger.tasks.create(title="end", depends_on=["T1", "T2", "T3"], estimate_minutes=5)
    ledger.tasks.create(title="part", parent="T4", estimate_minutes=1)
    graph = ledger.tasks.graph(task="T4")
    assert {node.task_id for node in graph.nodes} == {"T1", "T2", "T3", "T4", "T5"}
    assert (graph.critical_path, graph.critical_minutes) == (["T2", "T4"], 125)
    ledger.tasks.complete(2)
    assert ledger.tasks.graph(task="T4").critical_path == ["T1", "T4"]


def test_graph_says_when_it_was_cut(ledger: Ledger) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}"} for n in range(5)])
    ledger.tasks.create(title="end", depends_on=[1, 2, 3, 4, 5])
    assert not ledger.tasks.graph(task=6, limit=3).complete
