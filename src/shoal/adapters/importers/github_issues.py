"""GitHub's issues: the list of its REST API, or that of `gh issue list --json`. Pull requests are left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from shoal.adapters.importers import reading, record
from shoal.errors import BadInput
from shoal.model.item_import import ImportedItem, Refusal, System

SYSTEM = System.GITHUB
FIELDS = "number,title,body,state,stateReason,labels,assignees,milestone,url,closedAt"
_URL = re.compile(r"https?://[^/]+/(?:repos/)?([^/]+/[^/]+)/(issues|pull)/(\d+)\b")
_NAME = re.compile(r"(?:([\w.-]{1,100}/[\w.-]{1,100}))?#(\d+)")
_WAITS = re.compile(r"^(?:[^\w\n]|_)*(?:blocked by|depends on)[:\s]+(.*)$", re.IGNORECASE | re.MULTILINE)
_PRIORITY = re.compile(r"(?:priority|prio)\W*(?P<word>\w+)|(?P<short>p[0-4])", re.IGNORECASE)


def fits(path: Path) -> bool:
    """Whether a path looks like a file of issues."""
    if not path.is_file() or path.suffix != ".json":
        return False
    try:
        with path.open("rb") as file:
            start = file.read(20_000).decode(errors="replace").lstrip()
    except OSError:
        return False
    return start.startswith("[") and '"number"' in start and '"title"' in start


def read(path: Path) -> Iterator[ImportedItem | Refusal]:
    """The issues of a file. Raises BadInput when it is no list of them."""
    name = record.line(path.name)
    given = reading.json_of(reading.read_text(path), name)
    if not isinstance(given, list):
        raise BadInput(f"{name} is no list of issues, as `gh issue list --json {FIELDS}` gives it", field="file")
    yield from issues(given, name)


def issues(given: Iterable[Any], name: str) -> Iterator[ImportedItem | Refusal]:
    """Issues as the API gives them; `name` is what they came from, for people."""
    for number, row in enumerate(given, start=1):
        if not isinstance(row, dict):
            yield Refusal(f"{name}: issue {number}", f"it is no issue but {type(row).__name__}")
        elif reading.is_deep(row):
            yield Refusal(f"{name}: issue {number}", "it is nested too deeply")
        elif not _is_pull_request(row):
            yield _issue(row, name, number)


def _is_pull_request(row: dict[str, Any]) -> bool:
    found = _URL.match(record.line(row.get("html_url") or row.get("url")))
    return row.get("pull_request") is not None or (found is not None and found[2] == "pull")


def _issue(row: dict[str, Any], name: str, place: int) -> ImportedItem | Refusal:
    number = record.line(row.get("number"))
    where = f"{name}: issue {number[:100] or place}"
    url = record.line(row.get("html_url") or row.get("url"))
    found = _URL.match(url)
    if found is None:
        return Refusal(where, f"it says no url, and so not of which repository it is: `gh issue list --json {FIELDS}`")
    repository = found[1]
    body = row.get("body") if isinstance(row.get("body"), str) else ""
    labels = [_named(one, "name") for one in record.names(row.get("labels"))]
    owners = [_named(one, "login") for one in record.names(row.get("assignees") or row.get("assignee"))]
    milestone = row.get("milestone") if isinstance(row.get("milestone"), dict) else {}
    above = _URL.match(record.line(row.get("parent_issue_url")))
    return record.item(
        SYSTEM,
        f"{repository}#{number}" if number else None,
        place=where,
        title=row.get("title"),
        body=(body or "").replace("\r\n", "\n"),
        status=_state(row),
        priority=next(filter(lambda one: one is not None, map(_priority, labels)), None),
        type=_type(row, labels),
        labels=labels,
        owner=owners[0] if owners else None,
        due_at=milestone.get("due_on") or milestone.get("dueOn") if milestone else None,
        closed_at=row.get("closed_at") or row.get("closedAt"),
        parent=f"{above[1]}#{above[3]}" if above else None,
        blocked_by=_waits_for(repository, body or ""),
        rest={"url": url, "milestone": (milestone or {}).get("title"), "assignees": ", ".join(owners[1:])},
    )


def _state(row: dict[str, Any]) -> str:
    reason = record.line(row.get("state_reason") or row.get("stateReason")).casefold().replace("_", " ")
    if record.line(row.get("state")).casefold() != "closed":
        return "open"
    return "declined" if reason in ("not planned", "duplicate") else "done"


def _type(row: dict[str, Any], labels: list[str]) -> str | None:
    given = row.get("type") or row.get("issueType")
    name = _named(given, "name") if given else next((one for one in labels if one.casefold() == "bug"), None)
    return name.casefold() if name else None


def _priority(label: str) -> int | None:
    found = _PRIORITY.fullmatch(label.strip())
    return record.priority_of(found["word"] or found["short"]) if found else None


def _waits_for(repository: str, body: str) -> list[str]:
    """Issues after `blocked by` or `depends on` at the beginning of a line."""
    found = [name for line in _WAITS.findall(body) for name in _NAME.findall(line)]
    return [f"{other or repository}#{number}" for other, number in found]


def _named(given: Any, key: str) -> str:
    return record.line(given.get(key) if isinstance(given, dict) else given)
