"""What is wrong with a vault: files that cannot be read, content that waits, git, the last sync."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shoal.adapters.git.repository import Git
from shoal.adapters.vault import files
from shoal.adapters.vault.front_matter import FrontMatter
from shoal.adapters.vault.vault import Vault
from shoal.errors import ShoalError
from shoal.ledger.embedded import EmbeddedEngine
from shoal.services import sync

SHOWN = 5
LATE_MS = 60_000


def look(engine: EmbeddedEngine) -> Iterator[tuple[str, str, str]]:
    """Each thing that was looked at: its name, what is wrong with it if anything is, and what to say else."""
    settler = engine.settler
    if settler is None or not settler.root.is_dir():
        yield "vault", "", "there is none yet; `shoal vault init` or the first sync makes it"
        return
    vault = settler.vault
    waiting = list(vault.spool.report(engine.clock.now_ms() - LATE_MS))
    yield "content", "; ".join(waiting[:SHOWN]), "everything that was written is in its file"
    broken = [f"{path}: {reason}" for path, reason in unreadable(vault)]
    more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    yield "task files", "; ".join(broken[:SHOWN]) + more, "every one can be read"
    git = Git(settler.root, timeout_seconds=engine.settings.vault_git_seconds)
    healthy = "is a healthy git repository" if git.exists else "is no git repository yet; the first sync makes it one"
    yield "vault", _damage(git), f"{settler.root} {healthy}"
    outcome = engine.read(sync.recall)
    yield "vault sync", outcome.last_error or "", "no sync has failed since the last one that went well"


def unreadable(vault: Vault) -> Iterator[tuple[Path, str]]:
    """The files of tasks that cannot be read, and why."""
    for folder in vault.layout.task_folders:
        for path in sorted((vault.root / folder).glob("*.md")):
            try:
                FrontMatter(files.read(path))
            except ShoalError as error:
                yield path.relative_to(vault.root), error.message


def _damage(git: Git) -> str:
    try:
        if not git.exists:
            return ""
        git.branch()
        damage = git.run("fsck", "--connectivity-only", "--no-dangling", codes=range(256))
        return damage.stderr.decode(errors="replace").strip() if damage.returncode else ""
    except ShoalError as error:
        return error.message
