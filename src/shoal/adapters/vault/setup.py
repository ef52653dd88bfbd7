"""A vault's folder made ready: its folders, git, and what git is to leave alone. What is there already stays."""

from __future__ import annotations

from pathlib import Path

from shoal.adapters.git.credentials import without_credentials
from shoal.adapters.git.repository import Git
from shoal.adapters.vault import files
from shoal.adapters.vault.files import PARTIAL
from shoal.adapters.vault.layout import Layout
from shoal.errors import BadInput, VaultError

IGNORED = f"""# Shoal's own, of this machine only
{PARTIAL}*
# Obsidian's, of this machine only
.obsidian/workspace*
.obsidian/cache
.trash/
"""
# Files are kept byte for byte: git must not change line ends on anybody's machine.
ATTRIBUTES = "* -text\n"


def ensure(root: Path, layout: Layout, git: Git, *, remote: str | None = None) -> list[str]:
    """Make what is missing; what was made. Raises BadInput when the folder lies within another repository."""
    made = []
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{root} cannot be made: {error.strerror}; choose another folder", field="vault") from None
    if not git.exists:
        _refuse_inside_another(root, git)
    for folder in layout.folders:
        path = root / folder
        if not path.is_dir():
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise VaultError(f"{path} must be a folder: {error.strerror}; move what is there away") from None
            made.append(f"{folder}/")
    begun = git.exists
    if not git.is_whole:
        git.run("init", "--quiet")  # also where a full disk or a power cut left half of one
    if not begun:
        made.append(".git")
        for name, text in ((".gitignore", IGNORED), (".gitattributes", ATTRIBUTES)):
            if not (root / name).exists():
                files.write(root / name, text)
                made.append(name)
    _exclude(git)
    if remote is not None:
        made += _add_remote(git, remote)
    return made


def _refuse_inside_another(root: Path, git: Git) -> None:
    around = git.enclosing()
    if around is not None and root.resolve().is_relative_to(around.resolve()) and not _ignored(git):
        raise BadInput(
            f"{root} lies within the repository {around}, which does not ignore it; choose another folder, "
            f"or add this one to its .gitignore",
            field="vault",
        )


def _ignored(git: Git) -> bool:
    """Whether the repository around leaves this folder alone."""
    return git.run("check-ignore", "--quiet", ".", codes=(0, 1, 128)).returncode == 0


def _exclude(git: Git) -> None:
    """What git leaves alone here, also in a vault whose .gitignore and .gitattributes are somebody's own.

    What somebody pushes as attributes must not change people's bytes, nor run a filter of this machine.
    """
    wanted = {"exclude": f"{PARTIAL}*", "attributes": "* -text -ident -filter -working-tree-encoding !merge"}
    for name, line in wanted.items():
        path = git.folder / "info" / name
        was = path.read_text() if path.exists() else ""
        if line not in was.splitlines():
            path.parent.mkdir(exist_ok=True)
            path.write_text(was + ("" if not was or was.endswith("\n") else "\n") + f"{line}\n")


def _add_remote(git: Git, remote: str) -> list[str]:
    if not remote.strip() or set(remote) & set(" \t\n\0"):
        raise BadInput(f"{remote!r} is not the address of a git repository", field="remote")
    url = without_credentials(remote)
    if url != remote or ":" in remote.partition("://")[2].partition("/")[0].rpartition("@")[0]:
        raise BadInput(
            f"leave the credentials out of the remote ({url}): git would store them in its configuration; "
            "set SHOAL_VAULT_TOKEN, or give git a credential helper",
            field="remote",
        )
    known = git.remote()
    if known is None:
        git.run("remote", "add", "--", "origin", url)
        return [f"remote origin {url}"]
    if git.text("remote", "get-url", known) != url:
        git.run("remote", "set-url", "--", known, url)
        return [f"remote {known} {url}"]
    return []
