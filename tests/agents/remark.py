"""remark-validate-links, another reader of markdown, asked for a second opinion about links.

It comes from npm into `.remark`, or is taken from the folder that SHOAL_TEST_REMARK names.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.agents.programs import Unavailable, install

FOLDER = Path(__file__).parents[2] / ".remark"
PACKAGES = {"remark-cli": "12.0.1", "remark-gfm": "4.0.1", "remark-validate-links": "13.1.0"}
WARNING = re.compile(
    r"\s*(\d+):\d+(?:-\d+:\d+)?\s+warning\s+Cannot find (?:file|heading for) `(.*?)`(?: in `.*?`)?(?:;|\s)"
)


def complaints(root: Path) -> set[tuple[str, int, str]]:
    """What it says about the pages of a folder: the page, the line, and the path or the #anchor that is not there."""
    modules = _modules()
    asked = ["--no-config", "--no-stdout", "--quiet", "--no-color", "--ext", "md,markdown"]
    plugins = [
        "--use",
        f"{modules}/remark-gfm/index.js",
        "--use",
        f"{modules}/remark-validate-links/index.js=repository:false",
    ]
    done = subprocess.run(
        ["node", f"{modules}/remark-cli/cli.js", ".", *asked, *plugins],
        cwd=root, capture_output=True, text=True, encoding="utf-8", timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: set[tuple[str, int, str]] = set()
    page = ""
    for line in done.stderr.splitlines():
        told = WARNING.match(line + " ")
        if told:
            found.add((page, int(told[1]), told[2]))
        elif line and not line.startswith((" ", "⚠", "✖")):
            page = line.strip().removesuffix(": no issues found")
    return found


def _modules() -> Path:
    given = os.environ.get("SHOAL_TEST_REMARK")
    try:
        folder = Path(given) if given else install(FOLDER, PACKAGES)
    except Unavailable as error:
        pytest.skip(str(error))
    if not (folder / "node_modules" / "remark-validate-links").exists():
        pytest.skip(f"{folder} has no remark-validate-links")
    return folder / "node_modules"
