"""A project's own rules: what is not by them is found, and wrong rules are refused with file, line and reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shoal.adapters.checks.conventions import bounded, ruff
from shoal.errors import BadInput
from shoal.model.item import Severity
from tests.adapters.checks.checkouts import commit, conventions, told, write

RULES = r"""
    exclude = ["third_party/"]

    [[forbid]]
    name = "no-print"
    files = ["src/**/*.py"]
    exclude = ["src/cli.py"]
    pattern = '\bprint\('
    message = "say it by the log"
    severity = "critical"

    [[forbid]]
    name = "no-todo"
    pattern = "todo|fixme"
    ignore_case = true

    [[require]]
    name = "licence"
    files = ["*.py"]
    pattern = '^# SPDX-License-Identifier: \S+$'
    first_lines = 3

    [[names]]
    name = "snake-case"
    files = ["src/**"]
    pattern = '[a-z_0-9]+\.\w+'

    [[size]]
    name = "small"
    files = ["src/*.{py,js}"]
    lines = 5
    bytes = 100

    [[present]]
    name = "first-pages"
    files = ["README.md", "LICENSE*", "src/**/*.py"]

    [[present]]
    name = "packages"
    beside = ["src/**/*.py"]
    files = ["__init__.py"]
    exclude = ["src/__init__.py"]
    """
HEADER = "# SPDX-License-Identifier: MIT\n"


def test_what_is_by_the_rules_is_right(tmp_path: Path) -> None:
    write(tmp_path, {"conventions.toml": RULES, "README.md": "x", "LICENSE.txt": "x", "src/a.py": f"{HEADER}x = 1\n"})
    write(tmp_path, {"src/cli.py": f'{HEADER}print("x")\n', "third_party/X.py": "todo print()\n", "src/e.js": ""})
    write(tmp_path, {"src/in/__init__.py": HEADER, "src/in/b.py": f"{HEADER}print(1)  # shoal: allow no-print\n"})
    assert conventions(tmp_path) == []


def test_what_is_not_by_the_rules_is_found(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "conventions.toml": RULES,
            "src/a.py": "x = 1\n\n\n" + HEADER + "print(x)\nprint(x)  # FIXME\n" + "#" * 100,
            "src/BadName.js": "a\n" * 6,
            "src/in/b.py": HEADER,
        },
    )
    assert sorted(told(conventions(tmp_path))) == [
        "None:None first-pages", "None:None first-pages", "src/BadName.js:None small", "src/BadName.js:None snake-case",
        "src/a.py:5 no-print", "src/a.py:6 no-print", "src/a.py:6 no-todo", "src/a.py:None licence",
        "src/a.py:None small", "src/a.py:None small", "src/in:None packages",
    ]  # fmt: skip
    printed, again = [one for one in conventions(tmp_path) if one.rule == "no-print"]
    assert (printed.message, printed.severity, printed.key) == ("say it by the log", Severity.CRITICAL, "print(x)")
    assert again.key == "print(x) # FIXME"


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("[[forbid]]\nname = 'x'\npattern = '('\n", "3: x.pattern: is no regular expression: missing )"),
        ("[[forbid]]\nname = 'x'\n", "1: forbid[0].pattern: Object missing required field `pattern`"),
        (
            "\n[[forbid]]\nname='x'\npattern='x'\n[[forbid]]\nname = 'y'\npatern = 'x'\npattern='x'",
            "7: forbid[1].patern: there is no such field; did you mean",
        ),
        ("[[size]]\nname = 'x'\n", "1: x: give it lines, bytes or both"),
        ("[[size]]\nname = 'x'\nlines = -1\n", "3: size[0].lines: Expected `int` >= 0"),
        ("[[present]]\nname = 'x'\n", "1: x: give it files"),
        (
            "[[forbid]]\nname='x'\npattern='x'\nseverity = 'loud'",
            "4: forbid[0].severity: 'loud' is not one of info, warning, critical",
        ),
        (
            "[[names]]\nname='x'\npattern='x'\n[[forbid]]\nname = 'x'\npattern='x'\n",
            "2: x.name: another rule has this name",
        ),
        ("x = \n", "1: Invalid value"),
        ("[forbiden]\n", "1: forbiden: there is no such field; did you mean forbid?"),
        ("forbid = 3\n", "1: forbid: Expected `array`, got `int`"),
    ],
)
def test_rules_that_are_wrong_are_refused_with_their_line(tmp_path: Path, rules: str, said: str) -> None:
    (tmp_path / "conventions.toml").write_text(rules)
    with pytest.raises(BadInput) as refused:
        conventions(tmp_path)
    assert refused.value.message.startswith(f"conventions.toml:{said}")


def test_rules_that_are_not_there_are_missed(tmp_path: Path) -> None:
    for file in ("conventions.toml", "../x.toml"):
        with pytest.raises(BadInput, match=f"there is no {re.escape(file)}"):
            conventions(tmp_path, file=file)


def test_patterns_that_take_for_ever_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"rules.toml": "[[forbid]]\nname = 'slow'\npattern = '(a+)+$'\n", "x.txt": "a" * 60 + "b"})
    with pytest.raises(BadInput) as refused:
        conventions(tmp_path, file="rules.toml", seconds=0.2)
    assert refused.value.message.startswith("rules.toml:3: slow.pattern: takes longer than 0.2 s for x.txt;")


def test_names_are_tried_with_an_end_too(tmp_path: Path) -> None:
    write(tmp_path, {"rules.toml": "[[names]]\nname = 'slow'\npattern = '(a+)+'\n", "a" * 60 + "b": ""})
    with pytest.raises(BadInput, match=r"rules.toml:3: slow.pattern: takes longer"):
        conventions(tmp_path, file="rules.toml", seconds=0.2)


def test_patterns_that_end_are_left_in_peace() -> None:
    assert [one[0] for one in bounded.matches(re.compile("a+"), "aa b a", most=9)] == ["aa", "a"]
    assert len(bounded.matches(re.compile("a"), "a" * 100, most=9)) == 9


def test_files_that_are_no_text_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, {"conventions.toml": "[[forbid]]\nname = 'x'\npattern = 'secret'\n"})
    (tmp_path / "a.bin").write_bytes(b"\0secret")
    (tmp_path / "b.txt").write_bytes(b"\xff secret \xfe\n")
    (tmp_path / "c.txt").symlink_to("/etc/passwd")
    (finding,) = conventions(tmp_path)
    assert (finding.file, finding.key) == ("b.txt", "? secret ?")


def test_findings_of_ruff_are_taken_over(tmp_path: Path) -> None:
    if ruff.program() is None:
        pytest.skip("there is no ruff")
    write(
        tmp_path,
        {
            "conventions.toml": "[ruff]\nselect = ['F']\nseverity = 'info'\n",
            "a/b.py": "import os\n\nx = y\n",
            "c.py": "x = (\n",
        },
    )
    commit(tmp_path)
    assert [(one.file, one.line, one.rule, one.severity, one.safe) for one in conventions(tmp_path)] == [
        ("a/b.py", 1, "ruff:F401", Severity.INFO, True),
        ("a/b.py", 3, "ruff:F821", Severity.INFO, False),
        ("c.py", 2, "ruff:invalid-syntax", Severity.INFO, False),
    ]
    write(tmp_path, {"conventions.toml": "[ruff]\nselect = ['NOPE9']\n"})
    with pytest.raises(BadInput, match=r"ruff cannot check .*NOPE9"):
        conventions(tmp_path)


def test_ruff_that_is_not_there_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ruff, "program", lambda: None)
    write(tmp_path, {"conventions.toml": "[ruff]\n", "a.py": "import os\n"})
    warned: list[str] = []
    assert conventions(tmp_path, warned) == []
    assert "ruff is configured and is not to be had" in warned[0]
