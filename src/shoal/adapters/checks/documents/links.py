"""Links that lead nowhere: to files, folders, images and anchors that are not there. Other hosts are never asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from posixpath import basename, dirname, normpath, relpath, splitext
from urllib.parse import quote

from shoal.adapters.checks.checkout import Checkout
from shoal.adapters.checks.documents.page import Link
from shoal.adapters.checks.documents.pages import Pages, is_page
from shoal.adapters.checks.documents.targets import Target, resolve
from shoal.model.check import Finding
from shoal.model.item import Severity

SHOWN = 199
# On web sites, a page's address needs no ending.
SITE_FORMS = ("", ".md", ".markdown", ".mdx", ".html", "/index.md", "/index.html", "/README.md", "/_index.md")


def dead(checkout: Checkout, pages: Pages, page: str, *, root: str | None) -> Iterator[Finding]:
    """The links of a page that lead nowhere."""
    for link in pages.get(page).links:
        target = resolve(link.target, page=page, root=root, bracketed=link.bracketed)
        if target is None:
            continue
        if target.outside:
            yield from _outside(checkout, page, link, target)
            continue
        path = _there(checkout, target)
        if path is None:
            yield _missing(checkout, page, link, target)
        elif target.anchor and link.kind != "image":
            yield from _anchor(checkout, pages, page, link, path, target.anchor)


def undefined(pages: Pages, page: str) -> Iterator[Finding]:
    """[text][name] where the page defines other names, and not this one."""
    for link in pages.get(page).undefined:
        yield Finding(
            rule="undefined-reference",
            severity=Severity.WARNING,
            message=f"[{_shown(link.target)}] is defined nowhere on this page, so no link is made of it",
            file=page,
            line=link.line,
            key=_key(link),
        )


def _there(checkout: Checkout, target: Target) -> str | None:
    for form in SITE_FORMS if target.site else ("",):
        if checkout.has(target.path + form):
            return normpath(target.path + form)
    return None


def _missing(checkout: Checkout, page: str, link: Link, target: Target) -> Finding:
    proposal, sure = _proposal(checkout, page, target)
    rule = "broken-image" if link.kind == "image" else "broken-link"
    said = f"{_shown(link.target)} does not exist"
    if proposal is not None:
        said += f"; {'it is' if sure else 'perhaps'} {_written(page, proposal, target)}"
    return Finding(
        rule=rule,
        severity=Severity.WARNING,
        message=said,
        file=page,
        line=link.line,
        key=_key(link),
        safe=sure,
        files=[proposal.partition("#")[0]] if proposal else [],
    )


def _proposal(checkout: Checkout, page: str, target: Target) -> tuple[str | None, bool]:
    """What was meant, and whether that is sure: renamed so in history, or the only file of this name."""
    renamed = checkout.successor(target.path)
    if renamed:
        return renamed, True
    numbered = re.fullmatch(r"(.+?):(\d+)(?:[-:]\d+)?", target.path)  # file.py:12, as programs print it
    if numbered and checkout.has(numbered[1]):
        return f"{numbered[1]}#L{numbered[2]}", True
    name = basename(target.path).lower()
    same = [one for one in checkout.by_name.get(name, ()) if one != page]
    near = [one for one in same if _is_near(one, target.path)]
    if len(near) == 1:
        return near[0], len(same) == 1 and name not in COMMON
    if len(same) == 1:
        return same[0], False
    stem, ending = splitext(target.path)
    alike = [one for one in checkout.by_folder.get(dirname(stem), ()) if splitext(one)[1] in (ending, ".md")]
    close = get_close_matches(target.path, alike, 1, 0.8)
    return (close[0], False) if close else (None, False)


def _is_near(path: str, other: str) -> bool:
    """Whether two paths begin in the same folder, or end in folders of one name."""
    first, second = dirname(path), dirname(other)
    return first.partition("/")[0] == second.partition("/")[0] or basename(first) == basename(second)


def _anchor(checkout: Checkout, pages: Pages, page: str, link: Link, path: str, anchor: str) -> Iterator[Finding]:
    where = pages.of_folder(path) if checkout.is_folder(path) else path
    if where is None or not is_page(where) or anchor.lower() == "top" or re.fullmatch(LINES, anchor):
        return
    anchors = pages.get(where).anchors
    if anchor.lower().removeprefix("user-content-") in anchors or anchor.startswith(":~:"):
        return
    there = "this page" if where == page else where
    said = f"#{_shown(anchor)} is no heading of {there}"
    same = [one for one in sorted(anchors) if _bare(one) == _bare(anchor) and _bare(one)]
    close = same or get_close_matches(anchor.lower(), sorted(anchors), 1, 0.75)
    if close:
        said += f"; {'it is' if len(same) == 1 else 'perhaps'} #{close[0]}"
    yield Finding(
        rule="broken-anchor",
        severity=Severity.WARNING,
        message=said,
        file=page,
        line=link.line,
        key=_key(link),
        safe=len(same) == 1,
        files=[] if where == page else [where],
    )


def _outside(checkout: Checkout, page: str, link: Link, target: Target) -> Iterator[Finding]:
    there = checkout.root / target.path
    said = "leads out of the repository" + (", to a file that only this machine has" if there.exists() else "")
    yield Finding(
        rule="outside-link",
        severity=Severity.INFO if there.exists() else Severity.WARNING,
        message=f"{_shown(link.target)} {said}",
        file=page,
        line=link.line,
        key=_key(link),
    )


def _written(page: str, proposal: str, target: Target) -> str:
    anchor = f"#{target.anchor}" if target.anchor and "#" not in proposal else ""
    if target.site:
        return f"/{proposal}{anchor}"
    return quote(relpath(proposal, dirname(page) or "."), safe="/#:@!$&'*+,;=~") + anchor


def _key(link: Link) -> str:
    """What makes it the same finding, whatever is proposed for it."""
    return _shown(link.target)[:SHOWN]


def _bare(anchor: str) -> str:
    return re.sub(r"[\W_]+", "", anchor.lower())


def _shown(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= SHOWN else f"{plain[:SHOWN]}…"


LINES = r"[Ll]\d+(?:[Cc]\d+)?(?:-[Ll]?\d+(?:[Cc]\d+)?)?"
# Names that many folders have: that there is one of them says little.
COMMON = frozenset({"readme.md", "index.md", "license", "license.md", "changelog.md", "__init__.py", "contributing.md"})
