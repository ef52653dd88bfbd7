"""What files, checks and people have written reaches no terminal as an order to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.test_tree import git
from tests.cli.shell import Shell

ORDER = "\x1b]0;mine\x07\x1b[2J\x9b31m\u202e\r\x08"
SETTINGS = """
[projects.pond]
path = "../pond"
[triage.pump]
then = "accept"
changed_within_days = 3000
"""
COMMANDS = [
    ("scan", "pond", "--project", "other", "--explain", "--dry-run"),
    ("scan", "pond", "--comments", "--write-back"),
    ("triage", "--rules", "--dry-run"),
    ("backlog", "list"),
    ("backlog", "consolidate"),
    ("item", "show", "W1"),
    ("item", "history", "W1"),
    ("scope", "W1", "--dry-run"),
    ("check", "run", "doc-health", "--project", "pond"),
    ("check", "run", "convention-scan", "--project", "pond"),
    ("check", "run", "own", "--command", "./say.sh", "--path", "pond"),
]


@pytest.fixture
def pond(shell: Shell) -> Path:
    root = shell.folder / "pond"
    root.mkdir()
    (root / "TODO.md").write_text(f"- [ ] Mend {ORDER} the pump\n- [ ] Paint {ORDER} the fence\n", newline="")
    (root / f"x{ORDER}.md").write_text("- [ ] One\n")
    (root / "pump.py").write_text(f"x = 1  # TODO: mend {ORDER} it\n", newline="")
    (root / "README.md").write_text(f"See [it](docs/{ORDER}.md) and `src/{ORDER}/gone.py`.\n", newline="")
    (root / "conventions.toml").write_text(
        '[[forbid]]\nname = "no-todo"\nfiles = ["*.py"]\npattern = "TODO"\nmessage = "no \\u001b[2J"\n'
    )
    say = root / "say.sh"
    finding = '{"rule": "own", "message": "bad \\\\u001b[2J", "file": "a\\\\u001b[2J.md"}'
    say.write_text(f"#!/bin/sh\nprintf '{finding}\\n\\033[2J\\n'\n")
    say.chmod(0o755)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", f"On {ORDER}")
    with open(shell.home / "shoal.toml", "a") as file:
        file.write(SETTINGS)
    shell("scan", "pond", "-q")
    shell("item", "accept", "W1")
    return root


@pytest.mark.usefixtures("pond")
def test_no_terminal_is_given_orders(shell: Shell) -> None:
    for command in COMMANDS:
        shown = shell(*command, code=1 if "own" in command else 0)
        assert shown + shell.errors, command
        for text in (shown, shell.errors):
            told = [one for one in text if not one.isprintable() and one != "\n"]
            assert not told, f"{command}: {told} in {text!r}"


@pytest.mark.usefixtures("pond")
def test_errors_give_no_orders(shell: Shell) -> None:
    for command, code in ((("item", "show", f"W{ORDER}1"), 3), (("scan", f"none{ORDER}"), 2)):
        shell(*command, code=code)
        assert "error" in shell.errors
        assert all(one.isprintable() or one == "\n" for one in shell.errors), shell.errors
