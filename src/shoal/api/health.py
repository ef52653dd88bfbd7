"""How the server is: /health tells the truth in 200 or 503, /metrics gives numbers to Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from shoal.clock import DAY_MS
from shoal.daemon.daemon import Daemon
from shoal.daemon.health import look
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.cost import CostSum
from shoal.model.queue import Stats
from shoal.services import costs, stats

CLAIM_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
CONFIGURATION_DAYS = 7  # how long one that is not used any more is still shown


async def health(engine: EmbeddedEngine, daemon: Daemon) -> Response:
    """200 when the database takes writes and every loop is alive, else 503 with what is wrong."""
    report = await run_in_threadpool(look, engine, daemon)
    return Response(msgspec.json.encode(report), 200 if report["ok"] else 503, media_type="application/json")


class Metrics(Collector):
    """What Prometheus reads: queue depths and ages, claim latency, how far behind the log's reader is, sizes, costs."""

    def __init__(self, engine: EmbeddedEngine, daemon: Daemon) -> None:
        self._engine = engine
        self._daemon = daemon
        self._registry = CollectorRegistry()
        self.claim_seconds = Histogram(
            "shoal_claim_seconds", "Time to answer a claim.", buckets=CLAIM_BUCKETS, registry=self._registry
        )
        self._registry.register(self)

    def response(self) -> Response:
        """GET /metrics."""
        return Response(generate_latest(self._registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    def describe(self) -> list[Metric]:
        """Nothing to say before a scrape: collecting reads the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the ledger's numbers."""
        behind = self._engine.read(_events_behind)
        found: Stats = self._engine.write(stats.get)
        tasks = GaugeMetricFamily("shoal_tasks", "Tasks by queue and status.", labels=["queue", "status"])
        for queue, by_status in found.queues.items():
            for status, number in by_status.items():
                tasks.add_metric([queue, status], number)
        yield tasks
        oldest = GaugeMetricFamily("shoal_oldest_ready_seconds", "Wait of the longest waiting task.", labels=["queue"])
        for queue, waited in found.oldest_ready_by_queue.items():
            oldest.add_metric([queue], waited / 1000)
        yield oldest
        yield GaugeMetricFamily(
            "shoal_completed_last_hour", "Tasks completed in the last hour.", found.completed_per_hour
        )
        yield GaugeMetricFamily("shoal_failed_last_hour", "Tasks failed in the last hour.", found.failed_per_hour)
        yield GaugeMetricFamily("shoal_event_lag", "Events that the counters had not read.", behind)
        for name, value in self._engine.database.measure().items():
            yield GaugeMetricFamily(f"shoal_{name}", f"Gauge of the database: {name}.", value)
        alive = GaugeMetricFamily("shoal_loop_up", "Whether a loop of the server is alive.", labels=["loop"])
        for name, loop in self._daemon.report().items():
            alive.add_metric([name], float(loop["ok"]))
        yield alive
        today = self._engine.clock.now_ms() // DAY_MS
        yield from _spending(self._engine.read(costs.by_agent), today - CONFIGURATION_DAYS)


def _events_behind(tx: Any) -> int:
    cursor = tx.one("events.cursor", name=stats.COUNTS_CURSOR)
    return int(tx.one("events.latest")[0]) - (int(cursor[0]) if cursor else 0)


def _spending(found: list[costs.AgentCosts], since: int) -> Iterator[Metric]:
    labels = ["agent", "model"]
    calls = CounterMetricFamily("shoal_model_calls", "Model calls.", labels=labels)
    unpriced = CounterMetricFamily("shoal_model_calls_unpriced", "Model calls without a known price.", labels=labels)
    money = CounterMetricFamily("shoal_cost_usd", "US dollars spent on model calls.", labels=labels)
    tokens = CounterMetricFamily("shoal_tokens", "Tokens used, by kind.", labels=[*labels, "kind"])
    for (agent, model), one in _added((one.agent, one.sum.key, one.sum) for one in found).items():
        calls.add_metric([agent, model], one.calls)
        unpriced.add_metric([agent, model], one.unpriced)
        money.add_metric([agent, model], one.cost_usd_micros / 1_000_000)
        for kind in ("input", "output", "cache_read", "cache_write"):
            tokens.add_metric([agent, model, kind], getattr(one, f"{kind}_tokens"))
    yield from (calls, unpriced, money, tokens)
    cached = GaugeMetricFamily(
        "shoal_cached_input_ratio",
        "Of the input tokens of an agent as it is configured, the share read from a cache.",
        labels=["agent", "configuration"],
    )
    for (agent, configuration), one in _added(
        (one.agent, one.configuration, one.sum) for one in found if one.last_day > since
    ).items():
        if one.all_input_tokens:
            cached.add_metric([agent, configuration], one.cache_read_tokens / one.all_input_tokens)
    yield cached


def _added(sums: Iterable[tuple[str, str, CostSum]]) -> dict[tuple[str, str], CostSum]:
    added: dict[tuple[str, str], CostSum] = {}
    for first, second, one in sums:
        before = added.get((first, second))
        added[first, second] = one if before is None else before + one
    return added
