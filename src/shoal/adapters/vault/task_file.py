"""A task's file: which keys of its front matter are Shoal's, how people write their values, and the sections below.

Reading takes every way of writing that the vaults before this one used. Writing changes a key only when it says
something else than the ledger does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from shoal.adapters.vault import sections as page_sections
from shoal.adapters.vault.front_matter import Bare, FrontMatter, Value, body_start
from shoal.model.content import Facts
from shoal.model.task import PRIORITY_WORDS, Criterion, Status, Task

_SPAN = re.compile(r"~?(\d{1,9}(?:\.\d{1,9})?)\s*(m|min|minutes?|h|hours?|d|days?)?", re.IGNORECASE)
_MINUTES = {"m": 1, "h": 60, "d": 480}
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}
SECTIONS = ("Objective", "Acceptance criteria", "Notes", "Result")


class Form(NamedTuple):
    """How one kind of value is read from a file and written into it, in the manner of what stood there."""

    read: Callable[[Value], Any]
    write: Callable[[Any, Value], Value]


class Key(NamedTuple):
    """A key that Shoal owns: its names, the newest first, what the ledger says, and the form of its value."""

    names: tuple[str, ...]
    told: Callable[[Facts], Any]
    form: Form


def read_text(value: Value) -> str | None:
    """Text; of a list its only item."""
    if isinstance(value, list):
        return value[0] if len(value) == 1 else None
    return value


def read_list(value: Value) -> list[str]:
    """A list; text stands for one item, or for several between commas."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value or []


def read_number(value: Value) -> int | None:
    """A whole number."""
    text = (read_text(value) or "").replace("_", "")
    return int(text) if re.fullmatch(r"[-+]?\d{1,18}", text) else None


def read_minutes(value: Value) -> int | None:
    """Minutes: 90, 90m, 1.5h, ~2d of eight hours."""
    found = _SPAN.fullmatch((read_text(value) or "").strip())
    return None if found is None else round(float(found[1]) * _MINUTES[(found[2] or "m")[0].lower()])


def read_moment(value: Value) -> int | None:
    """Epoch milliseconds of a date or time; UTC where no zone stands there."""
    text = (read_text(value) or "").strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def read_flag(value: Value) -> bool | None:
    """True or false, however YAML's versions spell them."""
    text = (read_text(value) or "").lower()
    return True if text in _TRUE else False if text in _FALSE else None


def read_priority(value: Value) -> int | None:
    """0 to 3, from P1, 1 or a word."""
    text = (read_text(value) or "").strip().lower()
    return int(text) if text in {"0", "1", "2", "3"} else PRIORITY_WORDS.get(text)


def read_ref(value: Value) -> str | None:
    """A task, also as a wikilink or in another case."""
    text = (read_text(value) or "").strip()
    link = re.fullmatch(r"\[\[(?:[^\]|]*/)?([^\]|/]+?)(?:\.md)?(?:\|[^\]]*)?\]\]", text)
    name = link[1] if link else text
    return name.upper() if re.fullmatch(r"[a-zA-Z]{0,8}\d+", name) else name or None


def read_refs(value: Value) -> list[str]:
    """Several of them."""
    return [ref for item in read_list(value) if (ref := read_ref(item))]


def read_dollars(value: Value) -> int | None:
    """Micro-dollars of an amount such as 1.25 or $1.25."""
    text = (read_text(value) or "").removeprefix("$")
    return round(float(text) * 1_000_000) if re.fullmatch(r"\d{1,9}(\.\d*)?", text) else None


def write_text(told: Any, _: Value) -> Value:
    """As text."""
    return None if told is None else str(told)


def write_list(told: Any, was: Value) -> Value:
    """As a list; one item stands alone where it did before."""
    if told is None:
        return None
    if isinstance(was, str) and len(told) == 1:
        return str(told[0])
    return list(told)


def write_bare(told: Any, _: Value) -> Value:
    """Without quotes."""
    return None if told is None else Bare(str(told).lower())


def write_moment(told: Any, was: Value) -> Value:
    """In UTC, as a date where a date stood."""
    if told is None:
        return None
    moment = datetime.fromtimestamp(told / 1000, UTC)
    if isinstance(was, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", was):
        return Bare(f"{moment:%Y-%m-%d}")
    return Bare(f"{moment:%Y-%m-%dT%H:%M:%SZ}")


def write_priority(told: Any, was: Value) -> Value:
    """As P0 to P3, or in the manner of what stood there."""
    if isinstance(was, str) and was.isdigit():
        return Bare(str(told))
    if isinstance(was, str) and was.lower() in PRIORITY_WORDS and not was.lower().startswith("p"):
        return ("critical", "high", "normal", "low")[told]
    return f"P{told}"


def write_dollars(told: Any, _: Value) -> Value:
    """As dollars; nothing for nothing."""
    return Bare(f"{told / 1_000_000:.6f}".rstrip("0").rstrip(".")) if told else None


TEXT = Form(read_text, write_text)
LIST = Form(read_list, write_list)
NUMBER = Form(read_number, write_bare)
MINUTES = Form(read_minutes, write_bare)
MOMENT = Form(read_moment, write_moment)
FLAG = Form(read_flag, write_bare)
PRIORITY = Form(read_priority, write_priority)
REF = Form(read_ref, write_text)
REFS = Form(read_refs, write_list)
DOLLARS = Form(read_dollars, write_dollars)

KEYS = (
    Key(("id",), lambda facts: facts.task.task_id, REF),
    Key(("name", "title"), lambda facts: facts.task.title, TEXT),
    Key(("type",), lambda facts: facts.task.type, TEXT),
    Key(("status",), lambda facts: facts.task.status.value, TEXT),
    Key(("priority",), lambda facts: facts.task.priority, PRIORITY),
    Key(("created", "created_at"), lambda facts: facts.task.created_at, MOMENT),
    Key(("assigned_to", "assignee"), lambda facts: facts.task.assignee, TEXT),
    Key(("assigned_at", "claimed_at"), lambda facts: facts.task.claimed_at, MOMENT),
    Key(("completed_at", "completed"), lambda facts: facts.task.completed_at, MOMENT),
    Key(("estimate", "estimate_minutes"), lambda facts: facts.task.estimate_minutes, MINUTES),
    Key(("model",), lambda facts: facts.task.model, TEXT),
    Key(("repos", "repo"), lambda facts: facts.task.repos, LIST),
    Key(("workflow",), lambda facts: facts.task.workflow, TEXT),
    Key(("tags",), lambda facts: facts.task.labels, LIST),
    Key(("requires_qa",), lambda facts: facts.task.requires_qa or None, FLAG),
    Key(("discord_thread_id",), lambda facts: facts.task.discord_thread_id, TEXT),
    Key(("slug",), lambda facts: facts.task.slug, TEXT),
    Key(("queue",), lambda facts: None if facts.task.queue == "default" else facts.task.queue, TEXT),
    Key(("run_at",), lambda facts: facts.task.run_at if facts.task.status is Status.SCHEDULED else None, MOMENT),
    Key(("hold_reason",), lambda facts: facts.task.hold_reason, TEXT),
    Key(("depends_on",), lambda facts: facts.depends_on, REFS),
    Key(("parent",), lambda facts: facts.parent, REF),
    Key(("cost_usd",), lambda facts: facts.cost_usd_micros or None, DOLLARS),
)

OWNED = frozenset(name for key in KEYS for name in key.names)


def updated(text: str, facts: Facts) -> str:
    """The file's text with Shoal's keys as the ledger has them. Raises Unreadable."""
    front = FrontMatter(text)
    values: dict[str, Value] = {}
    for key in KEYS:
        told = key.told(facts)
        name = next((name for name in key.names if front.has(name)), None)
        if name is None:
            if told not in (None, []):
                values[key.names[0]] = key.form.write(told, None)
            continue
        was = front.values.get(name)
        if not _says(was, told, key.form):
            values[name] = key.form.write(None if told == [] else told, was)
    return front.changed(values) if values else text


def read(text: str) -> dict[str, Any]:
    """What a file says of its task, by the newest name of each key that it has; None where it says nothing."""
    front = FrontMatter(text)
    found: dict[str, Any] = {}
    for key in KEYS:
        for name in key.names:
            if name in front.values:
                found[key.names[0]] = key.form.read(front.values[name])
                break
    return found


def concluded(text: str, task: Task) -> str:
    """The file's text with what came of the task, when it has ended since the file was written."""
    outcome = _outcome(task)
    told = FrontMatter(text).values.get("status")
    if outcome is None or told == task.status.value or outcome in page_sections.section(body(text), "Result"):
        return text
    start = body_start(text)
    return text[:start] + page_sections.appended(text[start:], "Result", outcome)


def written(facts: Facts, body: str | None = None) -> str:
    """The file of a task that has none."""
    text = updated("", facts) + "\n" + (body if body is not None else sections(facts.task))
    outcome = _outcome(facts.task)
    if outcome is None:
        return text
    start = body_start(text)
    return text[:start] + page_sections.appended(text[start:], "Result", outcome)


def sections(task: Task) -> str:
    """The body of a task that nobody has written yet."""
    criteria = "".join(f"- [ ] {_criterion(one)}\n" for one in task.success_criteria)
    return (
        f"# {_one_line(task.title)}\n\n## Objective\n\n## Acceptance criteria\n\n"
        f"{criteria}{chr(10) if criteria else ''}## Notes\n\n## Result\n"
    )


def body(text: str) -> str:
    """What stands behind the front matter."""
    return text[body_start(text) :]


def _says(was: Value, told: Any, form: Form) -> bool:
    """Whether the file says what the ledger does, as exactly as the file says it."""
    read = form.read(was)
    if form is MOMENT and read is not None and told is not None:
        # A date stands for its day, a time without fractions for its second.
        return bool(form.write(told, was) == was or read // 1000 == told // 1000)
    if form is FLAG:
        return bool(read) == bool(told)
    return bool(read == told or (not read and not told and read != 0 and told != 0))


def _outcome(task: Task) -> str | None:
    """What the ledger knows of how a task ended, as its page says it."""
    if task.status is Status.COMPLETED and task.summary and task.summary.strip():
        return task.summary.strip()
    if task.status is Status.FAILED and task.last_error and task.last_error.strip():
        return f"Failed:{_quoted(task.last_error.strip())}"
    return None


def _quoted(told: str) -> str:
    """What a program said; several lines as a block of their own, behind a fence that is not in them."""
    if "\n" not in told:
        return f" {told}"
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", told)), default=0))
    return f"\n\n{fence}text\n{told}\n{fence}"


def _criterion(one: Criterion) -> str:
    measured = f" ({_one_line(one.measurable)})" if one.measurable else ""
    return _one_line(one.criterion) + measured


def _one_line(text: str) -> str:
    return " ".join(text.split())
