"""The queries of the vault's views, run with Dataview over a vault that the sync wrote, say what their tables say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shoal import Ledger
from shoal.daemon.vault_sync import VaultSync
from tests.conftest import FakeClock
from tests.daemon.test_views import call, tables
from tests.dataview import Answer, run_queries

TITLES = [
    "Plain",
    "Cut | and ]] paste 🐟",
    'say: "no" # twice [[x]]',
    "`code` <b>x</b> $y$ %%z%%",
    "2027-01-01",
    "5 days",
]


@pytest.fixture
def vault(ledger: Ledger, clock: FakeClock, tmp_path: Path) -> Path:
    """A vault with a task in every status, some of them stale."""
    tasks = [{"title": title, "assignee": "ana" if number % 2 else None} for number, title in enumerate(TITLES * 3)]
    ledger.tasks.create_many(tasks=tasks)
    ledger.tasks.create(title="waits", depends_on=[1, 2])
    ledger.tasks.create(title="later", run_at=clock.now + 10**10)
    ledger.tasks.create(title="held", hold_reason="why")
    ledger.tasks.create(title="checked", requires_qa=True, priority=0)
    ledger.tasks.create(title="past", deadline=clock.now + 1)
    clock.advance(8 * 86_400)
    claims = ledger.tasks.claim(worker="w", limit=6).claims
    ledger.tasks.complete(claims[0].task.id, attempt=1)
    ledger.tasks.complete(claims[1].task.id, attempt=1)
    ledger.tasks.fail(claims[2].task.id, attempt=1, error="x", permanent=True)
    ledger.tasks.cancel(18)
    costs = [call("a", 1), call("b", 2, cost_usd_micros=7), call("c", 7, cost_usd_micros=3 * 10**9), call("d", 7)]
    ledger.costs.record(costs=costs)
    clock.advance(2 * 86_400)
    VaultSync(ledger.engine).run()  # type: ignore[arg-type]
    return tmp_path / "vault"


def ids(cells: list[object]) -> list[str]:
    return [match[1] for cell in cells if (match := re.search(r"(T\d+)(?:\.md|\||\]|$)", str(cell)))]


def of(answers: list[Answer], page: str) -> list[Answer]:
    return [answer for answer in answers if answer.page == page]


def test_every_query_of_every_view_runs(vault: Path, clock: FakeClock) -> None:
    answers = run_queries(vault, now_ms=clock.now)
    assert [(answer.page, answer.error, answer.dropped) for answer in answers if not answer.ok or answer.dropped] == []
    assert {answer.page for answer in answers} >= {
        "010-tasks/_overview.md",
        "080-views/pipeline.md",
        "080-views/mine.md",
        "080-views/overdue.md",
        "080-views/fleet.md",
        "080-views/costs.md",
    }
    assert len(answers) >= 10


def test_pipeline_queries_give_the_tasks_of_the_tables(vault: Path, clock: FakeClock) -> None:
    text = (vault / "080-views/pipeline.md").read_text()
    answers = of(run_queries(vault, now_ms=clock.now), "080-views/pipeline.md")
    shown = {frozenset(ids([row[0] for row in table[1:]])) for table in tables(text) if table[0][0] == "Task"}
    asked = {frozenset(ids([row[0] for row in answer.rows])) for answer in answers if answer.rows}
    assert asked
    assert asked <= shown, "what Dataview finds is what the plain table says"
    assert {task for found in asked for task in found} >= {"T1", "T7", "T19", "T20", "T21", "T22"}


def test_overview_counts_in_dataview_are_those_of_the_page(ledger: Ledger, vault: Path, clock: FakeClock) -> None:
    answer = of(run_queries(vault, now_ms=clock.now), "010-tasks/_overview.md")[0]
    counts = {status: number for status, number in ledger.stats.get().counts.items() if number}
    assert {row[0]: row[1] for row in answer.rows} == counts


def test_costs_in_dataview_are_those_of_the_table(vault: Path, clock: FakeClock) -> None:
    shown = tables((vault / "080-views/costs.md").read_text())[-1]
    [answer] = of(run_queries(vault, now_ms=clock.now), "080-views/costs.md")
    assert ids([row[0] for row in answer.rows]) == ids([row[0] for row in shown[1:]]) == ["T7", "T1", "T2"]
    dollars = [float(str(row[-1])) for row in answer.rows]
    assert dollars == [float(row[shown[0].index("USD")]) for row in shown[1:]] == [3001.5, 1.5, 0.000007]


def test_stale_tasks_are_found_by_both(vault: Path, clock: FakeClock) -> None:
    text = (vault / "080-views/overdue.md").read_text()
    answers = of(run_queries(vault, now_ms=clock.now), "080-views/overdue.md")
    shown = [ids([row[0] for row in table[1:]]) for table in tables(text)]
    # A file does not tell when its task changed last: Dataview goes by when it was made or assigned, and finds more.
    for answer in answers:
        if answer.rows:
            assert any(set(table) <= set(ids([row[0] for row in answer.rows])) for table in shown if table)
    assert sum(bool(answer.rows) for answer in answers) >= 3
