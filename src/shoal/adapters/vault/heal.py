"""Clears away what dead processes left in a repository: locks, a rebase or merge half done, a broken index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shoal.adapters.git.repository import Git, records
from shoal.adapters.vault.files import read_bytes
from shoal.clock import SystemClock
from shoal.errors import GitError

LOCKS = ("index.lock", "HEAD.lock", "config.lock", "packed-refs.lock", "shallow.lock")
LOCK_SECONDS = 5.0
OTHER_LOCK_SECONDS = 600.0
PEOPLE_SECONDS = 1800.0
UNDER_WAY = ("rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD")


def heal(git: Git) -> list[str]:
    """Clear away what dead processes left: locks, a rebase or merge half done, a broken index; what was done."""
    told = [f"removed {path.name}, which a dead process left" for path in _dead_locks(git)]
    tree = git.text("config", "--local", "--get", "core.worktree", codes=(0, 1))
    if tree and (git.folder / tree).resolve() != git.root.resolve():
        raise GitError(
            f"core.worktree in {git.folder}/config leads to {tree}; remove it: git config --unset core.worktree"
        )
    under_way = [git.folder / name for name in UNDER_WAY if (git.folder / name).exists()]
    if under_way:
        _leave_to_people(git, under_way)
        told.append(_rescue(git))
    checked = git.run("ls-files", "--error-unmatch", ".gitignore", codes=(0, 1, 128))
    if checked.returncode == 128 and b"index" in checked.stderr:
        (git.folder / "index").unlink(missing_ok=True)
        git.run("reset", "--quiet")
        told.append("made a broken index anew")
    return told


def _leave_to_people(git: Git, under_way: list[Path]) -> None:
    """Somebody may be resolving it right now."""
    age = SystemClock().now_ms() / 1000 - max(path.stat().st_mtime for path in under_way)
    if age < PEOPLE_SECONDS:
        raise GitError(
            f"a rebase or merge is under way in {git.root}; finish it, or it is ended in "
            f"{(PEOPLE_SECONDS - age) / 60:.0f} minutes with its working tree kept"
        )


def _dead_locks(git: Git) -> Iterator[Path]:
    locks = [git.folder / name for name in LOCKS]
    locks += list((git.folder / "refs").rglob("*.lock")) if (git.folder / "refs").is_dir() else []
    for path in locks:
        try:
            age = SystemClock().now_ms() / 1000 - path.stat().st_mtime
        except FileNotFoundError:
            continue
        alive = _git_at_work(git.root)
        limit = LOCK_SECONDS if alive is False else OTHER_LOCK_SECONDS
        if age < limit:
            raise GitError(f"{path} is {age:.0f} s old: another git may be at work; it is cleared after {limit:.0f} s")
        path.unlink(missing_ok=True)
        yield path


def _rescue(git: Git) -> str:
    """End a rebase or merge that nobody will finish. What was in the working tree stays, or is kept as a ref."""
    unmerged = {entry.partition("\t")[2] for entry in records(git.run("ls-files", "-u", "-z").stdout)}
    head = git.commit_of("HEAD")
    edited = [one for one in git.changed() if one.path not in unmerged]
    kept = {
        one.path: None if one.deleted else read_bytes(git.root / one.path)
        for one in edited
        if one.deleted or _is_plain(git.root / one.path)
    }
    git.run("add", "--all", "--", ".")
    tree = git.text("write-tree")
    rescued = git.make_commit(tree, [head] if head else [], "Working tree of an unfinished rebase or merge\n")
    ref = f"refs/shoal/rescued/{SystemClock().now_ms()}"
    git.run("update-ref", ref, rescued)
    branch = _branch_of_rebase(git)
    autostash = git.folder / "rebase-merge" / "autostash"
    if autostash.exists():
        git.run("update-ref", f"{ref}-autostash", autostash.read_text().strip())
    for command in ("rebase", "merge", "cherry-pick", "revert"):
        git.run(command, "--quit", codes=range(256))
    if branch is not None:
        git.run("symbolic-ref", "HEAD", branch)
    before = {path: _blob_in(git, head, path) for path in kept}
    git.run("reset", "--quiet", "--hard")
    for path, data in kept.items():
        # Only where the file below the edit is the same one; else the ref has it.
        if _blob_in(git, "HEAD", path) == before[path]:
            target = git.root / path
            if data is None:
                target.unlink(missing_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
    return f"ended an unfinished rebase or merge; its working tree is kept as {ref}"


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _branch_of_rebase(git: Git) -> str | None:
    for name in ("rebase-merge", "rebase-apply"):
        path = git.folder / name / "head-name"
        if path.exists() and (branch := path.read_text().strip()).startswith("refs/heads/"):
            return branch
    return None


def _blob_in(git: Git, commit: str | None, path: str) -> str | None:
    if commit is None:
        return None
    return git.text("rev-parse", "--verify", "--quiet", f"{commit}:{path}", codes=(0, 1, 128)) or None


def _git_at_work(root: Path) -> bool | None:
    """Whether a living git works in this folder; None where the system does not tell."""
    processes = Path("/proc")
    if not (processes / "self" / "cwd").exists():
        return None
    real = root.resolve()
    for process in processes.iterdir():
        if not process.name.isdigit():
            continue
        try:
            if (process / "comm").read_text().startswith("git") and (process / "cwd").resolve().is_relative_to(real):
                return True
        except OSError:
            continue
    return False
