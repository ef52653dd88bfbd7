"""Rounds of reviews against a GitHub on loopback."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger
from shoal.adapters.forges.github import GitHub
from shoal.daemon.built_ins import review_pull_requests
from shoal.daemon.built_ins.review_pull_requests import LOCK, review
from shoal.errors import BadInput, ForgeError, ForgeUnreachable, NotConfigured
from shoal.model.session import Branch
from shoal.model.task import Task
from shoal.settings import Home, RepositorySettings, ReviewSettings, Settings
from tests.forge_api import TOKEN, ForgeApi

WEB = "acme/web"
SECRET = "pass" + 'word = "hunter2!"'
BRANCH = "shoal/T1-build-it"
Look = Callable[..., str]


@pytest.fixture
def api() -> Iterator[ForgeApi]:
    api = ForgeApi()
    api.repository()
    yield api
    api.close()


@pytest.fixture
def look(ledger: Ledger, api: ForgeApi) -> Iterator[Look]:
    github = GitHub(api.url, TOKEN)

    def look(*, own: dict[str, Any] | None = None, **given: Any) -> str:
        settings = Settings(
            review=ReviewSettings(**{"repositories": [WEB]} | given),
            repositories={WEB: RepositorySettings(**own or {})},
        )
        return review(ledger.acting_as("shoal"), github, settings)

    yield look
    github.close()


def work(ledger: Ledger, *, failed: list[str] | None = None, manual: list[str] | None = None, **given: Any) -> Task:
    """A task whose work is done and was verified: what its pull request, of the same number, has as its head."""
    criteria = [{"criterion": "tests pass", "measurable": "make test"}]
    task = ledger.tasks.create(**{"title": "Build it", "repos": [WEB], "success_criteria": criteria} | given)
    ledger.tasks.claim(worker="w1", agent="claude-1")
    left(ledger, task, 1, first_head(task.id), branch=BRANCH if task.id == 1 else f"shoal/{task.task_id}-x")
    ledger.tasks.verified(task.id, attempt=1, failed=failed or [], manual=manual or [])
    end = ledger.tasks.submit if manual else ledger.tasks.complete
    return end(task.id, attempt=1)


def left(ledger: Ledger, task: Task, attempt: int, head: str, *, branch: str = BRANCH) -> None:
    """A session of an attempt that left a branch."""
    one = Branch(repository=task.repos[0], branch=branch, base="0" * 40, head=head, commits=1)
    session = ledger.tasks.begin_session(task.id, attempt=attempt, agent="claude-1", kind="claude", branches=[one])
    ledger.sessions.end(session.id, attempt=attempt, outcome="completed", branches=[one])


def first_head(number: int) -> str:
    """The head of a pull request as the fake GitHub makes it."""
    return hashlib.sha1(f"{WEB}#{number}".encode()).hexdigest()


def proposal(api: ForgeApi, branch: str = BRANCH, *, checks: bool = True, **more: Any) -> dict[str, Any]:
    """A pull request with a harmless change whose checks passed."""
    made = api.pull(WEB, branch, **more)
    api.change(WEB, made["number"], "src/app.py", "print(7)")
    if checks:
        api.check(WEB, made["number"])
    return made


def reviews(api: ForgeApi, number: int = 1) -> list[tuple[str, str]]:
    return [
        (one["state"], one["body"].partition("<!--")[0].strip()) for one in api.repository().reviews.get(number, [])
    ]


def test_work_that_holds_is_approved_once(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    made = proposal(api)
    assert look() == f"pull requests of tasks: 1 approved\nacme/web#1 {BRANCH}: approved"
    head = made["head"]["sha"]
    assert reviews(api) == [
        ("APPROVED", f"Shoal looked at {head[:12]} for T1: paths, secrets, checks and criteria hold.")
    ]
    [event] = ledger.events.list(task=1, kind="pull_request.reviewed")
    assert (event.actor, event.data["judgement"], event.data["head"]) == ("shoal", "approved", head)
    asked = len(api.asked)
    assert look() == f"pull requests of tasks: 1 judged before\nacme/web#1 {BRANCH}: judged before"
    assert len(api.asked) == asked + 3, "the list, and what its checks say"


def test_review_that_the_ledger_never_heard_of_is_not_given_twice(
    ledger: Ledger, api: ForgeApi, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(ledger)
    proposal(api)
    with monkeypatch.context() as dying:
        dying.setattr(review_pull_requests._Round, "_tell", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            look()
    assert "1 approved" in look()
    assert len(reviews(api)) == 1
    assert len(ledger.events.list(task=1, kind="pull_request.reviewed")) == 1


def test_findings_are_told_once_and_the_secret_never(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    proposal(api)
    api.change(WEB, 1, "src/config.py", "# where", SECRET)
    api.change(WEB, 1, ".github/workflows/ci.yml", "on: push")
    api.change(WEB, 1, "src/moved.py", status="renamed", previous_filename=".github/x", patch=None, additions=0)
    report = look(allowed_paths=["src/**", ".github/**"])
    assert report.splitlines()[1:] == [
        f"acme/web#1 {BRANCH}: commented",
        "  .github/workflows/ci.yml: is a forbidden path",
        "  .github/x: is a forbidden path",
        "  src/config.py:2: a password or key in an assignment",
    ]
    [(state, text)] = reviews(api)
    assert state == "COMMENTED"
    assert "- src/config.py:2: a password or key in an assignment" in text
    [event] = ledger.events.list(task=1, kind="pull_request.reviewed")
    assert event.data["holds"] is False
    assert "hunter2" not in f"{report}{text}{event.data}"
    assert "1 judged before" in look(allowed_paths=["src/**", ".github/**"])
    assert len(reviews(api)) == 1


def test_other_rules_judge_a_commit_anew(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    proposal(api)
    assert "src/app.py: is not among the allowed paths" in look(allowed_paths=["docs/"])
    assert "1 commented" in look(allowed_paths=["docs/"], forbidden_paths=["src/*"])
    assert "1 approved" in look(allowed_paths=["docs/"], own={"allowed_paths": ["src/"]})
    assert [state for state, _ in reviews(api)] == ["COMMENTED", "COMMENTED", "APPROVED"]


def test_declared_harmless_is_let_through_and_told(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    proposal(api)
    api.change(WEB, 1, "tests/test_a.py", f"{SECRET}  # shoal: allow-secret")
    api.change(WEB, 1, "logo.png", patch=None, additions=0)
    assert "1 approved" in look()
    [(_, text)] = reviews(api)
    assert (
        "tests/test_a.py:1: a password or key in an assignment, which a comment there declares to be harmless" in text
    )
    assert "logo.png: is binary and was not looked into" in text


def test_what_cannot_be_seen_is_not_approved(
    ledger: Ledger, api: ForgeApi, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(ledger)
    proposal(api)
    api.change(WEB, 1, "data.sql", patch=None, additions=90_000)
    assert "data.sql: is too large to be looked into" in look()
    work(ledger)
    proposal(api, "shoal/T2-x")
    api.change(WEB, 2, "src/b.py", "x")
    monkeypatch.setattr(review_pull_requests, "FILES_LIMIT", 1)
    assert "it changes 2 files, and more than 1 are not looked through" in look()


def test_secret_in_a_name_is_not_told(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    proposal(api)
    token = "gh" + "p_" + "a8Kd0fJ3mQ7x" * 3
    api.change(WEB, 1, f".github/{token}.txt", SECRET)
    report = look()
    assert "file 2 (its name is not shown): a GitHub token in its name" in report
    assert token not in report + str(reviews(api))


def test_checks_under_way_are_waited_for(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    proposal(api, checks=False)
    assert "its commit has no checks yet" in look()
    run = api.check(WEB, 1, "slow", None)
    api.check(WEB, 1, "quick @ana", "failure")
    assert "  checks are under way: slow" in look()
    assert reviews(api) == []
    run |= {"status": "completed", "conclusion": "success"}
    assert "  checks failed: quick ?ana" in look()
    api.repository().checks.clear()
    api.check(WEB, 1)
    assert "1 approved" in look(), "the check was run again"
    assert [state for state, _ in reviews(api)] == ["COMMENTED", "APPROVED"]


def test_repository_without_checks_may_do_without(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    proposal(api, checks=False)
    assert "1 approved" in look(require_checks=False)


def test_secret_is_told_while_checks_are_under_way(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    proposal(api, checks=False)
    api.check(WEB, 1, "slow", None)
    api.change(WEB, 1, "a.py", SECRET)
    assert "1 commented" in look()


@pytest.mark.parametrize(
    ("given", "word", "said"),
    [
        ({"failed": ["tests pass: exit 1"]}, "commented", "1 of what T1 must fulfil did not hold"),
        ({"manual": ["looks right"]}, "left", "T1 awaits its verdict: 1 of its criteria are for a person to judge"),
        ({"requires_qa": True}, "approved", ""),
    ],
)
def test_criteria_of_the_task_decide(
    ledger: Ledger, api: ForgeApi, look: Look, given: dict[str, Any], word: str, said: str
) -> None:
    work(ledger, **given)
    proposal(api)
    report = look()
    assert f"1 {word}" in report
    assert said in report


def test_verdict_of_a_person_counts_for_the_attempt_that_it_is_about(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger, manual=["looks right"])
    proposal(api)
    assert "1 left" in look()
    ledger.tasks.review(1, approve=True)
    assert "1 approved" in look()
    ledger.tasks.reopen(1)
    api.push(WEB, 1)
    api.check(WEB, 1)
    assert "  T1 is queued" in look()
    ledger.tasks.claim(worker="w2")
    assert "  T1 is active" in look()
    left(ledger, ledger.tasks.get(1), 2, api.repository().pulls[0]["head"]["sha"])
    ledger.tasks.complete(1, attempt=2)
    assert "the success criteria of T1 were not checked" in look()


def test_failed_task_is_commented_on(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    ledger.tasks.create(title="a", repos=[WEB])
    ledger.tasks.cancel(1)
    proposal(api)
    assert "  T1 is cancelled" in look()
    assert [state for state, _ in reviews(api)] == ["COMMENTED"]


def test_commit_that_nobody_verified_is_not_approved(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    made = proposal(api)
    assert "1 approved" in look()
    api.push(WEB, 1)
    api.check(WEB, 1)
    assert f"T1 was verified at {first_head(1)[:12]}, and what was pushed since then was not" in look()
    assert [state for state, _ in reviews(api)] == ["DISMISSED", "COMMENTED"]
    assert made["head"]["sha"] != first_head(1)


def test_other_branch_of_a_finished_task_is_not_merged(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    proposal(api)
    evil = proposal(api, "shoal/T1-evil")
    report = look(merge="squash")
    assert f"T1 was verified on another branch: its sessions left {BRANCH} at {first_head(1)[:12]}" in report
    assert [one["number"] for one in api.repository().merges] == [1]
    assert evil["state"] == "open"


def test_commit_of_an_earlier_attempt_is_not_what_the_last_one_verified(
    ledger: Ledger, api: ForgeApi, look: Look
) -> None:
    work(ledger)
    proposal(api)
    ledger.tasks.reopen(1)
    ledger.tasks.claim(worker="w2")
    left(ledger, ledger.tasks.get(1), 2, "e" * 40, branch="shoal/T1-renamed")
    ledger.tasks.verified(1, attempt=2, failed=[])
    ledger.tasks.complete(1, attempt=2)
    assert "its sessions left shoal/T1-renamed at eeeeeeeeeeee" in look(merge="squash")
    assert api.repository().merges == []


@pytest.mark.parametrize("criteria", [[], [{"criterion": "tests pass", "measurable": "make test"}]])
def test_commit_that_no_session_left_needs_a_person(
    ledger: Ledger, api: ForgeApi, look: Look, criteria: list[dict[str, str]]
) -> None:
    for number in (1, 2):
        ledger.tasks.create(title="a", repos=[WEB], success_criteria=criteria)
        if number == 1:
            ledger.tasks.claim(worker="w1", task=1)
            ledger.tasks.verified(1, attempt=1, failed=[])
        ledger.tasks.complete(number, attempt=1 if number == 1 else None)
        proposal(api, f"shoal/T{number}-x")
    report = look(merge="squash")
    assert "nothing says that this is what T1 was completed with: no session of it left this commit" in report
    assert [one["number"] for one in api.repository().merges] == [2], "a person completed it"


@pytest.mark.parametrize("branch", ["shoal/T2-x", "shoal/T", "feature", "shoal/t1-x", "shoal/X1", "other/T1-x"])
def test_branches_of_no_task_are_left_alone(ledger: Ledger, api: ForgeApi, look: Look, branch: str) -> None:
    work(ledger)
    proposal(api, branch)
    proposal(api, BRANCH, owner="stranger")
    assert look() == "pull requests of tasks: none"
    assert reviews(api) == []


def test_task_that_has_no_work_in_the_repository_is_another_ledgers(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger, repos=["acme/other"])
    proposal(api)
    assert look() == "pull requests of tasks: none"


def test_own_pull_request_is_commented_on_and_merged(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    proposal(api, user={"login": api.user})
    assert "1 merged" in look(merge="squash")
    assert [state for state, _ in reviews(api)] == ["COMMENTED"]


def test_merged_once_the_task_is_completed(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger, requires_qa=True)
    made = proposal(api)
    assert "not merged: T1 awaits its verdict" in look(merge="rebase")
    ledger.tasks.review(1, approve=True)
    report = look(merge="rebase")
    assert report.splitlines()[1:] == [
        f"acme/web#1 {BRANCH}: merged",
        f"  T1 is completed, and {made['head']['sha'][:12]} is in main",
    ]
    assert api.repository().merges == [{"number": 1, "sha": made["head"]["sha"], "merge_method": "rebase"}]
    assert [state for state, _ in reviews(api)] == ["APPROVED"], "it was approved once"
    assert ledger.events.list(task=1)[0].kind == "pull_request.merged"
    assert look(merge="rebase") == "pull requests of tasks: none"


def test_only_what_was_judged_is_merged(
    ledger: Ledger, api: ForgeApi, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(ledger)
    proposal(api)
    merge = GitHub.merge

    def pushed_meanwhile(self: GitHub, *given: Any) -> str | None:
        api.push(WEB, 1)
        return merge(self, *given)

    monkeypatch.setattr(GitHub, "merge", pushed_meanwhile)
    assert "not merged: Head branch was modified" in look(merge="merge")
    assert api.repository().merges == []


@pytest.mark.parametrize("merge", ["none", "squash"])
def test_approval_is_withdrawn_when_a_check_fails_later(ledger: Ledger, api: ForgeApi, look: Look, merge: str) -> None:
    work(ledger, requires_qa=True)
    proposal(api)
    assert "1 approved" in look(merge=merge)
    late = api.check(WEB, 1, "late", None)
    assert "  checks are under way: late" in look(merge=merge)
    late |= {"status": "completed", "conclusion": "failure"}
    report = look(merge=merge)
    assert "  checks failed: late" in report
    assert f"  the approval of {first_head(1)[:12]} is withdrawn" in report
    assert [state for state, _ in reviews(api)] == ["DISMISSED", "COMMENTED"]
    assert "judged before" in look(merge=merge)
    late["conclusion"] = "success"
    assert "1 approved" in look(merge=merge), "it was run again"
    assert [state for state, _ in reviews(api)] == ["DISMISSED", "COMMENTED", "APPROVED"]
    told = [one.data["holds"] for one in ledger.events.list(task=1, kind="pull_request.reviewed")]
    assert told == [True, False, True]


def test_approval_is_withdrawn_when_a_person_rejects_the_work(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger, requires_qa=True)
    proposal(api)
    assert "1 approved" in look()
    ledger.tasks.review(1, approve=False, notes="Not like this")
    assert "  T1 is queued" in look()
    assert [state for state, _ in reviews(api)] == ["DISMISSED", "COMMENTED"]
    assert "1 left" in look()
    assert len(reviews(api)) == 2


def test_approval_that_cannot_be_withdrawn_is_outweighed(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    proposal(api)
    look()
    api.repository().may_dismiss = False
    late = api.check(WEB, 1, "late", "failure")
    report = look()
    assert f"  the approval of {first_head(1)[:12]} could not be withdrawn: " in report
    assert [state for state, _ in reviews(api)] == ["APPROVED", "CHANGES_REQUESTED"]
    assert "could not be withdrawn" in reviews(api)[1][1]
    assert "judged before" in look()
    late["conclusion"] = "success"
    api.repository().may_dismiss = True
    assert "1 merged" in look(merge="squash")
    assert [state for state, _ in reviews(api)] == ["APPROVED", "DISMISSED", "APPROVED"]


def test_what_speaks_against_merging(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    made = proposal(api)
    made["base"]["ref"] = "production"
    assert "not merged: it goes into production, and not into main" in look(merge="merge")
    made["base"]["ref"] = "main"
    asked = {"user": {"login": "bob"}, "state": "CHANGES_REQUESTED", "body": "", "commit_id": None}
    api.repository().reviews[1] += [asked, {**asked, "state": "COMMENTED"}]
    assert "not merged: bob asked for changes" in look(merge="merge")
    api.repository().reviews[1].append({**asked, "state": "APPROVED"})
    made["mergeable"] = False
    assert "not merged: Pull Request is not mergeable" in look(merge="merge")
    assert "judged before" in look(merge="merge", own={"merge": "none"})
    made["mergeable"] = True
    assert "1 merged" in look(merge="merge")


def test_approving_can_be_left_to_people(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    proposal(api)
    assert "1 commented" in look(approve=False)
    assert [state for state, _ in reviews(api)] == ["COMMENTED"]


def test_draft_is_left(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    proposal(api, draft=True)
    assert "  it is a draft" in look()


def test_repository_that_is_refused_keeps_no_other_from_being_looked_at(
    ledger: Ledger, api: ForgeApi, look: Look
) -> None:
    work(ledger)
    proposal(api)
    report = look(repositories=["acme/secret", "nowhere", WEB])
    assert "acme/secret: " in report
    assert "404" in report
    assert f"nowhere: is not on {api.url}" in report
    assert "1 approved" in report
    with pytest.raises(ForgeError, match="acme/secret"):
        look(repositories=["acme/secret"])


def test_forge_that_is_away_fails_the_run_with_what_was_done(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    proposal(api)
    api.broken = 502, {}, b"oops"
    with pytest.raises(ForgeUnreachable, match="502") as failed:
        look(repositories=[f"acme/{number}" for number in range(20)])
    assert failed.value.message.count("answers 502") == len(api.asked) == 3, "then it is asked no more"


def test_one_bad_answer_keeps_no_other_from_being_looked_at(ledger: Ledger, api: ForgeApi, look: Look) -> None:
    work(ledger)
    work(ledger)
    proposal(api)
    proposal(api, "shoal/T2-x")
    api.repository().files[1].append({"filename": "a", "status": 7})
    with pytest.raises(ForgeUnreachable, match="1 approved") as failed:
        look()
    assert "answers with something else" in failed.value.message
    assert len(reviews(api, 2)) == 1


def test_without_repositories_it_says_what_to_set(look: Look, ledger: Ledger, api: ForgeApi) -> None:
    github = GitHub(api.url, TOKEN)
    with pytest.raises(NotConfigured, match=r"repositories in \[review\]"):
        review(ledger, github, Settings())
    github.close()


def test_two_reviews_do_not_run_at_once(ledger: Ledger, look: Look) -> None:
    with ledger.lock(LOCK, owner="another server"):
        assert look() == "another review is under way; nothing was done"


def test_settings_are_as_the_guide_shows_them(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[3] / "docs/guides/jobs.md").read_text()
    [example] = [one for one in re.findall(r"```toml\n(.*?)```", guide, re.DOTALL) if "[review]" in one]
    home = Home(tmp_path)
    home.config.write_text(example)
    settings = home.settings()
    assert (settings.review.merge, settings.repositories["acme/api"].merge) == ("squash", "none")
    assert settings.review.repositories == ["acme/web", "acme/api"]
    home.config.write_text('[review]\nmerge = "octopus"\n')
    with pytest.raises(BadInput, match=r"\[review\] merge"):
        home.settings()
