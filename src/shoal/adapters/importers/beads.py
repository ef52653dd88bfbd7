"""beads: issues.jsonl, an issue a line, as `bd export` writes it; or the JSON list of `bd list --json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shoal.adapters.importers import reading, record
from shoal.errors import BadInput
from shoal.model.item_import import ImportedItem, Refusal, System

SYSTEM = System.BEADS
NAMES = ("issues.jsonl", "beads.jsonl")
BLOCKING = frozenset({"blocks", "conditional-blocks", "waits-for"})
SECTIONS = {"design": "Design", "acceptance_criteria": "Acceptance criteria", "notes": "Notes"}
# Of beads' own bookkeeping; counts and hashes say nothing of the work.
OWN = frozenset({"_type", "content_hash", "compaction_level", "compacted_at", "compacted_at_commit", "original_size"})
OWN |= {"updated_at", "created_at", "created_by", "dependency_count", "dependent_count", "comment_count", "dependents"}
OWN |= {"source_repo", "deleted_at", "deleted_by", "original_type", "started_at", "ephemeral", "pinned", "comments"}


def fits(path: Path) -> bool:
    """Whether a path looks like a folder with beads, or a file of them."""
    if path.is_dir():
        return any((path / name).is_file() or (path / ".beads" / name).is_file() for name in NAMES)
    return path.name in NAMES or (path.suffix in (".jsonl", ".ndjson") and '"issue_type"' in _start(path))


def read(path: Path) -> Iterator[ImportedItem | Refusal]:
    """The issues of a file, or of the folder that beads keeps it in. Raises BadInput when there is none."""
    if path.is_dir():
        places = [folder / name for folder in (path / ".beads", path) for name in NAMES]
        found = next((one for one in places if one.is_file()), None)
        if found is None:
            raise BadInput(f"{path} has no {NAMES[0]}: `bd export -o {NAMES[0]}` writes it", field="file")
        path = found
    text, name = reading.read_text(path), record.line(path.name)
    if text.lstrip().startswith("["):
        for number, row in enumerate(reading.json_of(text, name), start=1):
            yield _issue(row, f"{name}: issue {number}")
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            row = reading.json_of(line, "it")
        except BadInput as error:
            yield Refusal(place, error.message)
        else:
            yield _issue(row, place)


def _start(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode(errors="replace")
    except OSError:
        return ""


def _issue(row: Any, place: str) -> ImportedItem | Refusal:
    if not isinstance(row, dict):
        return Refusal(place, f"it is no issue but {type(row).__name__}")
    if row.get("_type", "issue") != "issue":
        return Refusal(place, f"it is no issue but {record.line(row['_type'])[:50]}")
    left = {key: value for key, value in row.items() if key not in OWN}

    def pop(*names: str) -> Any:
        found = [left.pop(name, None) for name in names]
        return next((one for one in found if one not in (None, "", [])), None)

    id = pop("id")
    parent, blockers, others = _links(record.line(id), pop("dependencies"))
    parts = [record.text_of(pop("description"))]
    parts += [f"{heading}: {record.text_of(said)}" for key, heading in SECTIONS.items() if (said := pop(key))]
    parts += _comments(row.get("comments"))
    return record.item(
        SYSTEM,
        id,
        place=place,
        title=pop("title"),
        body="\n\n".join(filter(None, parts)),
        status=pop("status"),
        priority=pop("priority"),
        estimate=pop("estimated_minutes"),
        type=pop("issue_type", "type"),
        labels=record.names(pop("labels")),
        owner=pop("assignee", "owner"),
        due_at=pop("due_at"),
        closed_at=pop("closed_at"),
        parent=pop("parent") or parent,
        blocked_by=blockers,
        rest=others | left,
    )


def _links(id: str, given: Any) -> tuple[str | None, list[str], dict[str, str]]:
    """What an issue is below, what it waits for, and its other links as they are called there."""
    parent, blockers = None, []
    others: dict[str, list[str]] = {}
    for one in given if isinstance(given, list) else []:
        if isinstance(one, str):
            one = {"depends_on_id": one}
        if not isinstance(one, dict) or one.get("issue_id") not in (None, "", id):
            continue
        other = record.line(one.get("depends_on_id") or one.get("id"))
        kind = record.line(one.get("type") or one.get("dependency_type") or one.get("dep_type") or "blocks")
        if kind == "parent-child":
            parent = other
        elif kind in BLOCKING:
            blockers.append(other)
        elif other:
            others.setdefault(kind, []).append(other)
    return parent, blockers, {kind: ", ".join(ids) for kind, ids in others.items()}


def _comments(given: Any) -> list[str]:
    found = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    return [
        f"Comment of {record.line(one.get('author')) or 'somebody'}: {record.text_of(one.get('text'))}" for one in found
    ]
