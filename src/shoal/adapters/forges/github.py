"""GitHub, by its REST API. What it is asked for: forge.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct

from shoal.adapters.forges.forge import ChangedFile, Checks, PullRequest, Review, Verdict, is_branch_of
from shoal.adapters.forges.github_answers import CheckRuns, CommitStatuses, Content, File, GivenReview, combined
from shoal.adapters.forges.rest import Answer, Rest, decoded, said
from shoal.clock import Clock, monotonic_seconds
from shoal.errors import ForgeError, ForgeUnreachable

PAGES = 20
ISSUE_PAGES = 1000
REDIRECTS = 3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/(?!\.{1,2}$)[A-Za-z0-9._-]+")
_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[^@/:]+):(?P<path>[^/].*)")
_SAID = {Verdict.APPROVE: "approved", Verdict.REQUEST_CHANGES: "changes_requested", Verdict.COMMENT: "commented"}
T = TypeVar("T")


class _Repository(Struct):
    full_name: str
    default_branch: str = ""


class _Side(Struct):
    ref: str
    sha: str = ""
    repo: _Repository | None = None


class _Pull(Struct):
    number: int
    html_url: str
    title: str
    state: str
    head: _Side
    base: _Side
    merged_at: str | None = None
    draft: bool = False
    changed_files: int | None = None


class _Comparison(Struct):
    ahead_by: int


class _Reference(Struct):
    ref: str


class GitHub:
    """GitHub, or a GitHub Enterprise server, with one token."""

    def __init__(self, url: str, token: str, *, clock: Clock | None = None) -> None:
        """Raises ForgeError when the token could not be sent, or would travel unencrypted."""
        self._rest = Rest(url, clock=clock)
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ForgeError("$SHOAL_GITHUB_TOKEN is not a token: it has spaces, or characters that no token has")
        self.address = self._rest.address
        self._host = self._rest.host
        self._token = token
        self._asks_again = 0.0
        self._waits_for = ""

    def place(self, repository: str, url: str | None) -> str | None:
        """owner/name, from that name or from the URL it is cloned from; None when that lies elsewhere."""
        if url is None:
            return repository if _NAME.fullmatch(repository) else None
        if "://" in url:
            parts = urlsplit(url)
            host, path = parts.hostname, parts.path
        elif found := _SCP.fullmatch(url):
            host, path = found["host"].lower(), found["path"]
        else:
            return None
        name = path.strip("/").removesuffix(".git")
        return name if host == self._host and _NAME.fullmatch(name) else None

    def pull_requests(self, repository: str, branch: str) -> list[PullRequest]:
        """The pull requests of a branch of this repository (not of a fork), the newest first."""
        owner = repository.partition("/")[0]
        given = {"state": "all", "head": f"{owner}:{branch}", "sort": "created", "direction": "desc"}
        # GitHub leaves a filter that it does not understand aside, so what comes is looked at again.
        return [one for one in self._pulls(repository, given) if one.branch == branch]

    def open_pull_request(self, repository: str, branch: str) -> PullRequest | None:
        """The open pull request of a branch."""
        return next((one for one in self.pull_requests(repository, branch) if one.state == "open"), None)

    def open_pull_requests(self, repository: str, task_id: str) -> list[PullRequest]:
        """The open pull requests of a task, by their branches; what a title or a text says does not count.

        Few requests, however many pull requests there are: whatever is open has its branch still.
        """
        found = (self.open_pull_request(repository, branch) for branch in self.branches(repository, task_id))
        return [one for one in found if one is not None]

    def branches(self, repository: str, task_id: str) -> list[str]:
        """The branches of a task."""
        path = f"/repos/{repository}/git/matching-refs/heads/shoal/{quote(task_id)}"
        found = [one.ref.removeprefix("refs/heads/") for one in self._pages(path, {}, _Reference)]
        return [branch for branch in found if is_branch_of(task_id, branch)]

    def default_branch(self, repository: str) -> str:
        """The branch that pull requests go into."""
        answer = self._ask("GET", f"/repos/{repository}")
        return decoded(answer, _Repository).default_branch or "main"

    def is_ahead(self, repository: str, base: str, branch: str) -> bool:
        """Whether a branch has commits that its base lacks; False when one of them does not exist."""
        path = f"/repos/{repository}/compare/{quote(base, safe='')}...{quote(branch, safe='')}"
        answer = self._ask("GET", path, {"per_page": "1"}, accepted=(200, 404))
        return answer.status == 200 and decoded(answer, _Comparison).ahead_by > 0

    def create_pull_request(self, repository: str, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open a pull request, or find the one that is open already."""
        given = {"head": branch, "base": base, "title": title, "body": body}
        answer = self._ask("POST", f"/repos/{repository}/pulls", given=given, accepted=(201, 422))
        if answer.status == 201:
            return _pull_request(repository, decoded(answer, _Pull))
        if "already exists" in said(answer) and (found := self.open_pull_request(repository, branch)):
            return found
        raise ForgeError(f"{self.address} opens no pull request for {branch} in {repository}: {said(answer)}")

    def all_open_pull_requests(self, repository: str) -> list[PullRequest]:
        """The open pull requests of this repository's own branches."""
        found = self._pulls(repository, {"state": "open", "sort": "created", "direction": "asc"})
        return [one for one in found if one.state == "open"]

    def pull_request(self, repository: str, number: int) -> PullRequest:
        """One pull request as it is now."""
        return _pull_request(repository, decoded(self._ask("GET", f"/repos/{repository}/pulls/{number}"), _Pull))

    def changed_files(self, pull: PullRequest) -> list[ChangedFile] | None:
        """What a pull request changes at its head; None when it has another head by now."""
        files = list(self._pages(f"/repos/{pull.repository}/pulls/{pull.number}/files", {}, File))
        # GitHub shows the files of the head that is newest, whichever was asked about.
        if any(one.commit not in (None, pull.head) for one in files):
            return None
        return [one.plain(self._content(pull, one.filename) if one.is_cut else None) for one in files]

    def checks(self, repository: str, commit: str) -> Checks:
        """What the check runs and the statuses of a commit say together."""
        path = f"/repos/{repository}/commits/{quote(commit)}"
        runs = [run for page in self._answers(f"{path}/check-runs", {}, CheckRuns) for run in page.check_runs]
        statuses = [one for page in self._answers(f"{path}/status", {}, CommitStatuses) for one in page.statuses]
        return combined(runs, statuses)

    def reviews(self, pull: PullRequest) -> list[Review]:
        """The reviews that were given, the oldest first."""
        path = f"/repos/{pull.repository}/pulls/{pull.number}/reviews"
        return [one.plain() for one in self._pages(path, {}, GivenReview)]

    def submit_review(self, pull: PullRequest, verdict: Verdict, *, text: str) -> str:
        """Review the head of a pull request: `approved`, `changes_requested`, or `commented`, where it is one's own."""
        path = f"/repos/{pull.repository}/pulls/{pull.number}/reviews"
        given = {"commit_id": pull.head, "body": text, "event": verdict.value.upper()}
        answer = self._ask("POST", path, given=given, accepted=(200,) if verdict is Verdict.COMMENT else (200, 422))
        if answer.status == 200:
            return _SAID[verdict]
        if "your own" not in said(answer).lower():
            raise ForgeError(f"{self.address} takes no review of {pull.url}: {said(answer)}")
        return self.submit_review(pull, Verdict.COMMENT, text=text)

    def dismiss_review(self, pull: PullRequest, review: Review, text: str) -> str | None:
        """Have a review count no more; why it counts still: who has the token may not, or the branch is protected."""
        path = f"/repos/{pull.repository}/pulls/{pull.number}/reviews/{review.id}/dismissals"
        try:
            self._ask("PUT", path, given={"message": text, "event": "DISMISS"})
        except ForgeUnreachable:
            raise
        except ForgeError as error:
            return error.message
        return None

    def merge(self, pull: PullRequest, method: str) -> str | None:
        """Merge it if its head is still the same; why not, or None when it is merged."""
        path = f"/repos/{pull.repository}/pulls/{pull.number}/merge"
        given = {"sha": pull.head, "merge_method": method}
        answer = self._ask("PUT", path, given=given, accepted=(200, 405, 409, 422))
        return None if answer.status == 200 else said(answer)

    def issues(self, repository: str) -> Iterator[dict[str, Any]]:
        """Every issue as the API gives it, the oldest first; pull requests are among them."""
        given = {"state": "all", "sort": "created", "direction": "asc"}
        for page in self._answers(f"/repos/{repository}/issues", given, list[dict[str, Any]], pages=ISSUE_PAGES):
            yield from page

    def close(self) -> None:
        """Let go of connections."""
        self._rest.close()

    def _pulls(self, repository: str, given: dict[str, str]) -> list[PullRequest]:
        """Those of this repository's own branches: anybody may name a branch of a fork as they like."""
        return [
            _pull_request(repository, one)
            for one in self._pages(f"/repos/{repository}/pulls", given, _Pull)
            if one.head.repo is not None and one.base.repo is not None
            if one.head.repo.full_name.lower() == one.base.repo.full_name.lower()
        ]

    def _content(self, pull: PullRequest, path: str) -> str | None:
        """A file at the head of a pull request; None where GitHub does not give it."""
        try:
            answer = self._ask("GET", f"/repos/{pull.repository}/contents/{quote(path)}", {"ref": pull.head})
        except ForgeUnreachable:
            raise
        except ForgeError:
            return None
        return decoded(answer, Content).text()

    def _pages(self, path: str, given: dict[str, str], kind: type[T]) -> Iterator[T]:
        pages: Iterator[list[T]] = self._answers(path, given, list[kind])  # type: ignore[valid-type]
        for page in pages:
            yield from page

    def _answers(self, path: str, given: dict[str, str], kind: type[T], *, pages: int = PAGES) -> Iterator[T]:
        answer = self._ask("GET", path, {**given, "per_page": "100"})
        for _ in range(pages):
            yield decoded(answer, kind)
            following = answer.headers.get("link", "")
            found = re.search(r'<([^<>]+)>;[^<]*\brel="next"', following)
            if found is None:
                return
            answer = self._ask("GET", urljoin(answer.url, found[1]))
        raise ForgeError(f"{self.address}{path} has more than {pages} pages")

    def _ask(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        *,
        given: dict[str, str] | None = None,
        accepted: tuple[int, ...] = (200,),
    ) -> Answer:
        """One request; one that only reads goes where GitHub says that a renamed repository is now."""
        left = self._asks_again - monotonic_seconds()
        if left > 0:
            raise ForgeUnreachable(f"{self._waits_for}; asked again in {left:.0f} s")
        url = path if "://" in path else self.address + path
        for _ in range(REDIRECTS + 1):
            if (urlsplit(url).scheme, urlsplit(url).netloc) != self._rest.origin:
                raise ForgeError(f"{self.address} sends elsewhere, to {urlsplit(url).hostname}; not followed")
            answer = self._rest.send(method, url, token=self._token, query=query, given=given)
            if answer.status not in (301, 302, 307, 308) or method != "GET":
                break
            url, query = urljoin(url, answer.headers.get("location", "")), None
        if answer.status in accepted:
            return answer
        raise self._refusal(answer, f"{method} {urlsplit(url).path}")

    def _refusal(self, answer: Answer, asked: str) -> ForgeError:
        words = said(answer)
        if (wait := self._rest.wait(answer)) is not None:
            self._asks_again = monotonic_seconds() + wait
            self._waits_for = f"{self.address} asks to wait: {words}"
            return ForgeUnreachable(f"{self._waits_for}; asked again in {wait:.0f} s")
        if answer.status == 401:
            return ForgeUnreachable(f"{self.address} does not take the token in $SHOAL_GITHUB_TOKEN: {words}")
        if answer.status >= 500:
            return ForgeUnreachable(f"{self.address} answers {answer.status} to {asked}: {words}")
        return ForgeError(f"{self.address} answers {answer.status} to {asked}: {words}")


def configured(url: str, token: str | None) -> GitHub | None:
    """GitHub, if there is a token for it. Raises ForgeError when that cannot be used."""
    token = (token or "").strip()
    return GitHub(url, token) if token else None


def _pull_request(repository: str, one: _Pull) -> PullRequest:
    state = "merged" if one.merged_at else one.state
    default_branch = one.base.repo.default_branch if one.base.repo else ""
    return PullRequest(
        repository,
        one.number,
        one.html_url,
        one.head.ref,
        one.base.ref,
        one.title,
        state,
        head=one.head.sha,
        is_draft=one.draft,
        default_branch=default_branch,
        files=one.changed_files,
    )
