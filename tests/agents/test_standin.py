"""The stand-in for people without a key: it works, and is understood like Claude Code."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from shoal.adapters.agents import agent
from shoal.adapters.agents.agent import Agent, Assignment
from shoal.model.session import Finished, Item, Said, Spent, Started, ToolBegun, ToolEnded
from shoal.settings import AgentSettings, Settings
from tests.fleet import environment

ROOT = Path(__file__).parents[2]


def standin(seconds: float = 0.0) -> Agent:
    program = [sys.executable, str(ROOT / "examples/standin.py"), "--seconds", str(seconds)]
    return agent(AgentSettings(kind="claude", program=program))


def start(
    chosen: Agent, folder: Path, text: str = "# Fix the login\n\nPlease.", **given: str
) -> subprocess.Popen[bytes]:
    assignment = Assignment(
        folder=folder, home=folder.parent / "home", system="Rules.", text=text, claim=b"{}", **given
    )
    task = {"SHOAL_TASK_ID": "T42", "SHOAL_TASK_TITLE": "Fix the login; rm -rf $HOME 'now'"}
    process = subprocess.Popen(
        chosen.command(assignment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=folder,
        env=environment(**chosen.environment(assignment), **task),
    )
    assert process.stdin is not None
    process.stdin.write(chosen.opening(assignment))
    process.stdin.flush()
    return process


def follow(chosen: Agent, process: subprocess.Popen[bytes], *, tell: str | None = None) -> list[Item]:
    """All that it says; as a worker does, tell it something after its first word, and close when it is over."""
    assert process.stdin is not None
    assert process.stdout is not None
    items: list[Item] = []
    for line in process.stdout:
        for item in chosen.read(line):
            items.append(item)
            if tell is not None and isinstance(item, ToolBegun):
                process.stdin.write(chosen.message(tell))
                process.stdin.flush()
                tell = None
            if chosen.is_over(item):
                process.stdin.close()
    process.stdout.close()
    assert process.wait(10) == 0
    return items


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    git(folder, "init", "-q")
    return folder


def test_writes_a_file_and_commits_it(repository: Path) -> None:
    chosen = standin()
    items = follow(chosen, start(chosen, repository))

    [name] = git(repository, "ls-files").split()
    assert name == "t42-fix-the-login-rm-rf-home-now.md"
    assert git(repository, "status", "--short") == ""
    assert git(repository, "log", "--format=%s").splitlines() == [f"T42: add {name}"]
    assert "T42" in (repository / name).read_text()
    [started] = [item for item in items if isinstance(item, Started)]
    assert started.model == "scripted"
    begun = {item.tool_call_id: item.name for item in items if isinstance(item, ToolBegun)}
    assert list(begun.values()) == ["Bash", "Write", "Bash", "Bash"]
    assert {item.tool_call_id: item.error for item in items if isinstance(item, ToolEnded)} == dict.fromkeys(begun)
    assert "scripted" in next(item.text for item in items if isinstance(item, Said) and item.role == "assistant")
    calls = [item.usage for item in items if isinstance(item, Spent)]
    assert len({usage.request_key for usage in calls}) == len(calls) == 6
    assert all(usage.output_tokens > 0 for usage in calls)
    last = items[-1]
    assert isinstance(last, Finished)
    assert (last.ok, last.cost_usd_micros, last.turns) == (True, 0, 6)
    assert last.text.startswith(f"Done: {name}")
    [session] = {item.provider_session for item in items if isinstance(item, Started)}
    assignment = Assignment(folder=repository, home=repository, system="", text="", claim=b"")
    assert session is not None
    assert list(chosen.transcript(assignment, session)) == [], "its sums have no more in them than its calls"


def test_goes_on_with_a_session(repository: Path) -> None:
    first, second = standin(), standin()
    [session] = [item.provider_session for item in follow(first, start(first, repository)) if isinstance(item, Started)]
    assert session is not None
    items = follow(second, start(second, repository, resumes=session))

    assert [item.provider_session for item in items if isinstance(item, Started)] == [session]
    assert len(git(repository, "log", "--format=%s").splitlines()) == 2
    assert any("before" in item.text for item in items if isinstance(item, Said))


def test_hears_what_it_is_told_while_it_works(repository: Path) -> None:
    chosen = standin(seconds=3)
    items = follow(chosen, start(chosen, repository), tell="Mind the gap.")

    [file] = repository.glob("*.md")
    assert "> Mind the gap." in file.read_text()
    assert any(item.role == "user" and item.text == "Mind the gap." for item in items if isinstance(item, Said))


def test_works_without_a_repository(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    chosen = standin()
    items = follow(chosen, start(chosen, tmp_path / "work"))

    assert len(list((tmp_path / "work").glob("*.md"))) == 1
    assert [item.ok for item in items if isinstance(item, Finished)] == [True]


def test_works_in_the_first_of_several_checkouts(tmp_path: Path) -> None:
    for name in ("app", "lib"):
        (tmp_path / "work" / name).mkdir(parents=True)
        git(tmp_path / "work" / name, "init", "-q")
    chosen = standin()
    follow(chosen, start(chosen, tmp_path / "work"))

    assert len(git(tmp_path / "work/app", "ls-files").split()) == 1


def test_its_configuration_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    written = tomllib.loads((ROOT / "examples/standin.toml").read_text())
    settings = msgspec.convert(written, Settings)
    monkeypatch.chdir(ROOT)
    chosen = agent(settings.agents["standin"])
    assignment = Assignment(folder=Path("/"), home=Path("/"), system="", text="", claim=b"")
    assert os.path.isabs(chosen.command(assignment)[1])
