"""What a model is shown of a work item: the item, code near it and around its words, and the names of other items.

No more than a number of tokens, and no secrets in it. Which files may be read at all: adapters/git/sources.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from msgspec import Struct

from shoal.adapters.git.sources import Place, Sources
from shoal.adapters.screens.secrets import redacted
from shoal.model.item import Item
from shoal.model.path_pattern import fits

TOKEN = 4  # characters
NEAR = 60  # lines before and after the item's own
AROUND = 8  # lines before and after a place of a word
BODY = 30  # lines of a definition
HEAD = 80  # lines of a file that the item names
MOST_WORDS = 24
MOST_FILES = 40  # a word in more of them says nothing about any
MOST_OTHERS = 40
# In small letters: files in which people keep secrets.
SECRET_FILES = (
    ".env", ".env.*", ".envrc", "*.env", "*.tfvars", "*.tfvars.json", ".npmrc", ".pypirc", ".netrc", "_netrc",
    ".pgpass", ".my.cnf", ".htpasswd", ".git-credentials", "**/.aws/credentials", "**/.docker/config.json",
    "id_{rsa,dsa,ecdsa,ed25519}*", "*.{pem,key,p8,p12,pfx,ppk,jks,keystore,kdbx}",
)  # fmt: skip
PRIVATE_KEY = "PRIVATE KEY-----"

_CODE = re.compile(r"`([^`\n]{2,80})`")
_IDENTIFIER = re.compile(r"\b(?:[A-Za-z]\w*_\w+|[a-z]+[A-Z]\w+|[A-Z][a-z]+[A-Z]\w*|[A-Za-z_]\w*(?=\())")
_PATH = re.compile(r"(?<![\w/.])[\w.-]+(?:/[\w.-]+)*\.[A-Za-z]\w{0,7}\b|(?<![\w/.])[\w.-]+(?:/[\w.-]+)+")
_WORD = re.compile(r"[^\W\d_]{4,40}")
_DEFINES = (
    r"(?:def|class|func|function|fn|struct|interface|type|trait|enum|const|let|var|module|TABLE)\s+(?:\([^)]*\)\s*)?"
)
_STOP = frozenset({
    "about", "after", "again", "against", "also", "always", "another", "because", "been", "before", "being",
    "between", "both", "cannot", "could", "does", "doing", "done", "each", "else", "even", "every", "file",
    "files", "find", "first", "from", "have", "here", "into", "just", "like", "line", "lines", "make", "many",
    "more", "most", "much", "must", "need", "needs", "never", "none", "note", "nothing", "once", "only",
    "other", "over", "please", "same", "should", "some", "still", "such", "sure", "than", "that", "their",
    "them", "then", "there", "these", "they", "thing", "this", "those", "through", "todo", "under", "until",
    "update", "using", "very", "want", "were", "what", "when", "where", "which", "while", "whole", "will",
    "with", "within", "without", "work", "works", "would", "your", "fixme", "hack", "remove", "support",
    "better", "handle", "check", "change", "write", "test", "tests", "code", "function", "class", "method",
    "import", "return", "true", "false",
})  # fmt: skip


class Excerpt(Struct, frozen=True):
    """Lines of a file, `first` and `last` included."""

    path: str
    first: int
    last: int


class Material(Struct, frozen=True, kw_only=True):
    """What is sent, and of which lines it is made."""

    prompt: str
    excerpts: list[Excerpt]


class Words(Struct, frozen=True):
    """What an item speaks of: names of things in code, paths, and words that are not among the commonest."""

    identifiers: list[str]
    paths: list[str]
    plain: list[str]

    @property
    def telling(self) -> list[str]:
        """Those by which a file is known to have to do with it."""
        return self.identifiers or self.plain


def keeps_secrets(path: str) -> bool:
    """Whether a file is of those in which people keep secrets, so that nothing of it is shown to a model."""
    return fits(path.lower(), SECRET_FILES)


def words_of(item: Item) -> Words:
    """The words of an item's text, title and headings, those first that stand first."""
    text = "\n".join([item.title or "", item.text, *item.heading])
    paths = list(dict.fromkeys(_PATH.findall(text)))
    quoted = [one for said in _CODE.findall(text) for one in re.findall(r"[A-Za-z_]\w{2,}", said)]
    identifiers = list(dict.fromkeys([*quoted, *(found for found in _IDENTIFIER.findall(text))]))
    plain = [one for one in _WORD.findall(text) if one.casefold() not in _STOP and one not in identifiers]
    # Longer words are rarer.
    plain = sorted(dict.fromkeys(plain), key=lambda one: -len(one))
    return Words(identifiers[:MOST_WORDS], paths[:MOST_WORDS], plain[: max(MOST_WORDS - len(identifiers), 8)])


def says(text: str, words: Iterable[str]) -> bool:
    """Whether a text has one of the words, whole and in this case."""
    return any(word in text and _whole(word).search(text) for word in words)


def gather(item: Item, sources: Sources | None, others: Sequence[Item], *, tokens: int) -> Material:
    """What is sent about an item. The same checkout, item and others give the same."""
    head = _about(item)
    listed = _listed(item, others)
    left = max(tokens * TOKEN - len(head) - len(listed), 0)
    parts: list[str] = []
    taken: list[Excerpt] = []
    for wanted in _excerpts(item, sources) if sources is not None else ():
        for one in _without(wanted, taken):
            shown = _shown(sources, one)
            if shown and len(shown) <= left:
                left -= len(shown)
                taken.append(one)
                parts.append(shown)
    code = "\n".join(parts) or "None was found.\n"
    return Material(prompt=f"{head}\n# Excerpts of the code\n\n{code}\n{listed}", excerpts=taken)


def _about(item: Item) -> str:
    lines = ["# The item", "", f"{item.item_id} of the project {item.project}"]
    if item.source_file:
        lines.append(f"stands in {item.source_file}" + (f", line {item.source_line}" if item.source_line else ""))
    if item.heading:
        lines.append(f"below the headings {' > '.join(item.heading)}")
    if item.severity:
        lines.append(f"found by the check {item.check_name}, severity {item.severity.value}")
    if item.title:
        lines.append(f"called: {item.title}")
    return redacted("\n".join([*lines, "", item.text, ""]), item.source_file or "")


def _listed(item: Item, others: Sequence[Item]) -> str:
    """Other open items by number and name, those first that have most words in common with it."""
    own = _stems(item)
    ranked = sorted((-len(own & _stems(one)), one.id, one) for one in others if one.id != item.id)
    names = [f"- {one.item_id}: {redacted(one.name)[:150]}" for _, _, one in ranked[:MOST_OTHERS]]
    return "\n".join(["# Other open items", "", *(names or ["There are none."]), ""])


def _stems(item: Item) -> set[str]:
    return {word[:6] for word in re.findall(r"\w{4,}", f"{item.title or ''} {item.text[:500]}".casefold())} - _STOP


def _excerpts(item: Item, sources: Sources) -> Iterator[Excerpt]:
    """What may be worth reading, the nearest first."""
    words = words_of(item)
    if item.source_file is not None:
        line = item.source_line or 1
        yield Excerpt(item.source_file, max(line - NEAR, 1), line + NEAR)
    for path in words.paths:
        named = (
            path
            if path in sources.files
            else next((one for one in sorted(sources.files) if one.endswith(f"/{path}")), None)
        )
        if named is not None and named != item.source_file:
            yield Excerpt(named, 1, HEAD)
    found = sources.where([*words.identifiers, *words.plain], most_files=MOST_FILES)
    yield from _defined(found)
    yield from _used(found, item.source_file)


def _defined(found: dict[str, list[Place]]) -> Iterator[Excerpt]:
    for word, places in found.items():
        defines = re.compile(
            rf"{_DEFINES}{re.escape(word)}\b|^\s*(?:export\s+)?{re.escape(word)}\s*[:=][^=]", re.IGNORECASE
        )
        for one in places[:200]:
            if defines.search(one.text):
                yield Excerpt(one.path, max(one.line - 3, 1), one.line + BODY)


def _used(found: dict[str, list[Place]], own: str | None) -> Iterator[Excerpt]:
    """Places in files that speak of the rarest words, and of most of them."""
    weight: dict[str, float] = {}
    for places in found.values():
        paths = {one.path for one in places}
        for path in paths:
            weight[path] = weight.get(path, 0.0) + 1 / len(paths)
    ranked = sorted(weight, key=lambda path: (-weight[path], path))
    for path in ranked:
        if path != own:
            lines = sorted({one.line for places in found.values() for one in places if one.path == path})[:10]
            yield from (Excerpt(path, max(line - AROUND, 1), line + AROUND) for line in lines)


def _without(wanted: Excerpt, taken: Sequence[Excerpt]) -> list[Excerpt]:
    """The parts of an excerpt that are not taken yet; crumbs of a line or two are left."""
    parts = [(wanted.first, wanted.last)]
    for one in taken:
        if one.path == wanted.path:
            parts = [
                rest
                for first, last in parts
                for rest in ((first, min(last, one.first - 1)), (max(first, one.last + 1), last))
                if rest[0] <= rest[1]
            ]
    return [Excerpt(wanted.path, first, last) for first, last in parts if last - first > 1]


def _shown(sources: Sources | None, one: Excerpt) -> str:
    """An excerpt with the numbers of its lines; nothing for what must not be shown."""
    if sources is None or keeps_secrets(one.path):
        return ""
    text = sources.text(one.path)
    if text is None or PRIVATE_KEY in text:
        return ""
    lines = _clean(text, one.path).split("\n")[one.first - 1 : one.last]
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        return ""
    numbered = [f"{number:>5}  {line[:300]}" for number, line in enumerate(lines, start=one.first)]
    return f"=== {one.path}\n" + "\n".join(numbered) + "\n"


# A whole file is looked at, so that nothing is overlooked because an excerpt begins in the middle of it.
@lru_cache(maxsize=100)
def _clean(text: str, path: str) -> str:
    return redacted(text, path)


@lru_cache(maxsize=1000)
def _whole(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
