"""GitHub's answers, the good and the bad ones, from a server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shoal.adapters.forges.forge import is_branch_of
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
