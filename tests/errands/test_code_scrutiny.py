"""Code read by a scripted model: what becomes of its findings, and what it may cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shoal.adapters.checks.check import Context
from shoal.adapters.llm import scrutineer
from shoal.adapters.llm.model import DEFAULT, most_used
from shoal.adapters.screens.secrets import redacted
from shoal.errands.checks import code_scrutiny, described, problem
from shoal.errands.scoping import cost_of
from shoal.errors import BadInput, NotConfigured
from shoal.ledger.connect import open_ledger
from shoal.model.check import Check, Finding
from shoal.model.cost import dollars
from shoal.settings import BacklogSettings, Settings
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


def says(*flaws: dict[str, Any], model: str | None = None) -> Answer:
    return Answer(tools=(Tool("final_result", {"flaws": [*flaws]}),), tokens=Tokens(1000, 100), model=model)


def most(path: str) -> list[int]:
    """The most that each call about a file may cost."""
    asked = scrutineer.question(path, redacted(FILES[path]))
    calls = most_used(DEFAULT, scrutineer.SYSTEM + scrutineer.RUBRIC, asked)
    return [cost_of([one]) or 0 for one in calls]


class Looked(NamedTuple):
    """What came of a look: `partial` says why it did not see everything."""

    found: list[Finding]
    warned: list[str]
    partial: list[str]
    spent: list[tuple[str, str | None, str | None, int | None]]


def look(root: Path, *, day: int = 0, settings: Settings = Settings(), **options: Any) -> Looked:  # noqa: B008
    warned: list[str] = []
    partial: list[str] = []
    given = code_scrutiny.Options(**options)
    with open_ledger(str(root / "ledger.db"), settings=Settings(), actor="ana", create=True) as ledger:
        context = Context(
            root=root,
            options=given,
            project="web",
            settings=settings,
            ledger=ledger,
            warn=warned.append,
            partial=partial.append,
            now_ms=day * code_scrutiny.DAY_MS,
        )
        found = list(code_scrutiny.run(context))
        spent = [(one.purpose.value, one.check, one.project, one.cost_usd_micros) for one in ledger.costs.list()]
    return Looked(found, warned, partial, spent)


def test_flaws_are_findings_with_line_severity_and_a_lasting_key(api: MessagesApi, root: Path) -> None:
    api.script(LOGIN, says(FLAW))
    api.script(WEEK, says())
    found, warned, partial, spent = look(root)
    assert partial == []
    [one] = found
    assert (one.file, one.line, one.rule, one.severity, one.key) == (
        *("src/login.py", 6, "swallowed", "warning", "log_in"),
    )
    assert warned == ["0.003 USD"]
    assert spent == [("check", "code-scrutiny", "web", 1500)] * 2
    sent = str(api.served(LOGIN)[0].body)
    assert KEY not in sent
    assert "    6      except Exception:" in sent
    assert "swallowed: an error that nobody hears of" in sent


def test_model_of_the_settings_is_asked(api: MessagesApi, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    api.script(LOGIN, says(FLAW))
    settings = Settings(backlog=BacklogSettings(base_url=api.url))
    assert [one.line for one in look(root, settings=settings, paths=["src/login.py"]).found] == [6]


def test_files_of_settings_are_read_by_their_own_rule(api: MessagesApi, root: Path) -> None:
    password = "Xk29" + "vLq8ZtRw"
    (root / "config.yaml").write_text(f"password: {password}\n")
    (root / "PROD.ENV").write_text("a=1\n")
    (root / "rubric.yaml").write_text(f"wrong: {password}\npassword: {password[::-1]}\n")
    api.script("=== config.yaml", says())
    looked = look(root, paths=["config.yaml", "*.ENV"], rubric_file="rubric.yaml")
    [served] = api.served("=== config.yaml")
    assert (looked.partial, api.strays) == ([], [])
    assert "password: [secret: " in str(served.body["messages"])
    assert password not in str(served.body["messages"])
    assert password[::-1] not in str(served.body)


def test_line_that_is_not_there_is_asked_for_again(api: MessagesApi, root: Path) -> None:
    api.script(LOGIN, says(FLAW | {"line": 600}), says(FLAW))
    looked = look(root, paths=["src/login.py"])
    assert ([one.line for one in looked.found], looked.partial, len(looked.spent)) == ([6], [], 2)


def test_own_rubric_is_what_is_asked(api: MessagesApi, root: Path) -> None:
    api.script(WEEK, says(), says())
    look(root, paths=["src/week.py"], rubric_file="rubric.md")
    look(root, paths=["src/week.py"], rubric="ugly: not nice")
    first, second = (str(one.body["system"]) for one in api.served(WEEK))
    assert "does something twice" in first
    assert "ugly: not nice" in second
    with pytest.raises(BadInput):
        look(root, rubric_file="none.md")


def test_money_ends_the_look_before_it_is_passed_which_is_partial_then(api: MessagesApi, root: Path) -> None:
    looked = look(root, max_usd=0.01)
    assert (looked.found, api.strays) == ([], [])
    [why] = looked.partial
    assert why.startswith("2 of 2 files were not read this time: raise max_usd")


@pytest.mark.parametrize("model", [None, "bedrock/claude-9"])
def test_money_is_counted_over_all_files_of_a_look(api: MessagesApi, root: Path, model: str | None) -> None:
    api.script(LOGIN, *[says(model=model)] * 2)
    api.script(WEEK, says(model=model))
    first = most("src/login.py")[0] if model else 1500
    looked = look(root, max_usd=(first + sum(most("src/week.py")) - 1) / 1e6)
    assert (len(api.served(LOGIN)), len(api.served(WEEK)), len(looked.partial)) == (1, 0, 1)
    told = ", 1 without a price, reckoned at the most that may have been" if model else ""
    assert looked.warned == [f"{dollars(first)} USD{told}"]
    looked = look(root, max_usd=(first + sum(most("src/week.py"))) / 1e6)
    assert (looked.partial, len(api.served(WEEK))) == ([], 1)


def test_next_files_have_their_turn_each_day(api: MessagesApi, root: Path) -> None:
    api.script(LOGIN, says(FLAW))
    api.script(WEEK, says())
    assert len(look(root, max_files=1, day=0).found) == 1
    looked = look(root, max_files=1, day=1)
    assert (looked.found, len(api.served(WEEK)), len(looked.partial)) == ([], 1, 1)


def test_file_about_which_nothing_is_said_is_not_done(api: MessagesApi, root: Path) -> None:
    api.script(LOGIN, Answer(status=400))
    api.script(WEEK, says(FLAW | {"line": 1}))
    looked = look(root)
    assert [one.file for one in looked.found] == ["src/week.py"]
    assert looked.warned[0].startswith("src/login.py: anthropic:claude-haiku-4-5 refused")
    assert looked.partial[0].startswith("1 of 2 files were not read this time")
    assert len(looked.spent) == 1


def test_it_can_be_asked_for_by_its_name_and_options() -> None:
    about = described("code-scrutiny")
    assert set(about.options) == {"paths", "rubric", "rubric_file", "model", "max_usd", "max_files"}
    assert problem(Check(name="code-scrutiny", options={"rubric_file": "a.md", "max_usd": 2})) is None
    assert problem(Check(name="code-scrutiny", options={"max_usd": "much"})) is not None


def test_without_a_model_it_says_what_is_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(NotConfigured, match="set ANTHROPIC_API_KEY"):
        look(root)
