"""Tasks of older vaults: taken once, with their names, moments, statuses and what they wait for."""

from __future__ import annotations

from typing import Any

import pytest

from shoal import Ledger
from shoal.daemon import reaper
from shoal.errors import BadInput
from tests.conftest import START_MS, FakeClock


def old(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "title": f"Old {name}", "status": "queued"} | fields


def test_everything_that_is_told_is_kept(ledger: Ledger) -> None:
    done = ledger.tasks.migrate(
        tasks=[
            old(
                "2026-02-15-ui",
                status="completed",
                created_at=1000,
                claimed_at=2000,
                completed_at=3000,
                type="qa",
                priority="high",
                labels=["a", "b"],
                repos=["o/r"],
                assignee="lob-1",
                estimate_minutes=90,
                discord_thread_id="7",
                requires_qa=True,
            )
        ]
    )
    assert done.map == {"2026-02-15-ui": "T1"}
    task = ledger.tasks.get("2026-02-15-ui")
    assert (task.status, task.created_at, task.claimed_at, task.completed_at) == ("completed", 1000, 2000, 3000)
    assert (task.type, task.priority, task.labels, task.repos) == ("qa", 1, ["a", "b"], ["o/r"])
    assert (task.assignee, task.estimate_minutes, task.discord_thread_id, task.requires_qa) == ("lob-1", 90, "7", True)
    [event] = ledger.events.list(after=0, task=1)
    assert (event.kind, event.data["old"], event.changes["status"]) == (
        "task.migrated",
        "2026-02-15-ui",
        [None, "completed"],
    )
    assert ledger.stats.get().counts["completed"] == 1


def test_what_a_task_cost_before_is_kept(ledger: Ledger) -> None:
    tasks = [old("a", cost_usd_micros=1_250_000, completed_at=3000, status="completed", assignee="bo"), old("b")]
    ledger.tasks.migrate(tasks=tasks)
    ledger.tasks.migrate(tasks=tasks)
    [cost] = ledger.costs.list()
    assert (cost.task_id, cost.agent, cost.at, cost.cost_usd_micros, cost.priced) == (
        "T1",
        "bo",
        3000,
        1_250_000,
        "reported",
    )


def test_second_time_makes_nothing(ledger: Ledger) -> None:
    tasks = [old("a"), old("b", depends_on=["a"])]
    first = ledger.tasks.migrate(tasks=tasks)
    again = ledger.tasks.migrate(tasks=[*tasks, old("c", depends_on=["b"])])
    assert (first.created, again.existing, again.created) == (["T1", "T2"], ["T1", "T2"], ["T3"])
    assert again.map == {"a": "T1", "b": "T2", "c": "T3"}
    assert len(ledger.tasks.list()) == 3


def test_dependencies_hold_back_only_what_they_should(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.migrate(
        tasks=[
            old("done", status="completed"),
            old("open"),
            old("free", depends_on=["done"]),
            old("waits", depends_on=["done", "open"], parent="done"),
            old("ended", status="cancelled", depends_on=["open"]),
            old("held", hold_reason="why"),
            old("later", status="scheduled", run_at=START_MS + 60_000),
        ]
    )
    statuses = {task.slug: task.status for task in ledger.tasks.list()}
    assert statuses == {
        "done": "completed",
        "open": "queued",
        "free": "queued",
        "waits": "blocked",
        "ended": "cancelled",
        "held": "blocked",
        "later": "scheduled",
    }
    assert ledger.engine.read(lambda tx: tx.all("dependencies.recount", limit=9)) == []  # type: ignore[attr-defined]
    ledger.tasks.complete("open")
    assert ledger.tasks.get("waits").status == "queued"
    assert ledger.tasks.get("ended").status == "cancelled"
    assert ledger.tasks.get("waits").parent == 1
    claimed = {claim.task.slug for claim in ledger.tasks.claim(worker="w", limit=10).claims}
    assert claimed == {"free", "waits"}


def test_active_task_is_queued_again_when_nobody_has_it(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.migrate(tasks=[old("a", status="active", claimed_at=1000)])
    assert ledger.tasks.get(1).status == "active"
    assert ledger.tasks.claim(worker="w").claims == []
    clock.advance(301)
    reaper.tick(ledger.engine)  # type: ignore[arg-type]
    clock.advance(60)
    reaper.tick(ledger.engine)  # type: ignore[arg-type]
    assert ledger.tasks.claim(worker="w").claims[0].attempt == 2


def test_what_cannot_be_taken_is_said_and_the_others_are_taken(ledger: Ledger) -> None:
    ledger.tasks.create(title="x", slug="taken")
    done = ledger.tasks.migrate(
        tasks=[
            old("a", depends_on=["nothing", "a"], parent="nobody"),
            old("T7"),
            old("b", id=5, slug="taken"),
            old("c"),
        ]
    )
    assert sorted(refused.name for refused in done.refused) == ["T7", "a", "a", "a", "b"]
    assert sorted(done.map) == ["a", "c"]
    with pytest.raises(BadInput):
        ledger.tasks.migrate(tasks=[old("d", status="strange")])


@pytest.mark.parametrize("dry_run", [False, True])
def test_login_of_a_repository_is_reported_and_not_taken(ledger: Ledger, dry_run: bool) -> None:
    name = "https://u:hunter2@host/pond"
    tasks = [old("a", repos=[name], text=f"---\nrepos: [{name}]\n---\n"), old("b")]
    done = ledger.tasks.migrate(tasks=tasks, dry_run=dry_run)
    [refused] = done.refused
    assert refused.name == "a"
    assert "https://host/pond" in refused.reason
    assert "hunter2" not in refused.reason
    assert "a" not in done.map


def test_number_that_is_given_is_kept_and_the_next_one_is_above(ledger: Ledger) -> None:
    ledger.tasks.migrate(tasks=[old("T7", id=7), old("T3", id=3)])
    assert [task.task_id for task in ledger.tasks.list()] == ["T7", "T3"]
    assert ledger.tasks.create(title="next").task_id == "T8"


def test_whole_file_comes_along(ledger: Ledger) -> None:
    text = "---\nname: Old a  # mine\nstatus: done\nown: {x: 1}\n---\n\n# Body\n"
    ledger.tasks.migrate(tasks=[old("a", text=text)])
    assert ledger.tasks.body(1).text == "# Body\n"
    path = ledger.engine.settler.root / str(ledger.tasks.body(1).path)  # type: ignore[attr-defined]
    assert "name: Old a  # mine\nstatus: queued\nown: {x: 1}\n" in path.read_text()
