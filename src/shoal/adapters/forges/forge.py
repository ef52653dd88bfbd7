"""The shape of a forge: what is asked of it and done there. When, and what comes of it: daemon/supervisor.py,
daemon/built_ins/review_pull_requests.py.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Protocol

from msgspec import Struct


class PullRequest(Struct, frozen=True):
    """A pull request: from `branch` into `base`. `state` is open, closed or merged.

    `head` is its newest commit, `default_branch` that of its repository, `files` how many it changes, which is known
    of one that was asked for by its number.
    """

    repository: str
    number: int
    url: str
    branch: str
    base: str
    title: str
    state: str
    head: str = ""
    is_draft: bool = False
    default_branch: str = ""
    files: int | None = None


class ChangedFile(Struct, frozen=True):
    """A file that a pull request changes: the lines it adds, with their numbers, and what it was called before.

    Without `is_whole` the forge does not show all of them. Of one that `is_binary` it shows none.
    """

    path: str
    before: str | None
    added: list[tuple[int, str]]
    is_whole: bool = True
    is_binary: bool = False


class Checks(Struct, frozen=True):
    """The names of the checks of a commit that failed and that have not ended, and how many there are in all."""

    failed: list[str]
    pending: list[str]
    count: int


class Verdict(StrEnum):
    """What a review comes to."""

    APPROVE = "approve"
    REQUEST_CHANGES = "request_changes"
    COMMENT = "comment"


class Review(Struct, frozen=True):
    """A review that somebody gave: `state` is approved, commented, changes_requested, dismissed or pending."""

    id: int
    author: str
    state: str
    head: str
    text: str


class Forge(Protocol):
    """A forge. Repositories are called as it calls them (`place`).

    Everything raises ForgeUnreachable when it cannot be asked now, and ForgeError when it refuses.
    """

    address: str

    def place(self, repository: str, url: str | None) -> str | None:
        """What this forge calls a repository that is cloned from `url` (None: by its own name); None if not here."""
        ...

    def pull_requests(self, repository: str, branch: str) -> list[PullRequest]:
        """The pull requests of a branch, open and not, the newest first."""
        ...

    def open_pull_request(self, repository: str, branch: str) -> PullRequest | None:
        """The open pull request of a branch."""
        ...

    def open_pull_requests(self, repository: str, task_id: str) -> list[PullRequest]:
        """The open pull requests of a task, by their branches."""
        ...

    def branches(self, repository: str, task_id: str) -> list[str]:
        """The branches of a task."""
        ...

    def default_branch(self, repository: str) -> str:
        """The branch that pull requests go into."""
        ...

    def is_ahead(self, repository: str, base: str, branch: str) -> bool:
        """Whether a branch has commits that its base lacks; False when one of them does not exist."""
        ...

    def create_pull_request(self, repository: str, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open a pull request, or find the one that is open already."""
        ...

    def all_open_pull_requests(self, repository: str) -> list[PullRequest]:
        """The open pull requests of a repository's own branches."""
        ...

    def pull_request(self, repository: str, number: int) -> PullRequest:
        """One pull request as it is now."""
        ...

    def changed_files(self, pull: PullRequest) -> list[ChangedFile] | None:
        """What a pull request changes at its head; None when it has another head by now."""
        ...

    def checks(self, repository: str, commit: str) -> Checks:
        """What the checks of a commit say, whoever made them."""
        ...

    def reviews(self, pull: PullRequest) -> list[Review]:
        """The reviews that were given, the oldest first."""
        ...

    def submit_review(self, pull: PullRequest, verdict: Verdict, *, text: str) -> str:
        """Review the head of a pull request: `approved`, `changes_requested` or `commented`.

        Where nobody may judge what they opened themselves, the review becomes a comment.
        """
        ...

    def dismiss_review(self, pull: PullRequest, review: Review, text: str) -> str | None:
        """Have a review count no more; why it counts still, or None."""
        ...

    def merge(self, pull: PullRequest, method: str) -> str | None:
        """Merge it (merge, squash or rebase) if its head is still the same; why not, or None when it is merged."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def is_branch_of(task_id: str, branch: str) -> bool:
    """Whether a branch is this task's: `shoal/T42` or `shoal/T42-…`, and not `shoal/T421-…`."""
    return re.fullmatch(rf"shoal/{re.escape(task_id)}(-.*)?", branch) is not None
