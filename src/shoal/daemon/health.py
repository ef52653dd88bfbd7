"""How the server is, in one look: database, tasks, loops."""

from __future__ import annotations

from typing import Any

import shoal
from shoal.clock import monotonic_seconds
from shoal.daemon.daemon import Daemon
from shoal.errors import ShoalError
from shoal.ledger.embedded import EmbeddedEngine
from shoal.services import lobwife, stats

STARTED = monotonic_seconds()
LATE_MS = 60_000  # for content to be on its way into the vault
SHOWN = 5


def look(engine: EmbeddedEngine, daemon: Daemon) -> dict[str, Any]:
    """Whether the database takes a write, how big it is, how many tasks there are, whether each loop is alive."""
    problems: list[str] = []
    broker: dict[str, Any] = {}
    running = 0
    counts: dict[str, int] | None = None
    sizes: dict[str, int] = {}
    began = monotonic_seconds()
    try:
        engine.write(_touch)
        counts = engine.write(stats.get).counts
        sizes = engine.database.measure()
        broker, running = summary(engine)
    except ShoalError as error:
        problems.append(error.message)
    loops = daemon.report()
    told = {name: f"loop {name}: {loop['error']}" for name, loop in loops.items() if not loop["ok"]}
    problems += [text for name, text in told.items() if loops[name]["vital"]]
    return {
        "ok": not problems,
        "version": shoal.__version__,
        "database": {"kind": engine.database.kind, "address": engine.address, **sizes},
        "answered_in_ms": round((monotonic_seconds() - began) * 1000, 1),
        "tasks": counts,
        "loops": loops,
        # What lobwife told, whose probes and pages may ask still.
        "status": "error" if problems else "ok",
        "uptime": uptime(),
        "jobs_running": running,
        "broker": broker,
        "db": {"ok": counts is not None, "size_bytes": sizes.get("database_bytes", 0), "task_count": _sum(counts)},
        "supervision": daemon.supervisor.report(),
        "problems": problems,
        # A remote that is away is no reason to restart a server.
        "warnings": [text for name, text in told.items() if not loops[name]["vital"]] + _waiting(engine),
    }


def _waiting(engine: EmbeddedEngine) -> list[str]:
    late = [] if engine.settler is None else engine.settler.late(engine.clock.now_ms() - LATE_MS)
    return late[:SHOWN] + ([f"and {len(late) - SHOWN} more"] if len(late) > SHOWN else [])


def summary(engine: EmbeddedEngine) -> tuple[dict[str, Any], int]:
    """What lobwife told of its broker, and how many runs of jobs are running."""
    active, issued, lines, running = engine.read(lobwife.counts)
    app_id = engine.settings.broker.app_id
    try:
        engine.world("shoal").token_source()
        enabled = True
    except ShoalError:
        enabled = False
    told = {
        "enabled": enabled,
        "app_id": None if app_id is None else str(app_id),
        "active_tasks": active,
        "total_tokens_issued": issued,
        "audit_entries": lines,
    }
    return told, running


def uptime() -> float:
    """Seconds since this process began to serve."""
    return round(monotonic_seconds() - STARTED, 1)


def _sum(counts: dict[str, int] | None) -> int:
    return sum((counts or {}).values())


def _touch(tx: Any) -> None:
    # A real write: a full disk or a read-only folder shows here and nowhere earlier.
    tx.all("events.begin_cursor", name="health", position=0, now=tx.now)
    tx.all("events.move_cursor", name="health", position=tx.now, now=tx.now)
