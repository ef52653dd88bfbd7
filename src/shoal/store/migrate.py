"""Brings a schema up to date: numbered SQL files, forward only, one text for both databases.

Where they differ, `{{token}}` and `-- on sqlite` mean what they do in queries.py.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from shoal.errors import SchemaTooNew

_NAME = re.compile(r"^(\d{4})_\w+\.sql$")


@cache
def migrations() -> dict[int, str]:
    """The text of each migration by its number, in order."""
    folder = files(__package__) / "migrations"
    found = {
        int(match[1]): file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if (match := _NAME.match(file.name))
    }
    return dict(sorted(found.items()))


def latest() -> int:
    """The schema version that this program works with."""
    return max(migrations())


def pending(version: int, address: str) -> dict[int, str]:
    """The migrations that a database at `version` still needs."""
    if version > latest():
        raise SchemaTooNew(
            f"{address} has schema {version}, this Shoal knows up to {latest()}; upgrade shoal and try again"
        )
    return {number: text for number, text in migrations().items() if number > version}


def statements(text: str) -> list[str]:
    """The single statements of a migration, without its comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";\n") if part.strip().rstrip(";")]
