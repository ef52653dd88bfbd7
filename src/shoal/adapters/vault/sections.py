"""Sections of a markdown body: what stands under a heading, and more of it. Nothing of front matter."""

from __future__ import annotations

import re


def appended(body: str, section: str, addition: str) -> str:
    """The body with something more at the end of one of its sections, which is made where it is missing."""
    newline = "\r\n" if "\r\n" in body else "\n"
    addition = addition.strip("\r\n").replace("\r\n", "\n").replace("\n", newline) + newline
    lines = body.splitlines(keepends=True)
    start, end = _section(lines, section)
    if start is None:
        before = "" if not body or body.endswith(newline * 2) else newline if body.endswith("\n") else newline * 2
        return f"{body}{before}## {section}{newline}{newline}{addition}"
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += newline
    following = newline if end < len(lines) and lines[end].strip() else ""
    return "".join(lines[:end]) + newline + addition + following + "".join(lines[end:])


def with_sections_of(body: str, before: str) -> str:
    """A new body with what others wrote under Notes and Result of the one before, where it has no such heading."""
    for name in ("Notes", "Result"):
        kept = section(before, name).strip("\r\n")
        if kept.strip() and not has_section(body, name):
            body = appended(body, name, kept)
    return body


def has_section(body: str, name: str) -> bool:
    """Whether there is such a heading."""
    return _section(body.splitlines(keepends=True), name)[0] is not None


def section(body: str, name: str) -> str:
    """What stands in a section; nothing when there is none."""
    lines = body.splitlines(keepends=True)
    start, end = _section(lines, name)
    return "" if start is None else "".join(lines[start + 1 : end])


def without_sections(body: str, *names: str) -> str:
    """The body without these sections and their headings."""
    for name in names:
        lines = body.splitlines(keepends=True)
        start, end = _section(lines, name)
        if start is not None:
            body = "".join(lines[:start] + lines[end:])
    return body


def _section(lines: list[str], name: str) -> tuple[int | None, int]:
    """The line of a section's heading, and the line where the next of its rank or above begins; code is skipped."""
    start, rank, fence = None, 0, ""
    for number, line in enumerate(lines):
        if mark := re.match(r" {0,3}(```+|~~~+)", line):
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        heading = None if fence else re.match(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$", line.rstrip("\r\n"))
        if heading is None:
            continue
        if start is not None and len(heading[1]) <= rank:
            return start, number
        if start is None and heading[2].casefold() == name.casefold():
            start, rank = number, len(heading[1])
    return start, len(lines)
