"""What a claim reads does not grow with the ledger: asserted on rows and plans, not on time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apsw
import psycopg
import psycopg.sql
import pytest

from shoal import Ledger, connect
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.search import Document, DocumentKind
from shoal.services import search
from shoal.store import postgres, sqlite
from tests import rows

NOW = 1_800_000_000_000
LATELY = NOW + 86_400_000
READY, FUTURE, BLOCKED, DONE = 3000, 2000, 2000, 2000
CLAIM = {"queue": "default", "limit": 1, "worker": "w", "agent": "a", "leased_until": NOW, "now": NOW}
CLAIM_EACH = {
    "queue": "default",
    "limit": 4,
    "now": NOW,
    "rows": json.dumps([{"place": 1, "worker": "w", "agent": "a"}]),
}
COMPLETE = {"seal": "", "id": 50, "attempt": 1, "now": NOW, "summary": None, "result": None, "actual_minutes": None}
STATEMENTS: list[tuple[str, dict[str, Any]]] = [
    ("leases.claim", CLAIM),
    ("leases.claim", CLAIM | {"type": "swe"}),
    ("leases.claim_labelled", CLAIM | {"label": "rare"}),
    ("leases.claim_each", CLAIM_EACH),
    ("leases.complete", COMPLETE),
    ("leases.overrun", {"worker": "w", "before": NOW}),
    ("sessions.running", {"task": 50, "attempt": 1}),
    ("sessions.lines", {"session": 1, "limit": 50, "after": 10, "at": NOW}),
    ("sessions.used", {"id": 1}),
    ("tells.hand_out", {"task": 50, "attempt": 1, "session": 1, "episode": 1, "now": NOW}),
    ("leases.start", {"id": 50, "attempt": 1, "now": NOW}),
    ("tasks.due", {"now": NOW, "limit": 10}),
    ("tasks.in_claim_order", {"queue": "default", "limit": 50}),
    ("tasks.newest", {"before": 2**62, "limit": 50}),
    ("tasks.newest", {"before": 2**62, "limit": 50, "status": "review"}),
    ("events.after", {"after": 5000, "horizon": 2**62, "limit": 50}),
    ("stats.oldest_queued", {"queue": "default"}),
    ("costs.known", {"rows": json.dumps([{"request_key": "k7"}])}),
    ("costs.list", {"after": 0, "limit": 20, "task": DONE}),
    ("costs.list", {"after": 0, "limit": 20, "agent": "b"}),
    ("costs.list", {"after": 0, "limit": 20, "agent": "b", "task": DONE}),
    ("costs.list", {"after": 0, "limit": 20, "session": 1}),
    ("costs.list", {"after": 0, "limit": 20, "item": 7}),
    ("costs.list", {"after": 0, "limit": 20}),
    ("costs.of_task", {"task": DONE}),
    ("costs.sums", {"by_task": True, "day": 0, "task": DONE, "limit": 20}),
    ("costs.sums", {"by_purpose": True, "day": 0, "item": 7, "limit": 20}),
    ("costs.sums", {"by_model": True, "day": LATELY // 86_400_000, "limit": 20}),
    ("costs.first_day", {"limit": 1}),
    ("assessments.of_item", {"item": 7, "limit": 20}),
    ("views.recently_changed", {"scanned": 50, "limit": 20}),
    ("views.active", {"status": "active", "scanned": 50, "limit": 20}),
    ("views.scheduled", {"limit": 20}),
    ("views.oldest", {"status": "blocked", "limit": 20}),
    ("views.finished", {"limit": 20}),
    ("views.assignees", {"limit": 20}),
    ("views.assigned", {"assignee": "a", "limit": 20}),
    ("views.overdue", {"now": NOW, "limit": 20}),
    ("views.count_overdue", {"now": NOW, "limit": 20}),
    ("views.long_queued", {"queue": "default", "priority": 2, "before": NOW, "scanned": 50, "limit": 20}),
    ("views.unchanged", {"status": "blocked", "before": 2**62, "scanned": 50, "limit": 20}),
    ("views.held", {"status": "blocked", "scanned": 50, "limit": 20}),
    ("views.ended_since", {"since": 0, "scanned": 50}),
    ("views.failed_since", {"since": 0, "scanned": 50, "limit": 20}),
    ("views.count_blocked", {"status": "blocked", "scanned": 50}),
    ("views.open_edges", {"status": "blocked", "scanned": 50, "limit": 20}),
    ("leases.expire", {"now": NOW, "limit": 10}),
    ("supervision.overdue", {"after": 0, "now": NOW, "limit": 50, "unestimated_ms": 1, "beyond_ms": 1}),
    ("supervision.stale_queued", {"after": 0, "scanned": 50, "before": 2**62, "limit": 50}),
    ("supervision.queued_to", {"after": 7000, "scanned": 50}),
    ("supervision.stale_active", {"before": 2**62, "limit": 50}),
    ("supervision.said", {"task": 50, "attempt": 1, "rule": "timeout"}),
    ("orphans.expired", {"now": NOW, "after": 0, "limit": 50}),
    ("orphans.held", {"before": NOW, "after": 0, "limit": 50}),
    ("orphans.branches", {"task": 50, "limit": 20}),
    ("orphans.given_up", {"after": 5000, "upto": 5050}),
    ("orphans.lose_sessions", {"before": NOW, "now": NOW, "limit": 50}),
    ("jobs.agenda", {"now": NOW}),
    ("jobs.due", {"now": NOW, "limit": 100}),
    ("runs.newest", {"before": 2**62, "limit": 50, "own": True}),
    ("runs.newest", {"before": 2**62, "limit": 50, "own": True, "job": "j7"}),
    ("runs.newest", {"before": 2**62, "limit": 50, "brought": True, "job": "j7"}),
    ("runs.newest", {"before": 2**62, "limit": 50, "own": True, "failed": True}),
    ("runs.under_way", {"job": "j7"}),
    ("runs.candidates", {"now": NOW, "limit": 10}),
    ("runs.beat", {"server": "s", "rows": json.dumps([{"id": 6}])}),
    ("runs.held", {}),
    ("runs.last_slot", {"job": "j7"}),
    ("runs.prune", {"before": 0, "limit": 100}),
    ("registrations.list", {"after": 0, "now": NOW, "limit": 50}),
    ("registrations.count", {"now": NOW}),
    ("grants.over", {"server": "s", "now": NOW, "limit": 50}),
    ("grants.left_behind", {"server": "t", "now": NOW, "since": NOW, "limit": 50}),
    ("grants.alive_of_task", {"task": 50, "now": NOW}),
    ("grants.list", {"before": 2**62, "limit": 50, "task": 50}),
    ("grants.count", {"now": NOW}),
    ("grants.sums", {"now": NOW}),
    ("grants.prune", {"older_than": 0, "limit": 100}),
    ("grants.audit", {"before": 2**62, "limit": 50}),
    ("grants.audit", {"before": 2**62, "limit": 50, "task": 50}),
    ("grants.prune_audit", {"older_than": 0, "limit": 100}),
]
TOLD = ("type", "status", "failed", "job", "task", "item", "agent", "session", "by_task", "by_model")
IDS = ["+".join([name, *(key for key in TOLD if key in given)]) for name, given in STATEMENTS]


def spend(ledger: Ledger) -> None:
    """Two calls of agent a for each finished task, and some more of b for the last one, a day later."""
    call = {"provider": "p", "model": "m", "cost_usd_micros": 1}
    for first in range(0, 2 * DONE, 1000):
        of_a = [{"task": n % DONE + 1, "request_key": f"k{n}", "agent": "a"} for n in range(first, first + 1000)]
        ledger.costs.record(costs=[call | one | {"at": NOW} for one in of_a])
    of_b = [{"task": DONE, "request_key": f"l{n}", "agent": "b"} for n in range(9)]
    ledger.costs.record(costs=[call | one | {"at": LATELY} for one in of_b])


def fill_items(ledger: Ledger, address: str) -> None:
    """An item for each finished task, which was assessed for two calls and became that task."""
    each = "FROM tasks WHERE status = 'completed'"
    rows.execute(
        address,
        "INSERT INTO items (project, text, text_hash, origin, first_seen_at, last_seen_at, created_at, updated_at) "
        f"SELECT 'web', 'x', 'h', 'manual', 1, 1, 1, 1 {each}",
    )
    rows.execute(address, f"INSERT INTO item_tasks (task, item, place) SELECT id, id, 0 {each}")
    rows.execute(address, f"INSERT INTO assessments (item, version, at, actor, model) SELECT id, 1, 1, 'a', 'm' {each}")
    call = {"provider": "p", "model": "m", "cost_usd_micros": 1, "purpose": "scope", "at": NOW}
    for first in range(0, 2 * DONE, 1000):
        numbers = range(first, first + 1000)
        ledger.costs.record(costs=[call | {"item": n % DONE + 1, "request_key": f"i{n}"} for n in numbers])
    rows.execute(address, "UPDATE costs SET assessment = 1 WHERE item IS NOT NULL")


def fill_jobs(address: str) -> None:
    """Runs, registrations and tokens of long ago, and a few of now."""
    each = "FROM tasks"
    rows.execute(
        address,
        "INSERT INTO runs (job, slot, cause, attempt, status, due_at, actor, server, finished_at) "
        "SELECT 'j' || (id - id / 60 * 60), id, 'schedule', 1, "
        "CASE id WHEN 3 THEN 'failed' WHEN 5 THEN 'waiting' WHEN 6 THEN 'running' ELSE 'success' END, "
        f"1, 'a', 's', 1 {each}",
    )
    rows.execute(
        address,
        "INSERT INTO registrations "
        "(task, repositories, permissions, status, registered_at, registered_by, expires_at) "
        f"SELECT id, '[]', '{{}}', 'active', 1, 'a', CASE id WHEN 7 THEN {NOW + 1} ELSE 2 END {each}",
    )
    rows.execute(
        address,
        "INSERT INTO grants (task, attempt, repositories, permissions, actor, server, issued_at, expires_at, "
        f"token_hash, token_end) SELECT id, 1, '[]', '{{}}', 'a', 's', 1, CASE id WHEN 7 THEN {NOW + 1} ELSE 2 END, "
        f"'h', 'e' {each}",
    )
    rows.execute(
        address,
        "INSERT INTO grant_audit (at, action, task, actor, repositories, permissions) "
        f"SELECT 1, 'issued', id, 'a', '[]', '{{}}' {each}",
    )


def fill(address: str) -> None:
    with connect(address, actor="a") as ledger:
        for count, fields in (
            (DONE, {}),
            (FUTURE, {"run_at": 4_000_000_000_000, "priority": 0}),
            (BLOCKED, {"hold_reason": "held", "priority": 0}),
            (READY, {}),
        ):
            ledger.tasks.create_many(tasks=[{"title": "t", **fields}] * count)
            if not fields and count == DONE:
                claims = (
                    ledger.tasks.claim(worker="w", limit=1000).claims
                    + ledger.tasks.claim(worker="w", limit=1000).claims
                )
                completions = [{"task": claim.task.id, "attempt": claim.attempt} for claim in claims]
                for first in range(0, DONE, 100):
                    ledger.tasks.complete_many(completions=completions[first : first + 100])
                spend(ledger)
                fill_items(ledger, address)
        ledger.tasks.create(title="labelled", labels=["rare"])
        ledger.tasks.create(title="assigned", assignee="b", deadline=1)
        # Many sessions, ended long ago, and a few that are open.
        rows.execute(
            address,
            "INSERT INTO sessions (task, attempt, agent, kind, branches, started_at, ended_at, takes_messages) "
            "SELECT id, 1, 'a', 'claude', '[]', 1, CASE WHEN id > 5 THEN 1 END, 0 FROM tasks "
            "WHERE status = 'completed'",
        )
        rows.execute(
            address,
            "INSERT INTO warnings (task, attempt, rule, at) SELECT task, 1, 'stale', 1 FROM sessions",
        )
        fill_jobs(address)
        documents = [
            Document(task=task + 1, kind=kind, text=f"always {task}")
            for kind in (DocumentKind.BODY, DocumentKind.TITLE)
            for task in range(READY)
        ]
        engine = ledger.engine
        assert isinstance(engine, EmbeddedEngine)
        engine.write(lambda tx: search.put(tx, documents))


@pytest.fixture(scope="module")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "ledger.db"
    fill(str(path))
    return path


@pytest.mark.parametrize(("name", "given"), STATEMENTS, ids=IDS)
def test_sqlite_takes_few_steps(sqlite_file: Path, name: str, given: dict[str, Any]) -> None:
    connection = apsw.Connection(str(sqlite_file))
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    statement = sqlite.QUERIES[name].statement(given)
    steps = [0]

    def count() -> bool:
        steps[0] += 1
        return False

    connection.execute("BEGIN")
    connection.set_progress_handler(count, 100)
    connection.execute(statement.sql, statement.bind(given)).fetchall()
    connection.set_progress_handler(None)
    connection.execute("ROLLBACK")
    connection.close()
    # A row costs about ten steps, so reading any of the large groups would take 20,000 and more.
    assert steps[0] * 100 <= 6000


@pytest.fixture(scope="module")
def postgres_plans(postgres_server: str) -> Any:
    import secrets

    schema = f"plans_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    joint = "&" if "?" in postgres_server else "?"
    url = f"{postgres_server}{joint}options=-c%20search_path%3D{schema}"
    fill(url)
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("VACUUM tasks")  # of the rows that were active a moment ago
        for setting in postgres.OPTIONS.split("-c ")[1:]:
            name, _, value = setting.strip().partition("=")
            connection.execute(f"SET {name} = '{value}'")
        yield connection
        connection.execute("SET client_min_messages = error")
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.mark.parametrize(("name", "given"), STATEMENTS, ids=IDS)
@pytest.mark.parametrize("analyzed", [False, True], ids=["before analyze", "after analyze"])
def test_postgresql_reads_few_rows(postgres_plans: Any, name: str, given: dict[str, Any], analyzed: bool) -> None:
    if analyzed:
        postgres_plans.execute("ANALYZE")
    plan = explained(postgres_plans, name, given)
    read = sum(
        node.get("Actual Loops", 0) * (node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0))
        for node in nodes(plan["Plan"])
        if "Scan" in node["Node Type"]
    )
    assert read <= 400, plan


def explained(connection: Any, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """What PostgreSQL did to run a query, which it takes back."""
    statement = postgres.QUERIES[name].statement(given)
    bound = statement.bind(given)
    types = ", ".join({int: "BIGINT", str: "TEXT"}.get(type(value), "UNKNOWN") for value in bound)
    values = ", ".join("NULL" if value is None else psycopg.sql.quote(value) for value in bound)
    connection.execute("DEALLOCATE ALL")
    declared = f"({types})" if types else ""
    connection.execute(f"PREPARE plan {declared} AS {statement.sql}")
    connection.execute("BEGIN")
    try:
        [[[plan]]] = connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE plan {f'({values})' if values else ''}"
        ).fetchall()
    finally:
        connection.execute("ROLLBACK")
    return dict(plan)


@pytest.mark.parametrize("analyzed", [False, True], ids=["before analyze", "after analyze"])
@pytest.mark.parametrize(("text", "walked", "looked_up"), [("always", 10, 0), ("7", 2500, 1), ("299*", 11, 0)])
def test_postgresql_reads_the_newest_documents_and_then_the_index(
    postgres_plans: Any, analyzed: bool, text: str, walked: int, looked_up: int
) -> None:
    if analyzed:
        postgres_plans.execute("ANALYZE")
    given = {"scope": "body", "candidates": 10, "limit": 10, **postgres.TSVector.wanted(search.parse(text), "body")}
    rows = {
        node["Index Name"]: node["Actual Loops"] * node["Actual Rows"]
        for node in nodes(explained(postgres_plans, "search.best", given)["Plan"])
        if "Index Name" in node
    }
    assert rows["document_words_newest"] <= walked
    assert rows["document_words_by_word"] == looked_up


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for inner in plan.get("Plans", []) for node in nodes(inner))]
