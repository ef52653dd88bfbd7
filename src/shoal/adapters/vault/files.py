"""Files written whole or not at all: a crash leaves the old text or the new one, never a half."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from shoal.errors import BadInput, NotFound

PARTIAL = ".shoal-partial-"


def read(path: Path) -> str:
    """A file's text; bytes that are no UTF-8 come through unharmed. Raises NotFound."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None


def write(path: Path, text: str) -> bool:
    """Bring the text to the disk; whether the file said something else before."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        if path.read_bytes() == data:
            return False
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        mode = 0o644
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{PARTIAL}{secrets.token_hex(8)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return True


def inside(root: Path, path: Path) -> Path:
    """The path, if following every link it still lies below the root. Raises BadInput."""
    resolved = path.resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise BadInput(f"{path} leads out of the vault {root}; nothing was written")
    return path


def clear_partials(root: Path) -> int:
    """Remove what writers left behind that died in the middle; how many."""
    left = list(root.rglob(f"{PARTIAL}*"))
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
