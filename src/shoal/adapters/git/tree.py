"""A folder and all that is in it, removed: also what programs have made read-only."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path


def remove_tree(folder: Path) -> bool:
    """Remove a folder; whether it is gone. What another user owns stays, and so does what is around it."""
    if not os.path.lexists(folder):
        return True
    if folder.is_symlink() or not folder.is_dir():
        with suppress(OSError):
            folder.unlink()
        return not os.path.lexists(folder)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        # Caches of modules are often folders that nobody may write to, their owner included.
        with suppress(OSError):
            folder.chmod(0o700)
        for path, names, _ in os.walk(folder):
            for inner in (Path(path, name) for name in names):
                with suppress(OSError):
                    if not inner.is_symlink():
                        inner.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
