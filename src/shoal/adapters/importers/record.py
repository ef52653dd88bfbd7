"""From what another backlog says of an item to a record in neutral words. What is lost on the way is noted in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec

from shoal.adapters.importers import lobwife
from shoal.errors import BadInput
from shoal.model.item import LONGEST_TEXT, Effort
from shoal.model.item_import import ImportedItem, Refusal

DEEPEST = 30
LARGEST_FILE = 64 * 1024 * 1024
OPEN = ("open", "new", "todo", "to do", "to-do", "pending", "queued", "ready", "backlog", "accepted", "planned", "")
DONE = ("done", "completed", "complete", "closed", "finished", "shipped", "resolved", "merged")
DECLINED = ("declined", "cancelled", "canceled", "wontfix", "won't fix", "rejected", "skipped", "dropped", "obsolete")
NEVER = ("duplicate", "abandoned", "tombstone", "not planned", "invalid")
PRIORITIES = {
    "critical": 0,
    "urgent": 0,
    "highest": 0,
    "blocker": 0,
    "high": 1,
    "medium": 2,
    "normal": 2,
    "moderate": 2,
}
PRIORITIES |= {"low": 3, "lowest": 3, "trivial": 3, "minor": 3, "backlog": 3}
EFFORTS = {
    Effort.SMALL: ("small", "s", "xs", "tiny", "trivial", "quick", "low", "easy"),
    Effort.MEDIUM: ("medium", "m", "moderate", "normal"),
    Effort.LARGE: ("large", "l", "xl", "xxl", "big", "huge", "high", "hard"),
}
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_TIME = re.compile(r"~?\s*(\d+(?:\.\d+)?)\s*(m|min|mins|minutes?|h|hrs?|hours?|d|days?|w|weeks?)", re.IGNORECASE)
_MINUTES = {"m": 1, "h": 60, "d": 480, "w": 2400}


def item(
    system: str,
    id: Any,
    *,
    place: str,
    title: Any,
    body: Any = "",
    status: Any = "",
    priority: Any = None,
    effort: Any = None,
    type: Any = None,
    labels: Iterable[Any] = (),
    owner: Any = None,
    due_at: Any = None,
    closed_at: Any = None,
    parent: Any = None,
    blocked_by: Iterable[Any] = (),
    files: Iterable[Any] = (),
    rest: Mapping[str, Any] | None = None,
) -> ImportedItem | Refusal:
    """A record of one item, or why it cannot be one. `rest` is what no field is for: kept in refs and the text."""
    key = line(id)
    if not key:
        return Refusal(place, "it has no id")
    shown = line(title)
    if not shown:
        return Refusal(place, f"{key[:100]} has no title")
    notes: list[str] = []
    state, word = state_of(status)
    refs, also = _kept(system, rest or {})
    text = "\n\n".join(filter(None, [shown, _plain(body).strip(), "\n".join(also)]))
    if len(text) > LONGEST_TEXT:
        notes.append(f"its text was cut from {len(text)} to {LONGEST_TEXT} characters")
        text = text[:LONGEST_TEXT]
    rank = priority_of(priority)
    if priority not in (None, "") and rank is None:
        notes.append(f"its priority {line(priority)[:50]!r} is none of P0 to P3, and was left out")
    due = moment(due_at)
    if due_at not in (None, "") and due is None:
        notes.append(f"its date {line(due_at)[:50]!r} is no date, and was left out")
    fields = {
        "ref": {"system": system, "id": key},
        "place": place,
        "title": shown[:500],
        "text": text,
        "status": state,
        "priority": rank,
        "effort": effort_of(effort),
        "type": line(type)[:200] or None,
        "labels": _names([*labels, word] if word else labels)[:50],
        "owner": line(owner).removeprefix("@")[:200] or None,
        "due_at": due,
        "closed_at": moment(closed_at) if state == "done" else None,
        "parent": {"system": system, "id": line(parent)} if line(parent) else None,
        "blocked_by": [{"system": system, "id": one} for one in dict.fromkeys(map(line, blocked_by)) if one],
        "files": _names(files)[:200],
        "refs": refs,
        "note": "; ".join(notes) or None,
    }
    try:
        return msgspec.convert(fields, ImportedItem)
    except msgspec.ValidationError as error:
        return Refusal(place, f"{key[:100]}: {error}")


def line(given: Any) -> str:
    """A value as text on one line, without what no name may have; empty for none."""
    return "" if given is None else " ".join(_CONTROLS.sub(" ", _plain(given)).split())


def names(given: Any) -> list[Any]:
    """One value or a list of them, or text with commas, as a list."""
    if given is None or given == "":
        return []
    if isinstance(given, str):
        return [one.strip() for one in given.split(",") if one.strip()]
    return list(given) if isinstance(given, list | tuple) else [given]


def state_of(word: Any) -> tuple[str, str | None]:
    """Whether an item is open, done or declined; and, for other words, the word as a label."""
    plain = line(word).casefold().replace("_", " ").replace("-", " ").strip()
    for state, known in (("open", OPEN), ("done", DONE), ("declined", DECLINED + NEVER)):
        if plain in known:
            return state, None
    return "open", plain.replace(" ", "-")


def priority_of(given: Any) -> int | None:
    """P0 to P3 from a number, P1, or a word; what is below P3 is P3. None when it is none of these."""
    if isinstance(given, bool) or given is None:
        return None
    if isinstance(given, int | float):
        return min(int(given), 3) if given >= 0 and given == int(given) else None
    word = line(given).casefold()
    if found := re.fullmatch(r"p?(\d)", word):
        return min(int(found[1]), 3)
    return PRIORITIES.get(word)


def effort_of(given: Any) -> Effort:
    """Small, medium or large from a word, a time as 2h, or a number of minutes."""
    if isinstance(given, int | float) and not isinstance(given, bool):
        return _of_minutes(given)
    word = line(given).casefold()
    if found := _TIME.fullmatch(word):
        return _of_minutes(float(found[1]) * _MINUTES[found[2][0].lower()])
    return next((effort for effort, words in EFFORTS.items() if word in words), Effort.UNKNOWN)


def moment(given: Any) -> int | None:
    """A time in milliseconds from a date or a text as ISO has it, UTC where it says none; None when it is none."""
    if isinstance(given, datetime):
        return lobwife.moment(given.isoformat())
    if isinstance(given, date):
        return lobwife.moment(datetime(given.year, given.month, given.day, tzinfo=UTC).isoformat())
    return lobwife.moment(given)


def read_text(path: Path, *, limit: int = LARGEST_FILE) -> str:
    """A file's text; what is no UTF-8 in it is replaced. Raises BadInput when it cannot be read, or is too large."""
    try:
        if path.stat().st_size > limit:
            raise BadInput(f"{path} has more than {limit // 1024 // 1024} MB", field="file")
        return path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}", field="file") from None


def refuse_tricks(events: Iterable[Any], name: str) -> None:
    """Raise BadInput for YAML with aliases, of which a few can stand for billions, or nested too deeply."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise BadInput(f"{name} has aliases (*name): write out what they stand for", field="file")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise BadInput(f"{name} is nested too deeply", field="file")


def _plain(given: Any) -> str:
    text = given if isinstance(given, str) else "" if given is None else str(given)
    return _SURROGATES.sub("\ufffd", text.replace("\x00", ""))


def _of_minutes(minutes: float) -> Effort:
    if not minutes > 0:
        return Effort.UNKNOWN
    return Effort.SMALL if minutes < 30 else Effort.MEDIUM if minutes <= 120 else Effort.LARGE


def _names(given: Iterable[Any]) -> list[str]:
    return [one for one in dict.fromkeys(line(name)[:200] for name in given) if one]


def _kept(system: str, rest: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """What no field is for: short values as refs, others as lines of the text."""
    refs: dict[str, str] = {}
    also: list[str] = []
    for key, value in rest.items():
        if value in (None, "", [], {}):
            continue
        name = f"{system}.{line(key)}"[:200]
        text = value if isinstance(value, str) else _json(value)
        if len(text) <= 200 and "\n" not in text and line(text) and len(refs) < 40:
            refs[name] = line(text)[:200]
        else:
            also.append(f"{line(key)}: {text}")
    return refs, also


def _json(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return ", ".join(map(str, value))
    try:
        return msgspec.json.encode(value, enc_hook=str).decode()
    except (TypeError, ValueError, RecursionError):
        return str(value)[:1000]
