"""What the words of an item say besides its text: size, priority, owner, tags, dates, references, done or not.

Nothing is taken out of the text: people recognise an item by its words. What stands in code or in an address is none.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from shoal.model.found import Mark
from shoal.model.item import Effort

LONGEST_NAME = 200
_LONGEST = 2000  # of a text, as fields are looked for: its beginning and its end
_GAP = re.compile(r"[^\S\n]{2,}|\t")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(?:.|\n)+?(?<!`)\1(?!`)")
_COMMENT = re.compile(r"<!--.*?(?:-->|$)", re.DOTALL)
_URL = re.compile(r"https?://[^\s<>()\[\]\"'`]+(?:\([^\s<>()]*\)[^\s<>()\[\]\"'`]*)*")
_DATE = r"(\d{4}-\d\d-\d\d)"
_BEFORE = r"(?:^|(?<=[\s(\[{,;|*_]))"
_AFTER = r"(?=$|[\s)\]},;:|.!*_])"

_TICKS = "✅✔☑"
_CROSSES = "❌🚫✖"
_WORD_DONE = r"DONE|COMPLETED?|FIXED|SHIPPED|FINISHED|RESOLVED|IMPLEMENTED"
_WORD_DECLINED = r"WON'?T[ -]?(?:FIX|DO)|CANCELL?ED|DECLINED|REJECTED|ABANDONED|OBSOLETE|DROPPED"
_WITH = rf"(?:(?:on|in|at)\s+)?(?:{_DATE}|[0-9a-f]{{7,40}}|#\d+|v?\d+(?:\.\d+)+)\b"  # a date, a commit, a version
_TAIL = rf"[*_~`]*(?:\s*[(\[]?{_WITH}[)\]]?){{0,3}}[*_.!]*\s*$"


def _state(signs: str, words: str) -> re.Pattern[str]:
    sign = rf"[{signs}]\ufe0f?"
    return re.compile(
        rf"^[*_\s]*{sign}(?=\s|\*|$)"  # ✅ Fix the login
        rf"|\s{sign}\s*[*_]*(?:(?i:{words}|done))?{_TAIL}"  # Fix the login ✅ DONE (2026-01-30)
        rf"|(?:^|[\s*_])(?:{words}){_TAIL}"  # Fix the login: DONE
        rf"|^[*_]*(?:{words})[*_]*\s*[:\-–—]\s"  # DONE: fix the login
        rf"|[(\[](?i:{words})(?:[\s:,]+(?:on\s+)?{_DATE})?[)\]]\s*$"  # Fix the login (done)
        rf"|^[(\[](?i:{words})[)\]]"  # [DONE] fix the login
        rf"|\s[-–—:]+\s*(?i:{words}){_TAIL}",
    )


# Most lines say nothing of the kind, and this tells so at once.
_MAY_SAY = re.compile(
    rf"[{_TICKS}{_CROSSES}🔲⬜☐🚧⏳]|done|complete|fixed|shipped|finished|resolved|implemented|won'?t"
    r"|cancel|declined|rejected|abandoned|obsolete|dropped",
    re.IGNORECASE,
)
_DONE = _state(_TICKS, _WORD_DONE)
_DECLINED = _state(_CROSSES, _WORD_DECLINED)
_STRUCK = re.compile(r"^~~(?:[^~]|~(?!~))+~~[\s.]*$")
_OPEN_SIGN = re.compile(r"[\s:–—-]*[🔲⬜☐🚧⏳]\ufe0f?\s*(?:OPEN|TODO|WIP|IN PROGRESS)?[\s)]*(?:\([^()]*\))?\s*$")

_SIZE = re.compile(r"[(\[](?:size:?\s*)?(10|[1-9]|XS|S|M|L|XL|XXL)(?:\s*/\s*10)?[)\]]\s*$")
_SIZE_NAMED = re.compile(r"\b(?:size|effort)\s*[:=]\s*(10|[1-9]|XS|S|M|L|XL|XXL|small|medium|large)\b", re.IGNORECASE)
_LETTERS = {"xs": "small", "s": "small", "m": "medium", "l": "large", "xl": "large", "xxl": "large"}
_UNIT = r"(m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)"
_NUMBER = r"(\d{1,4}(?:\.\d{1,2})?)"
_ESTIMATE = re.compile(
    rf"{_BEFORE}~\s?{_NUMBER}\s?{_UNIT}{_AFTER}"
    rf"|[(\[]\s*{_NUMBER}\s?{_UNIT}\s*[)\]]\s*$|[(\[]\s*est\.?(?:imate)?:?\s*{_NUMBER}\s?{_UNIT}\s*[)\]]"
    rf"|\best(?:imate)?[:=(]\s*{_NUMBER}\s?{_UNIT}{_AFTER}"
    # Alone at the end it is one; "a limit of 30m" is none.
    rf"|(?=\s\d)(?<!\bto)(?<!\bfor)(?<!\bof)(?<!\bafter)(?<!\bevery)(?<!\bin)(?<!\bwithin)(?<!\bthan)(?<!\bby)(?<!\bleast)"
    rf"(?<!\bmost)(?<!\bthe)(?<!\bfrom)(?<!\bat)(?<!\bis)(?<!\bare)(?<!\band)(?<!\bor)(?<![=<>≤≥:])\s{_NUMBER}(m|min|h|d|w)\s*$",
    re.IGNORECASE,
)
_MINUTES = {"m": 1, "h": 60, "d": 480, "w": 2400}

_PRIORITY = re.compile(
    rf"{_BEFORE}[Pp]([0-3]){_AFTER}"
    rf"|{_BEFORE}!(urgent|critical|highest|high|medium|normal|low){_AFTER}"
    rf"|[(\[](urgent|critical|high|medium|low)(?:[ -]prio(?:rity)?)?[)\]]"
    rf"|\bprio(?:rity)?\s*[:=]\s*[Pp]?(urgent|critical|highest|high|medium|normal|low|[0-3])\b"
    rf"|@(?:priority|prio)\((urgent|critical|high|medium|normal|low|[0-3])\)"
    r"|([🔴🟠🟡🟢🔺⏫🔼🔽⏬])",
    re.IGNORECASE,
)
_LETTER = re.compile(r"^\(([A-D])\)\s")
_SECTION_PRIORITY = re.compile(
    r"^\W*(?:P([0-3])\b|(urgent|critical|high|medium|normal|low)(?:[ -]priority)?(?:\s+items?)?\s*$)", re.IGNORECASE
)
_RANKS = {
    "urgent": 0,
    "critical": 0,
    "highest": 0,
    "high": 1,
    "medium": 2,
    "normal": 2,
    "low": 3,
    "🔴": 0,
    "🔺": 0,
    "🟠": 1,
    "⏫": 1,
    "🟡": 2,
    "🔼": 2,
    "🟢": 3,
    "🔽": 3,
    "⏬": 3,
    "a": 0,
    "b": 1,
    "c": 2,
    "d": 3,
}

_NO_IDS = (
    r"(?!(?:utf|sha|iso|rfc|cve|http|md|py|ipv|ec|x|arm|es|cp|base|web|oauth|mp|phase|step|week|q|v|h|p|part)-?\d)"
)
_ID = re.compile(
    rf"^[*_`]*(?:\[{_NO_IDS}([A-Za-z]{{1,8}}-?\d{{1,6}}(?:\.\d+)*)\][:*_`]*"
    rf"|{_NO_IDS}([A-Za-z]{{1,8}}-?\d{{1,6}}(?:\.\d+)*)[*_`]*[:)][*_`]*"
    rf"|{_NO_IDS}([A-Za-z]{{1,3}}\d{{3,6}}(?:\.\d+)*|[A-Za-z]\d{{1,6}}(?:\.\d+)+|[A-Z]{{2,8}}-\d{{1,6}})[*_`]*)(?=\s)",
    re.IGNORECASE,
)
_ID_NAMED = re.compile(r"(?:^|[\s(\[<-])id:\s?([\w][\w.-]*)|🆔\s*([\w.-]+)")
_BLOCKED = re.compile(
    r"\b(?:blocked[ -]by|depends[ -]on|needs|after):([^\s)\]]+)"
    r"|(?:\b(?:blocked[ -]by|depends[ -]on)\s*:\s|⛔)\s*([^\s)\]][^\n)\]]*)"
    r"|\(\s*(?:blocked by|depends on)\s+([A-Za-z]{0,8}-?#?\d[\w., -]{0,199})\)",
    re.IGNORECASE,
)
_VALUE_ENDS = re.compile(r"\s+(?:[#@~!][\w]|P[0-3]\b|due\b|[-–—]\s|[📅🔺⏫🔼🔽⏬🆔✅]|\w+:\S)|[;|.]\s|[.;]$|\s*<!--")
_OWNER = re.compile(
    rf"{_BEFORE}@([A-Za-z][\w-]{{0,99}})(?![\w(/@]|\.\w)|\b(?:owner|assignee|assigned to)\s*:\s*@?([\w][\w.-]*)"
)
_NO_OWNERS = frozenset(
    [
        "due",
        "done",
        "today",
        "tomorrow",
        "started",
        "high",
        "low",
        "medium",
        "critical",
        "media",
        "param",
        "params",
        "return",
        "returns",
        "property",
        "import",
        "staticmethod",
        "classmethod",
        "override",
        "deprecated",
        "todo",
        "see",
        "since",
        "throws",
        "type",
        "types",
    ]
)
_TAG = re.compile(rf"{_BEFORE}#([A-Za-z][\w/-]{{0,199}})")
_COLOUR = re.compile(r"(?=.*\d)(?:[0-9a-f]{3}|[0-9a-f]{6}|[0-9a-f]{8})", re.IGNORECASE)
_DUE = re.compile(
    rf"(?:\b(?:due|deadline)(?:\s+(?:by|on))?\s*[:=]?\s*|@due\(\s*|[📅🗓]\ufe0f?\s*|\bby\s+){_DATE}(?!\d)", re.IGNORECASE
)
_ISSUE = re.compile(
    rf"{_BEFORE}(?:((?i:PR|MR|pull request)\s?)|(?i:GH-)|)((?:[\w.-]+/[\w.-]+)?#\d{{1,9}}|(?<=-)\d{{1,9}})(?![\w-])"
)


class Said(NamedTuple):
    """Text in which nothing is code or an address any more, and the addresses."""

    plain: str
    addresses: list[str]


def said(text: str) -> Said:
    """A text as its fields are looked for: without long gaps, and without its middle if it is very long."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}\n{text[-_LONGEST // 2 :]}"
    plain = _GAP.sub(" ", text)
    if "`" not in plain and "://" not in plain:
        return Said(plain, [])
    plain = _CODE.sub("\u2423", plain)
    addresses = [one.rstrip(".,;:!?") for one in _URL.findall(plain)]
    return Said(_URL.sub("\u2423", plain), addresses)


def without_comments(text: str) -> str:
    """A text without what HTML hides."""
    return _COMMENT.sub("", text) if "<!--" in text else text


def mark_of(text: str) -> Mark:
    """What a line says about itself: done, declined, or neither."""
    if text[:2] == "~~" and _STRUCK.match(text[:_LONGEST]):
        return Mark.DECLINED
    if not _MAY_SAY.search(text):
        return Mark.OPEN
    plain = said(text).plain.strip()
    if _DONE.search(plain):
        return Mark.DONE
    return Mark.DECLINED if _DECLINED.search(plain) else Mark.OPEN


@lru_cache(maxsize=4096)
def title_of(heading: str) -> str:
    """A heading without what says how far it is: that changes, and what it is called does not."""
    title = _GAP.sub(" ", heading[:_LONGEST]).strip().strip("*_ ").rstrip(": ")
    for pattern in (_DONE, _DECLINED, _OPEN_SIGN) if _MAY_SAY.search(title) else ():
        shorter = pattern.sub(" ", title).strip().rstrip(":–—- ").strip("*_ ")
        title = shorter or title
    return title.replace("**", "").replace("__", "") if title.count("**") % 2 or title.count("__") % 2 else title


def priority_of_section(heading: str) -> int | None:
    """The priority of all that stands under a heading: `## P1`, `## High priority`."""
    found = _SECTION_PRIORITY.match(heading)
    return None if found is None else int(found[1]) if found[1] else _RANKS[found[2].lower()]


def is_sized(heading: str) -> bool:
    """Whether a heading says how large the work is that it stands over."""
    plain = said(title_of(heading)).plain.strip()
    return bool(_SIZE.search(plain) or _SIZE_NAMED.search(plain) or _minutes(plain) is not None)


def fields(text: str, *, hidden: str = "") -> dict[str, Any]:
    """What is written about an item in its first lines, as fields of Found. `hidden` is what a comment says."""
    plain, addresses = said(text)
    line = title_of(plain.partition("\n")[0])
    found: dict[str, Any] = {}
    if (minutes := _minutes(plain.strip())) is not None:
        found["estimate_minutes"] = min(minutes, 5_256_000)
    if (effort := Effort.of(minutes) if minutes else _effort(line)) is not Effort.UNKNOWN:
        found["effort"] = effort
    if (priority := _priority(plain)) is not None:
        found["priority"] = priority
    if (name := _ID.match(text.lstrip())) or (name := _ID_NAMED.search(plain) or _ID_NAMED.search(hidden)):
        found["id"] = _name(next(filter(None, name.groups())))
    if blocked := _blocked(plain):
        found["blocked_by"] = blocked
    if owner := next(filter(None, (one[1] or one[2] for one in _OWNER.finditer(plain) if _owns(one))), None):
        found["owner"] = _name(owner)
    if tags := [one[1].rstrip("/-") for one in _TAG.finditer(plain) if not _COLOUR.fullmatch(one[1])]:
        found["labels"] = list(dict.fromkeys(filter(None, map(_name, tags))))[:50]
    if (due := _due(plain)) is not None:
        found["due_at"] = due
    if refs := _refs(plain, addresses):
        found["refs"] = refs
    return found


def _minutes(plain: str) -> int | None:
    found = _ESTIMATE.search(plain)
    if found is None:
        return None
    number, unit = [one for one in found.groups() if one is not None][:2]
    return round(float(number) * _MINUTES[unit[0].lower()])


def _effort(line: str) -> Effort:
    """1 is an hour, 5 a day, 10 a week or more."""
    size = _SIZE.search(line.strip()) or _SIZE_NAMED.search(line)
    if size is None:
        return Effort.UNKNOWN
    if size[1].isdigit():
        return Effort.MEDIUM if int(size[1]) <= 2 else Effort.LARGE
    return Effort(_LETTERS.get(size[1].lower(), size[1].lower()))


def _priority(plain: str) -> int | None:
    if letter := _LETTER.match(plain):
        return _RANKS[letter[1].lower()]
    found = _PRIORITY.search(plain)
    if found is None:
        return None
    value = next(filter(None, found.groups())).lower()
    return int(value) if value.isdigit() else _RANKS[value]


def _blocked(plain: str) -> list[str]:
    named: list[str] = []
    for found in _BLOCKED.finditer(plain):
        value = _VALUE_ENDS.split(next(filter(None, found.groups())), maxsplit=1)[0]
        named += [_name(one.strip().lstrip("@").strip("*_\"'")) for one in re.split(r",|\sand\s", value)]
    return list(dict.fromkeys(filter(None, named)))[:50]


def _owns(found: re.Match[str]) -> bool:
    return (found[1] or "").lower() not in _NO_OWNERS


def _due(plain: str) -> int | None:
    for found in _DUE.finditer(plain):
        try:
            day = date.fromisoformat(found[1])
        except ValueError:
            continue
        moment = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
        return moment if moment >= 0 else None
    return None


def _refs(plain: str, addresses: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in _ISSUE.finditer(plain):
        _add(found, "pull request" if one[1] else "issue", one[2] if "#" in one[2] else f"#{one[2]}")
    for address in addresses:
        if len(address) <= LONGEST_NAME:
            _add(found, "url", address)
    return found


def _add(refs: dict[str, str], system: str, value: str) -> None:
    if len(refs) < 50 and value not in refs.values():
        number = sum(name.partition(" ")[0] == system.partition(" ")[0] for name in refs)
        refs[system if not number else f"{system} {number + 1}"] = _name(value)


def _name(text: str) -> str:
    """What fits a short name on one line; nothing when nothing is left."""
    return re.sub(r"[\x00-\x1f\x7f\s]+", " ", text).strip()[:LONGEST_NAME].strip()
