"""Work that could not be pushed comes to the vault, is told of once, and is told to who works next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import BadInput, NotFound
from shoal.ledger.connect import open_ledger
from shoal.model.content import RESCUE_LIMIT
from shoal.model.session import Branch
from shoal.settings import Settings

BRANCH = Branch("acme/web", "shoal/T1-x", "b" * 40, "a" * 40, 2)
WORK: dict[str, Any] = {"repository": "acme/web", "reason": "no credentials", "branches": [BRANCH]}


@pytest.fixture
def task(ledger: Ledger) -> str:
    ledger.tasks.create(title="x", repos=["acme/web"])
    ledger.tasks.claim(worker="w", lease_seconds=60)
    return "T1"


def test_file_stands_in_the_vault_and_can_be_fetched(ledger: Ledger, task: str, tmp_path: Path) -> None:
    data = bytes(range(256)) * 100
    rescue = ledger.tasks.rescue(task, attempt=1, name="web-1.bundle", data=data, **WORK)
    assert rescue.path == "050-context/T1.1.web-1.bundle"
    assert ledger.tasks.rescued_file(task, file=str(rescue.file)).data == data
    assert (tmp_path / "vault" / rescue.path).read_bytes() == data
    assert ledger.tasks.rescues(task) == [rescue]
    (event,) = ledger.events.list(task=task, kind="task.rescued")
    assert (event.attempt, event.data["reason"], event.data["bytes"]) == (1, "no credentials", 25_600)


def test_attempt_that_lost_its_task_may_still_bring_what_it_did(ledger: Ledger, task: str) -> None:
    ledger.tasks.cancel(task)
    assert ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=b"x", **WORK).path is not None


def test_same_work_is_told_of_once(ledger: Ledger, task: str) -> None:
    first = ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=b"x", **WORK)
    assert ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=b"x", **WORK) == first
    assert len(ledger.events.list(task=task, kind="task.rescued")) == 1


def test_work_that_is_too_large_is_told_as_missing(ledger: Ledger, task: str) -> None:
    rescue = ledger.tasks.rescue(task, attempt=1, name="web.bundle", **WORK)
    assert (rescue.path, rescue.missing) == (None, "it is larger than 5,000,000 bytes")
    with pytest.raises(BadInput, match="data"):
        ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=b"x" * (RESCUE_LIMIT + 1), **WORK)


def test_without_a_vault_it_is_told_that_the_work_is_lost(tmp_path: Path) -> None:
    with open_ledger(str(tmp_path / "ledger.db"), settings=Settings(), actor="ana", create=True) as ledger:
        ledger.tasks.create(title="x")
        ledger.tasks.claim(worker="w", lease_seconds=60)
        rescue = ledger.tasks.rescue(1, attempt=1, name="web.bundle", data=b"x", **WORK)
        assert rescue.missing == "there is no vault to keep it in"
        ledger.tasks.release(1, attempt=1)
        assert "it is lost, there is no vault" in ledger.tasks.prompt(1).latest


def test_attempt_that_never_was_is_refused(ledger: Ledger, task: str) -> None:
    with pytest.raises(BadInput, match="1 attempts"):
        ledger.tasks.rescue(task, attempt=2, name="web.bundle", data=b"x", **WORK)


@pytest.mark.parametrize("name", ["../web.bundle", ".web", "a/b", "a b"])
def test_name_leads_nowhere_else(ledger: Ledger, task: str, name: str) -> None:
    with pytest.raises(BadInput, match="name"):
        ledger.tasks.rescue(task, attempt=1, name=name, data=b"x", **WORK)


def test_file_of_another_task_is_not_given_out(ledger: Ledger, task: str) -> None:
    ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=b"x", **WORK)
    other = ledger.tasks.create(title="y").task_id
    with pytest.raises(NotFound):
        ledger.tasks.rescued_file(other, file="T1.1.web.bundle")
    with pytest.raises(NotFound):
        ledger.tasks.rescued_file(task, file="T1.1.none.bundle")


def test_next_attempt_is_told(ledger: Ledger, task: str) -> None:
    ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=b"x", **WORK)
    ledger.tasks.release(task, attempt=1)
    latest = ledger.tasks.prompt(task).latest
    assert "attempt 1 could not push its work on acme/web (shoal/T1-x): no credentials" in latest
    assert "050-context/T1.1.web.bundle" in latest


def test_it_is_archived_with_its_task_and_comes_back(ledger: Ledger, task: str, tmp_path: Path) -> None:
    rescue = ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=b"x", **WORK)
    ledger.tasks.complete(task, attempt=1)
    ledger.tasks.body(task)
    ledger.tasks.archive(task)
    ledger.tasks.create(title="y")
    with pytest.raises(NotFound):
        ledger.tasks.rescued_file(task, file=str(rescue.file))
    ledger.tasks.restore(task)
    assert ledger.tasks.rescued_file(task, file=str(rescue.file)).data == b"x"
