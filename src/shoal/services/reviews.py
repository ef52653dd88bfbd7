"""What came of the pull requests of tasks. What judges them: daemon/built_ins/review_pull_requests.py."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from shoal.model.event import Kind
from shoal.model.fields import NO_NUL, Name, Positive, TaskRef
from shoal.model.task import Task
from shoal.services.refs import lock_task
from shoal.services.transaction import Tx
from shoal.services.verb import verb

Commit = Annotated[str, Meta(pattern=r"^[0-9a-f]{7,64}(?![\s\S])", description="The whole id of a commit.")]
Findings = Annotated[list[Annotated[str, Meta(max_length=500, pattern=NO_NUL)]], Meta(max_length=200)]


class Judgement(StrEnum):
    """What was done with a pull request."""

    APPROVED = "approved"
    COMMENTED = "commented"
    MERGED = "merged"


@verb("POST /tasks/{task}/judged")
def judged(
    tx: Tx,
    *,
    task: TaskRef,
    repository: Name,
    number: Positive,
    url: Name,
    head: Annotated[Commit, Meta(description="The commit that was judged.")],
    judgement: Judgement,
    holds: Annotated[bool, Meta(description="Whether nothing was found.")] = True,
    findings: Findings = [],  # noqa: B006
    rules: Annotated[Name | None, Meta(description="Names the rules that it was judged by.")] = None,
) -> Task:
    """Say what was done with a commit of a task's pull request, and what was found in it. The task stays as it is."""
    found = lock_task(tx, task)
    kind = Kind.PULL_REQUEST_MERGED if judgement is Judgement.MERGED else Kind.PULL_REQUEST_REVIEWED
    data = {"repository": repository, "number": number, "url": url, "head": head}
    if judgement is not Judgement.MERGED:
        data |= {"judgement": judgement.value, "holds": holds, "findings": findings, "rules": rules}
    tx.emit(kind, found, was=found.status.value, attempt=found.attempt or None, data=data)
    return found
