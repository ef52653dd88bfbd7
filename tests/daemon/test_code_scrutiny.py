"""Code read by a scripted model: what becomes of its findings, and what it may cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.adapters.checks.check import Context
from shoal.daemon.checks import code_scrutiny, described, problem
from shoal.errors import BadInput, NotConfigured, Refused, ShoalError
from shoal.model.check import Check, Finding
from tests.agents.messages_api import Answer, MessagesApi, Tokens, Tool

KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
FILES = {
    "src/login.py": (
        f'AWS = "{KEY}"\n\ndef log_in(user):\n    try:\n        return check(user)\n'
        "    except Exception:\n        pass\n"
    ),
    "src/week.py": "def week_key():\n    return 1\n",
    "notes.md": "# Notes\n",
    "rubric.md": "- slow: does something twice\n",
    ".gitignore": "made.py\n",
    "made.py": "x = 1\n",
}
FLAW = {"rule": "swallowed", "line": 6, "symbol": "log_in", "severity": "warning", "message": "Nobody hears of it."}
LOGIN, WEEK = "=== src/login.py", "=== src/week.py"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesApi]:
    with MessagesApi() as api:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "anything")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        yield api


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def says(*flaws: dict[str, Any]) -> Answer:
    return Answer(tools=(Tool("final_result", {"flaws": [*flaws]}),), tokens=Tokens(1000, 100))


def look(root: Path, *, day: int = 0, **options: Any) -> tuple[list[Finding], list[str], ShoalError | None]:
    warned: list[str] = []
    given = code_scrutiny.Options(**options)
    context = Context(root=root, options=given, warn=warned.append, now_ms=day * code_scrutiny.DAY_MS)
    found: list[Finding] = []
    try:
        found.extend(code_scrutiny.run(context))
    except ShoalError as error:
        return found, warned, error
    return found, warned, None


def test_flaws_are_findings_with_line_severity_and_a_lasting_key(api: MessagesApi, root: Path) -> None:
    api.script(LOGIN, says(FLAW))
    api.script(WEEK, says())
    found, warned, error = look(root)
    assert error is None
    [one] = found
    assert (one.file, one.line, one.rule, one.severity, one.key) == (
        *("src/login.py", 6, "swallowed", "warning", "log_in"),
    )
    assert warned == ["0.003 USD"]
    sent = str(api.served(LOGIN)[0].body)
    assert KEY not in sent
    assert "    6      except Exception:" in sent
    assert "swallowed: an error that nobody hears of" in sent


def test_line_that_is_not_there_is_asked_for_again(api: MessagesApi, root: Path) -> None:
    api.script(LOGIN, says(FLAW | {"line": 600}), says(FLAW))
    found, _, error = look(root, paths=["src/login.py"])
    assert ([one.line for one in found], error) == ([6], None)


def test_own_rubric_is_what_is_asked(api: MessagesApi, root: Path) -> None:
    api.script(WEEK, says(), says())
    look(root, paths=["src/week.py"], rubric_file="rubric.md")
    look(root, paths=["src/week.py"], rubric="ugly: not nice")
    first, second = (str(one.body["system"]) for one in api.served(WEEK))
    assert "does something twice" in first
    assert "ugly: not nice" in second
    _, _, error = look(root, rubric_file="none.md")
    assert isinstance(error, BadInput)


def test_money_ends_the_look_before_it_is_passed_and_nothing_counts_as_gone(api: MessagesApi, root: Path) -> None:
    found, _, error = look(root, max_usd=0.01)
    assert (found, api.strays) == ([], [])
    assert isinstance(error, Refused)
    assert "2 of 2 files were not read this time, so nothing counts as gone" in error.message


def test_next_files_have_their_turn_each_day(api: MessagesApi, root: Path) -> None:
    api.script(LOGIN, says(FLAW))
    api.script(WEEK, says())
    assert len(look(root, max_files=1, day=0)[0]) == 1
    found, _, error = look(root, max_files=1, day=1)
    assert (found, len(api.served(WEEK))) == ([], 1)
    assert isinstance(error, Refused)


def test_file_about_which_nothing_is_said_is_not_done(api: MessagesApi, root: Path) -> None:
    api.script(LOGIN, Answer(status=400))
    api.script(WEEK, says(FLAW | {"line": 1}))
    found, warned, error = look(root)
    assert [one.file for one in found] == ["src/week.py"]
    assert warned[0].startswith("src/login.py: anthropic:claude-haiku-4-5 refused")
    assert isinstance(error, Refused)


def test_it_can_be_asked_for_by_its_name_and_options() -> None:
    about = described("code-scrutiny")
    assert set(about.options) == {"paths", "rubric", "rubric_file", "model", "max_usd", "max_files"}
    assert problem(Check(name="code-scrutiny", options={"rubric_file": "a.md", "max_usd": 2})) is None
    assert problem(Check(name="code-scrutiny", options={"max_usd": "much"})) is not None


def test_without_a_model_it_says_what_is_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    _, _, error = look(root)
    assert isinstance(error, NotConfigured)
    assert "set ANTHROPIC_API_KEY" in error.message
