"""`shoal scope` as people run it, with a scripted model."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents.messages_api import Answer, MessagesApi, Tokens, Tool
from tests.cli.pty_terminal import Terminal
from tests.cli.shell import Shell
from tests.conftest import wait_until
from tests.fleet import SHOAL, environment

FIRST, SECOND = "W1 of the project", "W2 of the project"  # words of a prompt, and of no other
KEY = {"ANTHROPIC_API_KEY": "anything"}
GOOD: dict[str, Any] = {
    "title": "Mend it", "summary": "s", "effort": "small", "risk": "low", "files_involved": [], "sub_tasks": [],
    "dependencies": ["Feed the birds"], "overlaps": [], "confidence": "high",
}  # fmt: skip
GIVEN = Answer(tools=(Tool("final_result", GOOD),), tokens=Tokens(1000, 100))


@pytest.fixture
def api() -> Iterator[MessagesApi]:
    with MessagesApi() as api:
        yield api


@pytest.fixture
def items(shell: Shell, api: MessagesApi) -> Shell:
    """Three items, two of them accepted; a project whose code is beside the home."""
    (shell.folder / "web/src").mkdir(parents=True)
    (shell.folder / "web/src/week.py").write_text("def week_key():\n    return 1\n")
    with open(shell.home / "shoal.toml", "a") as file:
        file.write(f'\n[projects.web]\npath = "../web"\n[backlog]\nbase_url = "{api.url}"\n')
    script = """
import shoal
with shoal.connect() as ledger:
    ledger.items.create(text="Mend `week_key`", project="web", accepted=True)
    ledger.items.create(text="Paint it", project="web", accepted=True)
    ledger.items.create(text="Maybe", project="web")
"""
    subprocess.run(
        [SHOAL[0], "-c", script], check=True, cwd=shell.folder, env=environment(HOME=str(shell.folder), USER="ana")
    )
    return shell


def test_named_items_are_assessed_and_told_with_their_cost(items: Shell, api: MessagesApi) -> None:
    api.script(FIRST, GIVEN)
    said = items("scope", "W1", **KEY)
    assert "Mend it" in said
    assert "1 assessed; 0.0015 USD" in said
    assert "W1: waits for 'Feed the birds': no such item" in said
    assert "1 unchanged; 0.00 USD" in items("scope", "w1", **KEY)
    items("scope", "W1", "W3", code=4, **KEY)
    assert "W3 is not accepted" in items.errors
    items("scope", code=2)


def test_dry_run_shows_what_would_be_sent_and_needs_no_key(items: Shell, api: MessagesApi) -> None:
    said = items("scope", "W1", "--dry-run")
    assert "def week_key():" in said
    assert api.strays == []
    [told] = items.json("scope", "--batch", "--limit", "1", "--dry-run")
    assert (told["item_id"], told["most_usd_micros"] > 0) == ("W2", True)


def test_batch_tells_failures_and_keeps_to_its_limit(items: Shell, api: MessagesApi) -> None:
    items("scope", "--batch", "--max-usd", "0.01", code=1, **KEY)
    assert "could pass the limit" in items.errors
    api.script(FIRST, GIVEN)
    api.script(SECOND, *[Answer(status=400)] * 3)
    said = items("scope", "--batch", code=1, **KEY)
    assert "1 assessed, 1 failed; 0.0015 USD" in said
    assert "W2 failed: anthropic:claude-haiku-4-5 refused" in items.errors
    api.script(SECOND, GIVEN)
    assert "1 assessed; 0.0015 USD" in items("scope", "--batch", "--project", "web", **KEY)
    assert "Nothing to assess" in items("scope", "--batch", **KEY)


def test_without_a_key_or_a_price_the_next_step_is_told(items: Shell) -> None:
    items("scope", "--batch", "--model", "openai-chat:homemade", code=1)
    assert "no list price of openai-chat:homemade is known" in items.errors
    settings = items.home / "shoal.toml"
    settings.write_text(settings.read_text().replace("base_url", "# base_url"))
    items("scope", "W1", code=6, ANTHROPIC_API_KEY="")
    assert "set ANTHROPIC_API_KEY in the environment" in items.errors
    assert items.json("scope", "W1", "--dry-run")[0]["unchanged"] is False


def test_bar_is_all_that_is_shown_at_a_terminal_until_the_end(items: Shell, api: MessagesApi) -> None:
    api.script(FIRST, GIVEN)
    # As a person has it: where a test runs, others do not advertise themselves.
    ours = ("CI", "PYTEST_VERSION", "PYDANTIC_AI_NO_BANNER")
    given = environment(HOME=str(items.folder), USER="ana", **KEY)
    kept = {name: value for name, value in given.items() if name not in ours}
    terminal = Terminal([*SHOAL, "scope", "W1"], folder=items.folder, environment=kept)
    try:
        shown = terminal.expect("Item")
        assert terminal.end() == 0
    finally:
        terminal.close()
    assert re.fullmatch(r"(\r\x1b\[K(\[ {24}\] 0/1  0\.00 USD  W1 Mend `week_key`)?)+(\x1b\[1m)?Item", shown), shown


def test_ctrl_c_keeps_what_is_done(items: Shell, api: MessagesApi) -> None:
    api.script(SECOND, GIVEN)
    api.script(FIRST, Answer(wait_seconds=60))
    process = subprocess.Popen(
        [*SHOAL, "scope", "--batch"], cwd=items.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(HOME=str(items.folder), USER="ana", **KEY),
    )  # fmt: skip
    try:
        wait_until(lambda: api.served(FIRST))
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, "1 assessed, 1 failed" in said, "you stopped it" in errors) == (130, True, True), errors
    assert "USD, 1 reckoned at the most that may have been" in said
    assert "Traceback" not in errors


def test_assessments_are_shown_with_what_they_said_and_cost(items: Shell, api: MessagesApi) -> None:
    assert items("item", "assessments", "W1") == "Nobody has assessed it.\n"
    api.script(FIRST, GIVEN)
    items("scope", "W1", **KEY)
    form = "effort: large\nconfidence: low\nfiles_involved: [src/week.py, src/gone.py]\nsub_tasks: [Find it, Mend it]\n"
    items("scope", "W1", "--from", "-", stdin=f"{form}overlaps: [W2]\n")
    header, _, last, first = items("item", "assessments", "W1").splitlines()
    assert header.split() == ["Version", "When", "By", "Effort", "Risk", "Sure", "Sub-tasks", "Overlaps", "USD", "Said"]
    assert [one in last for one in ("ana", "large", "low", "1. Find it; 2. Mend it", "W2")] == [True] * 5
    assert [one in first for one in ("anthropic:", "small", "high", "0.0015", "Mend it")] == [True] * 5
    whole = json.loads(items("item", "assessments", "W1", "--json"))["data"]
    assert [one["version"] for one in whole] == [2, 1]
    assert whole[0]["answer"]["sub_tasks"] == ["Find it", "Mend it"]
    shown = items("item", "show", "W1")
    assert "src/week.py, src/gone.py (not found)\n" in shown
    assert "confidence   low" in shown


def test_form_is_filled_in_by_hand(items: Shell, tmp_path: Path) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i \'s/^effort = "[a-z]*"/effort = "medium"/\' "$1"\n')
    editor.chmod(0o755)
    assert "W1 assessed: effort medium" in items("scope", "W1", "--by-hand", EDITOR=str(editor))
    items("scope", "W1", "--by-hand", code=2, EDITOR="true")
    assert "was not filled in" in items.errors
    assert "effort large" in items("scope", "W2", "--from", "-", stdin="effort: large\nfiles_involved: [src/week.py]\n")
    (tmp_path / "bad.json").write_text('{"effort": "tiny"}')
    items("scope", "W2", "--from", str(tmp_path / "bad.json"), code=2)
    items("scope", "W2", "--from", str(tmp_path / "none.json"), code=1)
    items("scope", "W2", "--from", "-", code=2, stdin="confidence: 0.8\n")
    assert "confidence: it is one of low, medium, high" in items.errors
    items("item", "add", "Nobody decided")
    opened = tmp_path / "opened"
    editor.write_text(f"#!/bin/sh\ntouch {opened}\n")
    number = items("backlog", "list", "-n", "1", "-q").strip()
    items("scope", number, "--by-hand", code=4, EDITOR=str(editor))
    assert (f"{number} is not accepted" in items.errors, opened.exists()) == (True, False)
