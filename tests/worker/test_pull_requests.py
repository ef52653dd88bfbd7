"""Only pull requests of a task's own repositories are its work."""

from __future__ import annotations

import pytest

from shoal.settings import RepositorySettings
from shoal.worker.pull_requests import pull_requests
from tests.worker.places import task_of


@pytest.mark.parametrize(
    ("repository", "url"),
    [
        ("acme/pond", None),
        ("Acme/Pond", None),
        ("https://git.example.org/acme/pond.git", None),
        ("git@git.example.org:acme/pond.git", None),
        ("pond", "git@git.example.org:acme/pond.git"),
        ("pond", "ssh://git@git.example.org:22/acme/pond"),
    ],
)
def test_pull_request_of_the_tasks_repository_counts(repository: str, url: str | None) -> None:
    known = {repository: RepositorySettings(url=url)}
    own = "https://git.example.org/acme/pond/pull/7"
    text = f"See {own}, and ({own}). Compare https://git.example.org/acme/lake/pull/7 and https://h/x/acme/pond/pull/1"
    assert pull_requests(text, task_of(repos=[repository]), known) == [own]
    assert pull_requests("https://h/acme/pond/pull/7-draft", task_of(repos=[repository]), known) == []


def test_without_a_repository_all_are_listed() -> None:
    assert pull_requests("https://h/a/b/pull/7", task_of(), {}) == ["https://h/a/b/pull/7"]
