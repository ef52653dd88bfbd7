"""What ruff finds, as findings: the program is asked, where there is one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.adapters.checks.conventions.rules import Ruff
from shoal.errors import BadInput
from shoal.model.check import Finding

SECONDS = 300


class _Place(Struct):
    row: int = 1


class _Fix(Struct):
    applicability: str = ""


class _Found(Struct):
    filename: str
    message: str
    code: str | None = None
    location: _Place | None = None
    fix: _Fix | None = None


def program() -> str | None:
    """Where ruff is: beside this Python, else on PATH."""
    beside = Path(sys.executable).with_name("ruff")
    return str(beside) if beside.is_file() else shutil.which("ruff")


def findings(root: Path, asked: Ruff, *, warn: Callable[[str], None]) -> Iterator[Finding]:
    """What ruff finds in a checkout. Raises BadInput when it refuses its configuration."""
    found = program()
    if found is None:
        warn("ruff is configured and is not to be had; its rules were not looked at: install it beside Shoal")
        return
    command = [found, "check", "--output-format", "json", "--exit-zero", "--no-cache", "--quiet"]
    command += ["--select", ",".join(asked.select)] if asked.select else []
    try:
        ran = subprocess.run(  # noqa: S603 - ruff, with arguments that stand after its options
            [*command, "--", *asked.paths], cwd=root, capture_output=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadInput(f"ruff did not end well in {root}: {error}", field="ruff") from None
    if ran.returncode:
        said = " ".join(ran.stderr.decode(errors="replace").split())[:500]
        raise BadInput(f"ruff cannot check {root}: {said}", field="ruff")
    for one in msgspec.json.decode(ran.stdout, type=list[_Found]):
        yield _finding(root.resolve(), one, asked)


def _finding(root: Path, one: _Found, asked: Ruff) -> Finding:
    at = Path(one.filename)
    return Finding(
        rule=f"ruff:{one.code or 'syntax'}",
        severity=asked.severity,
        message=one.message[:4000],
        file=at.relative_to(root).as_posix() if at.is_relative_to(root) else at.name,
        line=max(1, one.location.row) if one.location else None,
        safe=one.fix is not None and one.fix.applicability == "safe",
    )
