"""Lessons and principles among the notes: the same twice, one against another, dead references, used by nobody."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated

from msgspec import Meta, Struct

from shoal.adapters.checks.check import Context
from shoal.adapters.vault import task_file
from shoal.adapters.vault.front_matter import FrontMatter
from shoal.adapters.vault.vault import Vault
from shoal.errands.checks.vault_pages import Opened, Page, Targets, files_of, links, pages, prose
from shoal.errors import NotFound, ShoalError
from shoal.ledger import Ledger
from shoal.model.check import Finding
from shoal.model.item import Severity

NAME = "learning-health"
VERSION = "1"
DAY_MS = 86_400_000
SHORTEST = 40  # letters and digits that a body has, for two to be the same
_HEADING = re.compile(r"^#{1,6}[ \t]+(\S.*?)[ \t#]*$", re.MULTILINE)
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(?:\[.\]\s+)?(.*)$")
_WORDS = re.compile(r"[\W_]+")
_FOR = re.compile(r"^(?:always|must|do|please|we should|should|prefer to|prefer)\s+")
_AGAINST = re.compile(
    r"^(?:never|must not|mustn t|do not|don t|should not|shouldn t|we should not|avoid to|avoid|stop|no longer)\s+"
)
_STATED = re.compile(r"^(?:always|never|must|do not|don t|avoid|prefer|should|use|do)\b")


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is looked at."""

    folders: Annotated[
        list[str],
        Meta(max_length=50, description="folders of the vault that hold the notes; left out: `knowledge_folder`"),
    ] = []
    unused_days: Annotated[
        int,
        Meta(ge=0, le=36_500, description="days after which a note that nothing links to is told of; 0 for never; 90"),
    ] = 90
    lessons_only: Annotated[
        bool, Meta(description="only notes that are lessons or principles by type, tag, name or folder; true")
    ] = True


class _Note(Struct, frozen=True):
    page: Page
    title: str
    topic: str
    body: str


class _Rule(Struct, frozen=True):
    """What a note says is to be done, or not to be done."""

    note: _Note
    line: int
    text: str
    is_for: bool


def run(context: Context) -> Iterator[Finding]:
    """Read the notes, and compare each with the others."""
    opened: Opened | None = context.vault()
    if opened is None:
        return
    vault, options = opened.vault, context.options
    files = files_of(vault.root)
    folders = options.folders or [str(vault.layout.knowledge)]
    own = [path for path in files if any(path.startswith(f"{folder.rstrip('/')}/") for folder in folders)]
    notes = [
        note
        for page in pages(vault.root, own, [])
        if (note := _note(page, lessons_only=options.lessons_only)) is not None
    ]
    yield from _duplicates(notes)
    yield from _contradictions(notes)
    targets = Targets(files)
    yield from _dead(context, opened, notes, targets)
    if options.unused_days:
        yield from _unused(context, vault, files, notes, targets)


def _note(page: Page, *, lessons_only: bool) -> _Note | None:
    body = task_file.body(page.text)
    try:
        front = FrontMatter(page.text).values
    except ShoalError:
        front = {}
    place = PurePosixPath(page.path)
    kinds = [*task_file.read_list(front.get("type")), *task_file.read_list(front.get("tags")), *place.parent.parts]
    if lessons_only and not any(_is_lesson(word) for word in [*kinds, place.stem]):
        return None
    heading = _HEADING.search(body)
    title = task_file.read_text(front.get("title")) or (heading[1] if heading else None) or place.stem
    return _Note(page, title, _plain(title), _plain(_HEADING.sub("", body, count=1)))


def _is_lesson(word: str) -> bool:
    return bool(re.search(r"lesson|principle", word, re.IGNORECASE))


def _duplicates(notes: list[_Note]) -> Iterator[Finding]:
    by_title: dict[str, list[_Note]] = defaultdict(list)
    by_body: dict[str, list[_Note]] = defaultdict(list)
    for note in notes:
        if note.topic:
            by_title[note.topic].append(note)
        if len(note.body) >= SHORTEST:
            by_body[hashlib.sha256(note.body.encode()).hexdigest()].append(note)
    told = set[str]()
    for what, groups in (("says the same as", by_body), ("has the same title as", by_title)):
        for first, *others in groups.values():
            for note in others:
                if note.page.path not in told:
                    told.add(note.page.path)
                    yield _finding("duplicate", note, f"{what} {first.page.path}", key=first.page.path)


def _contradictions(notes: list[_Note]) -> Iterator[Finding]:
    rules: dict[str, list[_Rule]] = defaultdict(list)
    for note in notes:
        for line, text in _statements(note):
            stated = _rule(text)
            if stated is not None:
                topic, is_for = stated
                rules[topic].append(_Rule(note, line, text, is_for))
    for topic, found in rules.items():
        first = found[0]
        against = next((one for one in found if one.is_for != first.is_for), None)
        if against is not None:
            where = "of its own" if against.note is first.note else f"of {first.note.page.path}"
            message = f'"{_short(against.text)}" is against "{_short(first.text)}" {where}'
            yield _finding("contradiction", against.note, message, key=topic, line=against.line)


def _statements(note: _Note) -> Iterator[tuple[int, str]]:
    """The title, headings, items of lists and lines that state a rule, with their lines."""
    yield 1, note.title
    for number, line in prose(note.page.text):
        item = _BULLET.match(line) or _HEADING.match(line)
        text = item[1] if item else line.strip()
        if item or _STATED.match(_plain(text)):
            yield number, text


def _rule(text: str) -> tuple[str, bool] | None:
    """What a sentence is about, and whether it is for or against that; None when it states no rule."""
    plain = _plain(re.split(r"(?<=[\w`\"')])[.;:](?:\s|$)|\s[-–—]\s", text.strip(), maxsplit=1)[0])
    for pattern, is_for in ((_AGAINST, False), (_FOR, True)):
        begins = pattern.match(plain)
        if begins:
            rest = plain[begins.end() :]
            rest = re.sub(r"^(?:to|use|using)\s+", "", rest)
            return (rest, is_for) if rest else None
    if plain.startswith("use "):
        return plain.removeprefix("use "), True
    return None


def _dead(context: Context, opened: Opened, notes: list[_Note], targets: Targets) -> Iterator[Finding]:
    """Links to files that are not there, and mentions of tasks that never were."""
    ledger, vault = context.ledger, opened.vault
    mention = re.compile(rf"(?<![\w/#.-]){re.escape(opened.prefix)}([1-9]\d{{0,8}})(?![\w-])")
    known: dict[str, bool] = {}
    for note in notes:
        for link in links(note.page.text):
            name = PurePosixPath(link.target).name.removesuffix(".md")
            if targets.find(note.page.path, link) is None and vault.archived(name) is None:
                shown = f"[[{link.target}]]" if link.wiki else link.target
                yield _finding("dead-reference", note, f"{shown} is not there", key=link.target[:200], line=link.line)
        for number, line in prose(note.page.text):
            for found in mention.finditer(re.sub(r"\[\[[^\]]*\]\]|\]\([^)]*\)", "", line)):
                if not _exists(ledger, found[0], known):
                    yield _finding("dead-reference", note, f"there is no task {found[0]}", key=found[0], line=number)


def _exists(ledger: Ledger, task_id: str, known: dict[str, bool]) -> bool:
    if task_id not in known:
        try:
            ledger.tasks.get(task_id)
            known[task_id] = True
        except NotFound:
            known[task_id] = False
    return known[task_id]


def _unused(
    context: Context, vault: Vault, files: list[str], notes: list[_Note], targets: Targets
) -> Iterator[Finding]:
    """Notes that no page links to or names, and that nobody has changed for long."""
    read = list(pages(vault.root, files, []))
    linked = {
        target
        for page in read
        for link in links(page.text)
        if (target := targets.find(page.path, link)) and target != page.path
    }
    everything = "\n".join(page.text for page in read)
    old = context.now_ms - context.options.unused_days * DAY_MS
    for note in notes:
        path = note.page.path
        changed = (vault.root / path).stat().st_mtime_ns // 1_000_000
        if path in linked or changed > old or _is_named(note, everything):
            continue
        message = f"nothing in the vault refers to it, and it has not changed for {context.options.unused_days} days"
        yield _finding("unused", note, message, key="unused", severity=Severity.INFO)


def _is_named(note: _Note, everything: str) -> bool:
    names = (PurePosixPath(note.page.path).name, note.title)
    return any(everything.count(name) > note.page.text.count(name) for name in names)


def _plain(text: str) -> str:
    return _WORDS.sub(" ", text.casefold()).strip()


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"


def _finding(
    rule: str, note: _Note, message: str, *, key: str, line: int | None = None, severity: Severity = Severity.WARNING
) -> Finding:
    return Finding(rule=rule, message=message, file=note.page.path, line=line, key=key[:200], severity=severity)
