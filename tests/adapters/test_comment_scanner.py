"""Comments that ask for work: where they are in each language, what they say, and what only looks like one."""

from __future__ import annotations

import hashlib
import os
import random
import re
import textwrap
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.adapters.git.files import Note
from shoal.adapters.scanners.comment_files import WORTH_PROCESSES, Unchanged, scan_files
from shoal.adapters.scanners.comments import scan, scan_bytes
from shoal.adapters.scanners.languages import LANGUAGES, language_name
from shoal.adapters.scanners.stats import Stats
from shoal.model.found import Found, FoundFile
from shoal.model.item import Form

HOUR_MS = 3_600_000
# "yes" stands where something is to be found, "no" where nothing is; each on a line of its own.
LANGUAGE_SAMPLES = {
    "a.py": r'''
        #!/usr/bin/env python  TODO: yes
        """Not here. TODO: no"""
        a = "# TODO: no"  # TODO: yes
        b = r'\' # TODO: no'
        c = f"{x['#']} # TODO: no"
        d = """
        # TODO: no
        \""" # TODO: no
        """  # TODO: yes
        e = 'it''s'  # FIXME yes
        f = b"\"# TODO: no"  # TODO(ana): yes
    ''',
    "a.ts": r"""
        const a = "// TODO: no"; // TODO: yes
        const b = 'https://x.org // TODO: no'; /* TODO: yes */
        const c = `// TODO: no ${d ? `// TODO: no` : "`"} // TODO: no`; // TODO: yes
        const e = `${ {a: "}"} } // TODO: no`; // TODO: yes
        const f = /[/"'`]\/\/ TODO: no/g.test(x); // TODO: yes
        const g = a / b; // TODO: yes
        const h = (a) / b / "// TODO: no"; // TODO: yes
        return /"/.test(x); // TODO: yes
        const i = `${ /* TODO: yes */ x }`;
    """,
    "a.jsx": """
        return <p>Don't go to https://x.org TODO: no</p>; // TODO: yes
        <div>{/* TODO: yes */}</div>
    """,
    "a.go": """
        a := "// TODO: no" // TODO: yes
        b := `// TODO: no
        // TODO: no ` // TODO: yes
        c := '"' // TODO: yes
        d := '\\'' // TODO: yes
        /* TODO: yes */
    """,
    "a.rs": r'''
        fn a<'a>(x: &'a str, y: &'a str) {} // TODO: yes
        let b = '"'; // TODO: yes
        let c = r#"a " // TODO: no "#; // TODO: yes
        let d = "a
        // TODO: no \" // TODO: no"; // TODO: yes
        /* a /* TODO: yes */
        TODO: yes */ let e = "// TODO: no";
        /// TODO: yes
        //! TODO: yes
        let f = b'\''; // TODO: yes
    ''',
    "a.cpp": r"""
        auto a = R"x(// TODO: no )" // TODO: no )x"; // TODO: yes
        int b = 1'000'000; // TODO: yes
        char c = '"', d = '\''; // TODO: yes
        char *e = "\" // TODO: no"; // TODO: yes
        /* TODO: yes
         * TODO: yes
         */
        #error don't // TODO: yes
    """,
    "a.m": 'NSString *a = @"// TODO: no"; // TODO: yes\n',
    "a.cs": r'''
        var a = @"c:\"; // TODO: yes
        var b = @"say ""// TODO: no"" "; // TODO: yes
        var c = $"{d["// TODO: no"]} // TODO: no"; // TODO: yes
        var e = """
          "// TODO: no"
          """; // TODO: yes
        /// <summary>TODO: yes</summary>
        var f = '"'; // TODO: yes
    ''',
    "a.java": '''
        String a = "// TODO: no"; // TODO: yes
        String b = """
            // TODO: no "
            """; // TODO: yes
        char c = '"'; // TODO: yes
        /** TODO: yes */
    ''',
    "a.kt": '''
        val a = "${b("// TODO: no")} // TODO: no" // TODO: yes
        val c = """ " // TODO: no ${d} """ // TODO: yes
        /* /* TODO: yes */ */ val e = '"' // TODO: yes
    ''',
    "a.scala": 'val a = """// TODO: no""" // TODO: yes\nval b = \'sym // TODO: yes\n',
    "a.swift": r'''
        let a = "\(b("// TODO: no")) // TODO: no" // TODO: yes
        let c = #"\ " // TODO: no"# // TODO: yes
        let d = """
        // TODO: no
        """ // TODO: yes
        /* /* TODO: yes */ */
    ''',
    "a.rb": r"""
        a = "#{b("# TODO: no")} # TODO: no" # TODO: yes
        c = %w[# TODO: no] # TODO: yes
        d = <<~SQL
          # TODO: no
        SQL
        e = /"# TODO: no/ # TODO: yes
        assert_match /don't # TODO: no/, x # TODO: yes
        list << other # TODO: yes
        f = 'it\'s # TODO: no' # TODO: yes
        =begin
        TODO: yes
        =end
        __END__
        # TODO: no
    """,
    "a.php": """
        <p>Don't # TODO: no</p> <!-- TODO: yes -->
        <?php
        $a = "# TODO: no"; # TODO: yes
        $b = 'it\\'s // TODO: no'; // TODO: yes
        #[TODO]
        $c = <<<EOT
        // TODO: no
        EOT;
        /* TODO: yes */
        ?>
        // TODO: no
    """,
    "a.sh": r"""
        #!/bin/sh
        echo "# TODO: no" # TODO: yes
        echo 'it # TODO: no' "$(echo "# TODO: no")" # TODO: yes
        echo don\'t # TODO: yes
        echo ${a#TODO: no} $# a#TODO
        cat <<'EOF' > x
        # TODO: no
        EOF
        cat <<< "x" # TODO: yes
        x=$((1<<y)) # TODO: yes
    """,
    "a.pl": """
        my $a = "# TODO: no"; # TODO: yes
        my $b = $#list; # TODO: yes
        my $c = q{# TODO: no}; s/#/x/; # TODO: yes
        print <<EOT;
        # TODO: no
        EOT
        =pod

        TODO: no

        =cut
        # TODO: yes
        __END__
        # TODO: no
    """,
    "a.lua": """
        a = "-- TODO: no" -- TODO: yes
        b = [==[ -- TODO: no ]] -- TODO: no ]==] -- TODO: yes
        --[==[ TODO: yes ]==]
    """,
    "a.sql": """
        SELECT '-- TODO: no' -- TODO: yes
        SELECT 'it''s -- TODO: no', "-- TODO: no" /* TODO: yes */
        CREATE FUNCTION a() AS $$
          -- TODO: yes
        $$;
    """,
    "a.html": """
        <p>TODO: no</p> <!-- TODO: yes -->
        <script type="x"> let a = "// TODO: no"; // TODO: yes
        </script>
        <style> /* TODO: yes */ </style>
        // TODO: no
    """,
    "a.vue": "<template><p>// TODO: no</p></template>\n<script>\n// TODO: yes\n</script>\n",
    "a.svelte": "<script>\n/* TODO: yes */\n</script>\n<!-- TODO: yes -->\n",
    "a.xml": "<a><![CDATA[ <!-- TODO: no --> ]]></a> <!-- TODO: yes -->\n",
    "a.scss": """
        a { background: url(http://x.org); } // TODO: yes
        b { content: "/* TODO: no */"; } /* TODO: yes */
    """,
    "a.yaml": """
        a: "# TODO: no" # TODO: yes
        b: 'it''s # TODO: no' # TODO: yes
        c: don't # TODO: yes
        d: |
          # TODO: no
        e: a#TODO:no
        # TODO: yes
        f:
          - run: >-
              # TODO: no

              # TODO: no
          # TODO: yes
    """,
    "a.toml": '''
        a = "# TODO: no" # TODO: yes
        b = """
        # TODO: no
        """ # TODO: yes
        c = '\\' # TODO: yes
    ''',
    "a.ini": "; TODO: yes\n# TODO: yes\na = b;TODO:no\n",
    "Dockerfile": '# TODO: yes\nRUN echo "# TODO: no"\n',
    "Makefile": "# TODO: yes\na:\n\techo '# TODO: no' \\# TODO: no\n",
    "a.tf": """
        a = "# TODO: no ${b("// TODO: no")}" # TODO: yes
        // TODO: yes
        /* TODO: yes */
        c = <<-EOT
          # TODO: no
        EOT
    """,
    "a.hs": """
        a = "-- TODO: no" -- TODO: yes
        {- {- TODO: yes -}
        TODO: yes -}
        b = foldl' (-->) '"' -- | TODO: yes
    """,
    "a.ex": '''
        a = "#{b("# TODO: no")} # TODO: no" # TODO: yes
        @doc """
        # TODO: no
        """
        c = ~r/# TODO: no/ # TODO: yes
        d = ?" # TODO: yes
    ''',
    "a.erl": 'a() -> "% TODO: no", $", \'% TODO: no\'. % TODO: yes\n%% TODO: yes\n',
    "a.clj": '(def a "; TODO: no") ; TODO: yes\n(def b \\") ;; TODO: yes\n',
    "a.R": "a <- '# TODO: no' # TODO: yes\nb <- r\"(\" # TODO: no)\" # TODO: yes\n",
    "a.jl": '''
        a = "$(b("# TODO: no")) # TODO: no" # TODO: yes
        c = d' * '"' # TODO: yes
        #= #= TODO: yes =#
        TODO: yes =#
    ''',
    "a.zig": 'const a = "// TODO: no"; // TODO: yes\nconst b =\n    \\\\ // TODO: no\n;\n/// TODO: yes\n',
    "a.dart": r"""
        var a = '${b['// TODO: no']} // TODO: no'; // TODO: yes
        var c = r'\'; // TODO: yes
        var d = '''
        // TODO: no
        '''; /* /* TODO: yes */ */
    """,
}  # fmt: skip


def lines_with(text: str, word: str) -> list[int]:
    return [
        number for number, line in enumerate(text.split("\n"), 1) if re.search(rf"(?:TODO|FIXME)\W.*{word}\b", line)
    ]


def one(text: str, path: str = "a.py") -> Found:
    found = scan(path, text)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("path", LANGUAGE_SAMPLES)
def test_comments_are_found_and_strings_are_not(path: str) -> None:
    text = textwrap.dedent(LANGUAGE_SAMPLES[path]).lstrip("\n")
    assert sorted({found.line for found in scan(path, text)}) == lines_with(text, "yes")
    assert all("no" not in found.text.split() for found in scan(path, text))


@pytest.mark.parametrize("path", LANGUAGE_SAMPLES)
def test_ends_of_lines_as_windows_has_them_change_nothing(path: str) -> None:
    text = textwrap.dedent(LANGUAGE_SAMPLES[path]).lstrip("\n")
    plain = [(found.line, found.text) for found in scan(path, text)]
    assert [(found.line, found.text) for found in scan(path, text.replace("\n", "\r\n"))] == plain


SAYINGS: dict[str, dict[str, Any]] = {
    "TODO: mend it": {"text": "mend it", "labels": ["todo"]},
    "TODO mend it": {"text": "mend it"},
    "TODO - mend it": {"text": "mend it"},
    "TODO!: mend it": {"text": "mend it"},
    "[TODO] mend it": {"text": "mend it"},
    "**TODO:** mend it": {"text": "mend it"},
    "todo: mend it": {"text": "mend it", "labels": ["todo"]},
    "Todo(ana): mend it": {"text": "mend it", "owner": "ana"},
    "@todo mend it": {"text": "mend it"},
    "\\todo mend it": {"text": "mend it"},
    "FIXME: mend it": {"labels": ["fixme"]},
    "HACK mend it": {"labels": ["hack"]},
    "XXX: mend it": {"labels": ["xxx"]},
    "TODO": {"text": "TODO"},
    "Works so far. TODO: mend it": {"text": "mend it"},
    "Works so far. FIXME(ana): mend it": {"text": "mend it", "owner": "ana"},
    "TODO(ana): mend it": {"owner": "ana", "text": "mend it"},
    "TODO (ana): mend it": {"owner": "ana", "text": "mend it"},
    "TODO(ana) mend it": {"owner": "ana", "text": "mend it"},
    "TODO[ana]: mend it": {"owner": "ana"},
    "TODO(@ana): mend it": {"owner": "ana"},
    "TODO: @ana mend it": {"owner": "ana"},
    "TODO(ana@example.org): mend it": {"owner": "ana@example.org"},
    "TODO(fix): mend it": {"owner": None, "text": "mend it"},
    "TODO(PEP612): mend it": {"owner": None},
    "TODO(BREAKING_CHANGE): mend it": {"owner": None},
    "TODO(ana lee): mend it": {"owner": None},
    "TODO(Ana Lee): mend it": {"owner": "Ana Lee"},
    "TODO(#123)": {"text": "TODO", "refs": {"issue": "#123"}, "owner": None},
    "TODO(ana, #12): mend it": {"owner": "ana", "refs": {"issue": "#12"}},
    "TODO(org/repo#12): mend it": {"owner": None, "refs": {"issue": "org/repo#12"}},
    "TODO(JIRA-12): mend it": {"owner": None, "refs": {"jira": "JIRA-12"}},
    "TODO: mend #4, #5 and ABC-6": {"refs": {"issue": "#4", "issue 2": "#5", "jira": "ABC-6"}},
    "TODO(https://x.org/a/1): mend it": {"owner": None, "refs": {"url": "https://x.org/a/1"}},
    "TODO: see https://x.org/#12.": {"refs": {"url": "https://x.org/#12"}},
    "TODO: UTF-8, SHA-256 and CVE-2020": {"refs": {}},
    "TODO(P1): mend it": {"priority": 1, "owner": None},
    "TODO(ana, p0): mend it": {"priority": 0, "owner": "ana"},
    "TODO: [P2] mend it": {"priority": 2},
    "TODO: P1 and P2 are points": {"priority": None},
    "TODO(2026-12-01): mend it": {"due_at": 1_796_083_200_000, "owner": None},
    "TODO(ana 2026-12-01): mend it": {"due_at": 1_796_083_200_000, "owner": "ana"},
    "TODO(ana, by 2026-12-01): mend it": {"due_at": 1_796_083_200_000, "owner": "ana"},
    "TODO: mend it by 2026-12-01": {"due_at": 1_796_083_200_000},
    "TODO(2026-13-41): mend it": {"due_at": None, "owner": None},
    "TODO(0001-01-01): mend it": {"due_at": 0},
    "TODO: mend\x00 it": {"text": "mend it"},
}


@pytest.mark.parametrize("said", SAYINGS)
def test_what_a_comment_says_is_taken_over(said: str) -> None:
    found = msgspec.structs.asdict(one(f"# {said}\n"))
    assert {key: found[key] for key in SAYINGS[said]} == SAYINGS[said]
    assert found["form"] is Form.COMMENT


@pytest.mark.parametrize(
    "said",
    [
        "reads TODO comments", "`TODO: mend it` is the form", '"TODO" is a word', "TODOs are found", "TODO_LIST",
        "a todo: mend it", "todo mend it", "TODO-list", "TODO.md is read", "XXX-XXX", "XXXX", "see TODO", "$TODO: x",
        "TODO comments are read", "TODO/FIXME", "/path/TODO: x", "hacky", "HACKING", "myTODO: x", "TODO='x'",
    ],
)  # fmt: skip
def test_words_that_ask_for_nothing(said: str) -> None:
    assert scan("a.py", f"# {said}\n") == []


def test_lines_below_belong_to_the_text_until_something_else_begins() -> None:
    text = "# Before.\n# TODO: one\n#   goes on\n# FIXME: two\n#\n# Not this.\n"
    text += "x = 1  # TODO: three\n       # goes on\n# Not this.\n"
    assert [(found.line, found.text) for found in scan("a.py", text)] == [
        (2, "one\ngoes on"), (4, "two"), (7, "three\ngoes on"),
    ]  # fmt: skip


def test_tags_of_documents_end_a_text() -> None:
    text = "/**\n * Does it.\n * @todo mend it\n *   soon\n * @param x what\n */\n"
    assert one(text, "a.java").text == "mend it\nsoon"


def test_word_that_only_begins_a_line_of_a_sentence_is_none() -> None:
    assert scan("a.py", "# This looks for each\n# TODO that it finds\n") == []
    assert one("# This looks for each.\n# TODO mend it\n").text == "mend it"


def test_examples_between_fences_are_none() -> None:
    assert scan("a.rs", "/// Say:\n/// ```\n/// // TODO: no\n/// TODO: no\n/// ```\n") == []
    assert one("/// ``` is a fence\n/// TODO: yes\n", "a.rs").text == "yes"


def test_headings_are_the_definitions_around() -> None:
    text = """
class A(
    B,
):
    # TODO: in A

    @property
    async def b(self) -> None:
        if x:
            y()
        else:
            # TODO: in b

# TODO: in nothing
if x:
    # TODO: still in nothing
    pass
"""
    assert [found.heading for found in scan("a.py", text)] == [["A"], ["A", "b"], [], []]


@pytest.mark.parametrize(
    ("path", "text", "heading"),
    [
        ("a.ts", "export class A {\n  async b(x: number): Promise<void> {\n    // TODO: x\n  }\n}", ["A", "b"]),
        ("a.ts", "export const a = async (x) => {\n  // TODO: x\n};", ["a"]),
        ("a.js", "function a() {\n  if (x) {\n  } else {\n    // TODO: x\n  }\n}", ["a"]),
        ("a.go", "func (s *Server) Run(x int) error {\n\t// TODO: x\n}", ["Server.Run"]),
        ("a.go", "type A struct {\n\t// TODO: x\n}", ["A"]),
        ("a.rs", "impl<T> Read for File<T> {\n    pub fn go(&self) {\n        // TODO: x\n    }\n}", ["File", "go"]),
        ("a.java", "public class A {\n    public int b(int c) {\n        // TODO: x\n    }\n}", ["A", "b"]),
        (
            "a.cs",
            "namespace N\n{\n    class A\n    {\n        void B()\n        {\n            // TODO: x",
            ["N", "A", "B"],
        ),
        ("a.cpp", "class A {\npublic:\n  int b() const {\n#ifdef X\n    // TODO: x\n", ["A", "b"]),
        ("a.cpp", "void A::b(int c)\n{\n    return; // TODO: x\n}", ["A::b"]),
        ("a.rb", "module A\n  def b?\n    # TODO: x\n  end\nend", ["A", "b?"]),
        ("a.sh", "a() {\n  # TODO: x\n}", ["a"]),
        ("a.yaml", "a:\n  # TODO: x\n", []),
    ],
)
def test_headings_in_many_languages(path: str, text: str, heading: list[str]) -> None:
    assert one(text, path).heading == heading


def test_files_without_an_ending_are_known_by_their_first_line() -> None:
    assert len(scan("bin/go", "#!/usr/bin/env node\n// TODO: x\n")) == 1
    assert scan("bin/go", "// TODO: x\n") == []
    assert scan("go.md", "<!-- TODO: x -->\n") == []
    assert {language_name(path) for path in ("a/Dockerfile.dev", "b/Dockerfile")} == {"dockerfile"}


def test_bytes_that_are_no_text_break_nothing() -> None:
    (found,) = scan_bytes("a.py", b"x = '\xff\xfe'  # TODO: caf\xe9 \xc3\n")
    assert found.text.startswith("caf\ufffd")


PIECES = st.sampled_from([
    "TODO: x", "FIXME", "todo:", "XXX", "//", "/*", "*/", "#", "--", "{-", "-}", "#=", "=#", '"', "'", "`", '"""',
    "'''", "${",
    "#{", "\\(", "{", "}", "(", ")", "\\", "\n", "\r\n", " ", "    ", "<<EOF", "EOF", "r#\"", "\"#", "$(", "<!--",
    "-->",
    "<script>", "</script>", "<?php", "?>", "|", ": |\n", "~r/", "/", "[", "]", "@\"", "%w[", "R\"x(", ")x\"",
    "--[[", "]]",
    "=begin", "=end", "class A:", "def b(", "é", "\x00", "\u2028", "```", "(ana, #1)", "\ud800",
])  # fmt: skip
PATHS = sorted(LANGUAGE_SAMPLES)


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(PATHS), text=st.lists(PIECES, max_size=60).map("".join) | st.text(max_size=200))
def test_nothing_breaks_it_and_lines_are_lines_of_the_file(path: str, text: str) -> None:
    found = scan(path, text)
    lines = text.split("\n")
    assert [one.line for one in found] == sorted(one.line for one in found)
    for one in found:
        assert 1 <= one.line <= len(lines)
        assert re.search("todo|fixme|hack|xxx", lines[one.line - 1], re.IGNORECASE)
    if "\ud800" not in text:
        checked = FoundFile(path=path, hash="0" * 64, found=found)
        assert msgspec.convert(msgspec.to_builtins(checked), FoundFile) == checked


QUOTED = {
    "a.py": ('"', '"'), "b.py": ('"""', '"""'), "a.js": ("`", "`"), "b.js": ("'", "'"), "a.go": ("`", "`"),
    "a.rs": ('r##"', '"##'), "a.cpp": ('R"(', ')"'), "a.cs": ('"""', '"""'), "a.java": ('"""', '"""'),
    "a.kt": ('"""', '"""'), "a.swift": ('#"', '"#'), "a.rb": ("'", "'"), "a.lua": ("[==[", "]==]"), "a.sql": ("'", "'"),
    "a.sh": ("'", "'"), "a.toml": ("'''", "'''"), "a.dart": ("'''", "'''"), "a.ex": ('"""', '"""'), "a.jl": ('"""',
    '"""'),
    "a.tf": ('"', '"'), "a.hs": ('"', '"'), "a.clj": ('"', '"'), "a.pl": ("'", "'"), "a.R": ("'", "'"),
}  # fmt: skip
INSIDE = st.lists(
    st.sampled_from(["TODO: no", "// TODO: no", "# TODO: no", "-- FIXME no", "/* XXX: no */", " ", "x", "{", "}", "/"]),
    max_size=8,
).map("".join)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(sorted(QUOTED)), strings=st.lists(INSIDE, min_size=1, max_size=4))
def test_nothing_is_found_in_strings(path: str, strings: list[str]) -> None:
    begin, end = QUOTED[path]
    text = "".join(f"x = {begin}{inside}{end}\n" for inside in strings)
    assert scan(path, text) == []


def tree(root: Path, count: int) -> list[str]:
    names = []
    for number in range(count):
        name = f"d{number % 7}/f{number}.py"
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(f"x = {number}\n" + ("# TODO: mend it\n" if number % 10 == 0 else ""))
        names.append(name)
    return names


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_files_are_read_and_those_that_did_not_change_are_not(tmp_path: Path) -> None:
    names = tree(tmp_path, 11)
    first = list(scan_files(tmp_path, names, {}))
    assert first == [
        FoundFile(path=name, hash=hash_of(tmp_path / name), found=scan(name, (tmp_path / name).read_text()))
        for name in names
    ]
    (tmp_path / names[3]).write_text("# FIXME x\n")
    known = {file.path: file.hash for file in first if isinstance(file, FoundFile)}
    second = list(scan_files(tmp_path, names, known))
    assert [file.path for file in second if isinstance(file, FoundFile)] == [names[3]]
    assert {file.path for file in second if isinstance(file, Unchanged)} == {*names} - {names[3]}


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    names = tree(tmp_path, WORTH_PROCESSES)
    random.Random(1).shuffle(names)
    assert list(scan_files(tmp_path, names, {}, jobs=2)) == list(scan_files(tmp_path, names, {}, jobs=1))


def test_what_is_no_text_or_too_large_or_elsewhere_is_refused_with_a_note(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "a").mkdir(parents=True)
    outside.mkdir()
    (outside / "x.py").write_text("# TODO: no\n")
    (root / "link").symlink_to(outside)
    (root / "link.py").symlink_to(outside / "x.py")
    (root / "large.py").write_text("# TODO: no\n" * 1000)
    (root / "binary.py").write_bytes(b"# TODO: no\n\x00")
    (root / "wide.py").write_text("# TODO: yes\n", encoding="utf-16")
    (root / "text.md").write_text("# TODO: no\n")
    os.mkfifo(root / "pipe.py")
    names = [
        "gone.py",
        "link/x.py",
        "link.py",
        "large.py",
        "binary.py",
        "wide.py",
        "text.md",
        "pipe.py",
        "a",
    ]
    seen = list(scan_files(root, names, {}, max_bytes=5000))
    assert {one.path: one.why for one in seen if isinstance(one, Note)} == {
        "link/x.py": "stands behind a link",
        "large.py": "has 11,000 bytes; files with more than 5,000 are not read",
        "binary.py": "is binary",
    }
    assert [(one.path, one.found[0].text) for one in seen if isinstance(one, FoundFile)] == [("wide.py", "yes")]


def test_files_that_look_the_same_are_not_opened(tmp_path: Path) -> None:
    names, place = tree(tmp_path, 5), tmp_path / "cache" / "stats"
    later = max((tmp_path / name).stat().st_ctime_ns for name in names) // 1_000_000 + HOUR_MS
    first = list(scan_files(tmp_path, names, {}, stats=Stats(place, tmp_path, now_ms=later)))
    known = {file.path: file.hash for file in first if isinstance(file, FoundFile)}
    for name in names:
        (tmp_path / name).rename(tmp_path / "kept")  # its inode stays, and what stands there is not looked at
        (tmp_path / "kept").rename(tmp_path / name)
    stats = Stats(place, tmp_path, now_ms=later)
    look = (tmp_path / names[0]).lstat()
    assert stats.hash_of(names[1], look) is None
    seen = list(scan_files(tmp_path, names, known, stats=Stats(place, tmp_path, now_ms=later)))
    assert seen == [Unchanged(name) for name in names]


def test_file_that_changed_while_the_clock_stood_is_read_again(tmp_path: Path) -> None:
    names, place = tree(tmp_path, 1), tmp_path / "cache" / "stats"
    look = (tmp_path / names[0]).stat()
    now_ms = look.st_ctime_ns // 1_000_000
    list(scan_files(tmp_path, names, {}, stats=Stats(place, tmp_path, now_ms=now_ms)))
    assert Stats(place, tmp_path, now_ms=now_ms).hash_of(names[0], look) is None


@pytest.mark.parametrize("broken", [b"", b"\x93\x01", b"no", bytes(range(100))])
def test_broken_memory_costs_only_time(tmp_path: Path, broken: bytes) -> None:
    place = tmp_path / "stats"
    place.write_bytes(broken)
    names = tree(tmp_path, 2)
    assert len(list(scan_files(tmp_path, names, {}, stats=Stats(place, tmp_path, now_ms=0)))) == 2


def test_file_with_too_many_comments_is_refused_whole(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("# TODO: mend it\n" * 20_001)
    [note] = scan_files(tmp_path, ["a.py"], {})
    assert note == Note("a.py", "has more than 20,000 comments that ask for work; divide it")


def test_every_language_has_names_and_a_sample() -> None:
    sampled = {language_name(path) for path in PATHS} | {"css", "php", "groovy", "powershell", "ocaml", "latex"}
    assert sampled >= set(LANGUAGES)


NASTY = [
    "/", "(/", "<<A{0}\n", '"', "'", "`${{", "/*", "{{-", "[", "r#", "%q(", "=begin\n", "<!--", "\\", "~r/", ": |\n",
    "TODO(", "{{#",
    "~r(", "{{{{/*", "url(", "<script ", "R\"(", "r\"(", " ", "*", "TODO: x\n    ", "impl<>", "# TODO: x\n    ",
]  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("nasty", NASTY)
def test_time_grows_with_the_text_and_not_faster(nasty: str) -> None:
    text = "# TODO\n" + "".join(nasty.format(number) for number in range(4_000))
    for path in PATHS:
        started = time.process_time()
        scan(path, text)
        assert time.process_time() - started < 1, path  # 0.15 s at most; what looks back at each step takes many
