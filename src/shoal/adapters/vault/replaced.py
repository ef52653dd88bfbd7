"""Pages that were written over before git had them, kept as refs for a while."""

from __future__ import annotations

from pathlib import PurePosixPath

from shoal.adapters.git.repository import Git
from shoal.clock import DAY_MS, SystemClock

REFS = "refs/shoal/replaced"
KEPT_DAYS = 90


def keep(git: Git, path: PurePosixPath) -> None:
    """Keep a file that will be written over, unless the last commit has it as it is."""
    if not git.exists:
        return
    has = git.commit_of("HEAD") is not None and git.entry_at("HEAD", str(path)) is not None
    if not has or git.run("diff", "--quiet", "HEAD", "--", str(path), codes=(0, 1)).returncode:
        blob = git.write_blob((git.root / path).read_bytes())
        git.run("update-ref", f"{REFS}/{path.stem}/{SystemClock().now_ms()}", blob)


def clear(git: Git) -> None:
    """Let go of those from long ago."""
    oldest = SystemClock().now_ms() - KEPT_DAYS * DAY_MS
    for ref in git.text("for-each-ref", "--format=%(refname)", REFS).split():
        if int(ref.rpartition("/")[2]) < oldest:
            git.run("update-ref", "-d", ref)
