"""Built-ins as jobs fire them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger
from shoal.adapters.forges.github import GitHub
from shoal.daemon.built_ins import BUILT_INS, described
from shoal.daemon.built_ins.review_pull_requests import review
from shoal.errands import backup
from shoal.errors import BadInput
from shoal.ledger import sources
from shoal.model.built_in import OPTIONS
from shoal.settings import Home, RepositorySettings, ReviewSettings
from tests.conftest import FakeClock
from tests.daemon.built_ins.conftest import Fire
from tests.daemon.built_ins.test_review_pull_requests import BRANCH, proposal, reviews, work
from tests.daemon.supervised import MINUTE, WEB, orphan
from tests.forge_api import TOKEN, ForgeApi
from tests.postgres import PROGRAMS


@pytest.fixture(autouse=True)
def _with_the_servers_own_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def with_github(api: ForgeApi, open_at: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv("SHOAL_GITHUB_TOKEN", TOKEN)
    review = ReviewSettings(repositories=[WEB])
    return open_at(github_url=api.url, review=review, repositories={WEB: RepositorySettings()})


def test_every_built_in_is_described_with_its_options() -> None:
    assert [one.name for one in described()] == sorted(BUILT_INS)
    assert set(OPTIONS) == set(BUILT_INS)
    for one in described():
        assert one.description.endswith("."), one
        assert all(one.options.values()), one


def test_review_runs_as_a_job(with_github: Ledger, api: ForgeApi, fire: Fire) -> None:
    work(with_github)
    proposal(api)
    found = fire(with_github, "review_pull_requests")
    assert (found.status, found.reason) == ("success", None)
    assert found.output == f"pull requests of tasks: 1 approved\nacme/web#1 {BRANCH}: approved"
    assert [state for state, _ in reviews(api)] == ["APPROVED"]


def test_review_without_a_token_says_what_is_missing(
    ledger: Ledger, fire: Fire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOAL_GITHUB_TOKEN", raising=False)
    found = fire(ledger, "review_pull_requests")
    assert found.status == "failed"
    assert "set $SHOAL_GITHUB_TOKEN" in str(found.reason)


def test_backup_names_its_file_and_keeps_as_many_as_it_is_told(
    ledger: Ledger, clock: FakeClock, fire: Fire, home: Home
) -> None:
    for _ in range(3):
        clock.advance(1)
        found = fire(ledger, "backup", keep=2)
        assert found.status == "success", found.reason
    kept = backup.backups(home)
    assert len(kept) == 2
    assert found.output == f"{kept[0]}: {kept[0].stat().st_size:,} bytes; 2 backups kept"


def test_backup_that_cannot_be_made_says_why(
    open_at: Callable[..., Ledger], fire: Fire, home: Home, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    ledger = open_at()
    if "://" in address:
        monkeypatch.setenv("PATH", "/nowhere")
        expected = "pg_dump is not on PATH"
    else:
        home.folder.mkdir()
        home.backups.write_text("a file")
        expected = "the backup cannot be written"
    found = fire(ledger, "backup")
    assert (found.status, expected in str(found.reason)) == ("failed", True), found.reason


def test_backups_of_one_moment_do_not_disturb_each_other(ledger: Ledger, home: Home) -> None:
    engine: Any = ledger.engine
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: backup.tick(engine, home), range(4)))
    assert backup.backups(home) == [made[0]]
    assert list(home.backups.iterdir()) == [made[0]]


def test_supervision_tells_what_it_did(with_github: Ledger, clock: FakeClock, api: ForgeApi, fire: Fire) -> None:
    assert fire(with_github, "supervise").output == "nothing to do"
    orphan(with_github, clock)
    made = api.pull(WEB, "shoal/T1-build-it")
    with_github.tasks.create(title="Long", repos=[], estimate_minutes=1)
    with_github.tasks.claim(worker="w2", lease_seconds=1000 * MINUTE)
    clock.advance(100 * MINUTE)
    found = fire(with_github, "supervise")
    assert str(found.output).splitlines() == [
        "T1: attempt 1 taken back, now review",
        "T2: attempt 1 warned of, it takes too long",
    ], made
    clock.advance(100 * MINUTE)
    assert str(fire(with_github, "supervise").output).splitlines() == [
        "T2: attempt 1 failed, it takes too long",
    ]


def test_supervision_leaves_a_round_that_is_under_way_alone(
    ledger: Ledger, fire: Fire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOAL_GITHUB_TOKEN", raising=False)
    with ledger.lock("supervision", ttl_seconds=60):
        found = fire(ledger, "supervise")
    assert found.status == "success"
    assert str(found.output).splitlines()[-1] == "another round is under way; nothing was done"
    assert str(found.output).startswith("$SHOAL_GITHUB_TOKEN is not set")


@pytest.mark.parametrize(
    ("name", "options", "field", "said"),
    [
        ("backup", {"kep": 3}, "kep", "option kep of backup: there is no such option; did you mean keep?"),
        ("backup", {"keep": "3"}, "keep", "option keep of backup: Expected `int | null`, got `str`"),
        ("backup", {"keep": 0}, "keep", "option keep of backup: Expected `int` >= 1"),
        ("supervise", {"hard": True}, "hard", "option hard of supervise: there is no such option"),
        ("flush_logs", {"compress": 1}, "compress", "option compress of flush_logs: Expected `bool`, got `int`"),
    ],
)
def test_wrong_option_is_refused_when_the_job_is_made(
    ledger: Ledger, name: str, options: dict[str, Any], field: str, said: str
) -> None:
    action = {"kind": "built_in", "name": name, "options": options}
    with pytest.raises(BadInput) as caught:
        ledger.jobs.create(name="nightly", schedule="@daily", action=action)
    assert (caught.value.message, caught.value.field) == (said, f"action.options.{field}")
    assert not ledger.jobs.list()


def test_wrong_option_of_a_job_made_before_is_told_by_its_run(
    ledger: Ledger, fire: Fire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.services.jobs.options_of", lambda _: None)
    found = fire(ledger, "backup", kep=3)
    assert found.status == "failed"
    assert found.reason == "job backup-1: option kep of backup: there is no such option; did you mean keep?"


def test_wrong_option_in_a_manifest_is_told_with_its_line(open_at: Callable[..., Ledger], tmp_path: Path) -> None:
    manifest = tmp_path / "jobs.toml"
    manifest.write_text('[jobs.nightly]\nschedule = "@daily"\nbuilt_in = "backup"\noptions = { kep = 3 }\n')
    ledger = open_at()
    engine: Any = ledger.engine
    engine.sources = sources.sources_of(Home(tmp_path), lambda: engine.settings, engine.clock)
    with pytest.raises(BadInput, match=r"jobs\.toml, line 4: job nightly: option kep of backup: there is no such"):
        ledger.jobs.sync()


def test_review_that_is_to_end_leaves_what_it_has_not_begun(with_github: Ledger, api: ForgeApi) -> None:
    work(with_github)
    work(with_github)
    proposal(api)
    proposal(api, "shoal/T2-build-it")
    github = GitHub(api.url, TOKEN)
    settings: Any = with_github.engine.settings  # type: ignore[attr-defined]
    told = review(with_github.acting_as("shoal"), github, settings, stopping=lambda: bool(reviews(api)))
    github.close()
    assert told == f"pull requests of tasks: 1 approved\nacme/web#1 {BRANCH}: approved"
    assert reviews(api, 2) == []
