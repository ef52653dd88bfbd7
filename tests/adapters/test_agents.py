"""How agents are started and understood, without their programs; with them: tests/agents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shoal.adapters.agents import agent
from shoal.adapters.agents.agent import Agent, Assignment, Malformed
from shoal.adapters.agents.codex import Codex
from shoal.adapters.agents.codex_keys import CALLS, KINDS
from shoal.adapters.agents.command import LINES_KEPT, Command
from shoal.errors import AgentError
from shoal.model.cost import Usage
from shoal.model.session import Finished, Item, Said, Spent, ToolBegun, ToolEnded
from shoal.settings import AgentSettings, WorkflowSettings

THREAD = "01a1fdd0-3368-7591-bd40-2fbe843cd6e9"
# Values of every kind where another was meant: nested, huge, halves of characters, control characters.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("\ud800\x00\x1f"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ["id", "text", "message", "command", "aggregated_output", "exit_code", "status", "changes", "server", "tool"]
FIELDS += ["arguments", "result", "error", "query", "prompt", "summary_text", "content", "duration", "stdout"]
TYPES = ["thread.started", "turn.started", "item.started", "item.updated", "item.completed", "turn.completed"]
TYPES += ["turn.failed", "error", "something.new"]


def documents(kinds: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Items of known types with anything in their fields, many of the right kind."""
    right = {"id": st.text(max_size=10), "exit_code": st.integers(-1, 300), "changes": st.lists(JSON, max_size=3)}
    values = {name: right.get(name, st.text(max_size=30)) | JSON for name in FIELDS}
    return st.fixed_dictionaries({"type": st.sampled_from(kinds)}, optional=values)


def lines(kinds: list[str]) -> st.SearchStrategy[bytes]:
    item = documents(kinds) | JSON
    known = st.fixed_dictionaries(
        {"type": st.sampled_from(TYPES)},
        optional={"item": item, "thread_id": st.text(max_size=20) | JSON, "usage": JSON, "error": JSON},
    )
    whole = (known | JSON).map(lambda value: json.dumps(value).encode(errors="replace"))
    return (
        whole | st.binary(max_size=200) | whole.flatmap(lambda line: st.integers(0, len(line)).map(lambda n: line[:n]))
    )


def check(reader: Agent, line: bytes) -> list[Item]:
    """Read a line: items that the ledger takes, or Malformed."""
    try:
        items = list(reader.read(line))
    except Malformed:
        return []
    for item in items:
        assert msgspec.convert(msgspec.to_builtins(item), Item) == item
        assert msgspec.json.decode(msgspec.json.encode(item), type=Item) == item
    return items


def assignment(folder: Path, **given: Any) -> Assignment:
    values = {"folder": folder, "home": folder / "home", "system": "Rules.", "text": "Do it.", "claim": b'{"task": {}}'}
    return Assignment(**values | given)


def run(chosen: Agent, given: Assignment) -> list[Item]:
    """Start it as a worker does, and read what it says."""
    done = subprocess.run(
        chosen.command(given),
        input=chosen.opening(given),
        capture_output=True,
        cwd=given.folder,
        env=dict(os.environ) | chosen.environment(given),
        check=True,
    )
    return [item for line in done.stdout.splitlines() for item in chosen.read(line)]


@given(st.lists(lines([*CALLS, "agent_message", "reasoning", "error", "todo_list", "hologram"]), max_size=6))
@example([b"[" * 100_000])
@example([b'{"type":"item.completed","item":' + b'{"type":"mcp_tool_call","arguments":' * 5000])
@example([b'{"type":"turn.completed","usage":{"input_tokens":9007199254740992}}'])
@example([b'{"type":"error","message":"\\ud800"}'])
def test_codex_reads_any_bytes_or_says_that_they_are_malformed(written: list[bytes]) -> None:
    codex = Codex(AgentSettings(kind="codex"))
    for line in written:
        check(codex, line)


@given(st.lists(lines(["message"]), max_size=6))
@example([b'{"item": "said"}', b'{"item": {"deep": 1}}', b"{" * 100_000])
def test_command_reads_any_bytes_or_says_that_they_are_malformed(written: list[bytes]) -> None:
    command = Command(AgentSettings(kind="command"))
    for line in written:
        check(command, line)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(
                    ["event_msg", "response_item", "token_usage_record", "turn_context", "world_state"]
                )
            },
            optional={
                "timestamp": st.sampled_from(["2026-11-21T11:14:02.761Z", "0001-01-01T00:00:00Z", "soon"]) | JSON,
                "payload": JSON
                | st.fixed_dictionaries(
                    {"type": st.sampled_from(["item_completed", "task_started", "function_call", "token_count"])},
                    optional={
                        "item": documents([*KINDS, "AgentMessage", "Reasoning"]),
                        "arguments": JSON,
                        "info": JSON,
                    },
                ),
            },
        ).map(lambda value: json.dumps(value).encode(errors="replace"))
        | st.binary(max_size=50),
        max_size=8,
    )
)
def test_a_rollout_of_any_bytes_gives_items_that_the_ledger_takes(tmp_path_factory: Any, written: list[bytes]) -> None:
    home = tmp_path_factory.mktemp("codex")
    write_rollout(home, *written)
    codex = Codex(AgentSettings(kind="codex", env={"CODEX_HOME": str(home)}))
    for item in codex.transcript(assignment(home), THREAD):
        assert msgspec.json.decode(msgspec.json.encode(item), type=Item) == item


def write_rollout(home: Path, *written: bytes) -> None:
    folder = home / "sessions/2026/11/21"
    folder.mkdir(parents=True)
    (folder / f"rollout-2026-11-21T11-14-02-{THREAD}.jsonl").write_bytes(b"\n".join(written) + b"\n")


def test_tokens_of_an_older_rollout_are_counted_once_each(tmp_path: Path) -> None:
    def count(total: int, last: int) -> bytes:
        tokens = {"total_token_usage": {"input_tokens": total}, "last_token_usage": {"input_tokens": last}}
        return json.dumps({"type": "event_msg", "payload": {"type": "token_count", "info": tokens}}).encode()

    write_rollout(tmp_path, count(10, 10), count(10, 10), count(25, 15), b'{"type": "event_msg", "payload": {"half')
    codex = Codex(AgentSettings(kind="codex", env={"CODEX_HOME": str(tmp_path)}))

    spent = [item.usage for item in codex.transcript(assignment(tmp_path), THREAD) if isinstance(item, Spent)]
    assert [usage.input_tokens for usage in spent] == [10, 15]


@pytest.mark.parametrize("name", ["../../secret", "*", "", "a/b", "\x00"])
def test_a_name_of_a_session_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    write_rollout(tmp_path, b"{}")
    codex = Codex(AgentSettings(kind="codex", env={"CODEX_HOME": str(tmp_path)}))
    assert list(codex.transcript(assignment(tmp_path), name)) == []


@pytest.mark.parametrize(
    ("args", "bypasses"),
    [
        ([], True),
        (["-c", "model_reasoning_effort=high"], True),
        (["--sandbox", "workspace-write"], False),
        (["--sandbox=read-only"], False),
        (["-sread-only"], False),
        (["-c", "sandbox_mode=workspace-write"], False),
        (["-csandbox_mode=workspace-write"], False),
        (["--config=sandbox_workspace_write.network_access=true"], False),
        (["--approve-for-me"], False),
    ],
)
def test_codex_runs_without_its_sandbox_unless_the_arguments_speak_of_it(
    tmp_path: Path, args: list[str], bypasses: bool
) -> None:
    codex = Codex(AgentSettings(kind="codex", program=[sys.executable], args=args))
    words = codex.command(assignment(tmp_path, resumes=THREAD))
    assert ("--dangerously-bypass-approvals-and-sandbox" in words) == bypasses
    assert words[-3:] == ["resume", THREAD, "-"]
    assert "\n".join(args) in "\n".join(words)


def test_a_tasks_own_model_goes_before_the_agents(tmp_path: Path) -> None:
    codex = Codex(AgentSettings(kind="codex", program=[sys.executable], model="small"))
    assert "small" in codex.command(assignment(tmp_path))
    words = codex.command(assignment(tmp_path, model="large"))
    assert "large" in words
    assert "small" not in words


@pytest.mark.parametrize(("kind", "own"), [("codex", "@openai/codex")])
def test_a_program_that_is_missing_is_named_with_how_to_install_it(tmp_path: Path, kind: Any, own: str) -> None:
    chosen = agent(AgentSettings(kind=kind, env={"PATH": str(tmp_path)}))
    with pytest.raises(AgentError, match=own):
        chosen.command(assignment(tmp_path))


def test_a_command_needs_a_program(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="program ="):
        agent(AgentSettings(kind="command")).command(assignment(tmp_path))


def test_environment_takes_the_workers_own_and_the_workflows_over_the_agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "k1")
    chosen = agent(AgentSettings(kind="codex", env={"KEY": "$THE_KEY", "SHADE": "blue", "PRICE": "$5"}))
    added = chosen.environment(assignment(tmp_path, workflow=WorkflowSettings(env={"SHADE": "red"})))
    assert (added["KEY"], added["SHADE"], added["PRICE"]) == ("k1", "red", "$5")
    with pytest.raises(AgentError, match="NOWHERE"):
        agent(AgentSettings(kind="codex", env={"KEY": "$NOWHERE"})).environment(assignment(tmp_path))


PROGRAM = """
import json, os, sys
task = json.load(sys.stdin)["task"]
print("I work on", task["title"])
print()
print(json.dumps({"item": "tool_begun", "tool_call_id": "1", "name": "look"}))
print(json.dumps({"item": "tool_ended", "tool_call_id": "1", "result": "seen", "duration_ms": 5}))
usage = {"request_key": "r-1", "provider": "mine", "model": "m", "input_tokens": 3, "cost_usd_micros": 7}
print(json.dumps({"item": "spent", "usage": usage}))
print('{"just": "json"}')
print(json.dumps({"item": "finished", "ok": True, "text": open(os.environ["SHOAL_PROMPT_FILE"]).read()}))
"""


def test_a_program_gets_task_and_prompt_and_may_report_items(tmp_path: Path) -> None:
    program = tmp_path / "agent.py"
    program.write_text(PROGRAM)
    chosen = agent(AgentSettings(kind="command", program=[sys.executable, str(program)]))

    items = run(chosen, assignment(tmp_path, claim=b'{"task": {"title": "the login"}}'))

    assert [item.text for item in items if isinstance(item, Said)] == ["I work on the login", '{"just": "json"}']
    assert [item for item in items if not isinstance(item, Said)] == [
        ToolBegun(tool_call_id="1", name="look"),
        ToolEnded(tool_call_id="1", result="seen", duration_ms=5),
        Spent(Usage(request_key="r-1", provider="mine", model="m", input_tokens=3, cost_usd_micros=7)),
        Finished(ok=True, text="Rules.\n\nDo it.\n"),
    ]
    assert chosen.is_over(items[-1])
    assert not chosen.takes_messages


def test_a_program_that_goes_on_is_told_only_what_is_new(tmp_path: Path) -> None:
    chosen = agent(AgentSettings(kind="command", program=["true"], model="m"))
    added = chosen.environment(assignment(tmp_path, resumes="s-1", workflow=WorkflowSettings(allowed_tools=["a", "b"])))
    assert Path(added["SHOAL_PROMPT_FILE"]).read_text() == "Do it.\n"
    assert (added["SHOAL_RESUMES"], added["SHOAL_MODEL"], added["SHOAL_ALLOWED_TOOLS"]) == ("s-1", "m", "a b")


def test_the_items_of_the_guide_are_items() -> None:
    guide = (Path(__file__).parents[2] / "docs/guides/agents.md").read_bytes()
    command = Command(AgentSettings(kind="command"))
    shown = [line for line in guide.splitlines() if line.startswith(b'{"item"')]
    assert [type(item) for line in shown for item in command.read(line)] == list(get_args(Item))


@pytest.mark.parametrize(
    "line",
    [b'{"item": "spent"}', b'{"item": "dance"}', b'{"item": "said", "key": "", "role": "assistant", "text": "x"}'],
)
def test_an_item_that_is_wrong_is_malformed(line: bytes) -> None:
    with pytest.raises(Malformed):
        Command(AgentSettings(kind="command")).read(line)


def test_lines_of_text_are_messages_up_to_a_number() -> None:
    command = Command(AgentSettings(kind="command"))
    said = [item for number in range(LINES_KEPT + 10) for item in command.read(f"line {number}\n".encode())]
    assert len({item.key for item in said if isinstance(item, Said)}) == LINES_KEPT
    again = Command(AgentSettings(kind="command")).read(b"line 0\n")
    assert not {item.key for item in said} & {item.key for item in again}, "another run has keys of its own"


def test_paths_of_a_program_are_meant_from_where_the_worker_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/agent.sh").write_text("#!/bin/sh\n")
    (tmp_path / "bin/agent.sh").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    direct = agent(AgentSettings(kind="command", program=["bin/agent.sh", "a/b"])).command(assignment(tmp_path))
    assert direct == [str(tmp_path / "bin/agent.sh"), "a/b"]
    through = agent(AgentSettings(kind="command", program=["sh", "bin/agent.sh"])).command(assignment(tmp_path))
    assert through[1:] == [str(tmp_path / "bin/agent.sh")]
