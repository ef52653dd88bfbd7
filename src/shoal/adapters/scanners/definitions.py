"""Which class and function a line stands in, by how the lines above it are indented. A guess that costs little."""

from __future__ import annotations

import re

import msgspec

from shoal.model.found import Found

TAB = 4
LINES_ABOVE = 4000  # so far up is looked
LINES_OF_A_FILE = 500_000  # so many lines are looked at for all that a file asks for
LONGEST_LINE = 300
DEEPEST = 8
LONGEST_NAME = 200

_WORDS = (
    "class|interface|enum|record|struct|trait|object|namespace|module|mod|protocol|extension|contract|library|package|"
    "union|actor|fn|func|fun|function|def|defp|defmodule|defmacro|sub|proc|macro|data|type"
)
_NAMED = re.compile(
    rf"(?:(?:pub(?:\([\w:]+\))?|[a-z]+|@\w+)\s+){{0,6}}?(?:{_WORDS})[\s*]+(?:\(\s*\w*\s*\*?(?P<of>\w+)[^)]*\)\s*)?"
    r"(?P<name>[A-Za-z_$][\w$.:?!]*)"
)
_IMPL = re.compile(r"(?:unsafe\s+)?impl\b(?:<[^\n]*?>)?\s+(?:[\w:<>, ]+\s+for\s+)?(?P<name>\w+)")
_ASSIGNED = re.compile(
    r"(?:export\s+)?(?:(?:const|let|var|static|local)\s+)?(?P<name>[A-Za-z_$][\w$.]*)\s*(?::[^=\n]{0,200})?[=:]\s*"
    r"(?:async\s+)?(?:function\b|\([^\n]*=>|[\w$]+\s*=>|\($|\([^)\n]*,$|(?:struct|union|enum)\b)"
)
_TYPED = re.compile(  # int main(…, public Foo(…, void Foo::bar(…, name() in a shell
    r"(?:template\s*<[^\n]*>\s*)?(?:[\w<>\[\],.?*&:~@]+\s+)*[*&]*(?P<name>~?[A-Za-z_$#][\w$]*(?:::~?\w+)*)\s*\((?![^\n]*;\s*$)"
)
_BODY = re.compile(r"(?:\{|\)|\(|,|=>)\s*$|\)\s*(?:const|override|noexcept|throws\b[^\n]*|:[^\n]*)?\s*(?:\{[^\n]*)?$")
_NOT_NAMES = frozenset({
    "if", "for", "while", "switch", "catch", "return", "function", "else", "elif", "do", "try", "with", "case",
    "when", "match", "until", "unless", "foreach", "using", "lock", "synchronized", "throw", "new", "delete", "await",
    "yield", "sizeof", "assert", "and", "or", "not", "in", "print", "super", "this", "self", "import", "from",
})  # fmt: skip
# A line that begins so belongs to what begins above it at the same indent.
_GOES_ON = re.compile(r"[)\]}]|\{\s*$|(?:public|private|protected|signals|slots|default)\b[\w ]*:\s*$|where\b")
_PASSED = ("#", "//", "/*", "*", "--", "@", "<!--", '"""', "'''")
_WITHOUT = frozenset(
    {"html", "css", "yaml", "toml", "ini", "dockerfile", "makefile", "sql", "latex", "haskell", "ocaml", "clojure"}
)


def enclosing(text: str, breaks: list[int], language: str, found: list[Found]) -> list[Found]:
    """The same with their headings: the names of what they stand in, from the outside in; nothing for texts without.

    `breaks` are the places of line breaks, with -1 before the first line.
    """
    if not found or language in _WITHOUT:
        return found
    lines = _Lines(text, breaks)
    return [msgspec.structs.replace(one, heading=lines.path(one.line)) for one in found]


class _Lines:
    def __init__(self, text: str, breaks: list[int]) -> None:
        self._text, self._breaks, self._left = text, breaks, LINES_OF_A_FILE

    def path(self, number: int) -> list[str]:
        """The definitions around a line, from the outside in."""
        own = self._line(number)
        # A line that ends a body belongs to it no longer, but a comment before that still does.
        reach, names = _indent(own), list[str]()
        for above in range(number - 1, max(0, number - 1 - LINES_ABOVE), -1):
            self._left -= 1
            if reach == 0 or len(names) >= DEEPEST or self._left < 0:
                break
            line = self._line(above)
            bare = line.strip()
            if not bare or bare.startswith(_PASSED) or (indent := _indent(line)) >= reach:
                continue
            reach = indent
            if _GOES_ON.match(bare):
                reach += 1
            elif name := definition(bare):
                names.append(name[:LONGEST_NAME])
        return names[::-1]

    def _line(self, number: int) -> str:
        begin = self._breaks[number - 1] + 1
        end = self._breaks[number] if number < len(self._breaks) else len(self._text)
        return self._text[begin : min(end, begin + LONGEST_LINE)]


def definition(line: str) -> str | None:
    """What a line defines: the name of a class, a function, a method; a method of Go with its type before it."""
    if match := _IMPL.match(line):
        return match["name"]
    if match := _NAMED.match(line):
        return f"{match['of']}.{match['name']}" if match["of"] else match["name"].rstrip(":.")
    match = _ASSIGNED.match(line)
    if match is None and _BODY.search(line):
        match = _TYPED.match(line)
        if match and line[: match.start("name")].split(None, 1)[:1] == ["return"]:
            return None
    if match is None or match["name"] in _NOT_NAMES or line.split("(", 1)[0].split(None, 1)[0] in _NOT_NAMES:
        return None
    return match["name"]


def _indent(line: str) -> int:
    lead = line[: len(line) - len(line.lstrip(" \t"))]
    return len(lead.expandtabs(TAB))
