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

BUNDLE = b"# v2 git bundle\n\nPACK"
BRANCH = Branch("acme/web", "shoal/T1-x", "b" * 40, "a" * 40, 2)
WORK: dict[str, Any] = {"repository": "acme/web", "reason": "no credentials", "branches": [BRANCH]}


@pytest.fixture
def task(ledger: Ledger) -> str:
    ledger.tasks.create(title="x", repos=["acme/web"])
    ledger.tasks.claim(worker="w", lease_seconds=60)
    return "T1"


def test_file_stands_in_the_vault_and_can_be_fetched(ledger: Ledger, task: str, tmp_path: Path) -> None:
    data = BUNDLE + bytes(range(256)) * 100
    rescue = ledger.tasks.rescue(task, attempt=1, name="web-1.bundle", data=data, **WORK)
    assert rescue.path == "050-context/T1.1.web-1.bundle"
    assert ledger.tasks.rescued_file(task, file=str(rescue.file)).data == data
    assert (tmp_path / "vault" / rescue.path).read_bytes() == data
    assert ledger.tasks.rescues(task) == [rescue]
    (event,) = ledger.events.list(task=task, kind="task.rescued")
    assert (event.attempt, event.data["reason"], event.data["bytes"]) == (1, "no credentials", len(data))


def test_attempt_that_lost_its_task_may_still_bring_what_it_did(ledger: Ledger, task: str) -> None:
    ledger.tasks.cancel(task)
    assert ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=BUNDLE, **WORK).path is not None


def test_same_work_is_told_of_once(ledger: Ledger, task: str) -> None:
    first = ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=BUNDLE, **WORK)
    assert ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=BUNDLE, **WORK) == first
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
        rescue = ledger.tasks.rescue(1, attempt=1, name="web.bundle", data=BUNDLE, **WORK)
        assert rescue.missing == "there is no vault to keep it in"
        ledger.tasks.release(1, attempt=1)
        assert "it is lost, there is no vault" in ledger.tasks.prompt(1).latest


def test_attempt_that_never_was_is_refused(ledger: Ledger, task: str) -> None:
    with pytest.raises(BadInput, match="1 attempts"):
        ledger.tasks.rescue(task, attempt=2, name="web.bundle", data=BUNDLE, **WORK)


@pytest.mark.parametrize(
    "name", ["../web.bundle", ".web", "a/b", "a b", "-x", "é", "\U0001d482" * 120, "x" * 121, "a\n"]
)
def test_name_leads_nowhere_else(ledger: Ledger, task: str, name: str) -> None:
    with pytest.raises(BadInput, match="name"):
        ledger.tasks.rescue(task, attempt=1, name=name, data=BUNDLE, **WORK)


def test_file_of_another_task_is_not_given_out(ledger: Ledger, task: str) -> None:
    ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=BUNDLE, **WORK)
    other = ledger.tasks.create(title="y").task_id
    with pytest.raises(NotFound):
        ledger.tasks.rescued_file(other, file="T1.1.web.bundle")
    with pytest.raises(NotFound):
        ledger.tasks.rescued_file(task, file="T1.1.none.bundle")


def test_next_attempt_is_told(ledger: Ledger, task: str) -> None:
    ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=BUNDLE, **WORK)
    ledger.tasks.release(task, attempt=1)
    latest = ledger.tasks.prompt(task).latest
    assert "attempt 1 could not push its work on acme/web (shoal/T1-x): no credentials" in latest
    assert "050-context/T1.1.web.bundle" in latest


def test_it_is_archived_with_its_task_and_comes_back(ledger: Ledger, task: str, tmp_path: Path) -> None:
    rescue = ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=BUNDLE, **WORK)
    ledger.tasks.complete(task, attempt=1)
    ledger.tasks.body(task)
    ledger.tasks.archive(task)
    ledger.tasks.create(title="y")
    with pytest.raises(NotFound):
        ledger.tasks.rescued_file(task, file=str(rescue.file))
    ledger.tasks.restore(task)
    assert ledger.tasks.rescued_file(task, file=str(rescue.file)).data == BUNDLE


@pytest.mark.parametrize("data", [b"gitdir: /srv/private/.git\n", b"", b"# v2 git bundle", b"zz"])
def test_bundle_that_is_none_is_refused(ledger: Ledger, task: str, data: bytes) -> None:
    with pytest.raises(BadInput, match="git bundle create"):
        ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=data, **WORK)
    assert ledger.tasks.rescue(task, attempt=1, name="web.patch", data=data, **WORK).path is not None


BAD_BRANCHES = [
    *({"head": head} for head in ("", "x", "\x00", "0" * 40, "a" * 39, "A" * 40, "HEAD", "a" * 40 + "\n")),
    *(
        {"branch": name}
        for name in ("", "q\x00", "q" * 100_000, "--all", "a:b", "a*", "a b", "a..b", "x.lock", "\ud800")
    ),
    *({"base": "\x00"}, {"repository": "a\x00"}, {"commits": -1}),
]


@pytest.mark.parametrize("wrong", BAD_BRANCHES, ids=lambda wrong: ascii(wrong)[:30])
def test_branch_that_git_cannot_have_is_refused(ledger: Ledger, task: str, wrong: dict[str, Any]) -> None:
    good = {"repository": "acme/web", "branch": "shoal/T1", "base": "", "head": "a" * 64, "commits": 1}
    for branch in (Branch(**good | wrong), good | wrong):
        with pytest.raises(BadInput):
            ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=BUNDLE, **WORK | {"branches": [branch]})
    assert ledger.tasks.rescues(task) == []
    ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=BUNDLE, **WORK | {"branches": [Branch(**good)]})


def test_session_takes_no_branch_that_git_cannot_have(ledger: Ledger, task: str) -> None:
    bad = Branch("acme/web", "shoal/T1-\x00", "b" * 40, "a" * 40)
    with pytest.raises(BadInput, match=r"branches\[0\].branch"):
        ledger.tasks.begin_session(task, attempt=1, agent="a", kind="command", branches=[bad])
    session = ledger.tasks.begin_session(task, attempt=1, agent="a", kind="command", branches=[BRANCH])
    with pytest.raises(BadInput, match=r"branches\[0\].branch"):
        ledger.sessions.end(session.id, attempt=1, outcome="completed", branches=[bad])


def test_other_work_of_the_same_name_replaces_nothing(ledger: Ledger, task: str) -> None:
    contents = [BUNDLE + end for end in (b"the only copy", b"junk", b"more")]
    sent = [ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=data, **WORK) for data in contents]
    assert [one.file for one in sent] == ["T1.1.web.bundle", "T1.1.web.2.bundle", "T1.1.web.3.bundle"]
    assert [ledger.tasks.rescued_file(task, file=str(one.file)).data for one in sent] == contents
    again = [ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=data, **WORK) for data in contents]
    assert again == sent == ledger.tasks.rescues(task)


def test_file_that_stands_in_the_place_of_a_rescue_stays(ledger: Ledger, task: str, tmp_path: Path) -> None:
    place = tmp_path / "vault" / "050-context" / "T1.1.web.bundle"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"the only copy")
    ledger.tasks.rescue(task, attempt=1, name="web.bundle", data=BUNDLE, **WORK)
    assert ledger.tasks.rescued_file(task, file="T1.1.web.bundle").data == b"the only copy"
    [other] = place.parent.glob("T1.1.web.other-*.bundle")
    assert other.read_bytes() == BUNDLE


def test_longest_name_comes_to_its_file_and_out_again(ledger: Ledger, task: str) -> None:
    name = "x" * 113 + ".bundle"
    for data in (BUNDLE, BUNDLE + b"2"):
        rescue = ledger.tasks.rescue(task, attempt=1, name=name, data=data, **WORK)
        assert ledger.tasks.rescued_file(task, file=str(rescue.file)).data == data
