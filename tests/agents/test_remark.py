"""doc-health and remark-validate-links agree about relative links and anchors; where they do not, a class says why."""

from __future__ import annotations

from pathlib import Path
from posixpath import dirname, relpath
from typing import get_args

import pytest

from shoal.adapters.checks.doc_health import Rule
from shoal.adapters.checks.documents.page import Link
from shoal.adapters.checks.documents.targets import resolve
from tests.adapters.checks.checkouts import documents, write
from tests.agents import remark

RULES = get_args(Rule)
ROOT = Path(__file__).parents[2]
Complaint = tuple[str, int, str]

# Pages about which both say the same.
AGREED = {
    "there": "[a](other.md) [b](./sub/) [c](other.md#part) [d](#title) [e](sub/page.md?x#page) ![f](x.png#y) [g](#)",
    "gone": "[a](gone.md) [b](sub/gone/) ![c](gone.png) [d](../out/of/it.md) [e](gone.md?x=1) [f](<gone two.md>)",
    "escaped": r"[a](s%70aced%20name.md) [b](spaced%20gone.md) [c](a\_b.md) [d](a&amp;b.md) [e](sub%2Fgone.md)",
    "anchors": "[a](#gone) [b](other.md#gone) [c](sub#page) [d](sub/#gone) [e](other.md#PART) [f](#Title) "
    "[g](sub/page.md#p%20q)",
    "references": "[a][one] [two] [c][] [d][undefined] ![e][four]\n\n"
    "[one]: gone.md\n[two]: other.md#gone\n[c]: other.md\n[four]: gone.png",
    "lines": "text\n[a\nb](gone.md) and\n![c](gone.png)\n\n"
    "> - x\n>   [d](gone/d.md)\n\n| t |\n|---|\n| [e](gone/e.md) |",
    "nested": "[![a](gone.png)](gone.md) *[**b**](gone/b.md)* ~~[c](gone/c.md)~~ # [d](gone/d.md)\n\n## [e](gone/e.md)",
    "quiet": "`[a](gone.md)` <!-- [b](gone.md) -->\n\n```\n[c](gone.md)\n```\n\n    [d](gone.md)\n\n"
    "\\[e](gone.md) [f] (gone.md)",
    "elsewhere": "[a](https://x.test/gone) <https://x.test> [b](mailto:a@x.test) [c](tel:1) [d](data:x) https://x.test/gone",
    "site": "[a](/gone.md) ![b](/gone.png) [c](//x.test/gone)",
    "numbered": "## A b\n## A b\n### A-b-1\n#### A b\n[a](#a-b) [b](#a-b-1) [c](#a-b-1-1) [d](#a-b-2) [e](#a-b-3)",
    "slugs": "## Ünï 中文 `co_de` &amp; *em* 🚀 (x) 1.2\n## ⚙️ Gear\n## ![alt](x.png) Pic\n## a  b\n"
    "[a](#ünï-中文-co_de--em--x-12) [b](#️-gear) [c](#-gear) [d](#-pic) [e](#a--b) [f](#alt-pic) [g](#a-b)",
    "setext": "Two\nlines\n===\n\n[a](#two-lines) [b](#twolines) [c](#two)",
    "footnotes": "x[^1] y[^n]\n\n[^1]: gone.md\n[^n]: See [this](gone/foot.md).",
    "brackets": "[a]((gone)) [b](gone(1).md) [c](<gone.md> 't') [d](gone.md 't') [e](not a link.md) [f]()",
}  # fmt: skip
# Why only one of the two complains: a page, what only remark-validate-links says of it, and what only doc-health says.
DIFFERENT = {
    "names in HTML are anchors, here and on GitHub": (
        "<a id='own'></a> <a name=old></a>\n\n<h2>In HTML</h2>\n\n[a](#own) [b](#old) [c](#in-html)",
        {"#own", "#old", "#in-html"},
        set(),
    ),
    "links in HTML are links": ("<a href='gone.md'>x</a> <img src=gone.png>", set(), {"gone.md", "gone.png"}),
    "front matter is no text": ("---\na: '[x](gone.md)'\n---\n", {"gone.md"}, set()),
    "what somebody fills in is no link": (
        "[a]({{url}}) [b](${URL}) [c]({page}.md) [d](<your file>)",
        {"{{url}}", "${URL}", "{page}.md", "your file"},
        set(),
    ),
    "browsers decode an anchor before they look": ("## Ü\n[a](#%C3%BC)", {"#%c3%bc"}, set()),
    "#top is the top of every page": ("[a](#top)", {"#top"}, set()),
    "lines of code are told of, and code has no headings": ("[a](code.py#L2) [b](code.py#x)", {"#l2", "#x"}, set()),
    "pages of a repository's site stand beside it": (
        "[a](../../issues) [b](../../wiki/x)",
        {"../../issues", "../../wiki/x"},
        set(),
    ),
    "headings may have names of their own": ("## Own {#mine}\n[a](#mine) [b](#own)", {"#mine", "#own"}, set()),
    "a file that is not there has no anchors to look for": ("[a](gone.md#part)", {"#part"}, set()),
    "GitHub's own prefix of anchors": ("## Mine\n[a](#user-content-mine)", {"#user-content-mine"}, set()),
}
FILES = {
    "other.md": "# Other\n\n## Part\n", "sub/readme.md": "# Page\n", "sub/page.md": "# Page\n\n## p q\n", "x.png": "",
    "spaced name.md": "", "a_b.md": "", "a&b.md": "", "code.py": "x = 1\n",
}  # fmt: skip


def ours(root: Path, **options: object) -> set[Complaint]:
    """What doc-health says, in remark's words: a path as it is from the page, an anchor in lower case."""
    found: set[Complaint] = set()
    for one in documents(root, **options):
        assert one.file is not None
        assert one.line is not None
        assert one.key is not None
        if one.rule == "undefined-reference":
            continue
        link = Link(one.line, one.key, "link")
        target = resolve(link.target, page=one.file, root=None, bracketed=" " in link.target)
        assert target is not None, one
        if one.rule == "broken-anchor":
            found.add((one.file, one.line, f"#{link.target.partition('#')[2].lower()}"))
        else:
            found.add((one.file, one.line, relpath(target.path, dirname(one.file) or ".")))
    return found


def test_both_say_the_same_about_the_corpus(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    pages = {f"{name}.md": f"# Title\n\n{text}\n" for name, text in AGREED.items()}
    write(tmp_path, pages)
    theirs, found = remark.complaints(tmp_path), ours(tmp_path)
    assert (sorted(theirs - found), sorted(found - theirs)) == ([], [])
    assert {page for page, _, _ in found} == {f"{name}.md" for name in AGREED} - {
        "there.md", "quiet.md", "elsewhere.md", "site.md",
    }  # fmt: skip


@pytest.mark.parametrize("why", DIFFERENT)
def test_differences_are_those_that_are_meant(why: str, tmp_path: Path) -> None:
    text, only_theirs, only_ours = DIFFERENT[why]
    write(tmp_path, {**FILES, "page.md": text})
    theirs = {name for _, _, name in remark.complaints(tmp_path)}
    found = {name for _, _, name in ours(tmp_path)}
    assert (theirs - found, found - theirs) == (only_theirs, only_ours)


def test_both_say_the_same_about_this_repository_with_links_broken(tmp_path: Path) -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = path.read_text(encoding="utf-8")
        at = tmp_path / path.relative_to(ROOT)
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text.replace(".md)", ".mdx)").replace(".md#", ".md#not-"), encoding="utf-8")
    only = {"off": [rule for rule in RULES if not rule.startswith("broken-") and rule != "outside-link"]}
    theirs, found = remark.complaints(tmp_path), ours(tmp_path, **only)
    assert len(found) > 20
    assert (sorted(theirs - found), sorted(found - theirs)) == ([], [])
