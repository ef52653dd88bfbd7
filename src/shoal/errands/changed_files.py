"""Which files of the projects were changed lately, and when: git knows, where the checkout is. For rules of triage."""

from __future__ import annotations

from pathlib import Path

from shoal.adapters.git.reading import Reading
from shoal.clock import Clock, SystemClock
from shoal.errors import GitError
from shoal.settings import Settings

TIMEOUT_SECONDS = 30.0


def changed_files(
    settings: Settings, home: Path, *, project: str | None = None, clock: Clock | None = None
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """By project, each file that a commit changed in the days that the rules ask about, and when the last one did, in
    epoch milliseconds; and why that could not be had of a project. Asks nothing when no rule does.
    """
    since = _since(settings, clock)
    if since is None:
        return {}, []
    found: dict[str, dict[str, int]] = {}
    problems: list[str] = []
    for name, one in settings.projects.items():
        if project is None or name == project:
            try:
                found[name] = _of(home / Path(one.path).expanduser(), since)
            except (GitError, OSError) as error:
                problems.append(f"{name}: {getattr(error, 'message', error)}")
    return found, problems


def changed_in(settings: Settings, folder: Path) -> dict[str, int] | None:
    """The same for one folder; None when no rule asks, or nobody can tell."""
    since = _since(settings)
    try:
        return None if since is None else _of(folder, since)
    except (GitError, OSError):
        return None


def _since(settings: Settings, clock: Clock | None = None) -> int | None:
    """From when on the rules ask about changes, in seconds since 1970; None when none asks."""
    days = [rule.changed_within_days for rule in settings.triage.values() if rule.changed_within_days is not None]
    return (clock or SystemClock()).now_ms() // 1000 - max(days) * 86_400 if days else None


def _of(folder: Path, since: int) -> dict[str, int]:
    if not folder.is_dir():
        raise GitError(f"{folder} is no folder")
    git = Reading(folder, timeout_seconds=TIMEOUT_SECONDS)
    if git.head() is None:
        raise GitError(f"{folder} has no commits")
    log = git.run(
        *("log", f"--since=@{since}", "--relative", "--name-only", "--no-renames", "--diff-merges=first-parent"),
        *("-z", "--format=%x01%ct"),
    ).stdout.decode("utf-8", "replace")
    changed: dict[str, int] = {}
    for commit in log.split("\x01")[1:]:
        time, _, rest = commit.partition("\0")
        at = int(time.strip()) * 1000
        for path in rest.split("\0"):
            if name := path.lstrip("\n"):
                changed[name] = max(changed.get(name, 0), at)
    return changed
