"""A folder as lobwife left it: its database of either schema, its JSON files, and rows that are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apsw

BROKER_COLUMNS = ", broker_repos TEXT, broker_status TEXT, token_count INTEGER DEFAULT 0, broker_registered_at TEXT"
SCHEMA = """
CREATE TABLE schema_version (version INTEGER NOT NULL, applied_at TEXT DEFAULT (datetime('now')));
CREATE TABLE tasks (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, slug TEXT, type TEXT DEFAULT 'swe', status TEXT DEFAULT 'queued',
  priority TEXT DEFAULT 'normal', model TEXT, assigned_to TEXT, repos TEXT, discord_thread_id TEXT,
  estimate_minutes INTEGER, requires_qa INTEGER DEFAULT 0, workflow TEXT, created_at TEXT, updated_at TEXT,
  queued_at TEXT, assigned_at TEXT, completed_at TEXT{more});
CREATE TABLE task_events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, task_id INTEGER, event_type TEXT, detail TEXT, actor TEXT, created_at TEXT);
CREATE TABLE job_state (
  name TEXT PRIMARY KEY, last_run TEXT, last_status TEXT, last_duration REAL, last_output TEXT,
  run_count INTEGER DEFAULT 0, fail_count INTEGER DEFAULT 0, enabled INTEGER DEFAULT 1);
CREATE TABLE broker_tasks (
  task_id TEXT PRIMARY KEY, repos TEXT, lobster_type TEXT DEFAULT 'unknown', registered_at TEXT,
  status TEXT DEFAULT 'active', token_count INTEGER DEFAULT 0);
CREATE TABLE token_audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT, repos TEXT, action TEXT, created_at TEXT);
"""
TASKS: list[dict[str, Any]] = [
    {
        "id": 3,
        "name": "Unity UI",
        "slug": "2026-02-15-ui",
        "type": "swe",
        "status": "completed",
        "priority": "high",
        "assigned_to": "lobster-1",
        "repos": '["acme/web"]',
        "discord_thread_id": 123456789012345678,
        "estimate_minutes": 30,
        "requires_qa": 1,
        "created_at": "2026-02-15 10:00:00",
        "assigned_at": "2026-02-15T10:05:00+00:00",
        "completed_at": "2026-02-15 11:00:00",
    },
    {"id": 7, "name": "Waits", "status": "queued", "priority": "low"},
    {"id": 8, "name": "At work", "status": "active", "assigned_to": "lobster-2", "repos": '["acme/api"]'},
    {"id": 9, "name": None, "status": "odd", "priority": "whenever", "repos": "{no json", "estimate_minutes": "soon"},
]
EVENTS: list[dict[str, Any]] = [
    {"task_id": 3, "event_type": "created", "detail": "Task created", "created_at": "2026-02-15 10:00:00"},
    {"task_id": 3, "event_type": "completed", "actor": "lobster-1", "created_at": "2026-02-15 11:00:00"},
    {"task_id": 7, "event_type": "note", "created_at": "2026-02-15 11:00:00"},
    {"task_id": 7, "event_type": "note", "created_at": "2026-02-15 11:00:00"},
    {"task_id": 99, "event_type": "created"},
    {"task_id": 3, "event_type": None},
]


def database(folder: Path, version: int = 2, *, tasks: list[dict[str, Any]] = TASKS) -> Path:
    """lobmob.db, with part of it in its write-ahead log, as a daemon that was killed leaves it."""
    path = folder / "lobmob.db"
    made = folder / "made.db"
    connection = apsw.Connection(str(made))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(SCHEMA.replace("{more}", BROKER_COLUMNS if version == 2 else ""))
    connection.execute("INSERT INTO schema_version (version) VALUES (?)", (version,))
    add(connection, "tasks", tasks)
    if version == 2:
        connection.execute(
            "UPDATE tasks SET broker_repos = '[\"acme/api\"]', broker_status = 'active', token_count = 4, "
            "broker_registered_at = '2026-02-16T08:00:00+00:00' WHERE id = 8"
        )
    add(connection, "task_events", EVENTS)
    job = {"name": "task-manager", "last_run": "2026-02-16T09:00:00+00:00", "last_status": "failed"}
    add(connection, "job_state", [job | {"last_duration": 2.5, "last_output": "a\nb", "run_count": 9, "fail_count": 2}])
    add(connection, "broker_tasks", [{"task_id": "2026-02-15-ui", "repos": '["acme/web"]', "token_count": 2}])
    add(
        connection,
        "token_audit",
        [
            {
                "task_id": "T8",
                "repos": '["acme/api"]',
                "action": "token_issued",
                "created_at": "2026-02-16T08:01:00+00:00",
            }
        ],
    )
    # As it lies there while the daemon has it open: most of it only in the log.
    for suffix in ("", "-wal"):
        path.with_name(path.name + suffix).write_bytes(made.with_name(made.name + suffix).read_bytes())
    connection.close()
    made.unlink()
    return path


def add(connection: apsw.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        names = ", ".join(row)
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))


def json_files(folder: Path) -> None:
    """The files of before there was a database."""
    jobs = {
        "flush-logs": {
            "last_run": "2026-02-14T09:30:00+00:00",
            "last_status": "success",
            "last_duration": 1.5,
            "last_output": "flushed",
            "run_count": 40,
            "fail_count": 1,
            "enabled": True,
        },
        "new": {},
        "bad name": {"run_count": 1},
        "broken": None,
    }
    tasks = {
        "2026-02-14-logs": {
            "repos": ["acme/web"],
            "lobster_type": "swe",
            "registered_at": "2026-02-14T09:00:00+00:00",
            "status": "active",
            "token_count": 3,
        },
        "gone": {"repos": ["acme/web"]},
        "empty": {"repos": []},
    }
    line = {"timestamp": "2026-02-14T09:01:00.123456+00:00", "task_id": "2026-02-14-logs", "repos": ["acme/web"]}
    audit = [
        line | {"action": "task_registered"},
        line | {"action": "token_issued"},
        {"task_id": "gone", "action": "token_issued", "timestamp": "2026-02-14T09:02:00+00:00"},
        {"task_id": "gone", "action": "danced", "timestamp": "2026-02-14T09:02:00+00:00"},
        {"task_id": "gone", "action": "token_issued"},
        "no line",
    ]
    for name, content in (("jobs", jobs), ("tasks", tasks), ("token-audit", audit)):
        (folder / f"{name}.json").write_text(json.dumps(content))
