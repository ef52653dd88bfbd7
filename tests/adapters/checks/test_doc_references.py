"""What documents say of code: what is not there is found, and what may be there is left alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shoal.adapters.checks.documents.page import Code
from shoal.adapters.checks.documents.statements import statements
from shoal.model.item import Severity
from tests.adapters.checks.checkouts import commit, documents, git, told, write

PROJECT = {
    "pyproject.toml": '[project]\nname = "pond"\n[project.scripts]\npond = "pond.main:main"\n',
    "Makefile": ".PHONY: test\ntest: build ## Run\n\t@pytest\nbuild docs/out:\n\t@true\nVERSION := 1\n",
    "package.json": '{"scripts": {"lint": "eslint", "build:web": "x"}}\n',
    "src/pond/main.py": """
        import os
        import click

        @click.group()
        def main(): ...

        @main.command()
        @click.option("--depth", "--deep-water")
        @click.option("--loud/--quiet")
        def fill(depth): ...

        @main.command("empty-out")
        def empty(): ...

        HOME = os.environ["POND_HOME"]
        CHANNEL = os.environ[f"POND_CHANNEL_{name}"]
        PORT = 8_421
        fish_limit = settings("fish_limit", prefix="POND")
        """,
    "scripts/release.sh": "",
}


def found(root: Path, text: str, files: dict[str, str] | None = None, **options: object) -> list[str]:
    write(root, {**PROJECT, **(files or {}), "docs/guide.md": text})
    return [one.rpartition(":")[2] for one in told(documents(root, **options))]


def test_what_is_there_is_right(tmp_path: Path) -> None:
    right = """
        `make test`, `make docs/out`, `make`, `make test ARGS="-k x"`, `make <target>`, `make -C elsewhere gone`,
        `npm run lint`, `yarn run build:web`, `npm install gone`, `src/pond/main.py`, `pond/main.py`, `a/b`,
        `pond fill --depth 3 --no-loud --help`, `pond empty-out --deep-water=1`, `POND_HOME`, `POND_CHANNEL_RED`,
        `POND_FISH_LIMIT`, `POND_*`, `POND_<NAME>`, `OTHER_VARIABLE`, `http://localhost:8421/`, `localhost:5432`

        ```console
        $ make build && pond fill --quiet | tee x.log   # pond gone
        no such output: pond gone --gone
        $ bash scripts/release.sh
        $ cat <<EOF
        $ pond gone
        EOF
        $ server --port 7777 & curl localhost:7777
        ```

        ```python
        make("gone")
        ```

        ```sh
        path/to/script.sh
        ./your-script.sh
        other/project/run.sh
        export POND_HOME=/srv
        make "unfinished
        ```
        """
    assert found(tmp_path, right) == []


def test_what_is_not_there_is_found(tmp_path: Path) -> None:
    wrong = """
        `make gone`
        `make test`, `npm run gone`
        `src/pond/gone.py`, `pond vanish`, `pond fill --gone`
        `pond fill --depth`, `POND_HOME`, `POND_GONE_AWAY`, `localhost:8421` and `127.0.0.1:9999`

        ```sh
        sudo make -j4 test vanished
        POND_HOME=x pond fill \\
          --lost
        ./scripts/gone.sh --x
        python3 -u scripts/lost.py
        ```
        """
    assert sorted(found(tmp_path, wrong)) == [
        "1 missing-target", "10 missing-command", "11 missing-command", "2 missing-script", "3 missing-command",
        "3 missing-file", "3 missing-flag", "4 missing-port", "4 missing-variable", "7 missing-target",
        "8 missing-flag",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "files",
    [
        {"CMakeLists.txt": ""},
        {"Makefile": "$(NAMES):\n\ttrue\n"},
        {"Makefile": "include gone.mk\n"},
        {"Makefile": "$(foreach x,a,$(eval $(x):))\n"},
        {"Makefile": "g%:\n\ttrue\n"},
    ],
)
def test_makefiles_that_reading_does_not_tell_are_believed(tmp_path: Path, files: dict[str, str]) -> None:
    assert found(tmp_path, "`make gone`\n", files) == []


def test_kinds_of_which_the_code_shows_none_are_believed(tmp_path: Path) -> None:
    write(tmp_path, {"README.md": "`pond vanish --gone`, `POND_GONE`\n", "src/main.zig": "x"})
    assert documents(tmp_path, commands=["pond"]) == []


def test_files_that_were_there_once_are_found_and_those_that_a_program_makes_are_not(tmp_path: Path) -> None:
    write(tmp_path, {"lib/a.py": "", "lib/b.py": "x = 1\n", "out.txt": "", ".gitignore": "*.html\n"})
    write(
        tmp_path,
        {"README.md": "`lib/a.py` `old/b.py` `lib/report.html` `lib/gone.py`\n", "CHANGELOG.md": "`lib/a.py`\n"},
    )
    commit(tmp_path)
    git(tmp_path, "rm", "-q", "lib/a.py")
    commit(tmp_path)
    assert [(one.file, one.key) for one in documents(tmp_path)] == [
        ("README.md", "lib/a.py"),
        ("README.md", "lib/gone.py"),
    ]


@pytest.mark.parametrize("begun", ["```sh\nnpm init -y\n```\n", '```json\n{"gone": "tsc", "gone2": "x"}\n```\n'])
def test_pages_about_a_project_of_the_readers_own_are_believed(tmp_path: Path, begun: str) -> None:
    assert found(tmp_path, f"{begun}Then `npm run gone`.\n") == []
    assert found(tmp_path, "Then `npm run gone`, `make x`, `make foo`.\n") == ["1 missing-script"]


def test_rules_can_be_off(tmp_path: Path) -> None:
    assert found(tmp_path, "`make gone` `src/pond/gone.py`\n", off=["missing-target"]) == ["1 missing-file"]


def test_instructions_that_drifted_are_warned_of(tmp_path: Path) -> None:
    write(tmp_path, {**PROJECT, "src/pond/store/sql.py": "x = 1\n", "tools.py": "y = 2\n"})
    commit(tmp_path)
    git(tmp_path, "rm", "-qr", "src/pond/store", "tools.py")
    text = "Use `make gone`; `tools.py`, `store/` and `pond/main.py`; `Makefile`, `config.yaml`.\n"
    write(tmp_path, {"AGENTS.md": text, ".cursorrules": "Run `npm run gone`.\n"})
    commit(tmp_path)
    assert [(one.file, one.rule, one.severity, one.message) for one in documents(tmp_path)] == [
        (".cursorrules", "instruction-drift", Severity.WARNING, "no package.json has a script gone"),
        ("AGENTS.md", "instruction-drift", Severity.WARNING, "no Makefile has a target gone"),
        ("AGENTS.md", "instruction-drift", Severity.WARNING, "tools.py does not exist any more"),
        ("AGENTS.md", "instruction-drift", Severity.WARNING, "store/ does not exist any more"),
    ]


def test_copies_of_instructions_that_went_apart_are_found(tmp_path: Path) -> None:
    rules = "".join(f"- Rule {number} is that.\n" for number in range(10))
    write(
        tmp_path, {"CLAUDE.md": f"{rules}- Use tabs.\n", "AGENTS.md": f"{rules}- Use spaces.\n", "sub/AGENTS.md": rules}
    )
    (finding,) = documents(tmp_path)
    assert (finding.file, finding.rule, finding.line, finding.files) == (
        "CLAUDE.md",
        "instructions-differ",
        11,
        ["AGENTS.md"],
    )
    assert "'- Use spaces.'" in finding.message
    for same in (f"{rules}- Use spaces.\n", "@AGENTS.md\n", "# Only for one\n\nSomething else.\n"):
        write(tmp_path, {"CLAUDE.md": same})
        assert documents(tmp_path) == []


def test_old_instructions_are_found_on_request(tmp_path: Path) -> None:
    write(tmp_path, {"AGENTS.md": "Look at `src/pond/main.py`.\n", **PROJECT})
    commit(tmp_path, at="2025-01-01T00:00:00Z")
    write(tmp_path, {"src/pond/main.py": "x = 1\n"})
    commit(tmp_path, at="2025-06-01T00:00:00Z")
    assert documents(tmp_path) == []
    assert documents(tmp_path, instruction_days=200) == []
    assert told(documents(tmp_path, instruction_days=100)) == ["AGENTS.md:None instructions-old"]


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("make a; make b | tee 'x y'", "sh", [("make", "a"), ("make", "b"), ("tee", "x y")]),
        ("$ make a\nout\n% make b\n", "console", [("make", "a"), ("make", "b")]),
        ("make a # b\n", "bash title=x", [("make", "a")]),
        ("make a\n", "", []),
        ("make a\n", "python", []),
        ("make a", None, [("make", "a")]),
        ("we make a", None, []),
        ("A=1 sudo make a", "zsh", [("make", "a")]),
        ("make 'a", "sh", []),
    ],
)
def test_commands_are_read_from_code(text: str, language: str | None, words: list[tuple[str, ...]]) -> None:
    read = statements([Code(1, text, language)], re.compile("make"))
    assert [one.words for one in read] == words
