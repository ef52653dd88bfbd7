"""What a task keeps as its result: the JSON that the agent wrote to $SHOAL_RESULT_FILE, and what the worker adds.

Whatever the agent left there is read without harm, and what is wrong with it is for the agent to mend.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from shoal.model.prompt import Failure
from shoal.model.result import RESULT_DEPTH, RESULT_LIMIT, is_deep
from shoal.model.session import Branch

NAME = "$SHOAL_RESULT_FILE"
RESULT_BYTES = 48 * 1024  # of the agent's
BRANCHES_BYTES = 10 * 1024  # and the rest of what a task keeps: for a path, an exit code and commas
assert RESULT_BYTES + BRANCHES_BYTES + 5 * 1024 <= RESULT_LIMIT  # noqa: S101 - a path has 4 KiB at most
_encode = msgspec.json.Encoder().encode


def read_result(path: Path) -> tuple[Any, list[Failure]]:
    """The JSON in the file, None when there is none, and what is wrong with it."""
    try:
        written = _read(path)
        given = None if written is None else _decode(written)
    except _Wrong as wrong:
        return None, [Failure(NAME, str(wrong))]
    return given, []


def whole_result(given: Any, branches: Sequence[Branch], *, exit_code: int | None, log: Path) -> dict[str, Any]:
    """What the task keeps. Branches beyond the room that there is are counted only; their session has all of them."""
    result: dict[str, Any] = {"exit_code": exit_code, "log": str(log)}
    listed: list[Any] = []
    room = BRANCHES_BYTES
    for branch in branches:
        room -= len(_encode(branch)) + 1
        if room < 0:
            result["further_branches"] = len(branches) - len(listed)
            break
        listed.append(msgspec.to_builtins(branch))
    if listed:
        result["branches"] = listed
    return result | (given if isinstance(given, dict) else {} if given is None else {"value": given})


class _Wrong(Exception):
    """Why the file is not taken."""


def _read(path: Path) -> bytes | None:
    try:
        # A pipe without a writer must not be waited for, and a link may lead to what never ends.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            raise _Wrong("it is a link; write the JSON into the file itself") from None
        raise _Wrong(f"it cannot be read: {error.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _Wrong("it is not a regular file; write the JSON into one")
    with open(descriptor, "rb") as file:
        try:
            written = file.read(RESULT_BYTES + 1)
        except OSError as error:
            raise _Wrong(f"it cannot be read: {error.strerror}") from None
    if len(written) > RESULT_BYTES:
        raise _Wrong(_too_large(max(status.st_size, len(written))))
    return written


def _decode(written: bytes) -> Any:
    try:
        given = msgspec.json.decode(written)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Wrong(f"it is not JSON: {error}") from None
    if is_deep(given, RESULT_DEPTH - 1):
        raise _Wrong(f"it is nested more than {RESULT_DEPTH - 1} levels deep")
    encoded = _encode(given)  # may be longer than what was written: 1e15 is kept with all its digits
    if len(encoded) > RESULT_BYTES:
        raise _Wrong(_too_large(len(encoded)))
    if b"\\u0000" in encoded:
        raise _Wrong("it holds a NUL character, which no task can keep")
    return given


def _too_large(size: int) -> str:
    return f"it has {size:,} bytes, and {RESULT_BYTES:,} are taken; put the rest into a file"
