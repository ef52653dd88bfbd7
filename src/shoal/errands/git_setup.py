"""Tells git to ask `git-credential-shoal` for the broker's hosts, in one of its configurations, and takes that out
again.

What was there before stays: an empty line between makes git forget the helpers before ours for these hosts alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from shoal.adapters.git import credentials
from shoal.adapters.git.program import Program

_OURS = ("git-credential-shoal", "shoal.cli.git_credential")


def put(where: list[str], hosts: Iterable[str]) -> bool:
    """Have them asked here, once; whether that changed anything. Raises GitError."""
    git, changed = Program(Path.cwd()), False
    command = credentials.helper_command()
    for place in credentials.places(hosts):
        helper, with_path = f"credential.{place}.helper", f"credential.{place}.useHttpPath"
        before = _values(git, where, helper)
        if before[-2:] != ["", command]:
            _replace(git, where, helper, [*_without_ours(before), "", command])
            changed = True
        if _values(git, where, with_path)[-1:] != ["true"]:
            git.run("config", *where, "--replace-all", with_path, "true")
            changed = True
    return changed


def remove(where: list[str], hosts: Iterable[str]) -> bool:
    """Have them asked no more; whether they were. Raises GitError."""
    git, changed = Program(Path.cwd()), False
    for place in credentials.places(hosts):
        helper = f"credential.{place}.helper"
        before = _values(git, where, helper)
        after = _without_ours(before)
        if after != before:
            _replace(git, where, helper, after)
            git.run("config", *where, "--unset-all", f"credential.{place}.useHttpPath", codes=(0, 5))
            changed = True
    return changed


def _values(git: Program, where: list[str], name: str) -> list[str]:
    said = git.run("config", *where, "--null", "--get-all", name, codes=(0, 1)).stdout.decode(errors="surrogateescape")
    return said.split("\0")[:-1]


def _replace(git: Program, where: list[str], name: str, values: list[str]) -> None:
    git.run("config", *where, "--unset-all", name, codes=(0, 5))
    for value in values:
        git.run("config", *where, "--add", name, value)


def _without_ours(values: list[str]) -> list[str]:
    """The helpers of others, without ours and the empty line that we put before it."""
    kept: list[str] = []
    for value in values:
        if any(name in value for name in _OURS):
            kept = kept[:-1] if kept[-1:] == [""] else kept
        else:
            kept.append(value)
    return kept
