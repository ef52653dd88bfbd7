"""A page of markdown, read once: its links, the anchors that others may link to, and its pieces of code.

CommonMark with GitHub's tables. Front matter, comments and code hold no links.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline, autolink, backtick, html_inline, image, link
from markdown_it.token import Token
from msgspec import Struct

from shoal.adapters.checks.documents.slugs import Slugger

FRONT = re.compile(r"\A---[ \t]*\n.*?^(?:---|\.\.\.)[ \t]*$", re.DOTALL | re.MULTILINE)
QUIET = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
TAG = re.compile(r"<([a-zA-Z][\w-]*)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>")
ATTRIBUTE = re.compile(r"([a-zA-Z][\w:-]*)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))")
HTML_HEADING = re.compile(r"<h([1-6])\b[^>]*>(.*?)</h\1\s*>", re.DOTALL | re.IGNORECASE)
ANY_TAG = re.compile(r"<[^>]*>")
OWN_NAME = re.compile(r"\s*\{:?\s*#([\w:.-]+)[^}]*\}\s*\Z")
TARGETS = {"a": "href", "img": "src", "source": "src", "video": "src", "audio": "src"}
Kind = Literal["link", "image", "definition", "html"]


class Link(Struct, frozen=True):
    """Where a page points to, as it is written there (escapes and entities resolved, percent signs not)."""

    line: int
    target: str
    kind: Kind
    bracketed: bool = False  # <target>


class Code(Struct, frozen=True):
    """A code span, with no language, or a fence; `line` is that of its first line of content."""

    line: int
    text: str
    language: str | None


class Page(Struct, frozen=True):
    """What a page has. Anchors are in lower case, as browsers and GitHub do not mind the case."""

    links: list[Link]
    anchors: frozenset[str]
    codes: list[Code]
    undefined: list[Link]


def read(text: str) -> Page:
    """The page that a text is."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    text = FRONT.sub(lambda front: "\n" * front[0].count("\n"), text, count=1)
    return _Reader().read(text)


class _Reader:
    def __init__(self) -> None:
        self.links: list[Link] = []
        self.codes: list[Code] = []
        self.anchors: set[str] = set()
        self.undefined: list[Link] = []
        self._slugger = Slugger()

    def read(self, text: str) -> Page:
        environment: dict[str, Any] = {}
        tokens = _PARSER.parse(text, environment)
        self._add_definitions(environment)
        heading = False
        for token in tokens:
            if token.type == "heading_open":
                heading = True
            elif token.type == "inline":
                self._add_inline(token, bool(environment))
                if heading:
                    self._add_heading(_text_of(token))
                heading = False
            elif token.type == "fence":
                self.codes.append(Code(_line(token) + 1, token.content, token.info.strip()))
            elif token.type == "html_block":
                self._add_html(token.content, _line(token))
        return Page(sorted(self.links, key=_order), frozenset(self.anchors), self.codes, self.undefined)

    def _add_definitions(self, environment: dict[str, Any]) -> None:
        again = [(one["label"], one) for one in environment.get("duplicate_refs", [])]
        for label, one in (*environment.get("references", {}).items(), *again):
            if not label.startswith("^"):  # else it is a footnote
                self.links.append(Link(one["map"][0] + 1, one["href"], "definition"))

    def _add_inline(self, token: Token, has_definitions: bool) -> None:
        first, content = _line(token), token.content
        breaks = 0
        for child in token.children or ():
            at = child.meta.get("at")
            if at is None:
                breaks += child.type in ("softbreak", "hardbreak")
                if has_definitions and child.type == "text" and "][" in child.content:
                    self._add_undefined(child.content, first + breaks)
                continue
            line, raw = first + content.count("\n", 0, at), child.meta["raw"]
            breaks = content.count("\n", 0, at + (0 if child.type == "link_open" else len(raw)))
            if child.type == "code_inline":
                self.codes.append(Code(line, child.content, None))
            elif child.type == "html_inline":
                self._add_html(raw, line)
            elif raw.endswith(")"):  # else it refers to a definition, which stands for itself
                self._add_link(child, line, raw)

    def _add_link(self, token: Token, line: int, raw: str) -> None:
        target = str(token.attrs.get("href" if token.type == "link_open" else "src", ""))
        if target:
            bracketed = "](<" in raw
            self.links.append(Link(line, target, "link" if token.type == "link_open" else "image", bracketed))

    def _add_undefined(self, text: str, line: int) -> None:
        for found in UNDEFINED.finditer(text):
            self.undefined.append(Link(line, found[1], "definition"))

    def _add_heading(self, text: str) -> None:
        own = OWN_NAME.search(text)
        if own:
            self.anchors.add(own[1].lower())
            self._slugger.slug(text)
            text = text[: own.start()]
        self.anchors.add(self._slugger.slug(text))

    def _add_html(self, content: str, line: int) -> None:
        content = QUIET.sub(lambda quiet: "\n" * quiet[0].count("\n"), content)
        for tag in TAG.finditer(content):
            if tag[2]:
                self._add_tag(tag[1].lower(), tag[2], line + content.count("\n", 0, tag.start()))
        for heading in HTML_HEADING.finditer(content):
            self.anchors.add(self._slugger.slug(ANY_TAG.sub("", heading[2]).strip()))

    def _add_tag(self, name: str, attributes: str, line: int) -> None:
        for found in ATTRIBUTE.finditer(attributes):
            key, value = found[1].lower(), (found[2] or found[3] or found[4] or "").strip()
            if key == "id" or (key == "name" and name == "a"):
                self.anchors.add(value.lower())
            elif value and TARGETS.get(name) == key:
                self.links.append(Link(line, value, "html"))


UNDEFINED = re.compile(r"(?<![\w\])])\[[^\[\]]*[A-Za-z][^\[\]]*\]\[([A-Za-z][^\[\]]+)\](?![\[(\w])")


def _order(link: Link) -> int:
    return link.line


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 1


def _text_of(token: Token) -> str:
    """Its text without markup, pictures and line ends, as GitHub and others make anchors of it."""
    kept = ("text", "code_inline", "text_special")
    return "".join(child.content for child in token.children or () if child.type in kept)


Rule = Callable[[StateInline, bool], bool]


def _placed(rule: Rule, *kinds: str) -> Rule:
    """The same rule; what it adds knows where it stands, which the parser does not say."""

    def run(state: StateInline, silent: bool) -> bool:
        at, before = state.pos, len(state.tokens)
        found = rule(state, silent)
        if found and not silent:
            for token in state.tokens[before:]:
                if token.type in kinds and "at" not in token.meta:
                    token.meta["at"], token.meta["raw"] = at, state.src[at : state.pos]
                    break
        return found

    return run


def _parse_inline(state: StateCore) -> None:
    """The parser's own step, but for text in which nothing can stand that is wanted: half of its time."""
    heading = False
    for token in state.tokens:
        if token.type == "inline" and (heading or any(sign in token.content for sign in "[`<")):
            token.children = []
            state.md.inline.parse(token.content, state.md, state.env, token.children)
        heading = token.type == "heading_open"


def _rules() -> Iterator[tuple[str, Rule]]:
    yield "link", _placed(link, "link_open")
    yield "image", _placed(image, "image")
    yield "backticks", _placed(backtick, "code_inline")
    yield "html_inline", _placed(html_inline, "html_inline")


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table").disable("autolink")
    parser.inline.ruler.at("autolink", autolink)
    for name, rule in _rules():
        parser.inline.ruler.at(name, rule)
    parser.core.ruler.at("inline", _parse_inline)
    # Targets are wanted as they are written, and `file:` too.
    parser.normalizeLink = lambda url: url  # type: ignore[method-assign]
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return parser


_PARSER = _parser()
