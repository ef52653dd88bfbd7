"""Whether an attempt has done its task: its success criteria, and what the kind of task asks for.

How a criterion is checked stands in its `measurable`:

- nothing, `manual`, or `manual: …`: by a person. The task goes to review.
- a text that begins with `result`: a comparison over the result, see comparison.py.
- everything else: a shell command in the workspace, which must end with 0. A `$` before it makes anything a command.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from shoal.adapters.processes.commands import RunCommand
from shoal.model.prompt import Failure
from shoal.model.session import Branch
from shoal.model.task import Criterion, Task
from shoal.worker.comparison import Unreadable, parse

COMMAND_SECONDS = 600
REASON_LIMIT = 2000
CODE_TYPES = frozenset({"swe", "code", "bug", "bugfix", "fix", "feature", "refactor", "test", "docs", "chore"})
RESEARCH_TYPES = frozenset({"research"})
NOT_A_COMMAND = 127  # what a shell ends with when there is no such program
_COMPARISON = re.compile(r"result(?=[\s.\[=!<>]|\Z)")
_MANUAL = re.compile(r"manual\s*(:|\Z)", re.IGNORECASE)


class Verdict(Struct, frozen=True):
    """What failed, and what a person has still to judge. Nothing of both: done."""

    failed: list[Failure]
    manual: list[str]


def verify(
    task: Task,
    *,
    folder: Path,
    result: Any,
    result_text: str,
    branches: Iterable[Branch],
    pull_requests: Iterable[str],
    run_command: RunCommand,
    environment: Mapping[str, str] | None = None,
    command_seconds: float = COMMAND_SECONDS,
) -> Verdict:
    """Check everything that can be checked, each criterion whatever came of the others.

    `environment` is added to what the commands get; each may take `command_seconds`.
    """
    failed, manual = _missing_work(task, result_text, branches, pull_requests), []
    for criterion in task.success_criteria:
        measure = (criterion.measurable or "").strip()
        if not measure or _MANUAL.match(measure):
            manual.append(criterion.criterion)
            continue
        if _COMPARISON.match(measure):
            reason = _compare(measure, result)
        else:
            reason = _run(measure.removeprefix("$").strip(), folder, run_command, environment, command_seconds)
        if reason is not None:
            failed.append(_failure(criterion, reason))
    return Verdict(failed, manual)


def _missing_work(
    task: Task, result_text: str, branches: Iterable[Branch], pull_requests: Iterable[str]
) -> list[Failure]:
    kind = task.type.lower()
    if kind in CODE_TYPES and task.repos:
        if not any(branch.commits for branch in branches) and not any(pull_requests):
            names = ", ".join(task.repos)
            return [Failure("commits or a pull request", f"there is no commit and no pull request for {names}")]
    elif kind in RESEARCH_TYPES and not result_text.strip():
        return [Failure("a result", "the result is empty; write down what was found out")]
    return []


def _compare(measure: str, result: Any) -> str | None:
    try:
        comparison = parse(measure)
    except Unreadable as error:
        return f"`{measure}` cannot be read as a comparison: {error}"
    objection = comparison.objection(result)
    return None if objection is None else f"`{measure}` does not hold: {objection}"


def _run(
    command: str, folder: Path, run_command: RunCommand, environment: Mapping[str, str] | None, seconds: float
) -> str | None:
    ran = run_command(["/bin/sh", "-c", command], folder, seconds=seconds, environment=environment)
    if ran.ok:
        return None
    hint = " (is it a command? what a person must judge is `manual`)" if ran.code == NOT_A_COMMAND else ""
    return f"`{command}` {ran.describe()}{hint}"


def _failure(criterion: Criterion, reason: str) -> Failure:
    # The end of a reason says most, its beginning what it is about.
    if len(reason) > REASON_LIMIT:
        reason = f"{reason[: REASON_LIMIT // 2]} … {reason[-REASON_LIMIT // 2 :]}"
    return Failure(criterion.criterion, reason.replace("\x00", ""))
