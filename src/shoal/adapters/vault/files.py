"""Files written whole or not at all: a crash leaves the old text or the new one, never a half."""

from __future__ import annotations

import ctypes
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from shoal.errors import BadInput, NotFound, VaultError

PARTIAL = ".shoal-partial-"


def read(path: Path) -> str:
    """A file's text; bytes that are no UTF-8 come through unharmed. Raises NotFound."""
    return read_bytes(path).decode("utf-8", "surrogateescape")


def read_bytes(path: Path) -> bytes:
    """A file's bytes. Raises NotFound, and VaultError for what is no plain file."""
    data = _bytes(path)
    if data is None:
        raise NotFound(f"{path} does not exist")
    return data


def update(path: Path, change: Callable[[str | None], str | None]) -> bool:
    """Bring what `change` makes of the text (None: there is no file) to the disk; whether that was something else.

    When somebody writes the file meanwhile, `change` is asked again about the new text. It may answer None: leave it.
    """
    while True:
        was = _bytes(path)
        text = change(None if was is None else was.decode("utf-8", "surrogateescape"))
        if text is None or (data := text.encode("utf-8", "surrogateescape")) == was:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _partial(path, data, sync=True)
        # An editor may have saved while we wrote; from here to the rename are some microseconds.
        if _bytes(path) == was:
            partial.replace(path)
            sync_folder(path.parent)
            return True
        partial.unlink()


def write(path: Path, text: str) -> bool:
    """Bring the text to the disk; whether the file said something else before."""
    return update(path, lambda _: text)


def write_bytes(path: Path, data: bytes) -> None:
    """Bring bytes to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _partial(path, data, sync=True).replace(path)
    sync_folder(path.parent)


def write_all(texts: Mapping[Path, tuple[bytes | None, str]]) -> list[Path]:
    """Bring many texts to the disk, together: one barrier for all instead of one each; which were not written.

    Each comes with what the file said when the text was made, or None for a file that is not there; one that says
    something else by now is left alone.
    """
    partials: list[tuple[Path, bytes | None, Path]] = []
    for path, (was, text) in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        partials.append((path, was, _partial(path, text.encode("utf-8", "surrogateescape"), sync=False)))
    if partials:
        _barrier(partials[0][0].parent)
    refused = []
    for path, was, partial in partials:
        if _bytes(path) == was:
            partial.replace(path)
        else:
            partial.unlink()
            refused.append(path)
    for folder in {path.parent for path in texts}:
        sync_folder(folder)
    return refused


def move(source: Path, target: Path) -> None:
    """Give a file another name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    sync_folder(target.parent)
    sync_folder(source.parent)


def inside(root: Path, path: Path) -> Path:
    """The path, if following every link it still lies below the root. Raises BadInput."""
    resolved = path.resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise BadInput(f"{path} leads out of the vault {root}; nothing was written")
    return path


def clear_partials(folder: Path) -> None:
    """Remove what writers left behind in a folder that died in the middle. No writer may be at work there."""
    for path in folder.glob(f"{PARTIAL}*"):
        if path.is_file():
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bytes(path: Path) -> bytes | None:
    try:
        # A link in a repository that others push to could show us any file of this machine.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise VaultError(
            f"{path} cannot be read: {error.strerror}; move it out of the vault, or make it a plain file"
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise VaultError(f"{path} is no plain file; move it out of the vault")
    with open(descriptor, "rb") as file:
        return file.read()


def _partial(path: Path, data: bytes, *, sync: bool) -> Path:
    """The data in a file beside the one that it is for, with that one's mode."""
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        mode = 0o644
    partial = path.with_name(f"{PARTIAL}{secrets.token_hex(8)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(descriptor)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return partial


def _barrier(folder: Path) -> None:
    """Everything written to this file system so far is on the disk afterwards."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:  # not Linux
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed", str(folder))
    finally:
        os.close(descriptor)
