"""What a manifest of jobs is: the jobs that are written down in files; and what a sync with it came to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from shoal.model.job import Definition

SOURCE = "manifest"  # of all jobs that come from one, on whichever server it was read


def _nowhere(field: str) -> str:
    return ""


class Manifest(Struct, frozen=True):
    """The jobs that are written down. `sha` names this state of them.

    `place` says where a field of one stands, as `jobs.toml, line 4`; a field is written `NAME` or `NAME.schedule`.
    """

    definitions: list[Definition]
    sha: str
    place: Callable[[str], str] = _nowhere


class JobChange(Struct, frozen=True):
    """What a manifest changes about a job; `fields` maps what differs to [now, then]."""

    job: str
    kind: Literal["added", "removed", "changed"]
    fields: dict[str, list[Any]] = {}


class Synced(Struct, frozen=True):
    """What a sync with the manifest changed, by the names of jobs. `sha` is the commit, or the hash of the files."""

    success: bool
    message: str
    sha: str
    jobs_added: list[str]
    jobs_removed: list[str]
    jobs_rescheduled: list[str]
    jobs_changed: list[str]
    changes: list[JobChange]


class Problem(Struct, frozen=True):
    """Why a manifest is not taken up: file, line and reason."""

    reason: str | None
