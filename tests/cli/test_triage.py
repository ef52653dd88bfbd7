"""`shoal triage` as a person has it: at a terminal, a key each; and by rules."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cli.pty_terminal import Terminal
from tests.cli.shell import Shell
from tests.fleet import SHOAL, environment

ASK = "a r s e p u q ? "


@pytest.fixture
def sit(shell: Shell) -> Iterator[Callable[..., Terminal]]:
    """Sits down at a terminal for triage."""
    opened: list[Terminal] = []

    def open_one(*options: str, columns: int = 80, **settings: str) -> Terminal:
        terminal = Terminal(
            [*SHOAL, "triage", *options],
            folder=shell.folder,
            environment=environment(
                HOME=str(shell.folder), USER="ana", LOGNAME="ana", TERM="xterm", LANG="C.UTF-8", **settings
            ),
            columns=columns,
        )
        opened.append(terminal)
        return terminal

    yield open_one
    for terminal in opened:
        terminal.close()


def fields(shell: Shell) -> dict[str, dict[str, Any]]:
    found = {one["item_id"]: one for one in shell.json("backlog", "list", "--all")}
    return {name: {key: value for key, value in one.items() if key != "updated_at"} for name, one in found.items()}


def add(shell: Shell, *texts: str) -> None:
    for text in texts:
        shell("item", "add", text)


def test_one_key_decides_about_one_item(shell: Shell, sit: Callable[..., Terminal]) -> None:
    add(shell, "first", "second", "third", "fourth")
    terminal = sit()
    for key, name in (("a", "first"), ("r", "second"), ("s", "third")):
        assert name in terminal.expect(ASK)
        terminal.press(key)
    terminal.expect(ASK)
    terminal.press("q")
    terminal.expect("1 accepted, 1 rejected, 2 left")
    assert terminal.end() == 0
    assert {name: one["status"] for name, one in fields(shell).items()} == {
        "W1": "triaged",
        "W2": "wontfix",
        "W3": "new",
        "W4": "new",
    }
    assert fields(shell)["W1"]["decided_by"] == "ana"


def test_undo_restores_exactly_back_to_the_beginning(shell: Shell, sit: Callable[..., Terminal]) -> None:
    add(shell, "first", "second", "third", "fourth")
    shell("item", "edit", "W3", "--title", "Öl prüfen", "-p", "P3")
    before = fields(shell)
    terminal = sit()
    terminal.expect(ASK)
    for keys in ("a", "r", "eNeuer Titel: 文字\n", "p0", "s"):
        terminal.press(keys)
        terminal.expect(ASK)
    terminal.press("a")
    terminal.expect("That was the last one")
    changed = fields(shell)
    assert (changed["W3"]["title"], changed["W3"]["priority"], changed["W4"]["status"]) == (
        *("Neuer Titel: 文字", 0, "triaged"),
    )
    for _ in range(6):
        terminal.press("u")
        terminal.expect("is as it was")
        terminal.expect(ASK)
    terminal.press("u")
    terminal.expect("There is nothing to take back.")
    terminal.press("q")
    terminal.expect("0 accepted, 0 rejected, 4 left")
    assert terminal.end() == 0
    assert fields(shell) == before


def test_text_place_heading_and_neighbours_are_shown(shell: Shell, sit: Callable[..., Terminal]) -> None:
    place = '"source_file": "docs/TODO.md", "heading": ["Später", "Bugs"]'
    lines = [
        f'{{"id": "{line}", "text": "{text}", "source_line": {line}, {place}}}'
        for line, text in ((3, "before"), (5, "middle 文字 \\u001b[31m"), (9, "after"))
    ]
    shell("backlog", "import", "-", stdin="\n".join(lines))
    terminal = sit()
    first = terminal.expect(ASK)
    assert "docs/TODO.md:3" in first
    assert "Später > Bugs" in first
    terminal.press("s")
    second = terminal.expect(ASK)
    assert "middle 文字" in second
    assert "\x1b[31m" not in second
    assert "↑ 3: before (new)" in second
    assert "↓ 9: after (new)" in second
    terminal.press("q")
    assert terminal.end() == 0


def test_narrow_terminal_loses_nothing(shell: Shell, sit: Callable[..., Terminal]) -> None:
    word = "ununterbrochen" * 5
    add(shell, f"Größe 文字文字文字文字文字 {word}")
    terminal = sit(columns=20)
    shown = terminal.expect(ASK)
    assert word in "".join(shown.replace("\r", "").replace("\n", "").split("\x1b[1m")).replace("\x1b[0m", "")
    terminal.press("q")
    assert terminal.end() == 0


def test_keys_typed_ahead_and_arrows_do_what_they_say(shell: Shell, sit: Callable[..., Terminal]) -> None:
    add(shell, "first", "second", "third")
    terminal = sit()
    terminal.expect(ASK)
    terminal.press("\x1b[A")
    terminal.press("aep")
    terminal.expect("Title (second): ")
    terminal.press("ürig\n")
    terminal.expect(ASK)
    terminal.press("x")
    terminal.expect("accept")
    terminal.press("\x03")
    terminal.expect("1 accepted, 0 rejected, 2 left")
    assert terminal.end() == 0
    assert fields(shell)["W2"]["title"] == "pürig"


def test_refused_step_is_told_and_the_item_stays(shell: Shell, sit: Callable[..., Terminal]) -> None:
    add(shell, "first")
    terminal = sit()
    terminal.expect(ASK)
    shell("item", "reject", "W1")
    terminal.press("p9")
    terminal.expect("No priority given.")
    terminal.press("r")
    terminal.expect("That was the last one")
    terminal.press("q")
    assert terminal.end() == 0


def test_nothing_to_decide_is_said(sit: Callable[..., Terminal]) -> None:
    terminal = sit()
    terminal.expect("Nothing to decide about.")
    assert terminal.end() == 0


def test_without_a_terminal_it_says_what_else_there_is(shell: Shell) -> None:
    shell("triage", code=2)
    assert "needs a terminal" in shell.errors
    assert "shoal triage --rules" in shell.errors
    shell("triage", "--dry-run", code=2)


def test_rules_decide_with_what_git_knows_of_the_project(shell: Shell) -> None:
    folder = shell.folder / "web"
    folder.mkdir()
    git = ["git", "-c", "user.name=ana", "-c", "user.email=ana@example.org"]
    (folder / "hot.py").write_text("x")
    (folder / "cöld.py").write_text("x")
    old = {**os.environ, "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z", "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z"}
    for arguments in (["init", "-q"], ["add", "cöld.py"], ["commit", "-qm", "old"]):
        subprocess.run([*git, *arguments], cwd=folder, env=old, check=True)
    for arguments in (["add", "hot.py"], ["commit", "-qm", "new"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True)
    (shell.home / "shoal.toml").write_text(
        f'[projects.web]\npath = "{folder}"\n[projects.gone]\npath = "nowhere"\n'
        '[triage.hot]\nthen = "accept"\nchanged_within_days = 30\n[triage.rest]\nthen = "reject"\nprojects = ["web"]\n'
    )
    for name in ("hot.py", "cöld.py"):
        shell(
            "backlog",
            "import",
            "-",
            stdin=f'{{"id": "{name}", "text": "{name}", "project": "web", "source_file": "{name}"}}',
        )
    dry = shell("triage", "--rules", "--dry-run")
    assert "This would be: 1 accepted, 1 rejected, 0 left to you" in dry
    assert "cannot ask git about gone" in shell.errors
    assert shell("triage", "--rules", "-q").split() == ["W1", "W2"]
    assert {name: (one["status"], one["decided_by"]) for name, one in fields(shell).items()} == {
        "W1": ("triaged", "rule:hot"),
        "W2": ("wontfix", "rule:rest"),
    }


def test_without_rules_it_says_how_to_write_one(shell: Shell) -> None:
    add(shell, "first")
    assert "There are no rules." in shell("triage", "--rules")
    assert shell.json("triage", "--rules")["left"] == 1
