"""GitHub's answers, the good and the bad ones, from a server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from shoal.adapters.forges.forge import Checks, PullRequest, Review, Verdict, is_branch_of
from shoal.adapters.forges.github import GitHub, configured
from shoal.errors import ForgeError, ForgeUnreachable
from tests.conftest import FakeClock
from tests.forge_api import TOKEN, ForgeApi

WEB = "acme/web"


@pytest.fixture
def api() -> Iterator[ForgeApi]:
    api = ForgeApi()
    yield api
    api.close()


@pytest.fixture
def github(api: ForgeApi) -> Iterator[GitHub]:
    github = GitHub(api.url, TOKEN)
    yield github
    github.close()


@pytest.mark.parametrize(
    ("branch", "is_its"),
    [
        ("shoal/T42", True),
        ("shoal/T42-fix-login", True),
        ("shoal/T421-fix", False),
        ("shoal/T4-2", False),
        ("shoal/T4", False),
        ("shoal/t42-fix", False),
        ("feature/shoal/T42-fix", False),
        ("shoal/T42/fix", False),
    ],
)
def test_branch_belongs_to_exactly_one_task(branch: str, is_its: bool) -> None:
    assert is_branch_of("T42", branch) is is_its


def test_open_pull_request_of_a_branch(api: ForgeApi, github: GitHub) -> None:
    api.pull(WEB, "shoal/T4-x")
    api.pull(WEB, "shoal/T42-x", state="closed")
    made = api.pull(WEB, "shoal/T42-x")
    found = github.open_pull_request(WEB, "shoal/T42-x")
    assert found is not None
    assert (found.number, found.url, found.branch, found.base) == (3, made["html_url"], "shoal/T42-x", "main")
    assert github.open_pull_request(WEB, "shoal/T42") is None
    assert [one.state for one in github.pull_requests(WEB, "shoal/T42-x")] == ["open", "closed"]


def test_merged_pull_request_is_not_open(api: ForgeApi, github: GitHub) -> None:
    api.pull(WEB, "shoal/T1-x", state="closed", merged_at="2026-01-01T00:00:00Z")
    assert github.open_pull_request(WEB, "shoal/T1-x") is None
    assert github.pull_requests(WEB, "shoal/T1-x")[0].state == "merged"


def test_pull_requests_of_a_task_go_by_their_branches_alone(api: ForgeApi, github: GitHub) -> None:
    api.pull(WEB, "other", title="T42: fix", body="shoal/T42-x closes T42")
    api.pull(WEB, "shoal/T421-x")
    api.pull(WEB, "shoal/T42-y", owner="stranger")
    api.pull(WEB, "shoal/T42-gone", owner="gone", head={"ref": "shoal/T42-gone", "repo": None})
    assert github.open_pull_requests(WEB, "T42") == []
    api.pull(WEB, "shoal/T42-x")
    assert [one.number for one in github.open_pull_requests(WEB, "T42")] == [5]
    assert len(api.asked) == 3, "one request, and one per branch"


def test_every_page_is_read(api: ForgeApi, github: GitHub) -> None:
    api.pull(WEB, "shoal/T1-x")
    for _ in range(250):
        api.pull(WEB, "shoal/T1-x", state="closed")
    found = github.open_pull_request(WEB, "shoal/T1-x")
    assert found is not None
    assert found.number == 1
    assert len(api.asked) == 3


def test_branch_is_ahead_only_where_both_exist(api: ForgeApi, github: GitHub) -> None:
    api.repository().ahead = {"shoal/T1-#x%20y": 2, "shoal/T2-x": 0}
    assert github.is_ahead(WEB, "main", "shoal/T1-#x%20y")
    assert not github.is_ahead(WEB, "main", "shoal/T2-x")
    assert not github.is_ahead(WEB, "main", "shoal/T3-x")
    assert not github.is_ahead(WEB, "elsewhere", "shoal/T1-x")


def test_branches_of_a_task(api: ForgeApi, github: GitHub) -> None:
    api.repository().ahead = {"shoal/T1-a": 1, "shoal/T1": 0, "shoal/T12-b": 1, "main": 0}
    assert github.branches(WEB, "T1") == ["shoal/T1-a", "shoal/T1"]
    api.repository().default_branch = "trunk"
    assert github.default_branch(WEB) == "trunk"


def test_pull_request_is_opened_once(api: ForgeApi, github: GitHub) -> None:
    api.repository().ahead = {"shoal/T1-a": 1}
    given = (WEB, "shoal/T1-a", "main", "T1: Größe", "text")
    first, second = github.create_pull_request(*given), github.create_pull_request(*given)
    assert first == second
    assert (first.number, first.title, first.state) == (1, "T1: Größe", "open")
    assert api.repositories[WEB].pulls[0]["body"] == "text"


@pytest.mark.parametrize(("branch", "reason"), [("shoal/T1-same", "No commits between"), ("shoal/T9", "invalid")])
def test_refused_pull_request_says_why(api: ForgeApi, github: GitHub, branch: str, reason: str) -> None:
    api.repository().ahead = {"shoal/T1-same": 0}
    with pytest.raises(ForgeError, match=reason) as refused:
        github.create_pull_request(WEB, branch, "main", "t", "b")
    assert not isinstance(refused.value, ForgeUnreachable)


def test_unknown_repository_is_refused_and_others_go_on(api: ForgeApi, github: GitHub) -> None:
    api.repository()
    with pytest.raises(ForgeError, match="404 to GET /repos/acme/secret/git/matching-refs/heads/shoal/T1: Not Found"):
        github.open_pull_requests("acme/secret", "T1")
    assert github.open_pull_requests(WEB, "T1") == []


def test_refused_token_is_not_told(api: ForgeApi) -> None:
    wrong = GitHub(api.url, "ghs_wrong_but_secret")
    with pytest.raises(ForgeUnreachable, match=r"does not take the token in .SHOAL_GITHUB_TOKEN") as refused:
        wrong.default_branch(WEB)
    assert "wrong_but_secret" not in refused.value.message
    wrong.close()


@pytest.mark.parametrize("token", ["two words", "a\nb", "größe", "a\x7fb"])
def test_what_is_no_token_is_refused_without_telling_it(token: str) -> None:
    with pytest.raises(ForgeError, match="is not a token") as refused:
        configured("https://api.github.com", token)
    assert token not in refused.value.message


def test_without_a_token_there_is_no_forge() -> None:
    assert configured("https://api.github.com", None) is None
    assert configured("https://api.github.com", " \n") is None
    github = configured("https://api.github.com/", f" {TOKEN}\n")
    assert github is not None
    assert github.address == "https://api.github.com"


@pytest.mark.parametrize("url", ["http://example.org", "ftp://x", "https://user:password@example.org", "api"])
def test_token_is_not_sent_unencrypted_or_to_what_is_no_address(url: str) -> None:
    with pytest.raises(ForgeError) as refused:
        GitHub(url, TOKEN)
    assert "password" not in refused.value.message


LIMITS: list[tuple[int, dict[str, str], str, int]] = [
    (403, {"Retry-After": "120"}, "You have exceeded a secondary rate limit", 120),
    (429, {"Retry-After": "7"}, "Too many requests", 7),
    (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000300"}, "API rate limit exceeded", 300),
    (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9900000000"}, "API rate limit exceeded", 3600),
    (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, "API rate limit exceeded", 1),
    (403, {"X-RateLimit-Remaining": "4000"}, "You have exceeded a secondary rate limit", 60),
    (429, {}, "slow down", 60),
]


@pytest.mark.parametrize(("status", "headers", "message", "seconds"), LIMITS)
def test_limit_is_heeded_without_asking_again(
    api: ForgeApi, clock: FakeClock, status: int, headers: dict[str, str], message: str, seconds: int
) -> None:
    github = GitHub(api.url, TOKEN, clock=clock)
    api.broken = status, headers, json.dumps({"message": message}).encode()
    with pytest.raises(ForgeUnreachable, match=f"{message}; asked again in {seconds} s"):
        github.default_branch(WEB)
    with pytest.raises(ForgeUnreachable, match="asked again in"):
        github.default_branch(WEB)
    assert len(api.asked) == 1
    github.close()


def test_what_is_forbidden_is_no_limit(api: ForgeApi, github: GitHub) -> None:
    api.broken = 403, {"X-RateLimit-Remaining": "12"}, b'{"message": "Resource not accessible by integration"}'
    with pytest.raises(ForgeError, match=r"403 to GET .* not accessible") as refused:
        github.default_branch(WEB)
    assert not isinstance(refused.value, ForgeUnreachable)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"oops"),
        (502, b"<html>"),
        (503, b'{"message": "unicorn"}'),
        (200, b"<html>log in</html>"),
        (200, b"[]"),
        (200, b"\xff"),
    ],
)
def test_broken_answer_means_later(api: ForgeApi, github: GitHub, status: int, body: bytes) -> None:
    api.broken = status, {}, body
    with pytest.raises(ForgeUnreachable):
        github.default_branch(WEB)


def test_absent_server_means_later(api: ForgeApi, github: GitHub) -> None:
    api.close()
    with pytest.raises(ForgeUnreachable, match="does not answer"):
        github.open_pull_requests(WEB, "T1")


def test_renamed_repository_is_followed_on_the_same_server(api: ForgeApi, github: GitHub) -> None:
    api.pull(WEB, "shoal/T1-x")
    api.moved["acme/old"] = f"{api.url}/repos/acme/web"
    assert len(github.pull_requests("acme/old", "shoal/T1-x")) == 1


def test_token_does_not_follow_to_another_server(api: ForgeApi, github: GitHub) -> None:
    other = ForgeApi()
    api.moved["acme/old"] = f"{other.url}/repos/acme/web"
    with pytest.raises(ForgeError, match="sends elsewhere"):
        github.default_branch("acme/old")
    api.broken = 200, {"Link": f'<{other.url}/repos/acme/web/pulls>; rel="next"'}, b"[]"
    with pytest.raises(ForgeError, match="sends elsewhere"):
        github.open_pull_requests(WEB, "T1")
    assert other.asked == []
    other.close()


def test_redirects_and_pages_without_an_end_are_left(api: ForgeApi, github: GitHub) -> None:
    api.moved["acme/a"] = f"{api.url}/repos/acme/a"
    with pytest.raises(ForgeError, match="301"):
        github.default_branch("acme/a")
    api.broken = 200, {"Link": f'<{api.url}/repos/acme/web/pulls?page=2>; rel="next"'}, b"[]"
    with pytest.raises(ForgeError, match="more than 20 pages"):
        github.open_pull_requests(WEB, "T1")


PLACES: list[tuple[str, str | None, str | None]] = [
    ("acme/web", None, "acme/web"),
    ("web", None, None),
    ("../x", None, None),
    ("acme/..", None, None),
    ("acme/web/more", None, None),
    ("web", "https://github.com/acme/web.git", "acme/web"),
    ("web", "https://token@github.com/acme/web", "acme/web"),
    ("web", "git@github.com:acme/web.git", "acme/web"),
    ("web", "ssh://git@github.com/acme/web", "acme/web"),
    ("acme/web", "https://gitlab.com/acme/web.git", None),
    ("acme/web", "/srv/git/web", None),
    ("acme/web", "../web", None),
]


@pytest.mark.parametrize(("repository", "url", "place"), PLACES)
def test_repository_is_here_or_elsewhere(repository: str, url: str | None, place: Any) -> None:
    assert GitHub("https://api.github.com", TOKEN).place(repository, url) == place
    enterprise = GitHub("https://git.acme.example/api/v3", TOKEN)
    assert enterprise.place("web", "https://git.acme.example/a/b.git") == "a/b"
    assert enterprise.place("web", "https://github.com/a/b.git") is None


def listed(api: ForgeApi, github: GitHub, branch: str = "shoal/T1-x", **more: Any) -> PullRequest:
    made = api.pull(WEB, branch, **more)
    return github.pull_request(WEB, made["number"])


def test_open_pull_requests_of_a_repository_are_all_listed(api: ForgeApi, github: GitHub) -> None:
    for number in range(1, 131):
        api.pull(WEB, f"shoal/T{number}-x", state="closed" if number % 10 == 0 else "open")
    api.pull(WEB, "shoal/T1-fork", owner="stranger")
    found = github.all_open_pull_requests(WEB)
    assert len(found) == 117
    heads = {one["number"]: one["head"]["sha"] for one in api.repositories[WEB].pulls}
    assert all((one.head, one.default_branch, one.is_draft) == (heads[one.number], "main", False) for one in found)
    assert len(api.asked) == 2


def test_changed_files_have_the_lines_that_were_added(api: ForgeApi, github: GitHub) -> None:
    pull = listed(api, github)
    patch = (
        "@@ -1,3 +1,4 @@ def f():\n one\n-two\n+2\n+++ not a header\n three\n@@ -9 +10 @@\n-x\n+y\n\\ No newline at end"
    )
    api.change(WEB, 1, "src/a b#.py", status="renamed", previous_filename="old.py", patch=patch, additions=3)
    api.change(WEB, 1, "gone.py", status="removed", patch="@@ -1 +0,0 @@\n-x", additions=0)
    api.change(WEB, 1, "logo.png", status="added", patch=None, additions=0)
    found = github.changed_files(pull)
    assert found is not None
    first, gone, logo = found
    assert (first.path, first.before) == ("src/a b#.py", "old.py")
    assert first.added == [(2, "2"), (3, "++ not a header"), (10, "y")]
    assert (gone.added, gone.is_binary, logo.is_binary) == ([], False, True)
    assert all(one.is_whole for one in found)


def test_files_are_those_of_the_head_that_was_asked_about(api: ForgeApi, github: GitHub) -> None:
    pull = listed(api, github)
    for number in range(250):
        api.change(WEB, 1, f"src/{number}.py", "x")
    assert len(github.changed_files(pull) or []) == 250
    api.push(WEB, 1)
    assert github.changed_files(pull) is None


def test_large_file_without_its_patch_is_read_itself(api: ForgeApi, github: GitHub) -> None:
    pull = listed(api, github)
    api.repository().contents |= {"a/lock file.json": "{\n}", "huge.txt": "x" * 1_100_000}
    for path in ("a/lock file.json", "huge.txt", "absent.txt"):
        api.change(WEB, 1, path, patch=None, additions=2)
    small, huge, absent = github.changed_files(pull) or []
    assert (small.added, small.is_whole) == ([(1, "{"), (2, "}")], True)
    assert (huge.is_whole, absent.is_whole) == (False, False)


def test_checks_are_runs_and_statuses_together(api: ForgeApi, github: GitHub) -> None:
    pull = listed(api, github)
    assert github.checks(WEB, pull.head) == Checks([], [], 0)
    for conclusion in ("success", "neutral", "skipped"):
        api.check(WEB, 1, conclusion, conclusion)
    assert github.checks(WEB, pull.head) == Checks([], [], 3)
    api.check(WEB, 1, "slow", None)
    api.repository().statuses[pull.head] = [
        {"context": "old-ci", "state": "pending"},
        {"context": "lint", "state": "success"},
        {"context": "docs", "state": "error"},
    ]
    for conclusion in ("failure", "timed_out", "cancelled", "action_required", "stale"):
        api.check(WEB, 1, conclusion, conclusion)
    found = github.checks(WEB, pull.head)
    assert found.pending == ["old-ci", "slow"]
    assert found.failed == ["action_required", "cancelled", "docs", "failure", "stale", "timed_out"]
    for number in range(200):
        api.check(WEB, 1, f"more-{number}")
    assert github.checks(WEB, pull.head).count == 212


def test_review_is_given_to_the_head_that_was_judged(api: ForgeApi, github: GitHub) -> None:
    pull = listed(api, github)
    assert github.submit_review(pull, Verdict.COMMENT, text="Not yet") == "commented"
    assert github.submit_review(pull, Verdict.APPROVE, text="Größe") == "approved"
    api.repositories[WEB].reviews[1].append({"state": "DISMISSED", "user": None, "commit_id": None, "body": None})
    assert github.reviews(pull) == [
        Review(1000, "shoal", "commented", pull.head, "Not yet"),
        Review(1001, "shoal", "approved", pull.head, "Größe"),
        Review(0, "", "dismissed", "", ""),
    ]
    for _ in range(150):
        github.submit_review(pull, Verdict.COMMENT, text="x")
    assert len(github.reviews(pull)) == 153


def test_approval_of_ones_own_becomes_a_comment(api: ForgeApi, github: GitHub) -> None:
    pull = listed(api, github, user={"login": api.user})
    assert github.submit_review(pull, Verdict.APPROVE, text="Good") == "commented"
    assert [one.state for one in github.reviews(pull)] == ["commented"]
    with pytest.raises(ForgeError, match="Body can't be blank"):
        github.submit_review(pull, Verdict.COMMENT, text="")


def test_merge_needs_the_head_that_was_judged(api: ForgeApi, github: GitHub) -> None:
    pull = listed(api, github)
    api.push(WEB, 1)
    assert "Head branch was modified" in (github.merge(pull, "squash") or "")
    assert github.pull_request(WEB, 1).state == "open"
    pull = github.pull_request(WEB, 1)
    api.repository().merge_methods = {"squash"}
    assert github.merge(pull, "rebase") == "Rebase merges are not allowed on this repository."
    assert github.merge(pull, "squash") is None
    assert github.merge(pull, "squash") == "Pull Request is not mergeable"
    assert github.pull_request(WEB, 1).state == "merged"
    assert api.repositories[WEB].merges == [{"number": 1, "sha": pull.head, "merge_method": "squash"}]


def test_absent_pull_request_is_refused(api: ForgeApi, github: GitHub) -> None:
    pull = listed(api, github)
    with pytest.raises(ForgeError, match="404 to GET /repos/acme/web/pulls/7"):
        github.pull_request(WEB, 7)
    gone = msgspec.structs.replace(pull, repository="acme/gone")
    for call in (
        lambda: github.reviews(gone),
        lambda: github.changed_files(gone),
        lambda: github.checks("acme/gone", pull.head),
        lambda: github.merge(gone, "merge"),
        lambda: github.submit_review(gone, Verdict.APPROVE, text="x"),
    ):
        with pytest.raises(ForgeError, match="404"):
            call()
