"""The manifest and the ledger: what a sync changes, what a server takes up by itself, and what is told of mistakes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from shoal import Ledger
from shoal.adapters.manifests.manifests import read
from shoal.adapters.manifests.written import Text
from shoal.errors import BadInput, Duplicate, NotConfigured
from shoal.model.event import Kind
from shoal.model.manifest import Manifest, Synced
from shoal.services import manifest
from tests.conftest import FakeClock

SWEEP = '[jobs.sweep]\nschedule = "@daily"\ncommand = "sweep.sh"\n'
OTHER = SWEEP.replace("sweep]", "other]")


class Written:
    """A manifest that is in memory."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self) -> Manifest:
        return read([Text("jobs.toml", self.text.encode())])

    def mark(self) -> str:
        return self.text


@pytest.fixture
def written(ledger: Ledger) -> Written:
    written = Written()
    ledger.engine.sources.manifest = written  # type: ignore[attr-defined]
    return written


@pytest.fixture
def follow(ledger: Ledger, written: Written) -> Callable[[], Synced | None]:
    return lambda: manifest.follow(ledger.engine.world("shoal"), written())  # type: ignore[attr-defined]


def kinds(ledger: Ledger) -> list[str]:
    return [event.kind for event in ledger.events.list() if event.kind.startswith("job")]


def test_sync_tells_what_it_changed(ledger: Ledger, written: Written, make_job: Any, clock: FakeClock) -> None:
    make_job("own")
    written.text = SWEEP + OTHER
    found = ledger.jobs.sync()
    assert (found.success, found.message, len(found.sha)) == (True, "2 added", 40)
    assert (found.jobs_added, found.jobs_removed) == (["other", "sweep"], [])
    written.text = SWEEP.replace("@daily", "@hourly") + "timeout_seconds = 7\n"
    planned = ledger.jobs.sync(dry_run=True)
    assert planned.message == "would be: 1 removed, 1 rescheduled, 1 changed"
    assert [(one.job, one.kind, one.fields) for one in planned.changes] == [
        ("other", "removed", {}),
        ("sweep", "changed", {"schedule": ["@daily", "@hourly"], "timeout_seconds": [300, 7]}),
    ]
    assert ledger.jobs.get("sweep").definition.timeout_seconds == 300
    found = ledger.jobs.sync()
    assert (found.jobs_removed, found.jobs_rescheduled, found.jobs_changed) == (["other"], ["sweep"], ["sweep"])
    assert (found.changes, ledger.jobs.sync().message) == (planned.changes, "nothing to change")
    assert [(one.definition.name, one.source) for one in ledger.jobs.list()] == [("own", "api"), ("sweep", "manifest")]


def test_bad_manifest_changes_nothing_and_is_told_with_its_line(
    ledger: Ledger, written: Written, make_job: Any
) -> None:
    make_job("own")
    written.text = SWEEP
    ledger.jobs.sync()
    for text, error, reason in [
        (OTHER + SWEEP.replace("@daily", "61 * * * *"), BadInput, "jobs.toml, line 5: job sweep: "),
        (OTHER + SWEEP + 'timezone = "Mars/Base"\n', BadInput, "jobs.toml, line 7: job sweep: .*Mars/Base"),
        (OTHER + SWEEP.replace("sweep]", "own]"), Duplicate, "jobs.toml, line 4: there is a job own already, of api"),
        (OTHER + SWEEP.replace("sweep]", "sync]"), BadInput, "jobs.toml, line 4: job sync: .*choose another name"),
        (OTHER + "[jobs.x]\n", BadInput, "jobs.toml, line 4: job x: it does nothing"),
        (OTHER + "[", BadInput, "jobs.toml, line 4: "),
    ]:
        written.text = text
        for dry_run in (True, False):
            with pytest.raises(error, match=reason):
                ledger.jobs.sync(dry_run=dry_run)
        assert [job.definition.name for job in ledger.jobs.list()] == ["own", "sweep"]


def test_server_takes_up_another_manifest_and_leaves_what_people_changed_under_the_same(
    ledger: Ledger, written: Written, follow: Any
) -> None:
    written.text = SWEEP + OTHER
    assert follow().jobs_added == ["other", "sweep"]
    ledger.jobs.disable("sweep")
    ledger.jobs.remove("other")
    assert follow() is None
    written.text = "# a remark\n" + SWEEP + OTHER
    assert follow() is None
    assert not ledger.jobs.get("sweep").definition.enabled
    written.text += "timeout_seconds = 7\n"
    assert (follow().jobs_added, ledger.jobs.get("sweep").definition.enabled) == (["other"], True)


def test_problem_is_told_once_and_again_when_it_comes_back(ledger: Ledger, written: Written, follow: Any) -> None:
    def tell(reason: str) -> None:
        ledger.engine.write(lambda tx: manifest.tell_problem(tx, reason=reason))  # type: ignore[attr-defined]

    tell("jobs.toml, line 4: wrong")
    tell("jobs.toml, line 4: wrong")
    [event] = ledger.events.list()
    assert (event.kind, event.data) == (Kind.JOBS_REFUSED, {"reason": "jobs.toml, line 4: wrong", "line": 4})
    assert follow() is not None
    tell("jobs.toml, line 4: wrong")
    assert follow() is None
    tell("jobs.toml, line 4: wrong")
    assert kinds(ledger).count(Kind.JOBS_REFUSED) == 3


def test_servers_that_see_a_change_at_once_apply_it_once(ledger: Ledger, written: Written, follow: Any) -> None:
    written.text = "".join(SWEEP.replace("sweep]", f"j{number}]") for number in range(10))
    barrier = threading.Barrier(4)
    wrong: list[Exception] = []

    def run() -> None:
        barrier.wait()
        try:
            follow()
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert kinds(ledger) == [Kind.JOB_CREATED] * 10


def test_ledger_without_a_home_says_so(ledger: Ledger) -> None:
    with pytest.raises(NotConfigured, match="without a home"):
        ledger.jobs.sync()
