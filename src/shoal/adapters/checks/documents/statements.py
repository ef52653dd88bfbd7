"""The commands that a page shows: lines of shell in its fences and code spans, as words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from msgspec import Struct

from shoal.adapters.checks.documents.page import Code

SHELL = frozenset({"sh", "bash", "zsh", "shell", "fish", "ksh", "shellscript"})
SESSION = frozenset({"console", "shell-session", "sh-session", "bash-session", "terminal", "shellsession", ""})
PROMPT = re.compile(r"^\s*(?:[\w.@~:/()-]+)?[$%❯] +")
HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?")
ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*=")
BEFORE = frozenset({"sudo", "time", "exec", "command", "nohup", "env", "then", "do", "else", "if", "while", "!"})
OPERATORS = frozenset("();<>|&")


class Statement(Struct, frozen=True):
    """One command with its arguments; `alone` says that it stands in a code span."""

    line: int
    words: tuple[str, ...]
    alone: bool


def statements(codes: list[Code], programs: re.Pattern[str]) -> Iterator[Statement]:
    """The commands that these pieces of code show, in order; a span of code is one if it begins with a program."""
    for code in codes:
        if code.language is None:
            if len(code.text) < 200 and programs.match(PROMPT.sub("", code.text, count=1)):
                yield from _split(code.line, PROMPT.sub("", code.text, count=1), alone=True)
        elif programs.search(code.text):
            for line, text in _lines(code):
                yield from _split(line, text, alone=False)


def _lines(code: Code) -> Iterator[tuple[int, str]]:
    """The lines that are typed, each with what it is continued by."""
    language = re.split(r"[\s{,:]", (code.language or "").lower().lstrip("{."), maxsplit=1)[0]
    if language not in SHELL and language not in SESSION:
        return
    lines = code.text.splitlines()
    prompted = any(PROMPT.match(line) for line in lines)
    if language == "" and not prompted:
        return
    at = 0
    while at < len(lines):
        first, text = at, lines[at]
        at += 1
        if prompted and not PROMPT.match(text):
            continue
        while text.endswith("\\") and at < len(lines):
            text = f"{text[:-1]} {lines[at].lstrip().removeprefix('> ')}"
            at += 1
        ends = HEREDOC.search(text)
        if ends:
            while at < len(lines) and lines[at].strip() != ends[1]:
                at += 1
            at += 1
        yield code.line + first, PROMPT.sub("", text, count=1)


def _split(line: int, text: str, *, alone: bool) -> Iterator[Statement]:
    reader = shlex.shlex(text, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    words: list[str] = []
    try:
        for word in reader:
            if word and set(word) <= OPERATORS and set(word) & set("();|&"):
                yield from _statement(line, words, alone)
                words = []
            else:
                words.append(word)
    except ValueError:  # an open quotation mark: no shell, or more than a line of it
        return
    yield from _statement(line, words, alone)


def _statement(line: int, words: list[str], alone: bool) -> Iterator[Statement]:
    while words and (words[0] in BEFORE or ASSIGNMENT.match(words[0])):
        words = words[1:]
    if words:
        yield Statement(line, tuple(words), alone)
