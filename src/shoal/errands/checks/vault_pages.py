"""The pages of a vault as its checks read them: where each is, what it says, where its links lead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from msgspec import Struct

from shoal.adapters.checks.documents import page
from shoal.adapters.vault.vault import Vault
from shoal.errors import BadInput
from shoal.ledger import Ledger
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.path_pattern import fits

LARGEST_BYTES = 5_000_000
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_WIKILINK = re.compile(r"!?\[\[([^\[\]|#\n]*)((?:#[^\[\]|\n]*)?)(?:\|[^\[\]\n]*)?\]\]")
_TEMPLATE = re.compile(r"\{\{|<%|\$\{|^\s*$")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Link(Struct, frozen=True):
    """A link on a line of a page. `wiki` is how Obsidian writes one: by a name, wherever the page is."""

    line: int
    target: str
    wiki: bool


class Page(Struct, frozen=True):
    """A page of markdown, by its path in the vault."""

    path: str
    text: str


class Opened(Struct, frozen=True):
    """The vault of a ledger, with what its tasks' names begin with."""

    vault: Vault
    prefix: str


def opened(ledger: Ledger, warn: Callable[[str], None]) -> Opened | None:
    """The vault of a ledger; None before its first sync, as `warn` is told. Raises BadInput where there is none to be,
    or not here.
    """
    engine = ledger.engine
    if not isinstance(engine, EmbeddedEngine):
        raise BadInput(
            "this check reads the vault itself; run it on the machine that has it, or as a job", field="check"
        )
    if engine.settler is None:
        raise BadInput("this ledger has no vault: the setting `vault` is empty", field="vault")
    engine.settler.settle()
    if not engine.settler.root.is_dir():
        warn("there is no vault yet; `shoal vault init` or the first sync makes it")
        return None
    return Opened(engine.settler.vault, engine.identity.prefix)


def files_of(root: Path, folder: PurePosixPath | None = None) -> list[str]:
    """Every file of the vault, or of one of its folders, by its path; what is hidden is none of it, nor is a link."""
    found = []
    start = root if folder is None else root / folder
    for path in sorted(start.rglob("*")) if start.is_dir() else []:
        relative = path.relative_to(root)
        if not any(part.startswith(".") for part in relative.parts) and path.is_file() and not path.is_symlink():
            found.append(relative.as_posix())
    return found


def pages(root: Path, files: list[str], ignore: list[str]) -> Iterator[Page]:
    """The pages of markdown among files, but for those of a pattern."""
    for path in files:
        if path.lower().endswith(".md") and not fits(path, ignore):
            place = root / path
            if place.stat().st_size <= LARGEST_BYTES:
                yield Page(path, place.read_bytes().decode("utf-8", "replace"))


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a page outside of code, with their numbers; code within a line is blanked."""
    fence = ""
    for number, line in enumerate(text.splitlines(), start=1):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif mark:
            fence = mark[1]
        else:
            yield number, _CODE.sub(lambda found: " " * len(found[0]), line)


def links(text: str) -> Iterator[Link]:
    """The links of a page to other files; none to headings of its own, to templates' variables or out of the vault."""
    for number, line in prose(text):
        for found in _WIKILINK.finditer(line):
            target = found[1].strip().rstrip("\\")
            if not _TEMPLATE.search(target):
                yield Link(number, target, wiki=True)
    for one in page.read(text).links:
        target = unquote(one.target.partition("#")[0].partition("?")[0])
        if one.kind != "html" and not _TEMPLATE.search(target) and not _SCHEME.match(target):
            yield Link(one.line, target, wiki=False)


class Targets:
    """What links of a vault can lead to."""

    def __init__(self, files: list[str]) -> None:
        self._paths = {path.casefold(): path for path in files}
        self._names: dict[str, list[str]] = {}
        self._folders = {str(one).casefold() for path in files for one in PurePosixPath(path).parents}
        for path in files:
            name = PurePosixPath(path).name.casefold()
            self._names.setdefault(name, []).append(path)

    def find(self, place: str, link: Link) -> str | None:
        """The file that a link of the page at a place leads to; None when it is dead."""
        if not link.wiki:
            return self._at(_joined(PurePosixPath(place).parent, link.target))
        target = link.target.strip("/")
        for name in (target, f"{target}.md"):
            beside = self._at(_joined(PurePosixPath(place).parent, name)) or self._at(name)
            if beside is not None:
                return beside
            ends = f"/{name.casefold()}"
            for path in self._names.get(PurePosixPath(name).name.casefold(), ()):
                if f"/{path.casefold()}".endswith(ends):
                    return path
        return None

    def _at(self, path: str) -> str | None:
        return self._paths.get(path.casefold()) or (path if path.casefold() in self._folders else None)


def _joined(folder: PurePosixPath, target: str) -> str:
    parts: list[str] = [] if target.startswith("/") else [*folder.parts]
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
