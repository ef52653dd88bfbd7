"""A report: one file of a vault that a job writes whole, wherever its owner wants to have it.

It is put there like what a person saves, so that no sync can lose it: whole, on the disk, and while no other process of
Shoal writes. The next sync commits it with all else that changed.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from shoal.adapters.vault import files
from shoal.adapters.vault.front_matter import FrontMatter, Unreadable
from shoal.adapters.vault.vault import Vault
from shoal.errors import VaultError

KIND = "shoal-view"
"""The key `kind` in the front matter of pages that Shoal writes whole."""


def write(vault: Vault, place: PurePosixPath, text: str, *, view: str) -> None:
    """Write a report over the one before, which is known by its front matter: its kind and which `view` it is.

    Raises VaultError when another file is in its place, or a link; BadInput when the place is not in the vault.
    """

    def change(was: str | None) -> str:
        if was is not None and not is_written_whole(was, view):
            raise VaultError(f"{place} in the vault is not a report of Shoal's; move it away, or choose another file")
        return text

    with vault.exclusive():
        path = vault.path(place)
        inner = path.parent.resolve().relative_to(vault.root.resolve())
        if any(part.startswith(".") for part in inner.parts):  # a link may lead into .git
            raise VaultError(f"{place} leads to {inner}, where no reports go; choose another file")
        files.update(path, change)


def is_written_whole(text: str, view: str | None = None) -> bool:
    """Whether a page is one that Shoal writes whole, and this view, if one is named."""
    try:
        found = FrontMatter(text).values
    except Unreadable:
        return False
    return found.get("kind") == KIND and (view is None or found.get("view") == view)
