"""What a comment asks for: its word, whose it is, which issue, how urgent, until when, and its text.

`TODO: text`, `TODO(ana, #12): text`, `FIXME text`, `@todo text`. In the middle of a sentence only with a colon.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from msgspec import Struct

from shoal.model.found import Found
from shoal.model.item import LONGEST_TEXT, Form

LONGEST_NAME = 200
MOST_REFS = 20


class Block(Struct, frozen=True):
    """A comment, or several of one line below each other: numbered lines without the signs of comments."""

    lines: list[tuple[int, str]]


_FIRST = re.compile(
    r"\s*(?:/\*+!?|//+[!<]*|<!--+|\{\{!--|\{\{-?\s*/\*|<%--|<%#|\{#|\{-|<#|\(\*+|--\[=*\[|--+|#+[!:=|]?|=begin|;+|%+)"
)
_MIDDLE = re.compile(r"\s*\*+(?![*\w])")
_CLOSES = ("*/", "-->", "=#", "|#", "#>", "-}", "#}", "%>", "}}", "*)", "=end")
_LAST = re.compile(r"\][=]{0,20}\]$")

_WORDS = "TODO|FIXME|HACK|XXX"
_ASIDE = r"(?:\((?P<aside>[^()\n]{0,300})\)|\[(?P<bracket>[^\[\]\n]{1,300})\])"
# At the beginning of a line, after signs that are no quotes: the word alone is enough.
_BEGINS = re.compile(
    rf"[^\w\"'`\n@\\]*(?:(?:[@\\](?P<at>(?i:todo|fixme|hack|xxx)))|(?<!\$)(?P<word>{_WORDS}))"
    r"(?![\w\"'`/=]|[-.]\w|[,.] \w|(?i:[-_]list))"
    rf"[\]*_!?]*\s{{0,3}}{_ASIDE}?[\]*_!?]*(?P<colon>\s{{0,3}}:+[*_]*)?"
)
_SMALL = re.compile(
    rf"[^\w\"'`\n@\\]*(?<!\$)(?P<word>(?i:todo|fixme|hack|xxx))\s{{0,2}}{_ASIDE}?\s{{0,2}}(?P<colon>:+)(?!:)"
)
# Within a line: only with a colon, or somebody's name and a colon.
_WITHIN = re.compile(rf"(?<![\w\"'`@\\.$/#-])(?P<word>{_WORDS})(?:\s?{_ASIDE})?(?P<colon>:+)(?=\s|$)")
_SENTENCE_ENDS = re.compile(r"[.:;!?)\]}>*_=-]\s*$")
_ENDS_ITEM = re.compile(r"\s*(?:[@\\:][a-zA-Z]|[-=*_~#/]{3,}\s*$|</?[a-z])")
_DASH = re.compile(r"\s*[-–—]+\s+")
_FENCE = re.compile(r"\s*(```|~~~)")

_DATE = re.compile(r"(?<!\d)(\d{4})-(\d{2})-(\d{2})(?!\d)")
_DUE = re.compile(
    r"\b(?:due|by|until|before|deadline|expires|after)\b[:\s(]{1,3}(\d{4}-\d{2}-\d{2})(?!\d)", re.IGNORECASE
)
_PRIORITY = re.compile(r"[\[(]P([0-3])[\])]|^P([0-3])\b(?!\s*(?:and|or|/)\b)|\bP([0-3])[.!]?$", re.MULTILINE)
_ONE_PRIORITY = re.compile(r"[pP]([0-3])")
_OWNER = re.compile(r"@?(?![A-Z]{2,}(?:\d+|_[A-Z_]+)$)([A-Za-z_][\w.+@-]*(?: [A-Z][\w.-]*)?)")
_FIRST_OWNER = re.compile(r"@([A-Za-z][\w.-]{0,60})(?=[\s:,]|$)")
_NOT_OWNERS = frozenset({
    "by", "due", "later", "urgent", "asap", "now", "soon", "someday", "fixme", "todo", "issue", "bug", "fix", "feat",
    "perf", "performance", "docs", "test", "refactor", "cleanup", "chore", "style", "security", "breaking", "optional",
    "minor", "major", "future", "maybe", "important", "low", "medium", "high", "critical",
})  # fmt: skip
_REFS = re.compile(
    r"(?P<url>https?://[^\s<>\"'`)\]},]+)"
    r"|(?<![\w/.#-])(?P<repository>[\w.-]{1,100}/[\w.-]{1,100})#(?P<of>\d{1,9})\b"
    r"|(?<![\w&/#])(?:GH-|gh-|#)(?P<issue>[1-9]\d{0,8})\b(?!;)"
    r"|(?<![\w/-])b/(?P<buganizer>\d{4,12})\b"
    r"|(?<![\w/.-])(?P<key>[A-Z][A-Z0-9]{1,9}-[1-9]\d{0,6})(?![\w-])"
)
_NOT_KEYS = frozenset({
    "UTF", "ISO", "SHA", "MD", "RFC", "CVE", "CWE", "HTTP", "HTML", "PEP", "AES", "RSA", "DES", "CP", "IEEE", "IEC",
    "BASE", "ASCII", "UCS", "WIN", "COVID", "TLS", "SSL", "IPV", "IP", "PKCS", "ECMA", "ANSI", "BCP", "UTC", "GMT",
    "ES", "CSS", "USB", "TCP", "UDP", "X86", "ARM", "AVX", "SSE", "MP", "H", "GPL", "LGPL", "AGPL", "BSD", "MIT",
    "APACHE", "GPT", "LOG",
})  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def bare(line: str, *, first: bool, block: bool) -> str:
    """A line of a comment without the signs that make it one."""
    sign = _FIRST.match(line) if first else _MIDDLE.match(line) if block else None
    line = line[sign.end() if sign else 0 :].replace("\x00", "").rstrip()
    return without_end(line) if block else line


def without_end(line: str) -> str:
    """A line of a comment without the sign that ends it."""
    for end in _CLOSES:
        if line.endswith(end):
            return line.removesuffix(end).rstrip("*-{}/ \t")
    return _LAST.sub("", line).rstrip()


def read(block: Block) -> list[Found]:
    """What a comment asks for: each word, with the lines below it up to the next, a blank one or a tag."""
    found: list[Found] = []
    fenced = _fenced(block.lines)
    current: _Asked | None = None
    before = ""
    for place, (number, line) in enumerate(block.lines):
        asked = [] if place in fenced else _asked(number, line, before=before, below=current is not None)
        if asked:
            if current:
                found.append(current.found())
            found += [one.found() for one in asked[:-1]]
            current = asked[-1]
        elif current and (not line.strip() or place in fenced or _ENDS_ITEM.match(line)):
            found.append(current.found())
            current = None
        elif current:
            current.texts.append(line.strip())
        before = line
    if current:
        found.append(current.found())
    return found


class _Asked:
    def __init__(self, line: int, word: str, aside: str, text: str) -> None:
        self.line, self.word, self.aside = line, word.upper(), aside
        self.texts = [text.strip()]

    def found(self) -> Found:
        text = "\n".join(one for one in self.texts if one)[:LONGEST_TEXT].strip() or self.word
        owner, priority, due = _from_aside(self.aside)
        if priority is None and (match := _PRIORITY.search(text)):
            priority = int(next(one for one in match.groups() if one))
        if due is None and (match := _DUE.search(text)):
            due = _moment(match[1])
        if owner is None and (match := _FIRST_OWNER.match(text)):
            owner = match[1]
        return Found(
            line=self.line,
            text=text,
            form=Form.COMMENT,
            labels=[self.word.lower()],
            owner=owner,
            priority=priority,
            due_at=due,
            refs=_refs(f"{self.aside}\n{text}"),
        )


def _fenced(lines: list[tuple[int, str]]) -> set[int]:
    """Which lines are examples between fences; a fence that is not closed is none."""
    inside: set[int] = set()
    opened: tuple[int, str] | None = None
    for place, (_, line) in enumerate(lines):
        if match := _FENCE.match(line):
            if opened is None:
                opened = (place, match[1])
            elif opened[1] == match[1]:
                inside.update(range(opened[0], place + 1))
                opened = None
    return inside


def _asked(number: int, line: str, *, before: str, below: bool) -> list[_Asked]:
    """The words of one line, each with what follows it there. `below` says that the line stands below another word."""
    matches = []
    match = _BEGINS.match(line) or _SMALL.match(line)
    if match and _is_asked(match, line, before=before, below=below):
        matches.append(match)
    at = matches[0].end() if matches else 0
    matches += _WITHIN.finditer(line, at)
    asked = []
    for match, following in zip(matches, [*matches[1:], None], strict=False):
        groups = match.groupdict()
        text = line[match.end() : following.start() if following else len(line)]
        aside = (groups["aside"] or groups["bracket"] or "").strip()
        dash = _DASH.match(text)
        text = text[dash.end() if dash else 0 :].rstrip()
        text = text.removesuffix("*/")  # of a comment within a comment
        asked.append(_Asked(number, groups["word"] or groups["at"], aside, text))
    return asked


def _is_asked(match: re.Match[str], line: str, *, before: str, below: bool) -> bool:
    """Not so for a word that only came to the beginning of its line when a sentence was wrapped."""
    groups = match.groupdict()
    if groups["colon"] or groups["aside"] or groups["bracket"] or groups.get("at") or below:
        return True
    if before.strip() and not _SENTENCE_ENDS.search(before):
        return False
    # "TODO comments are …" tells of such comments.
    return not re.match(r"\s*(?:comments?|items?|lists?|files?|tags?|markers?|is|are|in|and|or)\b", line[match.end() :])


def _from_aside(aside: str) -> tuple[str | None, int | None, int | None]:
    """Owner, priority and deadline from what stands in brackets behind the word."""
    owner, priority, due = None, None, None
    if match := _DATE.search(aside):
        due = _moment(match[0])
    rest = _REFS.sub(lambda one: "," if _ref(one) else one[0], _DATE.sub(",", aside))
    for part in re.split(r"[,;|]\s*|\s+-\s+|:\s+|\s+(?=[pP@#]\S)", rest):
        part = part.strip(" :.-/")
        if match := _ONE_PRIORITY.fullmatch(part):
            priority = int(match[1])
        elif owner is None and part.lower() not in _NOT_OWNERS and (match := _OWNER.fullmatch(part)):
            owner = _name(match[1])
    return owner, priority, due


def _refs(text: str) -> dict[str, str]:
    """Issues elsewhere, by the system's name: `issue` #12 or org/repo#12, `jira` JIRA-12, `url`; the next `issue 2`."""
    refs: dict[str, str] = {}
    for match in _REFS.finditer(text):
        ref = _ref(match)
        if ref is None or ref[1] in refs.values():
            continue
        number = sum(name.partition(" ")[0] == ref[0] for name in refs)
        refs[f"{ref[0]} {number + 1}" if number else ref[0]] = ref[1]
        if len(refs) >= MOST_REFS:
            break
    return refs


def _ref(match: re.Match[str]) -> tuple[str, str] | None:
    if match["url"]:
        url = match["url"].rstrip(".:;!?")
        return ("url", url) if len(url) <= LONGEST_NAME else None
    if match["repository"]:
        return "issue", _name(f"{match['repository']}#{match['of']}")
    if match["issue"]:
        return "issue", f"#{match['issue']}"
    if match["buganizer"]:
        return "buganizer", f"b/{match['buganizer']}"
    return None if match["key"].partition("-")[0] in _NOT_KEYS else ("jira", match["key"])


def _name(text: str) -> str:
    return _CONTROL.sub(" ", text)[:LONGEST_NAME]


def _moment(date: str) -> int | None:
    """The beginning of a day in UTC, in milliseconds; None for a day that is none."""
    try:
        return max(0, round(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() * 1000))
    except ValueError:
        return None
