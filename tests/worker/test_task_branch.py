"""The name of a task's branch."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal.worker import task_branch
from tests.vaults import git
from tests.worker.places import task_of


@pytest.mark.parametrize(
    ("title", "branch"),
    [
        ("Mend the pond!", "shoal/T42-mend-the-pond"),
        ("../../etc/passwd", "shoal/T42-etc-passwd"),
        ("-rf --upload-pack=x", "shoal/T42-rf-upload-pack-x"),
        ("x.lock", "shoal/T42-x-lock"),
        ("@{-1} ~^:?*[\\ a..b", "shoal/T42-1-a-b"),
        ("Ünïcödé café", "shoal/T42-unicode-cafe"),
        ("魚を数える", "shoal/T42"),
        ("word " * 30, "shoal/T42-word-word-word-word-word-word-word-word"),
        ("w" * 300, f"shoal/T42-{'w' * 40}"),
    ],
)
def test_name_of_the_branch_is_safe(title: str, branch: str, tmp_path: Path) -> None:
    assert task_branch.name_of(task_of(title=title)) == branch
    assert git(tmp_path, "check-ref-format", "--branch", branch) == branch
    assert task_branch.name_of(task_of(slug="a-slug", title=title)) == "shoal/T42-a-slug"
