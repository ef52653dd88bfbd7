"""What GitHub answers about the state of a pull request, and what it means for any forge (forge.py)."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from shoal.adapters.forges.forge import ChangedFile, Checks, Review

GOOD = frozenset({"success", "neutral", "skipped"})
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")


class CheckRun(Struct):
    """A check by an app; `conclusion` is null until its status is completed."""

    name: str
    status: str
    conclusion: str | None = None


class CheckRuns(Struct):
    """A page of them."""

    check_runs: list[CheckRun]


class CommitStatus(Struct):
    """A check by somebody who sets statuses."""

    context: str
    state: str


class CommitStatuses(Struct):
    """A page of the newest of each context."""

    statuses: list[CommitStatus]


class User(Struct):
    """An account."""

    login: str


class GivenReview(Struct):
    """A review; `user` is null when the account is gone."""

    state: str
    id: int = 0
    user: User | None = None
    commit_id: str | None = None
    body: str | None = None

    def plain(self) -> Review:
        """The same without what only GitHub says; an author who has left GitHub has no name."""
        author = self.user.login if self.user else ""
        return Review(self.id, author, self.state.lower(), self.commit_id or "", self.body or "")


class Content(Struct):
    """A file of a repository."""

    encoding: str = ""
    content: str = ""

    def text(self) -> str | None:
        """The file; None where GitHub leaves it out, as it does with those of more than a megabyte."""
        if self.encoding != "base64":
            return None
        try:
            return base64.b64decode(self.content).decode(errors="replace")
        except binascii.Error:
            return None


class File(Struct):
    """A changed file. Without a `patch` it is binary, only moved, or too large for GitHub to show."""

    filename: str
    status: str
    additions: int = 0
    previous_filename: str | None = None
    patch: str | None = None
    contents_url: str = ""

    @property
    def commit(self) -> str | None:
        """The commit that it was looked at in, where GitHub tells."""
        found = parse_qs(urlsplit(self.contents_url).query).get("ref")
        return found[0] if found and self.status != "removed" else None

    def plain(self, content: str | None) -> ChangedFile:
        """The same without what only GitHub says; `content` stands in where the patch is not all of it."""
        added = added_lines(self.patch or "")
        is_whole = len(added) >= self.additions
        if not is_whole and content is not None:
            added, is_whole = list(enumerate(content.split("\n"), start=1)), True
        return ChangedFile(
            self.filename,
            self.previous_filename,
            added,
            is_whole=is_whole,
            is_binary=self.patch is None and self.additions == 0 and self.status in ("added", "modified", "changed"),
        )

    @property
    def is_cut(self) -> bool:
        """Whether the patch lacks lines that were added."""
        return len(added_lines(self.patch or "")) < self.additions


def added_lines(patch: str) -> list[tuple[int, str]]:
    """The lines that a patch adds, with their numbers in the new file."""
    added, number = [], 0
    for line in patch.split("\n"):
        if line.startswith("@@") and (hunk := _HUNK.match(line)):
            number = int(hunk[1])
        elif line.startswith("+"):
            added.append((number, line[1:]))
            number += 1
        elif not line.startswith(("-", "\\")):
            number += 1
    return added


def combined(runs: list[CheckRun], statuses: list[CommitStatus]) -> Checks:
    """What check runs and commit statuses say together."""
    failed = [one.name for one in runs if one.status == "completed" and one.conclusion not in GOOD]
    failed += [one.context for one in statuses if one.state in ("failure", "error")]
    pending = [one.name for one in runs if one.status != "completed"]
    pending += [one.context for one in statuses if one.state == "pending"]
    return Checks(sorted(set(failed)), sorted(set(pending)), len(runs) + len(statuses))
