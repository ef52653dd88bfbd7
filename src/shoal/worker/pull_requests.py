"""Which pull requests a text names that are of a task's own repositories; any other address is only talked about."""

from __future__ import annotations

import re
from collections.abc import Mapping

from shoal.model.task import Task
from shoal.settings import RepositorySettings

_PULL_REQUEST = re.compile(r"https://[\w.-]+(?::\d+)?/([\w.-]+/[\w.-]+)/pull/\d+(?![\w-])")
_ADDRESS = re.compile(r"(?:[a-z+]+://[^/]+/|[^/\s]+:)(.+)")


def pull_requests(text: str, task: Task, repositories: Mapping[str, RepositorySettings]) -> list[str]:
    """The addresses in a text, each once, in order; all that there are when the task has no repository."""
    found = {match[0]: match[1] for match in _PULL_REQUEST.finditer(text)}
    if not task.repos:
        return sorted(found)
    own = {_path(name) for name in task.repos}
    own |= {_path(one.url) for name in task.repos if (one := repositories.get(name)) is not None and one.url}
    return sorted(address for address, path in found.items() if _path(path) in own)


def _path(repository: str) -> str:
    """OWNER/NAME of a repository that is named so, or by its address."""
    address = _ADDRESS.fullmatch(repository)
    return (address[1] if address else repository).strip("/").removesuffix(".git").lower()
