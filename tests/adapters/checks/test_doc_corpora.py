"""Generated checkouts whose links are all right have no finding, and a link that is broken has exactly one."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import dirname, relpath
from tempfile import TemporaryDirectory
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.adapters.checks.documents.slugs import Slugger
from tests.adapters.checks.checkouts import documents, write

WORDS = st.sampled_from(
    [
        "Alpha",
        "beta",
        "Ünï",
        "中文",
        "`code`",
        "*em*",
        "a_b",
        "x-y",
        "&",
        "🚀",
        "1.2",
        "C++",
        "(what)",
        "don't",
        "<b>z</b>",
    ]
)
FOLDERS = ["", "docs", "docs/deep er", "dö", "a.b/c"]
NAMES = ["one", "two words", "drei", "per%cent", "plus+", "Read(me)", "q?", "h#h"]
FORMS = ["inline", "angle", "image", "definition", "html", "quoted", "listed", "table"]
NOISE = [
    "```md\n[x](gone.md) ![y](gone.png)\n```", "~~~\n[x](#gone)\n~~~", "`[x](gone.md)`", "<!-- [x](gone.md) -->",
    "Code:\n\n    [x](gone.md)", "[x]({{ gone }}.md)", "[x](https://x.test/gone)", "\\[x](gone.md)",
    "text & more <b>bold</b>",
    "[x](<the file>)", "$ [x](${GONE}/x.md)", "| a |\n| - |\n| `[x](gone)` |", "[^1]\n\n[^1]: gone.md",
]  # fmt: skip


@dataclass
class Corpus:
    """Pages as blocks of text; the blocks that are links are known by their place."""

    pages: dict[str, list[str]] = field(default_factory=dict)
    links: list[tuple[str, int]] = field(default_factory=list)

    def write(self, root: Path) -> None:
        write(root, {"img/p 1.png": "", "src/code.py": ""})
        write(root, {path: "\n\n".join(blocks) + "\n" for path, blocks in self.pages.items()})


def shown(form: str, target: str, number: int) -> str:
    raw = target.replace("%20", " ").replace("%28", "(").replace("%29", ")")
    return {
        "inline": f"See [this\nand that]({target} 'title').",
        "angle": f"See [this](<{raw}>)." if "%" not in raw and "/" in raw and "." in raw else f"See [this]({target}).",
        "image": f"See ![this]({target}).",
        "definition": f"See [this][ref {number}].\n\n[ref {number}]: {target}",
        "html": f'See <a href="{target}">this</a>.',
        "quoted": f"> - See *[this]({target})*.",
        "listed": f"1. See\n   - [`this`]({target})",
        "table": f"| see |\n| --- |\n| [this]({target}) |",
    }[form]


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    places = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES))
    paths = [f"{folder}/{name}.md".lstrip("/") for folder, name in draw(st.sets(places, min_size=1, max_size=5))]
    headings = {path: draw(st.lists(st.lists(WORDS, min_size=1, max_size=3), max_size=4)) for path in sorted(paths)}
    anchors: dict[str, list[str]] = {}
    for path, lines in headings.items():
        slugger = Slugger()
        anchors[path] = [slugger.slug(re.sub(r"[`*]|</?b>", "", " ".join(line))) for line in lines]
    corpus = Corpus()
    for path, lines in headings.items():
        blocks = [f"{'#' * draw(st.integers(1, 6))} {' '.join(line)}" for line in lines]
        for number in range(draw(st.integers(0, 4))):
            other = draw(st.sampled_from([*sorted(paths), "img/p 1.png", "src/code.py", "src"]))
            form = draw(st.sampled_from(FORMS))
            target = quote(relpath(other, dirname(path) or "."), safe="/+'")
            if anchors.get(other) and draw(st.booleans()) and form != "image":
                target += "#" + quote(draw(st.sampled_from(anchors[other])))
            corpus.links.append((path, len(blocks)))
            blocks.append(shown(form, target, number))
        blocks += draw(st.lists(st.sampled_from(NOISE), max_size=3, unique=True))
        corpus.pages[path] = blocks
    return corpus


@given(corpora())
@settings(max_examples=30, deadline=None)
def test_a_correct_corpus_has_no_finding(corpus: Corpus) -> None:
    with TemporaryDirectory() as folder:
        corpus.write(Path(folder))
        assert [one.message for one in documents(Path(folder))] == [], corpus.pages


@given(corpora().filter(lambda one: bool(one.links)), st.data())
@settings(max_examples=30, deadline=None)
def test_one_broken_link_is_one_finding(corpus: Corpus, data: st.DataObject) -> None:
    page, place = data.draw(st.sampled_from(corpus.links))
    number = data.draw(st.integers(1000, 9999))
    form = data.draw(st.sampled_from(FORMS))
    anchored = data.draw(st.booleans()) and form != "image"
    corpus.pages[page][place] = shown(form, f"#gone-{number}" if anchored else f"gone/{number}.md", number)
    with TemporaryDirectory() as folder:
        corpus.write(Path(folder))
        found = documents(Path(folder))
    assert len(found) == 1, [one.message for one in found]
    finding = found[0]
    assert finding.file == page
    assert finding.rule == ("broken-anchor" if anchored else "broken-image" if form == "image" else "broken-link")
    assert str(number) in finding.message
    written = ("\n\n".join(corpus.pages[page]) + "\n").splitlines()
    # A link that goes over two lines is told of where it begins.
    assert finding.line is not None
    assert str(number) in written[finding.line - 1] + written[min(finding.line, len(written) - 1)]


def test_three_thousand_pages_are_read_in_ten_seconds(tmp_path: Path) -> None:
    """Of a processor's time, shared by two: what the clock says of a machine with other work is no measure."""
    text = "".join(
        f"## Part {part}\n\nSome *text* with `code`, [a link](p{{next}}.md#part-{part}), and more of it.\n"
        "It goes on for a while, as documents do, with **bold words** and a second line.\n\n"
        f"```sh\nmake something-{part}\n```\n\n- one\n- two, [again](../d{{folder}}/p{{here}}.md)\n\n"
        for part in range(12)
    )
    for number in range(3000):
        named = text.replace("{next}", str(number if number % 100 == 99 else number + 1)).replace("{here}", str(number))
        write(tmp_path, {f"d{number // 100}/p{number}.md": named.replace("{folder}", str(number // 100))})
    before = os.times()
    found = documents(tmp_path)
    after = os.times()
    assert found == []
    own, others = after.user + after.system - before.user - before.system, after.children_user - before.children_user
    assert own + others / 2 <= 10
