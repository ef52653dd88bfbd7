"""What a forge says of a task's work, asked within one round of supervision: nothing any more once it did not answer.

What comes of it: supervisor.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from shoal.adapters.forges.forge import Forge, PullRequest
from shoal.clock import monotonic_seconds
from shoal.errors import ForgeError, ForgeUnreachable
from shoal.model.session import Branch
from shoal.model.task import Task
from shoal.settings import Settings

ROUND_SECONDS = 60.0
TITLE_LIMIT = 200
BODY = """Shoal opened this pull request: whoever worked on {task} is gone, and this is what was pushed until then.
It may not be finished.

Task: {task}, {title}
"""


class Left(Struct):
    """What is left of a task's work: its open pull requests, those opened just now, and what else there is to say."""

    pull_requests: list[PullRequest]
    opened: list[PullRequest]
    remarks: list[str]


class Inquiry:
    """The questions of one round. `refusals` says which repositories cannot be looked into, and why.

    With a `problem` nothing more is asked in this round; when the forge only `is_slow`, the rest is asked in the next.
    """

    def __init__(self, forge: Forge, settings: Settings) -> None:
        self.problem: ForgeUnreachable | None = None
        self.is_slow = False
        self.refusals: dict[str, str] = {}
        self.answered: set[str] = set()
        self._found: dict[tuple[int, str], list[str]] = {}
        self._forge = forge
        self._settings = settings
        self._deadline = monotonic_seconds() + ROUND_SECONDS

    def open_pull_requests(self, task: Task, branches: list[Branch]) -> list[PullRequest] | None:
        """The open pull requests of exactly this task; None when the forge cannot be asked now."""
        found: list[PullRequest] = []
        for place, known in self._places(task, branches):
            if self._is_exhausted():
                return None
            try:
                asked = (self._forge.open_pull_request(place, one) for one in self._branches(task, place, known))
                found += [one for one in asked if one is not None]
                self.answered.add(place)
            except ForgeUnreachable as error:
                self.problem = error
                return None
            except ForgeError as error:
                self.refusals[place] = error.message
        return found

    def left(self, task: Task, branches: list[Branch]) -> Left | None:
        """What is left of a task's work; for a branch that is ahead and was never proposed, a pull request is opened.

        None when the forge cannot be asked now.
        """
        found = self.open_pull_requests(task, branches)
        if found is None:
            return None
        left = Left(list(found), [], [])
        proposed = {(one.repository, one.branch) for one in found}
        for place, known in self._places(task, branches):
            try:
                for branch in self._branches(task, place, known):
                    if (place, branch) not in proposed:
                        self._propose(left, task, place, branch)
            except ForgeUnreachable as error:
                self.problem = error
                return left if left.pull_requests else None
            except ForgeError as error:
                self.refusals[place] = error.message
        return left

    def _propose(self, left: Left, task: Task, place: str, branch: str) -> None:
        forge = self._forge
        own = next(
            (one for name, one in self._settings.repositories.items() if forge.place(name, one.url) == place), None
        )
        base = (own.base if own else None) or forge.default_branch(place)
        if branch == base or not forge.is_ahead(place, base, branch):
            return
        if earlier := forge.pull_requests(place, branch):
            # Somebody closed or merged it; to open another one is theirs to decide.
            left.remarks.append(f"{branch} in {place} is ahead of {base}; its pull request {earlier[0].url} is closed.")
            return
        title = f"{task.task_id}: {task.title}"[:TITLE_LIMIT]
        body = BODY.format(task=task.task_id, title=task.title)
        try:
            made = forge.create_pull_request(place, branch, base, title, body)
        except ForgeUnreachable:
            raise
        except ForgeError as error:
            left.remarks.append(f"{branch} in {place} is ahead of {base}, without a pull request: {error.message}.")
            return
        left.pull_requests.append(made)
        left.opened.append(made)

    def _branches(self, task: Task, place: str, known: list[str]) -> list[str]:
        """The branches that a task's sessions named, else those that the forge has by its name."""
        if known:
            return known
        if (task.id, place) not in self._found:
            self._found[task.id, place] = self._forge.branches(place, task.task_id)
        return self._found[task.id, place]

    def _places(self, task: Task, branches: list[Branch]) -> Iterator[tuple[str, list[str]]]:
        """The repositories of a task that are on this forge, as it calls them, with the branches known there."""
        for name in dict.fromkeys([*task.repos, *(one.repository for one in branches)]):
            own = self._settings.repositories.get(name)
            place = self._forge.place(name, None if own is None else own.url)
            if place is not None:
                yield place, [one.branch for one in branches if one.repository == name]

    def _is_exhausted(self) -> bool:
        if self.problem is None and monotonic_seconds() > self._deadline:
            self.is_slow = True
            self.problem = ForgeUnreachable(f"{self._forge.address} is slow; the rest is asked in the next round")
        return self.problem is not None
