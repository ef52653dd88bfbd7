"""A check of one's own to begin with."""

from __future__ import annotations

import re
from pathlib import Path

from shoal.errors import BadInput, Refused

TEXT = '''"""What this check looks for, in one line."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from shoal.adapters.checks.check import Context
from shoal.model.check import Finding

NAME = "{name}"
VERSION = "1"  # another one when it judges otherwise than before


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What it may be told."""

    word: Annotated[str, Meta(description="a word that should not be there; XXX")] = "XXX"


def run(context: Context) -> Iterator[Finding]:
    """Look at the checkout; a finding each time that something is wrong."""
    for path in sorted(context.checkout.rglob("*.md")):
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            if context.options.word in line:
                file = path.relative_to(context.checkout).as_posix()
                yield Finding(rule="word", message=f"still there: {{line.strip()[:200]}}", file=file, line=number)
'''


def write(name: str, folder: Path) -> Path:
    """Write the file. Raises BadInput for a name that cannot be a module's, Refused when the file is there."""
    stem = name.replace("-", "_")
    if not re.fullmatch(r"[A-Za-z_]\w*", stem):
        raise BadInput(f"{name!r} cannot name a check in Python: letters, digits, - and _ alone", field="name")
    place = folder / f"{stem}.py"
    if place.exists():
        raise Refused(f"{place} is there already; choose another name, or edit it", field="name")
    folder.mkdir(parents=True, exist_ok=True)
    place.write_text(TEXT.format(name=name), encoding="utf-8")
    return place
