"""The backlog of another tool is imported, whole, again and again; every row of it is accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal import Ledger, connect
from shoal.adapters.importers.backlogs import BACKLOGS
from shoal.errands import item_import
from shoal.errors import BadInput, ForgeError, ForgeUnreachable, NotConfigured, ShoalError
from shoal.model.item_import import System
from shoal.settings import GITHUB_TOKEN, Settings
from tests.forge_api import TOKEN, ForgeApi
from tests.served import Served


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForgeApi]:
    monkeypatch.setenv(GITHUB_TOKEN, TOKEN)
    api = ForgeApi()
    yield api
    api.close()


def run(ledger: Ledger, source: str | Path, system: System | None = None, **given: object) -> item_import.ItemImport:
    settings = given.pop("settings", Settings())
    assert isinstance(settings, Settings)
    return item_import.run(
        ledger, str(source), system=system, project="web", settings=settings, dry_run=bool(given.get("dry_run"))
    )


def issue(number: int, *blockers: int) -> str:
    dependencies = [{"issue_id": f"bd-{number}", "depends_on_id": f"bd-{one}", "type": "blocks"} for one in blockers]
    return json.dumps({"id": f"bd-{number}", "title": f"Issue {number}", "priority": 2, "dependencies": dependencies})


def test_more_than_one_batch_is_linked_across_them(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "issues.jsonl"
    lines = [issue(1, 1200, 9999), *(issue(number, number - 1) for number in range(2, 1200)), issue(1200)]
    path.write_text("\n".join([*lines, "{broken", issue(1)]))
    came = run(ledger, path)
    assert (came.rows, came.taken, came.updated, came.same, came.refused) == (1202, 1200, 0, 0, 2)
    assert came.rows == came.taken + came.updated + came.same + came.refused
    assert {one.place for one in came.told} == {"issues.jsonl:1201", "issues.jsonl:1202"}
    assert {one.reason for one in came.told if one.key} == {"bd-1 stands at issues.jsonl:1 already"}
    assert came.waiting == ["bd-9999"]
    assert ledger.items.get(1).blocked_by == ["W1200"]
    again = run(ledger, path)
    assert (again.taken, again.updated, again.same, again.refused, again.items) == (0, 0, 1200, 2, [])
    assert again.waiting == ["bd-9999"]


def test_dry_run_does_nothing(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "issues.jsonl"
    path.write_text(issue(1, 2) + "\n" + issue(2))
    came = run(ledger, path, dry_run=True)
    assert (came.taken, came.dry_run, came.waiting, list(ledger.items.list())) == (2, True, [], [])


def test_issues_of_a_repository_are_imported_without_its_pull_requests(ledger: Ledger, api: ForgeApi) -> None:
    settings = Settings(github_url=api.url)
    for number in range(1, 131):
        api.issue("acme/web", f"Issue {number}", body="depends on #1" if number == 130 else None)
    api.issue("acme/web", "A pull request", pull_request={"url": "x"})
    came = run(ledger, "acme/web", System.GITHUB, settings=settings)
    assert (came.rows, came.taken, came.refused) == (130, 130, 0)
    assert ledger.items.get(130).refs["github"] == "acme/web#130"
    assert ledger.items.get(130).blocked_by == ["W1"]
    api.repositories["acme/web"].issues[0] |= {"state": "closed", "state_reason": "completed"}
    came = run(ledger, "acme/web", System.GITHUB, settings=settings)
    assert (came.updated, came.same, ledger.items.get(1).status) == (1, 129, "done")


def test_file_of_gh_and_the_api_are_the_same_issues(ledger: Ledger, api: ForgeApi, tmp_path: Path) -> None:
    api.issue("acme/web", "Crash")
    run(ledger, "acme/web", System.GITHUB, settings=Settings(github_url=api.url))
    path = tmp_path / "issues.json"
    of_gh = {"number": 1, "title": "Crash", "state": "OPEN", "url": "https://github.com/acme/web/issues/1"}
    path.write_text(json.dumps([of_gh]))
    assert run(ledger, path).same == 1


def test_what_github_refuses_is_told(
    ledger: Ledger, api: ForgeApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = Settings(github_url=api.url)
    with pytest.raises(ForgeError, match="404"):
        run(ledger, "acme/gone", System.GITHUB, settings=settings)
    monkeypatch.setenv(GITHUB_TOKEN, "wrong")
    with pytest.raises(ForgeUnreachable, match="does not take the token"):
        run(ledger, "acme/web", System.GITHUB, settings=settings)
    monkeypatch.delenv(GITHUB_TOKEN)
    with pytest.raises(NotConfigured, match="SHOAL_GITHUB_TOKEN is not set"):
        run(ledger, "acme/web", System.GITHUB, settings=settings)
    with pytest.raises(BadInput, match="for the issues of a repository say --from github"):
        run(ledger, "acme/web")
    with pytest.raises(BadInput, match="there is no"):
        run(ledger, tmp_path / "nothing.yaml", System.QUEUE_YAML)


def test_ledger_elsewhere_takes_a_backlog_of_here(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "issues.jsonl"
    path.write_text("\n".join([issue(1, 2), issue(2)]))
    served = Served(ledger, tmp_path / "home")
    try:
        with connect(served.url) as remote:
            assert run(remote, path).taken == 2
            assert run(remote, path).same == 2
    finally:
        served.close()
    assert ledger.items.get(1).blocked_by == ["W2"]


def test_every_backlog_that_is_offered_can_be_read() -> None:
    assert set(BACKLOGS) == set(System)


@pytest.mark.parametrize("source", ["x" * 5000, "~nobody-of-this-name/x.jsonl", "\udcff.jsonl", "."])
def test_path_that_leads_nowhere_is_told(ledger: Ledger, source: str) -> None:
    for system in (None, *System):
        with pytest.raises(ShoalError):
            run(ledger, source, system)
