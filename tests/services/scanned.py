"""Scans of files of tests: `- [ ] text`, two spaces a level, `# heading`, (id), `~30` and `blocked-by:`."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from shoal import Ledger
from shoal.model.found import Found, FoundFile, Mark, ScanReport
from shoal.model.item import Form

LINE = re.compile(r"^( *)- \[(.)\] (?:\((\w[\w.]*)\) )?(.*?)(?: ~(\d+))?(?: @(\w+))?(?: !(\d))?(?: blocked-by: (.+))?$")
MARKS = {" ": Mark.OPEN, "x": Mark.DONE, "-": Mark.DECLINED}


def read(path: str, text: str) -> FoundFile:
    """A file as a scanner sees it."""
    found: list[Found] = []
    heading: list[str] = []
    levels: list[tuple[int, int]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("# "):
            heading, levels = [line[2:]], []
        match = LINE.match(line)
        if match is None:
            continue
        indent, mark, called, words, minutes, owner, priority, waits = match.groups()
        while levels and levels[-1][0] >= len(indent):
            levels.pop()
        found.append(
            Found(
                line=number,
                text=words,
                heading=heading,
                form=Form.QUESTION if words.endswith("?") else Form.BOX,
                mark=MARKS[mark],
                above=levels[-1][1] if levels else None,
                id=called,
                owner=owner,
                estimate_minutes=None if minutes is None else int(minutes),
                priority=None if priority is None else int(priority),
                blocked_by=waits.split(", ") if waits else [],
            )
        )
        levels.append((len(indent), len(found) - 1))
    return FoundFile(path=path, hash=hashlib.sha256(text.encode()).hexdigest(), found=found)


def scan(ledger: Ledger, files: dict[str, str] | str, **given: Any) -> ScanReport:
    """Scan a project that has these files, leaving out those that are as they were; text alone is its TODO.md."""
    files = {"TODO.md": files} if isinstance(files, str) else files
    project, scanner = given.pop("project", "web"), given.pop("scanner", "markdown")
    last = ledger.items.scanned(project=project, scanner=scanner).files
    read_ = [read(path, text) for path, text in files.items()]
    return ledger.items.scan(
        project=project,
        scanner=scanner,
        files=[one for one in read_ if last.get(one.path) != one.hash],
        unchanged=[one.path for one in read_ if last.get(one.path) == one.hash],
        **given,
    )


def became(report: ScanReport) -> dict[str | None, str]:
    """What became of each item that changed."""
    return {one.item_id: one.became for one in report.changes}
