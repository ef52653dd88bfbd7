"""Examines a home from the outside: settings, database, counters, backups, server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from shoal.daemon.built_ins import BUILT_INS
from shoal.daemon.supervisor import forge_of
from shoal.default_agent import default_agent, unusable
from shoal.errands import backup
from shoal.errands.checks import problem
from shoal.errors import AgentError, ShoalError
from shoal.ledger.connect import open_home
from shoal.ledger.embedded import EmbeddedEngine
from shoal.ledger.instance import read_instance
from shoal.model.check import Check
from shoal.model.job import BuiltIn
from shoal.services import job_summaries, manifest
from shoal.settings import GITHUB_TOKEN, Home, Settings

FREE_BYTES_WANTED = 200 * 1024 * 1024
SHOWN = 5


class Look(Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    ok: bool
    message: str


def examine(home: Home) -> list[Look]:
    """Everything there is to say about a home."""
    if not home.exists:
        return [Look("home", False, f"there is none at {home}; `shoal init` makes one")]
    findings = [Look("home", True, str(home))]
    try:
        settings = home.settings()
    except ShoalError as error:
        running = "; a server that runs keeps the settings from before" if read_instance(home) else ""
        return [*findings, Look("settings", False, f"{error.message}{running}")]
    findings.append(_space(home))
    findings.append(_forge(settings))
    findings.append(_agents(settings))
    findings += _key(home, settings)
    instance = read_instance(home)
    told = f"runs as pid {instance.pid} at {instance.url}" if instance else "does not run; `shoal serve` starts it"
    findings.append(Look("server", True, told))
    findings.append(_backups(home))
    try:
        with open_home(home, actor="shoal") as ledger:
            engine = ledger.engine
            assert isinstance(engine, EmbeddedEngine)  # noqa: S101 - a home's ledger is here
            findings += _database(engine)
            findings += _vault(engine)
            findings.append(_jobs(engine))
    except ShoalError as error:
        findings.append(Look("database", False, error.message))
    return findings


def _database(engine: EmbeddedEngine) -> Iterator[Look]:
    damage = engine.database.check()
    yield Look("database", not damage, "; ".join(damage) or f"{engine.address} passes its integrity check")
    wrong = engine.read(_blockers)
    yield Look("dependencies", not wrong, f"counters disagree for {wrong}" if wrong else "every counter agrees")
    drift = engine.write(_counts)
    yield Look("counts", not drift, f"they disagree for {drift}" if drift else "they agree with the tasks")
    wrong = engine.read(_costs)
    yield Look("costs", not wrong, f"their sums disagree for {wrong}" if wrong else "every sum is that of its calls")


def _vault(engine: EmbeddedEngine) -> Iterator[Look]:
    if engine.settler is None:
        yield Look("vault", True, "there is none; `vault` names one in the settings")
        return
    from shoal.errands import vault_check

    yield from (Look(what, not wrong, wrong or right) for what, wrong, right in vault_check.look(engine))


def _jobs(engine: EmbeddedEngine) -> Look:
    source = engine.sources.manifest
    try:
        if source is None or source.mark() is None:
            return Look("jobs", True, "there is no manifest of them")
        found = manifest.sync(engine.world("shoal"), dry_run=True)
    except ShoalError as error:
        return Look("jobs", False, error.message)
    unknown = engine.read(_unknown_built_ins)
    if unknown:
        return Look("jobs", False, f"no built-in is called as {unknown} says; `shoal job built-ins` lists them")
    if wrong := engine.read(_wrong_checks):
        return Look("jobs", False, f"{wrong}; `shoal check show` tells what a check may be told")
    return Look("jobs", True, f"the manifest is well; {found.message}")


def _unknown_built_ins(tx: Any) -> str:
    actions = [(one.job.definition.name, one.job.definition.action) for one in job_summaries.of_all(tx)]
    return ", ".join(name for name, one in actions if isinstance(one, BuiltIn) and one.name not in BUILT_INS)


def _wrong_checks(tx: Any) -> str:
    """What is wrong with the checks of jobs: their names, or their options."""
    actions = [(one.job.definition.name, one.job.definition.action) for one in job_summaries.of_all(tx)]
    wrong = [(name, problem(one)) for name, one in actions if isinstance(one, Check)]
    return "; ".join(f"job {name}: {said}" for name, said in wrong if said)


def _blockers(tx: Any) -> str:
    return ", ".join(tx.shown(row[0]) for row in tx.all("dependencies.recount", limit=SHOWN))


def _costs(tx: Any) -> str:
    return ", ".join(row[0] for row in tx.all("costs.recount", limit=SHOWN, prefix=tx.identity.prefix))


def _counts(tx: Any) -> str:
    from shoal.services import stats

    kept = {(queue, status): number for queue, found in stats.counts(tx).items() for status, number in found.items()}
    real = {(queue, status): number for queue, status, number in tx.all("stats.recount")}
    wrong = sorted(key for key in kept.keys() | real.keys() if kept.get(key, 0) != real.get(key, 0))
    return ", ".join(f"{queue}/{status}" for queue, status in wrong[:SHOWN])


def _forge(settings: Settings) -> Look:
    forge, remark = forge_of(settings)
    if forge is not None:
        return Look("forge", True, f"{forge.address}, with ${GITHUB_TOKEN}")
    return Look("forge", not os.environ.get(GITHUB_TOKEN), remark)


def _key(home: Home, settings: Settings) -> Iterator[Look]:
    if settings.broker.private_key is None:
        return
    path = home.folder / Path(settings.broker.private_key).expanduser()
    try:
        mode = path.stat().st_mode
    except OSError as error:
        yield Look("broker", False, f"broker.private_key: {path} cannot be read: {error.strerror}")
        return
    open_to_all = bool(mode & 0o007)
    told = f"everybody on this machine can read {path}; chmod 600 it" if open_to_all else f"{path} is the App's key"
    yield Look("broker", not open_to_all, told)


def _agents(settings: Settings) -> Look:
    wrong = unusable(settings)
    if wrong is not None:
        return Look("agents", False, f"no worker can use the settings: {wrong}")
    if not settings.agents:
        return Look("agents", True, "none is configured; `shoal work -- PROGRAM` needs none")
    try:
        told = f"{default_agent(settings)} takes what no other lists"
    except AgentError as error:
        told = f"only tasks that an agent lists can be worked on: {error.message}"
    return Look("agents", True, f"{', '.join(settings.agents)}; {told}")


def _space(home: Home) -> Look:
    free = shutil.disk_usage(home.folder).free
    return Look("disk", free > FREE_BYTES_WANTED, f"{free // 2**20:,} MiB free")


def _backups(home: Home) -> Look:
    found = backup.backups(home)
    if not found:
        return Look("backups", True, "none yet; a running server makes one every hour, `shoal backup` makes one now")
    return Look("backups", True, f"{len(found)}, the newest {found[0].name}")
