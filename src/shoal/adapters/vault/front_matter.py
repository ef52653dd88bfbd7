"""The front matter of a markdown file: its keys read, single ones changed, every other byte left as it is.

The parser only tells where things stand. A change replaces the characters of one value and keeps how that value was
written: its quotes, its kind of list, the comment behind it. What the values mean is the affair of task_file.py, so
nothing here guesses types: a scalar is its text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from functools import cached_property

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from shoal.errors import BadInput


class Bare(str):
    """A value that stands without quotes because it is no text: a number, a moment, true or false."""

    __slots__ = ()


Value = str | Bare | list[str] | None
"""What a key can be set to: text, a bare value, a list of texts, or nothing."""

LONGEST = 32 * 1024
MOST_NESTED = 1000
_OPENING = re.compile(r"\ufeff?---[ \t]*(\r?\n)")
_CLOSING = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
_AFTER_KEY = re.compile(r"[ \t]*:")
# Text that every reader of YAML, 1.1 or 1.2, takes for itself when it stands without quotes.
_PLAIN = re.compile(r"[\w./](?:[\w .,/+()@'\"=;!?&*%-]|:(?=\S))*(?<![\s:])")
_NO_TEXT = re.compile(
    r"(?:~|null|true|false|yes|no|on|off|y|n|[-+]?[\d._,]+(?:e[-+]?\d+)?|0[xob][\da-f_]+|[-+]?\.?(?:inf|nan)"
    r"|[-+]?\d[\d_]*(?::[0-5]?\d)+(?:\.\d*)?|\d{4}-\d\d?-\d\d?.*|=|<<)",
    re.IGNORECASE,
)
_NOT_IN_FLOW = frozenset(",?:")
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_NOTHING = {"", "~", "null", "Null", "NULL"}


class Unreadable(BadInput):
    """The front matter is not such that single keys of it can be read and changed; the file is left alone."""

    code = "unreadable_front_matter"


def body_start(text: str) -> int:
    """Where the body of a text begins, also behind front matter that is no YAML; 0 when there is none."""
    opening = _OPENING.match(text)
    closing = _CLOSING.search(text, opening.end()) if opening else None
    return closing.end() if closing else 0


class FrontMatter:
    """The front matter of one text, which may have none."""

    def __init__(self, text: str) -> None:
        """Raises Unreadable with the line and the reason."""
        self.text = text
        opening = _OPENING.match(text)
        self._exists = opening is not None
        self._start, self._end, self.body_start = 0, 0, 1 if text.startswith("\ufeff") else 0
        self.newline = opening[1] if opening else ("\r\n" if "\r\n" in text else "\n")
        if opening:
            closing = _CLOSING.search(text, opening.end())
            if closing is None:
                raise Unreadable("line 1 opens front matter that no later line closes with ---")
            self._start, self._end = opening.end(), closing.start()
            self.body_start = closing.end()
        self._root = self._parse()

    @property
    def body(self) -> str:
        """Everything behind it."""
        return self.text[self.body_start :]

    @cached_property
    def values(self) -> dict[str, Value]:
        """Each key whose value is text, a list of texts, or nothing. Others are a person's own and not looked into."""
        found: dict[str, Value] = {}
        for key, node in self._pairs.items():
            if isinstance(node, ScalarNode):
                found[key] = _scalar(node)
            elif isinstance(node, SequenceNode) and all(isinstance(item, ScalarNode) for item in node.value):
                found[key] = [_scalar(item) or "" for item in node.value]
        return found

    def has(self, key: str) -> bool:
        """Whether the key stands there, with whatever value."""
        return key in self._pairs

    def without(self, names: Collection[str]) -> str:
        """The front matter without the lines of these keys."""
        lines = [line + "\n" for line in self.text[self._start : self._end].split("\n")]
        for name in set(names) & self._pairs.keys():
            first = self._keys[name].start_mark.line
            end = self._value_end(self._pairs[name])
            last = self.text.count("\n", self._start, self._start + end)
            for number in range(first, min(last + 1, len(lines))):
                lines[number] = ""
        return "".join(lines)

    def changed(self, values: Mapping[str, Value]) -> str:
        """The whole text with these keys set; a key set to None stays, without a value."""
        if not self._exists:
            if "\0" in self.text:
                raise Unreadable("the file is no UTF-8 text")
            lines = "".join(f"{name}: {_written(value)}".rstrip() + self.newline for name, value in values.items())
            mark, rest = self.text[: self.body_start], self.text[self.body_start :]
            return f"{mark}---{self.newline}{lines}---{self.newline}{rest}"
        splices = []
        added = []
        for name, value in values.items():
            if name in self._pairs:
                splices.append(self._splice(name, value))
            else:
                added.append(f"{_written(name)}: {_written(value, flow=self._flow)}".rstrip())
        if added:
            splices.append(self._addition(added))
        text = self.text
        for start, end, new in sorted(splices, reverse=True):
            text = text[:start] + new + text[end:]
        self._check(text, values)
        return text

    def _check(self, changed: str, values: Mapping[str, Value]) -> None:
        """What an anchor, say, makes of a change cannot be foreseen: the others must still say what they did."""
        try:
            after = FrontMatter(changed)
        except Unreadable as error:
            raise Unreadable(f"it could not be read after a change: {error.message}") from None
        for name in self._pairs.keys() - values.keys():
            if after.values.get(name) != self.values.get(name) or not after.has(name):
                raise Unreadable(f"{name} would say something else after a change of {', '.join(values)}")

    @cached_property
    def _pairs(self) -> dict[str, Node]:
        return {key.value: value for key, value in self._root.value} if self._root is not None else {}

    @cached_property
    def _keys(self) -> dict[str, Node]:
        return {key.value: key for key, _ in self._root.value} if self._root is not None else {}

    @property
    def _flow(self) -> bool:
        return self._root is not None and bool(self._root.flow_style)

    def _parse(self) -> MappingNode | None:
        written = self.text[self._start : self._end]
        # The parser is recursive, and C: 100,000 brackets would end the process.
        if len(written) > LONGEST or sum(map(written.count, ("[", "{", "- -", "? ?"))) > MOST_NESTED:
            raise Unreadable("the front matter is too long or nested too deeply to be a task's")
        try:
            root = yaml.compose(written, Loader=yaml.CSafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 2 if error.problem_mark else 2
            raise Unreadable(f"line {line}: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            raise Unreadable(f"the front matter is not YAML: {str(error).splitlines()[0]}") from None
        except UnicodeEncodeError:
            raise Unreadable("the front matter is not UTF-8") from None
        if root is None or (isinstance(root, ScalarNode) and root.value == ""):
            return None
        if not isinstance(root, MappingNode):
            raise Unreadable("line 2: the front matter must be keys with values")
        seen: set[str] = set()
        for key, _ in root.value:
            line = key.start_mark.line + 2
            if not isinstance(key, ScalarNode):
                raise Unreadable(f"line {line}: a key that is not text")
            if key.value in seen:
                raise Unreadable(f"line {line}: {key.value} stands there twice")
            seen.add(key.value)
        return root

    def _splice(self, name: str, value: Value) -> tuple[int, int, str]:
        """Where the value stands, from behind the colon, and what to put there."""
        node = self._pairs[name]
        colon = _AFTER_KEY.match(self.text, self._start + self._keys[name].end_mark.index)
        start, end = self._start + node.start_mark.index, self._start + self._value_end(node)
        if colon is None or (not _is_empty(node) and start < colon.end()):
            # An alias, or `? key` on a line of its own.
            raise Unreadable(
                f"line {self._keys[name].start_mark.line + 2}: {name} is written in a way Shoal cannot change"
            )
        after = colon.end()
        between = self.text[after : start if not _is_empty(node) else after]
        if "#" in between and "\n" in between and not isinstance(node, SequenceNode):
            line = self._keys[name].start_mark.line + 2
            raise Unreadable(f"line {line}: a comment stands within the value of {name}")
        if value is None:
            return after, max(after, end) if not _is_empty(node) else after, ""
        if _is_empty(node):
            return after, after, f" {_written(value, flow=self._flow)}"
        inline = self.text[after:start].strip(" \t") == ""
        if isinstance(node, SequenceNode) and isinstance(value, list):
            if value and node.value and all(isinstance(item, ScalarNode) for item in node.value):
                return self._splice_items(node, value)
            return (start, end, _written(value)) if inline else (after, end, f" {_written(value)}")
        style = node.style if isinstance(node, ScalarNode) else None
        new = _written(value, style=style, flow=self._flow)
        if not inline:
            return after, end, f" {new}"
        return start, end, new

    def _splice_items(self, node: SequenceNode, value: list[str]) -> tuple[int, int, str]:
        """Replace the items behind the last one that stays."""
        old = [_scalar(item) or "" for item in node.value]
        same = 0
        while same < min(len(old), len(value)) and old[same] == value[same]:
            same += 1
        between = ", " if node.flow_style else f"{self.newline}{' ' * node.start_mark.column}- "
        new = [_written(item, flow=bool(node.flow_style)) for item in value[same:]]
        end = self._start + self._value_end(node.value[-1])
        if same == 0:
            return self._start + node.value[0].start_mark.index, end, between.join(new)
        start = self._start + self._value_end(node.value[same - 1])
        if new and not node.flow_style:
            start = _end_of_line(self.text, start)
            end = max(start, end)
        return start, end, "".join(between + item for item in new)

    def _value_end(self, node: Node) -> int:
        """Where its characters end; the parser counts the lines behind a list or a block of text as part of it."""
        if isinstance(node, SequenceNode) and not node.flow_style and node.value:
            return self._value_end(node.value[-1])
        if isinstance(node, MappingNode) and not node.flow_style and node.value:
            return self._value_end(node.value[-1][1])
        end = int(node.end_mark.index)
        if isinstance(node, ScalarNode) and node.style in ("|", ">"):
            written = self.text[self._start + node.start_mark.index : self._start + end]
            end -= len(written) - len(written.rstrip())
        return end

    def _addition(self, lines: list[str]) -> tuple[int, int, str]:
        if self._flow:
            assert self._root is not None  # noqa: S101 - _flow says so
            end = self._start + self._root.end_mark.index - 1
            comma = ", " if self._root.value else ""
            return end, end, comma + ", ".join(lines)
        indent = " " * self._root.value[0][0].start_mark.column if self._root is not None and self._root.value else ""
        before = "" if self._end == self._start or self.text[self._end - 1] in "\r\n" else self.newline
        return self._end, self._end, before + "".join(f"{indent}{line}{self.newline}" for line in lines)


def _end_of_line(text: str, start: int) -> int:
    found = re.compile(r"\r?\n").search(text, start)
    return found.start() if found else len(text)


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.start_mark.index == node.end_mark.index


def _scalar(node: ScalarNode) -> str | None:
    if not node.style and node.value in _NOTHING:
        return None
    return str(node.value)


def _written(value: Value, *, style: str | None = None, flow: bool = False) -> str:
    """A value as YAML on one line, in the quotes that it had if it can stand in them."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "[" + ", ".join(_written(item, flow=True) for item in value) + "]"
    if isinstance(value, Bare):
        return value
    printable = not _ESCAPED.search(value) and value.isprintable()
    if style == "'" and printable:
        return "'" + value.replace("'", "''") + "'"
    if style != '"' and printable and _is_plain(value, flow=flow):
        return value
    return escaped(json.dumps(value, ensure_ascii=False))


def escaped(written: str) -> str:
    """JSON as YAML takes it: some characters mean a new line there, or may not stand at all."""
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", written)


def _is_plain(value: str, *, flow: bool) -> bool:
    return bool(_PLAIN.fullmatch(value)) and not _NO_TEXT.fullmatch(value) and not (flow and set(value) & _NOT_IN_FLOW)
