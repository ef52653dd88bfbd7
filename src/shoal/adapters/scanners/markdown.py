"""What is to be done by a markdown file: its checkboxes, and the lists and sections that are said to be work.

Boxes count wherever they stand. A list without boxes, or a section, counts where its headings say that it is work. What
is to be decided, and what was, is found as such. The file's tree: markdown_blocks.py; the words: words.py, headings.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from shoal.adapters.scanners.headings import Sense, is_order, is_weak, sense
from shoal.adapters.scanners.markdown_blocks import LONGEST_LABEL, Entry, Prose, Section, blocks
from shoal.adapters.scanners.words import (
    fields,
    is_sized,
    mark_of,
    priority_of_section,
    title_of,
    without_comments,
)
from shoal.model.found import Found, Mark
from shoal.model.item import LONGEST_TEXT, Form

NAME = "markdown"
MOST_FOUND = 20_000  # in one file, as model/found.py has it
_LONGEST_HEADING = 500
_DEEPEST_HEADING = 20
_NAMES = frozenset({"todo", "todos", "backlog", "roadmap", "tasks"})
_SIGNS = {**dict.fromkeys("xX✓✔√", Mark.DONE), **dict.fromkeys("-~", Mark.DECLINED)}
_ONLY_ANCHOR = re.compile(r"\s*\[[^\]]*\]\(#[^)]*\)\s*")
_DECIDE = re.compile(
    r"[\W_]*(?:decide|decisions?(?: needed)?\s*:|agree (?:on|whether)|choose between|(?:open )?questions?\s*:|q:)"
    r"(?=\W|$)",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"[\W_]*(?:which|what|how|should|shall|do|does|did|is|are|was|can|could|who|whose|when|where|why|would|will|must|may"
    r"|have|has)\s[^?]*\?",
    re.IGNORECASE,
)
_ASKED = re.compile(r"[*_]{0,2}(?:decision needed|open question|to decide)[*_]{0,2}\s*:[*_]{0,2}\s*\S", re.IGNORECASE)


class TooMany(Exception):
    """A file has more than MOST_FOUND things to do: it was made by a machine, or is no list of work."""


def declares_work(path: str) -> bool:
    """Whether a file is by its name a list of things to do."""
    return PurePosixPath(path).name.casefold().split(".")[0] in _NAMES


def scan(text: str, *, declared: bool = False) -> list[Found]:
    """All that is to be done, or was, in the order of the lines. `declared`: the file is by its name a list of work.

    Raises TooMany for more than 20,000; else it never fails, whatever the text.
    """
    text = text.replace("\0", "\ufffd").replace("\r\n", "\n").replace("\r", "\n")
    root = blocks(text)
    return _Reader(_is_about_work(root, declared)).read(root, _Setting(work="title" if declared else ""))


@dataclass(frozen=True, slots=True)
class _Setting:
    """What the headings above say. `work`: "list" under one that says so, "title" when only the file's title does."""

    work: str = ""
    mark: Mark = Mark.OPEN
    sense: Sense = Sense.OPEN
    priority: int | None = None
    item: Section | None = None


@dataclass(slots=True)
class _One:
    line: int
    it: Section | Entry | Prose
    above: Section | Entry | None
    given: dict[str, Any]


class _Reader:
    def __init__(self, about_work: bool) -> None:
        self._about_work = about_work
        self._found: list[_One] = []

    def read(self, root: Section, setting: _Setting) -> list[Found]:
        """The whole file."""
        self._section(root, setting)
        ones = sorted(self._found, key=lambda one: one.line)
        places = {id(one.it): place for place, one in enumerate(ones)}
        found = []
        for place, one in enumerate(ones):
            above = None if one.above is None else places.get(id(one.above))
            found.append(Found(line=one.line, above=above if above is None or above < place else None, **one.given))
        return found

    def _section(self, section: Section, outer: _Setting) -> None:
        setting = outer
        if section.rank:
            setting = _setting(section, outer)
            if _is_item(section, outer, setting):
                self._add_section(section, outer, setting)
                setting = replace(setting, item=section, work="")
        for prose in section.prose:
            if _ASKED.match(prose.text) and setting.mark is Mark.OPEN:
                given = {"form": Form.QUESTION, "text": _cut(prose.text), "labels": ["question"]}
                self._add(_One(prose.line, prose, None, given | {"heading": _path(section)}))
        has_boxes = any(one.box is not None for entry in section.items for one in _all(entry))
        for entry in section.items:
            self._entry(entry, setting, section, self._form(entry, setting, has_boxes), setting.item, [])
        for below in section.below:
            self._section(below, setting)

    def _form(self, entry: Entry, setting: _Setting, has_boxes: bool) -> Form | None:
        """What an item of a list without a box is, where it stands; None when it is no work."""
        if _ONLY_ANCHOR.fullmatch(entry.text) or setting.item is not None:
            return None
        label = None if entry.label is None else sense(title_of(entry.label.text))
        if setting.sense is Sense.QUESTIONS and label is None:
            return Form.QUESTION
        if setting.sense is Sense.DECISIONS and label is None:
            return Form.DECISION
        if has_boxes or not self._about_work or setting.sense is Sense.KNOWLEDGE:
            return None
        if label is not None:
            return Form.LIST if label is Sense.WORK else None
        return Form.LIST if setting.work else None

    def _entry(
        self,
        entry: Entry,
        setting: _Setting,
        section: Section,
        form: Form | None,
        above: Section | Entry | None,
        context: list[str],
    ) -> None:
        # A stack, not recursion: lists may be as deep as the parser goes.
        pending = [(entry, form, above, context)]
        while pending:
            entry, form, above, context = pending.pop()
            inner, there = above, context
            if (given := self._given(entry, setting, form)) is not None:
                label = entry.label if entry.above is None else None
                given["heading"] = _path(section, label, context)
                self._add(_One(entry.line, entry, above, given))
                inner = entry
            elif len(entry.text) <= LONGEST_LABEL and entry.text:
                there = [*context, entry.text.replace("\n", " ")]
            pending.extend((one, None, inner, there) for one in reversed(entry.below))

    def _given(self, entry: Entry, setting: _Setting, form: Form | None) -> dict[str, Any] | None:
        words = entry.text
        text = without_comments("\n\n".join(entry.parts)).strip()
        if not text or (entry.box is None and (form is None or any(one.box is not None for one in _all(entry)))):
            return None
        says = mark_of(without_comments(words).replace("\n", " ").strip())
        if entry.box is not None:
            mark = _SIGNS.get(entry.box, Mark.OPEN)
            mark = says if mark is Mark.OPEN else mark
            form = _form_of_box(entry, setting, mark)
        else:
            mark = setting.mark if says is Mark.OPEN else says
            if form is Form.LIST and _is_question(words):
                form = Form.QUESTION if mark is Mark.OPEN else Form.DECISION
            elif form is Form.QUESTION and mark is Mark.DONE:
                form = Form.DECISION
            elif form is Form.DECISION:
                mark = Mark.DONE
        given: dict[str, Any] = {"text": _cut(text + _details(entry)), "form": form, "mark": mark}
        hidden = words if "<!--" in words else ""
        given |= fields(without_comments(words).strip(), hidden=hidden)
        if form in (Form.QUESTION, Form.DECISION):
            given = {name: value for name, value in given.items() if name not in ("effort", "estimate_minutes")}
            given["labels"] = [form.value, *given.get("labels", [])][:50]
        elif given.get("priority") is None and setting.priority is not None:
            given["priority"] = setting.priority
        return given

    def _add_section(self, section: Section, outer: _Setting, setting: _Setting) -> None:
        title = without_comments(section.title).strip()
        text = title
        for _, words in sorted((one for below in section.within() for one in _texts(below, section)), key=_first):
            text += ("\n" if words[:2] == "- " and text.rpartition("\n")[2][:2] == "- " else "\n\n") + words
        given: dict[str, Any] = {"text": _cut(text), "form": Form.SECTION, "mark": setting.mark}
        given |= fields(title)
        given |= {"heading": _path(section.above)}
        if given.get("priority") is None and outer.priority is not None:
            given["priority"] = outer.priority
        self._add(_One(section.line, section, outer.item, given))

    def _add(self, one: _One) -> None:
        if len(self._found) == MOST_FOUND:
            raise TooMany
        self._found.append(one)


def _is_about_work(root: Section, declared: bool) -> bool:
    """Whether a file has a heading that says that there is work in it: only there are lists without boxes any."""
    return declared or any(
        sense(title_of(one.title)) is Sense.WORK and not is_weak(title_of(one.title)) for one in root.within()
    )


def _setting(section: Section, outer: _Setting) -> _Setting:
    """What holds under a heading."""
    title = title_of(section.title)
    meaning = sense(title)
    says = mark_of(section.title)
    priority = priority_of_section(title)
    setting = _Setting(
        work=outer.work,
        mark=outer.mark if says is Mark.OPEN else says,
        sense=outer.sense if meaning is Sense.OPEN else meaning,
        priority=outer.priority if priority is None else priority,
        item=outer.item,
    )
    if meaning is Sense.WORK and (outer.work or not is_weak(title)):
        return replace(setting, work="title" if section.rank == 1 else "list")
    if meaning is Sense.DONE:
        return replace(setting, mark=Mark.DONE, work=outer.work or "list")
    if meaning is Sense.DECLINED:
        return replace(setting, mark=Mark.DECLINED, work=outer.work or "list")
    return setting


def _is_item(section: Section, outer: _Setting, setting: _Setting) -> bool:
    """Whether a section is itself something to do. One that has boxes is what they are about, and no item."""
    title = title_of(section.title)
    if not title or sense(title) is not Sense.OPEN or setting.sense in (Sense.QUESTIONS, Sense.DECISIONS):
        return False
    if any(one.box is not None for below in section.within() for entry in below.items for one in _all(entry)):
        return False
    sized, order = is_sized(section.title), is_order(title)
    if outer.item is not None:
        return sized
    if sized:
        return order or bool(outer.work)
    if not outer.work or setting.sense is Sense.KNOWLEDGE:
        return False
    return order or (outer.work == "list" and bool(section.prose) and not section.items and not section.below)


def _form_of_box(entry: Entry, setting: _Setting, mark: Mark) -> Form:
    asked = entry.box == "?" or _is_question(entry.text)
    if asked or setting.sense in (Sense.QUESTIONS, Sense.DECISIONS):
        return Form.DECISION if mark is Mark.DONE else Form.QUESTION
    return Form.BOX


def _is_question(text: str) -> bool:
    plain = title_of(without_comments(text).replace("\n", " "))
    return plain.endswith("?") or _DECIDE.match(plain) is not None or _ASKS.match(plain) is not None


def _path(section: Section | None, label: Prose | None = None, context: list[str] | None = None) -> list[str]:
    """The headings above, the line that introduces a list, and the items without boxes that it hangs under."""
    found = [] if section is None else [title_of(one.title) for one in section.path()]
    if label is not None and "\n" not in label.text and len(label.text) <= LONGEST_LABEL:
        found.append(title_of(label.text))
    found += [title_of(one) for one in context or []]
    return [one[:_LONGEST_HEADING] for one in found if one][-_DEEPEST_HEADING:]


def _all(entry: Entry) -> Iterator[Entry]:
    pending = [entry]
    while pending:
        one = pending.pop()
        yield one
        pending.extend(one.below)


def _details(entry: Entry, depth: int = 0) -> str:
    """The items without boxes below one: they tell more about it. What has boxes below is no such."""
    if depth > 10:
        return ""
    told = ""
    for one in entry.below:
        if one.parts and all(inner.box is None for inner in _all(one)):
            words = without_comments(one.text).strip().replace("\n", " ")
            told += f"\n{'  ' * depth}- {words}{_details(one, depth + 1)}"
    return told


def _texts(section: Section, top: Section) -> Iterator[tuple[int, str]]:
    """What stands in a section that is an item, by lines, except for what is an item itself."""
    if section is not top:
        if is_sized(section.title):
            return
        yield section.line, section.title
    for prose in section.prose:
        yield prose.line, without_comments(prose.text).strip()
    for entry in section.items:
        yield entry.line, f"- {without_comments(entry.text).strip()}{_details(entry, 1)}"


def _first(one: tuple[int, str]) -> int:
    return one[0]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
