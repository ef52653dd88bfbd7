"""From what another backlog says of an item to a record in neutral words. What is lost on the way is noted in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from shoal.adapters.importers import lobwife
from shoal.model.item import LONGEST_TEXT, Effort
from shoal.model.item_import import ImportedItem, Refusal

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
_MOST_MINUTES = 5_256_000


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
    estimate: Any = None,
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
    """A record of one item, or why it cannot be one. `rest` is what no field is for: kept in refs and the text.

    An effort may be said as a time, and an estimate as a word.
    """
    place = line(place)[:1500]
    key = line(id)
    if not key:
        return Refusal(place, "it has no id")
    shown = line(title)
    if not shown:
        return Refusal(place, f"{key[:100]} has no title")
    notes: list[str] = []
    state, word = state_of(status)
    refs, also = _kept(system, rest or {})
    text = "\n\n".join(filter(None, [shown, text_of(body).strip(), "\n".join(also)]))
    if len(text) > LONGEST_TEXT:
        notes.append(f"its text was cut from {len(text)} to {LONGEST_TEXT} characters")
        text = text[:LONGEST_TEXT]
    rank = priority_of(priority)
    if priority not in (None, "") and rank is None:
        notes.append(f"its priority {line(priority)[:50]!r} is none of P0 to P3, and was left out")
    sizes = (effort_of(effort), effort_of(estimate))
    minutes = minutes_of(estimate) or minutes_of(effort)
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
        "effort": next((one for one in sizes if one is not Effort.UNKNOWN), Effort.of(minutes)),
        "estimate_minutes": minutes,
        "type": line(type)[:200] or None,
        "labels": _names([*labels, word] if word else labels)[:50],
        "owner": line(owner).removeprefix("@")[:200] or None,
        "due_at": due,
        "done_at": moment(closed_at) if state == "done" else None,
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


def text_of(given: Any) -> str:
    """A value as text, without what no database takes; empty for none."""
    try:
        text = given if isinstance(given, str) else "" if given is None else str(given)
    except ValueError:  # Python writes no number of more than 4300 digits
        text = "a number too large to be written"
    return _SURROGATES.sub("\ufffd", text.replace("\x00", ""))


def line(given: Any) -> str:
    """A value as text on one line, without what no name may have; empty for none."""
    return "" if given is None else " ".join(_CONTROLS.sub(" ", text_of(given)).split())


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
        is_whole = isinstance(given, int) or given.is_integer()
        return min(int(given), 3) if is_whole and given >= 0 else None
    word = line(given).casefold()
    if found := re.fullmatch(r"p?(\d)", word):
        return min(int(found[1]), 3)
    return PRIORITIES.get(word)


def effort_of(given: Any) -> Effort:
    """Small, medium or large from a word."""
    word = line(given).casefold()
    return next((effort for effort, words in EFFORTS.items() if word in words), Effort.UNKNOWN)


def minutes_of(given: Any) -> int | None:
    """Minutes from a number of them, or a time as 2h; None when it is neither."""
    minutes: float = 0
    if isinstance(given, int | float):
        minutes = 0 if isinstance(given, bool) else given
    elif found := _TIME.fullmatch(line(given)):
        minutes = float(found[1]) * _MINUTES[found[2][0].lower()]
    return round(min(minutes, _MOST_MINUTES)) or None if minutes > 0 else None


def moment(given: Any) -> int | None:
    """A time in milliseconds from a date or a text as ISO has it, UTC where it says none; None when it is none."""
    if isinstance(given, datetime):
        return lobwife.moment(given.isoformat())
    if isinstance(given, date):
        return lobwife.moment(datetime(given.year, given.month, given.day, tzinfo=UTC).isoformat())
    return lobwife.moment(given)


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
        text = text_of(value if isinstance(value, str) else _json(value))
        if len(text) <= 200 and "\n" not in text and line(text) and len(refs) < 40:
            refs[name] = line(text)[:200]
        else:
            also.append(f"{line(key)}: {text}")
    return refs, also


def _json(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return ", ".join(map(text_of, value))
    try:
        return msgspec.json.encode(value, enc_hook=text_of).decode()
    except (TypeError, ValueError, ArithmeticError):
        return text_of(value)[:1000]
