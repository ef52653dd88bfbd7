"""Where a link leads, from where it stands: a file or folder of the checkout, with an anchor, or nothing to look at."""

from __future__ import annotations

import re
from posixpath import dirname, join, normpath
from urllib.parse import unquote

from msgspec import Struct

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|//")
# What somebody else fills in: {{ x }}, {% x %}, ${X}, $X, {x}, %(x)s, <x>, [x].
TEMPLATE = re.compile(r"\{\{|\{%|\$\{|\$[A-Za-z_(]|\{[\w.\- ]+\}|%\(\w+\)s|<[^<>]*>|^\[[^\]]*\]$")
# Pages that GitHub shows beside the files of a repository: ../../issues from its first page.
BESIDE = frozenset(
    {
        "actions", "branches", "commits", "compare", "contributors", "deployments", "discussions", "graphs", "issues",
        "labels", "milestones", "network", "new", "packages", "projects", "pull", "pulls", "pulse", "releases",
        "search", "security", "settings", "stargazers", "tags", "watchers", "wiki", "wikis",
    }
)  # fmt: skip


class Target(Struct, frozen=True):
    """A path of the checkout, and an anchor there. `site` says that it was meant from the root of a web site."""

    path: str
    anchor: str | None
    outside: bool = False
    site: bool = False


def resolve(written: str, *, page: str, root: str | None, bracketed: bool = False) -> Target | None:
    """Where a link on a page leads; None when it leads to another host, or to what somebody fills in.

    `root` is the folder that /links are meant from; without one they are not looked at.
    """
    if not written or SCHEME.match(written) or TEMPLATE.search(written) or _is_placeholder(written, bracketed):
        return None
    rest, mark, anchor = written.partition("#")
    rest = unquote(rest.partition("?")[0])
    fragment = unquote(anchor) if mark and anchor else None
    if not rest:
        return Target(page, fragment) if mark else None
    site = rest.startswith("/")
    if site and root is None:
        return None
    path = normpath(join(root or "", rest.lstrip("/"))) if site else normpath(join(dirname(page), rest))
    outside = path == ".." or path.startswith("../")
    if outside and path.lstrip("./").partition("/")[0] in BESIDE:
        return None
    return Target(path, fragment, outside, site)


def _is_placeholder(written: str, bracketed: bool) -> bool:
    """[text](<what comes here>): words in angle brackets, where a path has a dot, a slash or an anchor."""
    return bracketed and not re.search(r"[./#]", written)
