"""All pages of a checkout, each read once; many of them by several processes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from posixpath import splitext

import msgspec

from shoal.adapters.checks.checkout import Checkout
from shoal.adapters.checks.documents import page
from shoal.adapters.checks.documents.page import Page

ENDINGS = frozenset({".md", ".markdown", ".mdown", ".mkd", ".mkdn", ".mdc"})
README = tuple(f"readme{ending}" for ending in sorted(ENDINGS))
SHARED_FROM = 3_000_000  # characters; below that a second process costs more than it gives
PIECE = 32


class Pages:
    """The pages of a checkout, by path."""

    def __init__(self, checkout: Checkout, paths: Iterable[str]) -> None:
        """Read these; others are read when they are asked for."""
        self._checkout = checkout
        self.paths = sorted(paths)
        texts = [(path, checkout.text(path)) for path in self.paths]
        if sum(len(text) for _, text in texts) < SHARED_FROM or (os.cpu_count() or 1) < 2:
            self._pages = {path: page.read(text) for path, text in texts}
        else:
            self._pages = _read_together(texts)

    def get(self, path: str) -> Page:
        """The page at a path."""
        if path not in self._pages:
            self._pages[path] = page.read(self._checkout.text(path))
        return self._pages[path]

    def of_folder(self, folder: str) -> str | None:
        """The page that people see when they open a folder."""
        for name in README:
            for path in self._checkout.by_name.get(name, ()):
                if path.rpartition("/")[0] == ("" if folder == "." else folder):
                    return path
        return None


def is_page(path: str) -> bool:
    """Whether a path is that of a page of markdown."""
    return splitext(path)[1].lower() in ENDINGS


def _read_together(texts: list[tuple[str, str]]) -> dict[str, Page]:
    pieces = [texts[at : at + PIECE] for at in range(0, len(texts), PIECE)]
    found: dict[str, Page] = {}
    # The caller may have threads: a fork of it could wait for ever on what one of them holds.
    with ProcessPoolExecutor(min(4, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        for piece, pages in zip(pieces, pool.map(_read_piece, pieces), strict=True):
            for (path, _), one in zip(piece, msgspec.msgpack.decode(pages, type=list[Page]), strict=True):
                found[path] = one
    return found


def _read_piece(piece: list[tuple[str, str]]) -> bytes:
    return msgspec.msgpack.encode([page.read(text) for _, text in piece])
