"""SQLite's errors in Shoal's words."""

from __future__ import annotations

from pathlib import Path

import apsw

from shoal.errors import (
    BadInput,
    Duplicate,
    ShoalError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
)


class translated:
    """Turns the driver's errors into Shoal's."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, (apsw.Error, OSError, UnicodeEncodeError, OverflowError)):
            raise as_shoal_error(error, self._path) from error


def as_shoal_error(error: Exception, path: Path) -> Exception:
    """The same in Shoal's words, or itself when it is none of SQLite's."""
    match error:
        case ShoalError():
            return error
        case apsw.ConstraintError() if "UNIQUE constraint failed" in str(error):
            field = str(error).rpartition(".")[2]
            return Duplicate(f"another task has this {field}; choose another one", field=field)
        case apsw.FullError():
            return StoreFull(f"no space left for {path}; free some and try again, nothing was lost")
        case apsw.BusyError() | apsw.LockedError():
            return StoreBusy(f"{path} is locked by another program; close it or try again")
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.CantOpenError() | PermissionError():
            return StoreReadOnly(f"{path} cannot be opened for writing; check its owner, mode and folder")
        case apsw.CorruptError() | apsw.NotADBError():
            return StoreCorrupt(f"{path} is damaged or not a Shoal database; run `shoal doctor`, then `shoal restore`")
        case UnicodeEncodeError():
            return BadInput("text must be valid Unicode; it holds a lone surrogate")
        case OverflowError():
            return BadInput("a number is too large; the limit is 2^53")
        case OSError(errno=28):
            return StoreFull(f"no space left for {path}; free some and try again, nothing was lost")
        case apsw.Error() | OSError():
            return StoreError(f"{path}: {error}")
    return error
