"""The branch of a task in a repository: its name, and the commit that an attempt goes on from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from shoal.adapters.git.mirror import Mirror
from shoal.adapters.git.worktree import KEPT
from shoal.model.session import Branch, is_branch_name
from shoal.model.task import Task

FOLDER = "shoal"
SLUG_LENGTH = 40


def name_of(task: Task) -> str:
    """shoal/T42-slug: letters, digits and dashes of the slug or title; shoal/T42 where there are none."""
    plain = unicodedata.normalize("NFKD", task.slug or task.title).encode("ascii", "ignore").decode()
    slug = "-".join(re.findall(r"[a-z0-9]+", plain.lower()))
    if len(slug) > SLUG_LENGTH:
        slug = slug[: SLUG_LENGTH + 1].rpartition("-")[0] or slug[:SLUG_LENGTH]
    return f"{FOLDER}/{task.task_id}-{slug}" if slug else f"{FOLDER}/{task.task_id}"


def is_own(branch: str, task: Task) -> bool:
    """Whether a branch is the task's by its name."""
    own = f"{FOLDER}/{task.task_id}"
    return branch == own or branch.startswith(f"{own}-")


def choose(mirror: Mirror, task: Task, attempt: int, earlier: Iterable[Branch]) -> str:
    """The branch to work on: the one that earlier attempts told of, or that is there, else one that is new."""
    told = [one.branch for one in earlier if one.repository == mirror.address.name]
    # An agent may have told of another task's, and whoever works on that must find it as it was.
    told = [branch for branch in told if is_own(branch, task) and is_branch_name(branch)]
    if told:
        return told[-1]
    names = [
        f"{place}/{FOLDER}/{task.task_id}{end}" for place in ("refs/heads", "refs/remotes/origin") for end in ("", "-*")
    ]
    listed = mirror.git.text("for-each-ref", "--sort=-committerdate", "--format=%(refname)", *names).splitlines()
    there = [ref.partition("/origin/")[2] or ref.removeprefix("refs/heads/") for ref in listed]
    wanted = name_of(task)
    if attempt > 1:
        return wanted if wanted in there or not there else there[0]
    # Of another ledger whose task had this number: its work is not this task's.
    number = 2
    free = wanted
    while free in there:
        free, number = f"{wanted}-{number}", number + 1
    return free


def start(mirror: Mirror, task: Task, branch: str, base: str) -> tuple[str, list[str]]:
    """Have the branch in the mirror at the commit to go on from; that commit, and what is to be said about it.

    Of the mirror's and the remote's the one that is ahead. Where both have gone on the remote's, and the mirror's is
    kept under another name.
    """
    git, ref = mirror.git, f"refs/heads/{branch}"
    here, there = git.commit_of(ref), git.commit_of(f"refs/remotes/origin/{branch}")
    notes = []
    commit = here or there or base
    if here and there and not git.holds(here, there):
        commit = there
        if not git.holds(there, here):
            other = f"{KEPT}/{task.task_id}-{here[:8]}"
            mirror.keep(other, here)
            notes.append(
                f"{branch} has gone on here and at the remote of {mirror}: the work goes on from the remote's, "
                f"and what was here is kept on {other}"
            )
    if commit != base and git.holds(base, commit):
        commit = base  # it was merged: a further attempt begins at what came of it
    if commit != here:
        git.run("update-ref", "-m", "shoal: begin", ref, commit, here or "")
    return commit, notes
