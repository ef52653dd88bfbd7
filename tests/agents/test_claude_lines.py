"""What is read from the lines of Claude Code, and how it is started; without the program. With it: test_claude.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.adapters.agents.agent import Assignment, Malformed
from shoal.adapters.agents.claude import Claude
from shoal.errors import AgentError
from shoal.model.cost import Usage
from shoal.model.session import Finished, Item, Said, Spent, Started, ToolBegun, ToolEnded
from shoal.settings import AgentSettings, WorkflowSettings
from tests.conftest import START_MS, FakeClock

SESSION = "30ac053c-e6e5-4255-8a59-c9344f171423"
HERE = {"session_id": SESSION, "parent_tool_use_id": None, "uuid": "u1"}
BEGUN = {"input_tokens": 100, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 1000, "output_tokens": 3}


def claude(**given: Any) -> Claude:
    return Claude(AgentSettings(**given), clock=FakeClock())


def read(*lines: dict[str, Any], agent: Claude | None = None) -> list[Item]:
    agent = agent or claude()
    return [item for line in lines for item in agent.read(json.dumps(line).encode() + b"\n")]


def message(*content: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {
        "id": "msg_1",
        "role": "assistant",
        "model": "m",
        "content": list(content),
        "stop_reason": None,
        "usage": BEGUN,
    }
    return {"type": "assistant", "message": body} | HERE | more


def result_of(tool: str, content: Any, **more: Any) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": tool, "content": content} | more
    told = {"type": "user", "message": {"role": "user", "content": [block]}, "timestamp": "2027-01-15T08:00:02.500Z"}
    return told | HERE


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "stream_event", "event": {"type": kind} | more} | HERE


def start(name: str = "msg_1", **usage: int) -> dict[str, Any]:
    return event("message_start", message={"id": name, "model": "m", "content": [], "usage": BEGUN | usage})


def usage(name: str = "msg_1", **counts: int) -> Usage:
    return Usage(request_key=f"{SESSION}:{name}", provider="anthropic", model="m", **counts)


def assignment(folder: Path, **given: Any) -> Assignment:
    return Assignment(
        **({"folder": folder, "home": folder / "run", "system": "Be good.", "text": "Do.", "claim": b""} | given)
    )


def test_call_is_told_once_and_with_the_output_of_its_end() -> None:
    block = {"type": "text", "text": "Hello."}
    told = read(
        start(),
        message(block),
        message({"type": "thinking", "thinking": "Hm."}, uuid="u2"),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 50}),
        event("message_stop"),
    )
    expected = usage(input_tokens=100, output_tokens=50, cache_read_tokens=1000, cache_write_tokens=20)
    assert [item.usage for item in told if isinstance(item, Spent)] == [expected]
    assert [item for item in told if isinstance(item, Said)] == [
        Said("u1", "assistant", "Hello.", START_MS),
        Said("u2", "reasoning", "Hm.", START_MS),
    ]


def test_figures_that_are_told_again_at_the_end_replace_the_first_ones() -> None:
    delta = {"input_tokens": 7, "cache_read_input_tokens": 0, "cache_creation_input_tokens": None, "output_tokens": 0}
    told = read(start(), event("message_delta", usage=delta), event("message_stop"))
    assert told == [Spent(usage(input_tokens=7, output_tokens=0, cache_read_tokens=1000, cache_write_tokens=20))]


def test_answer_that_did_not_come_in_parts_is_counted_from_its_line() -> None:
    whole = message({"type": "text", "text": "All."})
    whole["message"]["stop_reason"] = "end_turn"
    assert [item for item in read(whole, whole) if isinstance(item, Spent)] == [
        Spent(usage(input_tokens=100, output_tokens=3, cache_read_tokens=1000, cache_write_tokens=20))
    ]


def test_tool_is_told_with_previews_and_its_duration() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "x" * 600}}
    begun, ended = read(message(call), result_of("toolu_1", [{"type": "text", "text": "one"}, {"type": "image"}]))
    assert isinstance(begun, ToolBegun)
    assert (len(begun.arguments), begun.arguments[:14], begun.at) == (500, '{"command": "x', START_MS)
    assert ended == ToolEnded("toolu_1", "one\n[image]", None, 2500, START_MS + 2500)


@pytest.mark.parametrize("given", ["ducks \U0001f41f", "ducks \\ud83d alone", "a\\\\u0041"])
def test_arguments_are_shown_as_they_are_read(given: str) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": given}}
    [begun] = read(message(call))
    assert isinstance(begun, ToolBegun)
    assert json.loads(begun.arguments) == {"command": given}
    assert ("\U0001f41f" in begun.arguments) is ("\U0001f41f" in given)


def test_failed_tool_has_an_error_and_no_result() -> None:
    (ended,) = read(result_of("toolu_1", "<tool_use_error>No such tool</tool_use_error>", is_error=True))
    assert ended == ToolEnded("toolu_1", "", "No such tool", None, START_MS + 2500)


@pytest.mark.parametrize(("content", "text"), [(None, ""), ([], ""), ({"a": 1}, '{"a": 1}'), ("a\x00b", "a�b")])
def test_results_of_any_shape_have_a_preview(content: Any, text: str) -> None:
    (ended,) = read(result_of("toolu_1", content))
    assert isinstance(ended, ToolEnded)
    assert ended.result == text


def test_sub_agents_speak_only_by_their_tools() -> None:
    call = {"type": "tool_use", "id": "toolu_2", "name": "Read", "input": {}}
    told = read(message({"type": "text", "text": "psst"}, call, parent_tool_use_id="toolu_1"))
    assert [type(item) for item in told] == [ToolBegun]


def test_start_is_told_again_only_when_the_model_changes() -> None:
    init = {"type": "system", "subtype": "init", "session_id": SESSION, "model": "m", "tools": ["Bash"]}
    assert read(init, init, init | {"model": "n"}) == [Started(SESSION, "m"), Started(SESSION, "n")]


def test_end_says_what_the_run_cost_and_why_it_failed() -> None:
    end = {
        "type": "result",
        "subtype": "error_max_turns",
        "is_error": True,
        "errors": ["Too long"],
        "total_cost_usd": 0.1234567,
    }
    agent = claude()
    assert read(start("a"), start("b"), end, agent=agent) == [Finished(False, "", "Too long", 2, 123_457, True)]
    assert agent.is_over(Finished(False))
    assert not agent.is_over(Started())


def test_sums_beyond_the_calls_are_one_more_for_each_model(tmp_path: Path) -> None:
    agent = claude(env={"HOME": str(tmp_path)})
    sums = {
        "m-20260101": {
            "inputTokens": 150,
            "outputTokens": 9,
            "cacheReadInputTokens": 1000,
            "cacheCreationInputTokens": 20,
        },
        "small[1m]": {"inputTokens": 5, "outputTokens": 6, "costUSD": 0.5},
        "unused": {},
    }
    end = {"type": "result", "subtype": "success", "is_error": False, "result": "Done.", "modelUsage": sums}
    read(
        {"type": "system", "subtype": "init", "session_id": SESSION, "model": "m"},
        start(),
        event("message_delta", usage={"output_tokens": 8}),
        event("message_stop"),
        end,
        agent=agent,
    )
    rest = [item.usage for item in agent.transcript(assignment(tmp_path), SESSION) if isinstance(item, Spent)]
    assert [(one.model, one.input_tokens, one.output_tokens, one.cache_read_tokens) for one in rest] == [
        ("m-20260101", 50, 1, 0),
        ("small[1m]", 5, 6, 0),
    ]
    assert len({one.request_key for one in rest}) == 2
    assert list(agent.transcript(assignment(tmp_path), SESSION)) == [Spent(one) for one in rest]


@pytest.mark.parametrize(
    "line",
    [
        {"type": "rate_limit_event", "rate_limit_info": {}},
        {"type": "system", "subtype": "task_progress", "error": {"any": "thing"}},
        {"type": "system"},
        event("ping"),
        event("content_block_delta", delta={"type": "text_delta", "text": "H"}),
        event("message_stop"),
        {"type": "user", "message": {"role": "user", "content": "[Request interrupted by user]"}} | HERE,
    ],
)
def test_harmless_lines_say_nothing(line: dict[str, Any]) -> None:
    assert read(line) == []


@pytest.mark.parametrize(
    "line",
    [b"Warning: something\n", b"[]", b"{}", b'{"type": "news"}', b'{"type": 3}', b'{"type": "assistant", "message": 1}',
     b'{"type": "assistant", "message": {"content": [{}]}}', b"\xff", b"[" * 100_000,
     json.dumps(result_of("two\nlines", "x")).encode(), json.dumps(start(input_tokens=-1)).encode()],
)  # fmt: skip
def test_other_lines_are_malformed(line: bytes) -> None:
    with pytest.raises(Malformed):
        claude().read(line)


def test_empty_line_says_nothing() -> None:
    assert list(claude().read(b"\n")) == []


WORDS = st.sampled_from(
    ["assistant", "user", "system", "result", "stream_event", "attachment", "init", "api_retry", "tool_use", "text",
     "tool_result", "thinking", "message_start", "message_delta", "message_stop", "success", "<synthetic>", "prompt",
     "toolu_1", "2027-01-15T08:00:00Z", "0001-01-01T00:00:00", ""]
)  # fmt: skip
KEYS = st.sampled_from(
    ["type", "subtype", "message", "content", "event", "usage", "id", "name", "input", "tool_use_id", "is_error",
     "uuid", "session_id", "sessionId", "timestamp", "text", "thinking", "model", "stop_reason", "modelUsage",
     "total_cost_usd", "result", "errors", "attachment", "commandMode", "prompt", "source_uuid", "input_tokens",
     "output_tokens", "inputTokens", "isReplay", "promptSource", "isSidechain", "parent_tool_use_id", "attempt",
     "error"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
TYPES = ["assistant", "user", "system", "result", "stream_event", "attachment"]
LINES = st.builds(
    lambda more, kind: more | {"type": kind}, st.dictionaries(KEYS, VALUES, max_size=4), st.sampled_from(TYPES)
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.binary(max_size=60) | LINES.map(lambda line: json.dumps(line).encode()), max_size=3))
def test_whatever_the_bytes_they_are_items_that_a_ledger_takes_or_malformed(lines: list[bytes]) -> None:
    agent = claude()
    for line in lines:
        try:
            items = list(agent.read(line))
        except Malformed:
            continue
        for item in items:
            assert msgspec.convert(msgspec.to_builtins(item), Item) == item


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_true_lines_with_a_value_replaced_are_items_or_malformed(data: st.DataObject) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}
    retry = {"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 2, "error_status": 5, "error": "x"}
    sums = {"total_cost_usd": 1.5, "modelUsage": {"m": {"inputTokens": 1}}}
    lines = [
        {"type": "system", "subtype": "init", "session_id": SESSION, "model": "m"}, retry | HERE,
        start(), message({"type": "text", "text": "a"}, call), result_of("toolu_1", "r", is_error=True),
        event("message_delta", usage={"output_tokens": 8}), event("message_stop"),
        {"type": "attachment", "attachment": {"commandMode": "prompt", "source_uuid": "u", "prompt": "p"}},
        {"type": "result", "subtype": "success", "result": "r"} | sums,
    ]  # fmt: skip
    agent = claude()
    for line in lines:
        place: Any = json.loads(json.dumps(line))
        whole = place
        while True:
            name = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
            if not isinstance(place[name], dict | list) or not place[name] or data.draw(st.booleans()):
                break
            place = place[name]
        place[name] = data.draw(VALUES)
        try:
            items = list(agent.read(json.dumps(whole).encode()))
        except Malformed:
            continue
        for item in items:
            assert msgspec.convert(msgspec.to_builtins(item), Item) == item


def test_transcript_passes_over_what_it_cannot_read(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "projects" / "-work"
    folder.mkdir(parents=True)
    line = message({"type": "text", "text": "Hi."}, sessionId=SESSION, timestamp="2027-01-15T08:00:00Z")
    lines = [b"not JSON", b'{"type": "news"}', json.dumps(line).encode(), json.dumps(line).encode()[:50]]
    (folder / f"{SESSION}.jsonl").write_bytes(b"\n".join(lines))
    agent = claude(env={"CLAUDE_CONFIG_DIR": str(tmp_path / "config")})
    told = list(agent.transcript(assignment(tmp_path), SESSION))
    assert [type(item) for item in told] == [Said, Spent]
    assert list(agent.transcript(assignment(tmp_path), "../" + SESSION)) == []
    assert list(agent.transcript(assignment(tmp_path), "*")) == []


def test_message_is_one_line_and_never_a_command() -> None:
    line = claude().message("/clear\nnow")
    assert line.count(b"\n") == 1
    assert json.loads(line)["message"]["content"] == [{"type": "text", "text": " /clear\nnow"}]


def test_program_that_is_not_installed_is_an_error_that_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="npm install -g @anthropic-ai/claude-code"):
        claude(env={"PATH": str(tmp_path)}).command(assignment(tmp_path))
    with pytest.raises(AgentError, match="mend `program`"):
        claude(program=["no-such-claude"]).command(assignment(tmp_path))


def command(folder: Path, *, workflow: WorkflowSettings | None = None, **configured: Any) -> list[str]:
    agent = claude(**({"program": ["/bin/true"]} | configured))
    return agent.command(assignment(folder, workflow=workflow or WorkflowSettings(), model="fast"))


def test_settings_become_arguments(tmp_path: Path) -> None:
    words = command(tmp_path, model="slow", max_turns=7, max_usd=1.5, args=["--effort", "high"])
    assert words[:2] == ["/bin/true", "-p"]
    assert {"--model=fast", "--max-turns=7", "--max-budget-usd=1.5"} <= set(words)
    assert words[-2:] == ["--effort", "high"]
    (system,) = [Path(word.partition("=")[2]) for word in words if word.startswith("--append-system-prompt-file")]
    assert system.read_text() == "Be good."


def test_permissions_are_the_args_where_these_decide(tmp_path: Path) -> None:
    assert "--permission-mode=dontAsk" in command(tmp_path)
    assert "--dangerously-skip-permissions" not in command(tmp_path)
    own = command(tmp_path, args=["--permission-mode", "plan"])
    assert "--permission-mode=dontAsk" not in own
    assert "--allowedTools" not in own


def test_workflow_that_limits_the_tools_is_never_overruled(tmp_path: Path) -> None:
    limited = WorkflowSettings(allowed_tools=["Bash(git *)", "Bash(make)", "Read", "mcp__github"])
    words = command(tmp_path, workflow=limited)
    assert "--tools=Bash,Read" in words
    assert words[words.index("--allowedTools") + 1 :] == ["Bash(git *)", "Bash(make)", "Read", "mcp__github"]
    assert "--tools=" in command(tmp_path, workflow=WorkflowSettings(allowed_tools=[]))
    for args in (["--dangerously-skip-permissions"], ["--permission-mode=bypassPermissions"]):
        with pytest.raises(AgentError, match="take that out"):
            command(tmp_path, workflow=limited, args=args)
    with pytest.raises(AgentError, match="no tool"):
        command(tmp_path, workflow=WorkflowSettings(allowed_tools=["--dangerously-skip-permissions"]))


def test_environment_takes_the_worker_s_own_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", raising=False)
    monkeypatch.setenv("SHOAL_TEST_KEY", "secret")
    agent = claude(env={"KEY": "$SHOAL_TEST_KEY", "A": "1", "B": "1", "PRICE": "$ 5"})
    given = agent.environment(assignment(tmp_path, workflow=WorkflowSettings(env={"B": "2"})))
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    assert given == quiet | {"KEY": "secret", "A": "1", "B": "2", "PRICE": "$ 5"}
    with pytest.raises(AgentError, match=r"\$SHOAL_NO_SUCH"):
        claude(env={"KEY": "$SHOAL_NO_SUCH"}).environment(assignment(tmp_path))
