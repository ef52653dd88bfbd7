"""Links, images and anchors: those that lead nowhere are found, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal.adapters.checks.documents import page
from shoal.adapters.checks.documents.slugs import Slugger, slug
from shoal.model.item import Severity
from tests.adapters.checks.checkouts import commit, documents, git, told, write


def found(folder: Path, text: str, files: dict[str, str] | None = None, **options: object) -> list[str]:
    write(folder, {"docs/other.md": "# Other\n\n## A part\n", "logo.png": "", **(files or {})})
    write(folder, {"page.md": text})
    return [one.partition(":")[2] for one in told(documents(folder, **options))]


def test_links_that_lead_somewhere_are_right(tmp_path: Path) -> None:
    right = """
        # Page

        [a](docs/other.md) [b](./docs/other.md#a-part) [c](docs/) [d](docs) [e](#page) [f](#) [g](#top)
        [h](docs/other.md?raw=1#a-part) [i](docs/oth%65r.md) [j](<docs/other.md> "title") ![k](logo.png)
        [l](https://x.test/gone.md) [m](mailto:a@x.test) [n](//x.test/gone) [o][p] [p] [q]()
        [r](docs/other.md#A-Part) ![s](logo.png#light-mode-only) [t](.) [u](docs/../page.md) [v](ftp:x)
        <a href="docs/other.md">w</a> <img src='logo.png'> <https://x.test> [x](../../issues) [y](../../actions/new)

        [p]: docs/other.md 'a title'
        """
    assert found(tmp_path, right) == []


def test_links_that_lead_nowhere_are_found_with_their_lines(tmp_path: Path) -> None:
    wrong = """
        # Page

        [a](gone.md) and
        [many
        lines](gone/) ![b](gone.png) <img src="gone.svg">
        [c](#gone) [d](docs/other.md#gone) [e][f]

        - > [g](docs/gone.md?x#y)

        | table |
        | --- |
        | [h](gone.txt) |

        [f]: gone.html
        """
    assert found(tmp_path, wrong) == [
        "3 broken-link", "4 broken-link", "5 broken-image", "5 broken-link", "6 broken-anchor", "6 broken-anchor",
        "8 broken-link", "12 broken-link", "14 broken-link",
    ]  # fmt: skip


def test_code_comments_front_matter_and_templates_hold_no_links(tmp_path: Path) -> None:
    quiet = """
        ---
        see: "[x](gone.md)"
        ---
        `[a](gone.md)` ``[b](gone.md) ` `` <!-- [c](gone.md) --> \\[d](gone.md)

        ```md
        [e](gone.md)
        ```

            [f](gone.md)

        ~~~~
        ```
        [g](gone.md)
        ~~~~

        <!--
        [h](gone.md)

        <img src="gone.png">
        -->

        [i]({{url}}/gone.md) [j](${URL}) [k]($HOME/x) [l](<your file>) [m]({placeholder}) [n]({{ site.url }}/x.md)
        [o](docs/{version}/x.md) [^1] [p]({%link%}) <a href="{{ x }}">q</a>

        <script>document.write('<img src="gone.png">')</script>

        [^1]: gone.md
        """
    assert found(tmp_path, quiet) == []


def test_links_from_the_root_of_a_site_need_a_root(tmp_path: Path) -> None:
    text = "[a](/guide/intro) [b](/guide/) [c](/guide/gone) [d](/guide/intro.md#start) [e](/guide/intro#gone)\n"
    files = {"site/guide/intro.md": "# Start\n", "site/guide/index.md": ""}
    assert found(tmp_path, text, files) == []
    assert found(tmp_path, text, files, root="site") == ["1 broken-link", "1 broken-anchor"]
    assert found(tmp_path, "[a](/docs/other.md) [b](/gone.md)\n", root="/") == ["1 broken-link"]


def test_links_out_of_the_repository_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "beside.md").write_text("")
    write(tmp_path / "repo", {"page.md": "[a](../beside.md) [b](../gone.md) [c](../../wiki)\n"})
    assert [(one.rule, one.severity) for one in documents(tmp_path / "repo")] == [
        ("outside-link", Severity.INFO), ("outside-link", Severity.WARNING),
    ]  # fmt: skip


def test_references_that_are_not_defined_are_found_only_where_others_are(tmp_path: Path) -> None:
    assert found(tmp_path, "See [the text][nowhere] and a[i][j].\n") == []
    text = "See [the\ntext][nowhere], [x][y z] a[i][j] `[k][l]` [here][].\n\n[here]: page.md\n"
    assert found(tmp_path, text) == ["2 undefined-reference"]


def test_anchors_of_every_kind_are_known(tmp_path: Path) -> None:
    text = """
        # Ünïcode — `code` & <b>tags</b> [link](docs/other.md)

        ## Twice
        ## Twice
        ### Twice-1
        ## 🚀 Launch
        ## ⚙️ Gear
        ## Own {#my-own}
        ## A &amp; b
        Set
        ext
        ---
        <a id="By-Id"></a> <a name=by-name></a>

        <div id='block'><h2>In HTML</h2></div>

        [1](#ünïcode--code--tags-link) [2](#twice) [3](#twice-1) [4](#twice-1-1) [5](#-launch) [6](#️-gear)
        [7](#my-own) [8](#own) [9](#a--b) [10](#setext) [11](#by-id) [12](#by-name) [13](#block) [14](#in-html)
        [15](#%C3%BCn%C3%AFcode--code--tags-link) [16](#user-content-twice)

        [17](#launch)
        """
    assert found(tmp_path, text) == ["21 broken-anchor"]


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Hello, World!", "hello-world"), ("  a  b ", "--a--b-"), ("snake_case and-dash", "snake_case-and-dash"),
        ("Æ 中文 ñ é", "æ-中文-ñ-é"), ("50% of ½ ²", "50-of--"), ("!?", ""), ("x​y", "xy"), ("१२", "१२"),
    ],
)  # fmt: skip
def test_slugs_are_those_of_github(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor


def test_slugs_that_come_again_are_numbered() -> None:
    slugger = Slugger()
    assert [slugger.slug(one) for one in ("A", "a", "A-1", "A", "a-1")] == ["a", "a-1", "a-1-1", "a-2", "a-1-2"]


def test_anchors_of_folders_are_those_of_their_readme_and_lines_of_code_are_right(tmp_path: Path) -> None:
    files = {"lib/README.md": "# Library\n", "lib/code.py": "x = 1\n"}
    text = "[a](lib#library) [b](lib/#gone) [c](lib/code.py#L1-L5) [d](lib/code.py#anything) [e](docs#x)\n"
    assert found(tmp_path, text, files) == ["1 broken-anchor"]


def test_what_was_meant_is_proposed(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "docs/old.md": "# One\n\nwith words enough to be known again\n",
            "docs/deep/unique.md": "# Where to\n",
            "docs/code.py": "",
            "page.md": "[a](docs/old.md) [b](docs/unique.md) [c](docs/code.py:12) [d](docs/cod.py) "
            "[e](docs/deep/unique.md#where_to) [f](docs/deep/unique.md#were-to) [g](zzz.md)\n",
        },
    )
    commit(tmp_path)
    git(tmp_path, "mv", "docs/old.md", "docs/new.md")
    commit(tmp_path)
    assert [(one.message, one.safe, one.files) for one in documents(tmp_path)] == [
        ("docs/old.md does not exist; it is docs/new.md", True, ["docs/new.md"]),
        ("docs/unique.md does not exist; it is docs/deep/unique.md", True, ["docs/deep/unique.md"]),
        ("docs/code.py:12 does not exist; it is docs/code.py#L12", True, ["docs/code.py"]),
        ("docs/cod.py does not exist; perhaps docs/code.py", False, ["docs/code.py"]),
        ("#where_to is no heading of docs/deep/unique.md; it is #where-to", True, ["docs/deep/unique.md"]),
        ("#were-to is no heading of docs/deep/unique.md; perhaps #where-to", False, ["docs/deep/unique.md"]),
        ("zzz.md does not exist", False, []),
    ]


def test_ignored_files_are_not_read_but_may_be_linked_to(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "out/\n", "out/made.md": "[x](gone.md)\n", "page.md": "[a](out/made.md)\n"})
    commit(tmp_path)
    assert documents(tmp_path) == []


def test_submodules_and_links_to_folders_outside_are_left_alone(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"secret.md": "[x](gone.md)\n"})
    root = write(tmp_path / "repo", {".gitmodules": '[submodule "a"]\n\tpath = lib/a\n\turl = x\n'})
    write(root, {"page.md": "[a](lib/a/README.md) [b](linked/secret.md)\n"})
    (root / "linked").symlink_to(outside)
    (root / "secret.md").symlink_to(outside / "secret.md")
    assert documents(root) == []


def test_wild_files_break_nothing(tmp_path: Path) -> None:
    wild = {
        "a.md": "\ud800\udcff [x](\x00) [y](" + "a" * 5000 + ") [z](%ff%fe.md) [w](%00)\n",
        "b.md": "[" * 3000 + "](" * 3000,
        "c.md": "---\n" + "<a " * 5000,
        "d.md": "> " * 500 + "x",
        "e.md": "",
        "f.md": "\ufeff# Title\r\n\r\n[x](#title)\r\n",
    }
    for name, text in wild.items():
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    assert {one.file for one in documents(tmp_path)} <= {"a.md"}


def test_rules_can_be_off_and_files_ignored(tmp_path: Path) -> None:
    text = "[a](gone.md) [b](#gone)\n"
    assert found(tmp_path, text, off=["broken-link"]) == ["1 broken-anchor"]
    assert found(tmp_path, text, ignore=["page.*"]) == []
    vendored = {"vendor/x/readme.md": text}
    assert found(tmp_path, "# x\n", vendored) == []
    assert found(tmp_path, "# x\n", vendored, vendored=True) == ["1 broken-link", "1 broken-anchor"]


def test_many_pages_are_read_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.adapters.checks.documents.pages.SHARED_FROM", 0)
    write(tmp_path, {f"p{number}.md": f"# P{number}\n\n[x](p{number + 1}.md#p{number + 1})\n" for number in range(70)})
    assert told(documents(tmp_path)) == ["p69.md:3 broken-link"]


def test_pieces_of_a_page_know_their_lines() -> None:
    read = page.read("one `a`\ntwo `b\nb` three\n\n```sh\nmake x\n```\n- ```\n  in\n  ```\n")
    assert [(code.line, code.text, code.language) for code in read.codes] == [
        (1, "a", None), (2, "b b", None), (6, "make x\n", "sh"), (9, "in\n", ""),
    ]  # fmt: skip
