"""Five servers whose clocks are set back and forth, killed and restarted: each slot is entered once, by its policy.

SHOAL_TEST_CLOCK_SECONDS lets it go on for longer than the usual 12 seconds a database.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger
from shoal.model.built_in import OPTIONS
from shoal.services.slots import timetable
from tests.conftest import START_MS, FakeClock, wait_until
from tests.fleet import environment

SECONDS = float(os.environ.get("SHOAL_TEST_CLOCK_SECONDS", "12"))
SPEED = 240.0
SERVERS, JOBS = 5, 50
SCHEDULES = [
    ("*/5 * * * *", "Europe/Berlin"),
    ("every 300s", "UTC"),
    ("*/7 * * * *", "America/New_York"),
    ("@hourly", "UTC"),
    ("every 450s", "UTC"),
    ("0,20,40 * * * *", "Asia/Kathmandu"),
]


def definitions(done: Path) -> list[dict[str, Any]]:
    return [
        {
            "name": f"j{number:02}",
            "schedule": SCHEDULES[number % len(SCHEDULES)][0],
            "timezone": SCHEDULES[number % len(SCHEDULES)][1],
            "action": {"kind": "built_in", "name": "note", "options": {"file": str(done)}},
            "catch_up": ["none", "last", "all"][number % 3],
            "overlap": ["forbid", "allow", "replace"][number // 3 % 3],
            "max_attempts": 5,
            "backoff_seconds": 1,
        }
        for number in range(JOBS)
    ]


@pytest.mark.timeout(120 + 3 * SECONDS)
def test_each_slot_is_entered_once_by_five_servers_whose_clocks_jump(
    address: str,
    open_at: Callable[..., Ledger],
    clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(OPTIONS, "note", dict)
    ledger = open_at()
    done = tmp_path / "done"
    for one in definitions(done):
        ledger.jobs.create(**one)
    chance, began = random.Random(SECONDS), time.monotonic()
    seeds = iter(range(10_000))

    def start() -> subprocess.Popen[bytes]:
        given = [address, str(tmp_path / "home"), str(START_MS), str(began), str(SPEED), str(next(seeds))]
        root = Path(__file__).parents[1]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.clockwork", *given], cwd=root, env=environment(), stdout=subprocess.PIPE
        )

    def heard(server: subprocess.Popen[bytes]) -> None:
        assert server.stdout is not None
        assert server.stdout.readline()

    servers = [start() for _ in range(SERVERS)]
    fresh: dict[int, subprocess.Popen[bytes]] = {}
    try:
        for server in servers:
            heard(server)
        until = time.monotonic()
        end = until + SECONDS
        while until < end:
            until += chance.uniform(1.5, 4.0)
            wait_until(lambda until=until: time.monotonic() > until)
            victim = chance.randrange(SERVERS)
            servers[victim].kill()
            servers[victim].communicate()
            servers[victim] = start()
            fresh[victim] = servers[victim]
        wait_until(lambda: all(job.last_slot is not None for job in ledger.jobs.list(limit=1000)), seconds=60)
        for server in fresh.values():
            heard(server)
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.communicate(timeout=60)
    assert [server.returncode for server in servers] == [0] * SERVERS
    check(ledger, done)


def check(ledger: Ledger, done: Path) -> None:
    runs, cursor = [], None
    while True:
        page = ledger.runs.list(limit=1000, cursor=cursor)
        runs += page
        if (cursor := page.next) is None:
            break
    missed, after = defaultdict(list), 0
    while events := ledger.events.list(after=after, kind="job.missed", limit=1000):
        after = events[-1].id
        for event in events:
            missed[event.data["job"]].append(event.data)
    entered = 0
    for job in ledger.jobs.list(limit=1000):
        definition = job.definition
        rows = [run for run in runs if run.job == definition.name]
        ran = Counter(run.slot for run in rows if run.attempt == 1)
        assert set(ran.values()) <= {1}, "one row a slot"
        assert job.last_slot is not None, "an hour has passed"
        plan = timetable(definition.schedule, definition.timezone)
        slots, slot = [], plan.after(START_MS)
        while slot is not None and slot <= job.last_slot:
            slots.append(slot)
            slot = plan.after(slot)
        given_up = Counter(
            slot for slot in slots for one in missed[definition.name] if one["from"] <= slot <= one["to"]
        )
        assert sum(one["count"] for one in missed[definition.name]) == sum(given_up.values())
        assert ran + given_up == Counter(slots), f"{definition.name}: each slot once, run or told as missed"
        assert job.next_fire_at == slot
        if definition.catch_up == "none":
            assert not [run for run in rows if run.cause == "catch_up"]
        if definition.catch_up == "all":
            assert not given_up or len(slots) > 64
        entered += len(slots)
        if definition.overlap != "allow":
            assert sum(run.status == "running" for run in rows) <= 1
        assert job.run_count >= sum(run.status == "success" for run in rows)
    assert entered > 10 * JOBS
    lines = Counter(line for line in done.read_text().splitlines())
    assert set(lines.values()) == {1}, "no run was done twice"
    finished = {f"{run.job} {run.slot} {run.attempt} {run.id}" for run in runs if run.status == "success"}
    assert finished <= set(lines)
    assert len({line.rpartition(" ")[2] for line in lines}) == len(lines)
    # What runs still was its server's when that was killed.
    assert all(run.status != "running" or run.attempt < 5 for run in runs)
