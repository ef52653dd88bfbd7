"""The shape of a forge: what is asked of it and done there. When, and what comes of it: daemon/supervisor.py."""

from __future__ import annotations

import re
from typing import Protocol

from msgspec import Struct


class PullRequest(Struct, frozen=True):
    """A pull request: from `branch` into `base`. `state` is open, closed or merged."""

    repository: str
    number: int
    url: str
    branch: str
    base: str
    title: str
    state: str


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

    def close(self) -> None:
        """Let go of connections."""
        ...


def is_branch_of(task_id: str, branch: str) -> bool:
    """Whether a branch is this task's: `shoal/T42` or `shoal/T42-…`, and not `shoal/T421-…`."""
    return re.fullmatch(rf"shoal/{re.escape(task_id)}(-.*)?", branch) is not None
