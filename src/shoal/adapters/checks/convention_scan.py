"""A project's own conventions, from a file of rules: patterns, names, sizes, files that must be there, and ruff's.

A rule that is wrong, or whose pattern takes for ever, ends the check: what it did not look at does not count as mended.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from posixpath import basename, dirname
from typing import Annotated

from msgspec import Meta, Struct

from shoal.adapters.checks.check import Context
from shoal.adapters.checks.checkout import Checkout
from shoal.adapters.checks.conventions import bounded, ruff
from shoal.adapters.checks.conventions.rules import (
    Conventions,
    Forbid,
    Names,
    Present,
    Require,
    Rule,
    Size,
    line_of,
    read,
)
from shoal.errors import BadInput
from shoal.model.check import Finding
from shoal.model.path_pattern import fits, matches

NAME = "convention-scan"
VERSION = "1"
MOST = 200  # findings of one rule in one file
ALLOWED = re.compile(r"shoal:\s*allow\s+([\w.,\- ]+)")


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the rules are."""

    file: Annotated[
        str, Meta(min_length=1, max_length=1000, description="the file of rules in the checkout; `conventions.toml`")
    ] = "conventions.toml"
    seconds: Annotated[
        float, Meta(gt=0, le=600, description="processor time that one pattern may take for one file; 2")
    ] = bounded.SECONDS


def run(context: Context) -> Iterator[Finding]:
    """What in a checkout is not by its conventions. Raises BadInput when a rule is wrong."""
    options: Options = context.options
    checkout = Checkout(context.checkout)
    at = (checkout.root / options.file).resolve()
    if not at.is_relative_to(checkout.root) or not at.is_file():
        raise BadInput(f"there is no {options.file} in {checkout.root}; write one, or say `file`", field="file")
    text = at.read_text(encoding="utf-8", errors="replace")
    conventions = read(text, where=options.file)
    yield from examine(checkout, conventions, options=options, text=text)
    if conventions.ruff is not None:
        yield from ruff.findings(checkout.root, conventions.ruff, warn=context.warn)


def examine(checkout: Checkout, conventions: Conventions, *, options: Options, text: str = "") -> Iterator[Finding]:
    """What in this checkout is not by these conventions, but for ruff's."""
    paths = sorted(path for path in checkout.files if path != options.file and not fits(path, conventions.exclude))
    for present in conventions.present:
        yield from _absent(present, paths)
    looks = [(rule, _LOOKS[type(rule)](rule)) for rule in conventions.rules if type(rule) in _LOOKS]
    for path in paths:
        content: str | None = None
        for rule, look in looks:
            if not fits(path, rule.files) or fits(path, rule.exclude):
                continue
            if content is None:
                content = _content(checkout, path)
            try:
                yield from look(path, content, options.seconds)
            except bounded.TooSlow:
                raise BadInput(_slow(rule, conventions, path, options, text), field="pattern") from None


Look = Callable[[str, str, float], Iterator[Finding]]


def _forbidden(rule: Forbid) -> Look:
    pattern = _compiled(rule.pattern, ignore_case=rule.ignore_case)

    def look(path: str, content: str, seconds: float) -> Iterator[Finding]:
        for found in bounded.matches(pattern, content, most=MOST, seconds=seconds):
            start = content.rfind("\n", 0, found.start()) + 1
            end = content.find("\n", found.start())
            line = content[start : end if end >= 0 else len(content)]
            if not _is_allowed(rule, line):
                number = content.count("\n", 0, found.start()) + 1
                said = rule.message or f"holds what is forbidden: {' '.join(found[0].split())[:100]}"
                yield _finding(rule, path, said, line=number, key=" ".join(line.split()))

    return look


def _required(rule: Require) -> Look:
    pattern = _compiled(rule.pattern, ignore_case=rule.ignore_case)

    def look(path: str, content: str, seconds: float) -> Iterator[Finding]:
        looked = "".join(content.splitlines(keepends=True)[: rule.first_lines]) if rule.first_lines else content
        if not bounded.matches(pattern, looked, most=1, seconds=seconds) and not _is_allowed(rule, content):
            yield _finding(rule, path, rule.message or f"does not hold what it must: {rule.pattern[:200]}")

    return look


def _named(rule: Names) -> Look:
    pattern = re.compile(rule.pattern)

    def look(path: str, content: str, seconds: float) -> Iterator[Finding]:
        name = path if rule.whole_path else basename(path)
        with bounded.limit(seconds):
            fits = pattern.fullmatch(name) is not None
        if not fits:
            yield _finding(rule, path, rule.message or f"{name} is not named as {rule.pattern[:200]}")

    return look


def _sized(rule: Size) -> Look:
    def look(path: str, content: str, seconds: float) -> Iterator[Finding]:
        if _is_allowed(rule, content):
            return
        for unit, most, has in (
            ("lines", rule.lines, len(content.splitlines())),
            ("bytes", rule.bytes, len(content.encode("utf-8", "surrogateescape"))),
        ):
            if most is not None and has > most:
                said = f"{rule.message}: " if rule.message else ""
                yield _finding(rule, path, f"{said}has {has:,} {unit}, and {most:,} are allowed", key=unit)

    return look


def _absent(rule: Present, paths: list[str]) -> Iterator[Finding]:
    folders = [""] if rule.beside is None else sorted({dirname(path) for path in paths if fits(path, rule.beside)})
    for folder in folders:
        inside = [path for path in paths if dirname(path) == folder] if rule.beside is not None else paths
        for wanted in rule.files:
            names = [basename(path) for path in inside] if rule.beside is not None else inside
            glob = wanted if rule.beside is not None or "/" in wanted else f"/{wanted}"
            where = f"{folder}/{wanted}".lstrip("/")
            if not any(matches(name, glob) for name in names) and not fits(where, rule.exclude):
                said = f"{rule.message}: " if rule.message else ""
                yield _finding(rule, folder or None, f"{said}there is no {where}", key=where)


_LOOKS: dict[type[Rule], Callable[..., Look]] = {
    Forbid: _forbidden, Require: _required, Names: _named, Size: _sized,
}  # fmt: skip


def _compiled(pattern: str, *, ignore_case: bool) -> re.Pattern[str]:
    return re.compile(pattern, re.MULTILINE | (re.IGNORECASE if ignore_case else 0))


def _content(checkout: Checkout, path: str) -> str:
    data = checkout.data(path)
    return "" if b"\0" in data[:8000] else data.decode("utf-8", "surrogateescape")


def _is_allowed(rule: Rule, text: str) -> bool:
    """Whether a comment says that this is meant: `shoal: allow NAME`."""
    return any(rule.name in re.split(r"[,\s]+", found[1]) for found in ALLOWED.finditer(text))


def _finding(rule: Rule, path: str | None, said: str, *, line: int | None = None, key: str | None = None) -> Finding:
    said = said.encode("utf-8", "replace").decode()
    key = None if key is None else key.encode("utf-8", "replace").decode()[:200] or "-"
    return Finding(rule=rule.name, severity=rule.severity, message=said, file=path, line=line, key=key)


def _slow(rule: Rule, conventions: Conventions, path: str, options: Options, text: str) -> str:
    kinds = {Forbid: "forbid", Require: "require", Names: "names"}
    kind = kinds.get(type(rule), "")
    place = getattr(conventions, kind).index(rule) if kind else 0
    return (
        f"{options.file}:{line_of(text, [kind, str(place), 'pattern'])}: {rule.name}.pattern: takes longer than "
        f"{options.seconds:g} s for {path}; write it without one repetition inside another, or exclude the file"
    )
