"""Runs the peers one after the other, each on a database of its own, and sets their figures beside Shoal's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.peers import environments, own
from bench.peers.environments import NotMeasured, Peer
from bench.peers.harness import SAMPLES, Sizes
from bench.report import Beside

QUICK = Sizes(seconds=0.5, drain=3_000, batched=20_000, large=100_000)
TIME_LIMIT = 120
NOTES = [
    "Ratios above 1 are in Shoal's favour: its rate by the peer's, the peer's time by its own. Figures of peers and of "
    "Shoal are from the same run, and one run only: ± 30 %.",
    "Shoal: threads at one ledger in one process; each job keeps its row and an event for each change. Batches are "
    "claimed and completed by 100 in 4 threads. A drain takes, does nothing and completes, job by job.",
    "Where a framework's own loop runs the jobs, the rate is counted from the first handled job to the last, and what "
    "was handled is checked to be completed when its workers have stopped. Backlogs of peers are multiplied rows; "
    "after filling a database is vacuumed and analyzed, Shoal's too.",
]


def compare(folder: Path, database: Callable[[str], str], *, quick: bool = False) -> tuple[list[Beside], list[str]]:
    """Measure every peer that can be had here; what cannot, or what fails, has a row that says so."""
    sizes = QUICK if quick else Sizes()
    ready, rows = [], []
    for peer in environments.PEERS:
        _progress(f"environment of {peer.name}")
        try:
            environments.prepare(peer)
            ready.append(peer)
        except NotMeasured as reason:
            rows.append(Beside(peer.store, "", _title(peer), f"not measured: {reason}", ""))
    places: dict[str, Callable[[str], str | Path]] = {
        "SQLite": lambda name: folder / f"{name}.db",
        "PostgreSQL": lambda name: database(f"own_{name}"),
    }
    measured: list[Beside] = []
    for store in places:
        peers = [peer for peer in ready if peer.store == store]
        if peers:
            _progress(f"{store}: Shoal")
            figures = own.measure(places[store], sizes)
        for peer in peers:
            _progress(f"{store}: {peer.name}")
            where = str(folder) if store == "SQLite" else database(peer.name.replace("-", "_"))
            told, failure = _run(peer, where, sizes)
            measured += [_beside(peer, line, figures) for line in told]
            if failure:
                measured.append(Beside(store, "", _title(peer), f"failed: {failure}", ""))
    waiting = (
        f"A drain begins with {sizes.drain:,} jobs waiting, one in batches with {sizes.batched:,}; each load runs "
    )
    waiting += f"{sizes.seconds:g} s, latency over at most {SAMPLES} jobs."
    notes = [*NOTES, waiting, *(f"{peer.name}: {peer.notes}" for peer in ready)]
    return measured + rows, notes


def _run(peer: Peer, where: str, sizes: Sizes) -> tuple[list[dict[str, Any]], str]:
    """What it told, and why it ended early, if it did."""
    command = [*peer.command(), where, json.dumps(asdict(sizes))]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    failure = ""
    try:
        out, errors = process.communicate(timeout=TIME_LIMIT)
        if process.returncode:
            failure = environments.reason(errors) or f"exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with its children
        out, _ = process.communicate()
        failure = f"no end after {TIME_LIMIT} s"
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")], failure


def _beside(peer: Peer, line: dict[str, Any], figures: own.Figures) -> Beside:
    workload, workers, backlog = line["workload"], line["workers"], line["backlog"]
    mine = figures[workload, 0 if workload == "batched" else max(workers, 1), backlog]
    what = {
        "enqueue": f"create, {workers} caller{'s' * (workers > 1)}",
        "bulk": "create by 1,000",
        "drain": f"drain, {workers} worker{'s' * (workers > 1)}",
        "batched": "drain in batches",
        "latency": f"claim + complete, {backlog:,} waiting, p50 / p99",
    }[workload]
    if line["per_second"] is None:
        ratio, figure = "", line["notes"]
    elif workload == "latency":
        ratio = f"{line['p50_us'] / mine.p50_us:.2f} / {line['p99_us'] / mine.p99_us:.2f}"
        figure = f"{line['p50_us']:,.0f} / {line['p99_us']:,.0f} µs"
    else:
        ratio, figure = f"{mine.per_second / line['per_second']:.2f}", f"{line['per_second']:,.0f}/s"
    if line["notes"] and line["per_second"]:
        figure += f" ({line['notes']})"
    shown = f"{mine.p50_us:,.0f} / {mine.p99_us:,.0f} µs" if workload == "latency" else f"{mine.per_second:,.0f}/s"
    return Beside(f"{peer.store}: {what}", shown, _title(peer), figure, ratio)


def _title(peer: Peer) -> str:
    return f"{peer.name} {peer.version}"


def _progress(what: str) -> None:
    print(f"  {what} ...", file=sys.stderr, flush=True)
