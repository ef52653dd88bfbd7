"""Runs the loads, prints the table, writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench import backlogs, vaults, workloads
from bench.bare import BareLoop
from bench.peers import runner
from bench.report import Beside, Line, others, promises, show, write
from bench.workloads import Measured
from shoal import Ledger, connect

# Other users of a machine only make things slower, so the best of several runs says most about the program.
RUNS = 3
CREATE = """
wrk.method = "POST"
wrk.body = '{"title": "a task"}'
wrk.headers["Content-Type"] = "application/json"
"""
# A thread of wrk has one connection here, so what it claimed is its own to complete.
CLAIM_AND_COMPLETE = """
local claimed = nil
wrk.headers["Content-Type"] = "application/json"
request = function()
  if claimed == nil then return wrk.format("POST", "/api/v1/tasks/claim", nil, '{"worker": "wrk"}') end
  local path = "/api/v1/tasks/" .. claimed .. "/complete"
  claimed = nil
  return wrk.format("POST", path, nil, '{"attempt": 1}')
end
response = function(status, headers, body)
  claimed = string.match(body, '"claims":%[{"task":{"id":(%d+)')
end
"""


class Bench:
    """Gathers the lines."""

    def __init__(self, seconds: float, large: int) -> None:
        self.seconds = seconds
        self.large = large
        self.lines: list[Line] = []

    def rate(
        self, what: str, operation: Callable[[int], int], *, callers: int, wanted: float | None = None
    ) -> Measured:
        """Measure operations per second."""
        print(f"  {what} ...", file=sys.stderr, flush=True)
        runs = [workloads.run(operation, callers=callers, seconds=self.seconds) for _ in range(RUNS)]
        found = max(runs, key=lambda run: run.per_second)
        latency = f"{found.p50_us:,.0f} / {found.p99_us:,.0f}"
        goal = "" if wanted is None else f"≥ {wanted:,.0f}/s"
        met = None if wanted is None else found.per_second >= wanted
        self.lines.append(Line(what, f"{found.per_second:,.0f}/s", goal, met, latency))
        return found

    def value(self, what: str, got: float, form: str, wanted: str, met: bool) -> None:
        """Note a figure that is no rate."""
        self.lines.append(Line(what, form.format(got), wanted, met))

    def sqlite(self, folder: Path) -> None:
        """The embedded ledger on SQLite, durable."""
        bare = self.rate("SQLite: bare loop, create, 16 threads", BareLoop(folder / "bare.db").operation(), callers=16)
        with connect(folder / "ledger.db", actor="bench") as ledger:
            own = self.rate("SQLite: create, 16 threads", workloads.create(ledger), callers=16, wanted=12_000)
            share = own.per_second / bare.per_second
            self.value("SQLite: create, share of the bare loop", share, "{:.0%}", "≥ 60 %", share >= 0.6)
            self.rate("SQLite: create, alone", workloads.create(ledger), callers=1)
            drain = workloads.claim_and_complete
            workloads.fill(ledger, 100_000)
            self.rate("SQLite: claim + complete, 16 threads", drain(ledger), callers=16, wanted=5_500)
            self.rate("SQLite: complete and claim next in one call, 8 threads", workloads.handover(ledger), callers=8)
            workloads.fill(ledger, 200_000)
            self.rate("SQLite: claim + complete by 100, 4 threads", drain(ledger, batch=100), callers=4)

    def postgres(self, url: str) -> None:
        """The embedded ledger on PostgreSQL, fsync on."""
        with connect(url, actor="bench") as ledger:
            self.rate("PostgreSQL: create, 16 threads", workloads.create(ledger), callers=16, wanted=6_000)
            self.rate("PostgreSQL: create, alone", workloads.create(ledger), callers=1)
            drain = workloads.claim_and_complete
            self.rate("PostgreSQL: claim + complete, 8 threads", drain(ledger), callers=8, wanted=3_500)
            self.rate(
                "PostgreSQL: complete and claim next in one call, 8 threads", workloads.handover(ledger), callers=8
            )
            workloads.fill(ledger, 200_000)
            batched = drain(ledger, batch=100)
            self.rate("PostgreSQL: claim + complete by 100, 4 threads", batched, callers=4, wanted=20_000)

    def http(self, folder: Path) -> None:
        """The server over loopback, loaded by wrk."""
        if shutil.which("wrk") is None:
            self.lines.append(Line("HTTP, 16 connections", "not measured: wrk is not installed", "", None))
            return
        with server(folder) as url:
            self._wrk(
                folder, url, "create", CREATE, lambda told: float(told.split("Requests/sec:")[1].split()[0]), 5_000
            )
            with connect(url, actor="bench") as ledger:
                workloads.fill(ledger, 40_000)
                completed = 0

                def newly_completed(_: str) -> float:
                    nonlocal completed
                    before, completed = completed, ledger.stats.get().counts["completed"]
                    return (completed - before) / self.wrk_seconds

                self._wrk(folder, url, "claim + complete", CLAIM_AND_COMPLETE, newly_completed, 2_500, threads=16)
                tasks = [{"title": "a task"}] * 1000

                def create_many(_: int) -> int:
                    return len(ledger.tasks.create_many(tasks=tasks))

                self.rate("HTTP: create by 1,000, 2 connections", create_many, callers=2, wanted=15_000)

    @property
    def wrk_seconds(self) -> int:
        """It takes whole seconds only."""
        return max(2, int(self.seconds))

    def _wrk(
        self,
        folder: Path,
        url: str,
        what: str,
        program: str,
        rate_of: Callable[[str], float],
        wanted: int,
        *,
        threads: int = 1,
    ) -> None:
        """Load from 16 connections; `rate_of` makes a rate of what wrk printed."""
        print(f"  HTTP: {what} ...", file=sys.stderr, flush=True)
        script = folder / "load.lua"
        script.write_text(program)
        command = ["wrk", f"-t{threads}", "-c16", f"-d{self.wrk_seconds}", "-s", str(script), f"{url}/api/v1/tasks"]
        runs = [
            rate_of(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(RUNS)
        ]
        rate = max(runs)
        self.lines.append(Line(f"HTTP: {what}, 16 connections", f"{rate:,.0f}/s", f"≥ {wanted:,}/s", rate >= wanted))

    def growth(self, name: str, small: Ledger, large: Ledger) -> None:
        """Whether time grows with the number of tasks, and of those in front that nobody may claim."""
        for ledger, count in ((small, 10_000), (large, self.large)):
            print(f"  {name}: {count:,} tasks ...", file=sys.stderr, flush=True)
            workloads.fill(ledger, count // 5, run_at=4_000_000_000_000, priority=0)
            workloads.fill(ledger, count // 10, hold_reason="held", priority=0)
            workloads.fill(ledger, count)
            ledger.stats.get()
            workloads.settle(ledger)
        pairs = zip(workloads.reads(small), workloads.reads(large), strict=True)
        for (what, few), (_, many) in pairs:
            before, after = workloads.median_us(few), workloads.median_us(many)
            got = f"{before:,.0f} → {after:,.0f} µs ({after / before:.2f}×)"
            title = f"{name}: {what}, 10,000 → {self.large:,} tasks"
            self.lines.append(Line(title, got, "≤ 1.5×", after <= 1.5 * before))

    def vault(self, folder: Path) -> None:
        """Content, the sync of a vault of 10,000 files, and search among 100,000 notes."""
        with vaults.opened(folder) as ledger:
            self.rate("SQLite: create with a 2 KB body, 16 threads", vaults.create_with_body(ledger), callers=16)
        with vaults.opened(folder) as ledger:
            rate = vaults.into_files(ledger)
            self.lines.append(Line("SQLite: 2 KB bodies, until each is in its file", f"{rate:,.0f} /s", "", None))
        with vaults.opened(folder) as ledger:
            print("  vault of 10,000 files ...", file=sys.stderr, flush=True)
            workloads.fill(ledger, vaults.FILES)
            for what, seconds, limit in vaults.syncs(ledger):
                got, wanted = f"{seconds * 1000:,.0f} ms", f"≤ {limit * 1000:,.0f} ms"
                self.lines.append(Line(f"vault of 10,000 files: {what}", got, wanted, seconds <= limit))
        with vaults.opened(folder) as ledger:
            print("  search ...", file=sys.stderr, flush=True)
            for what, milliseconds in vaults.searches(ledger):
                self.value(
                    f"SQLite: search 100,000 notes, {what}", milliseconds, "{:.1f} ms", "≤ 50 ms", milliseconds <= 50
                )

    def backlog(self, folder: Path) -> None:
        """Scans and a check over much."""
        folder.mkdir()
        for what, seconds, limit in backlogs.measured(folder, self.large // 10):
            print(f"  {what} ...", file=sys.stderr, flush=True)
            wanted, met = ("", None) if limit is None else (f"≤ {limit:g} s", seconds <= limit)
            self.lines.append(Line(what, f"{seconds:.2f} s", wanted, met))

    def start_up(self, folder: Path) -> None:
        """What the command line costs to start."""
        home = folder / "cli"
        # As installed: with compiled modules, whatever the environment of this run says.
        installed = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        shoal = [sys.executable, "-m", "shoal", "--home", str(home)]
        subprocess.run([*shoal, "init"], capture_output=True, check=True, env=installed)
        for what, arguments, limit in (("--help", ["--help"], 120), ("ready --json", ["ready", "--json"], 150)):
            times = []
            for _ in range(7):
                before = os.times()
                subprocess.run([*shoal, *arguments], capture_output=True, check=True, env=installed)
                after = os.times()
                spent = after.children_user + after.children_system - before.children_user - before.children_system
                times.append(spent * 1000)
            spent = sorted(times)[3]
            self.value(f"command line: shoal {what}, CPU", spent, "{:.0f} ms", f"< {limit} ms", spent < limit)

    def idle(self, folder: Path) -> None:
        """What an idle server costs."""
        with server(folder / "idle") as url:
            pid = int(json.loads((folder / "idle" / "server.json").read_bytes())["pid"])
            workloads.time.sleep(3)  # what starting up leaves to do
            before = _cpu_seconds(pid)
            print(f"  idle server at {url} ...", file=sys.stderr, flush=True)
            workloads.time.sleep(10)
            share = (_cpu_seconds(pid) - before) / 10
            memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        self.value("idle server, CPU", share, "{:.2%}", "< 1 %", share < 0.01)
        self.value("idle server, memory", memory, "{:.0f} MiB", "< 120 MB", memory < 114)


@contextmanager
def server(home: Path) -> Iterator[str]:
    """A `shoal serve` of its own."""
    command = [sys.executable, "-m", "shoal", "--home", str(home), "serve", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield process.stderr.readline().split()[3]
    finally:
        process.terminate()
        process.communicate()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure everything once."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each load runs")
    parser.add_argument("--large", type=int, default=1_000_000, help="tasks in the large ledger")
    parser.add_argument("--quick", action="store_true", help="one second each, 100,000 tasks, no page written")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="other queues beside it")
    parser.add_argument("--only-peers", action="store_true", help="nothing but those")
    given = parser.parse_args()
    bench = Bench(1.0 if given.quick else given.seconds, 100_000 if given.quick else given.large)
    beside: list[Beside] = []
    notes: list[str] = []
    gc.set_threshold(50_000, 20, 100)
    from tests.postgres import Cluster

    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as name:
        folder = Path(name)
        cluster = Cluster(Path(tempfile.gettempdir()) / f"{folder.name}-pg")
        try:
            if not given.only_peers:
                _promises(bench, folder, cluster.url)
            if given.peers or given.only_peers:
                (folder / "peers").mkdir()
                beside, notes = runner.compare(
                    folder / "peers", lambda name: _database(cluster.url, name), quick=given.quick
                )
        finally:
            cluster.close()
    show(bench.lines, beside, notes)
    if not given.quick:
        made = _made()
        first = promises(f"{made} {_how(bench.seconds)}", bench.lines) if bench.lines else ""
        write(first, others(made, beside, notes) if beside else "")


def _promises(bench: Bench, folder: Path, url: str) -> None:
    """Everything of the first table."""
    bench.sqlite(folder)
    bench.postgres(_database(url, "load"))
    bench.http(folder / "http")
    bench.vault(folder)
    bench.backlog(folder / "backlog")
    bench.start_up(folder)
    bench.idle(folder)
    with connect(folder / "small.db") as small, connect(folder / "large.db") as large:
        bench.growth("SQLite", small, large)
    with connect(_database(url, "small")) as small, connect(_database(url, "large")) as large:
        bench.growth("PostgreSQL", small, large)


def _made() -> str:
    """Where and when."""
    return (
        f"Made by `make bench` on {datetime.now(UTC).date()}: {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}; clients, server and database share the cores. SQLite with "
        "synchronous=FULL, PostgreSQL with fsync and synchronous_commit on."
    )


def _how(seconds: float) -> str:
    return (
        f"The best of {RUNS} runs of {seconds:.0f} s each. The machine's speed changes by a half from hour to hour: "
        "read figures beside that of the bare loop, which writes the same rows through apsw alone, in the same run."
    )


def _database(url: str, name: str) -> str:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.replace("/postgres?", f"/{name}?", 1)


if __name__ == "__main__":
    main()
