"""Codex for real, against a scripted Responses API: what it says, what it cost, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shoal.errors import AgentError
from shoal.model.session import Finished, Item, Said, Spent, Started, ToolBegun, ToolEnded
from shoal.settings import WorkflowSettings
from tests.agents.codex_runs import Bench, Run, calls, counted
from tests.agents.programs import program
from tests.agents.responses_api import (
    MODEL,
    Call,
    Cut,
    Fail,
    Hang,
    ResponsesAPI,
    Search,
    Shell,
    Step,
    Think,
    Usage,
    answer,
    texts_of,
    tool_outputs,
)

PATCH = "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: new.txt\n+new\n*** End Patch\nEOF"
MCP_SERVER = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    answers = {
        "initialize": lambda: {
            "protocolVersion": asked["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "sums", "version": "1"},
        },
        "tools/list": lambda: {"tools": [{"name": "add", "description": "Adds.", "inputSchema": {"type": "object"}}]},
        "tools/call": lambda: {
            "content": [{"type": "text", "text": "no numbers" if not asked["params"].get("arguments") else "3"}],
            "isError": not asked["params"].get("arguments"),
        },
    }
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": answers[asked["method"]]()}), flush=True)
"""


@pytest.fixture(scope="session")
def codex_program() -> str:
    return str(program("codex"))


@pytest.fixture
def api() -> Iterator[ResponsesAPI]:
    with ResponsesAPI() as served:
        yield served


@pytest.fixture
def bench(tmp_path: Path, codex_program: str, api: ResponsesAPI) -> Bench:
    return Bench(tmp_path, codex_program, api)


def test_edits_a_file_and_answers(bench: Bench) -> None:
    run = bench.run(
        answer(
            Think(("**Look**", "**Write**")),
            "I write it.",
            Shell("echo hello > a.txt; cat a.txt"),
            usage=Usage(1000, 100, 30, 50, 20),
        ),
        answer("Done: a.txt says hello.", usage=Usage(1200, 1000, 0, 60, 10)),
    )

    assert (bench.folder / "a.txt").read_text() == "hello\n"
    assert run.process.returncode == 0
    assert run.malformed == []
    assert run.of(Started) == [Started(provider_session=run.session, model=MODEL)]
    assert [(said.role, said.text) for said in run.of(Said) if said.role != "system"] == [
        ("reasoning", "**Look**\n**Write**"),
        ("assistant", "I write it."),
        ("assistant", "Done: a.txt says hello."),
    ]
    [begun], [ended] = run.of(ToolBegun), run.of(ToolEnded)
    assert (begun.name, begun.arguments) == ("command_execution", "echo hello > a.txt; cat a.txt")
    assert (ended.tool_call_id, ended.result, ended.error) == (begun.tool_call_id, "hello\n", None)
    assert ended.duration_ms is not None
    # OpenAI's input has the cached tokens in it, ours does not.
    assert list(counted(run.items, run.transcript()).values()) == [(870, 50, 100, 30), (200, 60, 1000, 0)]
    assert {item.usage.model for item in run.of(Spent)} == {MODEL}
    assert {item.usage.provider for item in run.of(Spent)} == {"local"}
    last = run.items[-1]
    assert isinstance(last, Finished)
    assert (last.ok, last.text, last.error) == (True, "Done: a.txt says hello.", None)
    assert run.agent.is_over(last)


def test_is_told_the_system_part_apart_from_the_prompt(bench: Bench) -> None:
    system = 'You work for "Shoal".\n\tUse \\ and \x7f and \x01 and $HOME and é\n[x]\na = "b"'
    bench.run(answer("yes"), system=system)

    [request] = bench.api.requests("T1")
    assert system in texts_of(request, "developer")
    assert texts_of(request, "user")[-1] == "Do T1."
    assert system not in texts_of(request, "user")


def test_a_system_part_that_is_too_long_for_an_argument_goes_before_the_prompt(bench: Bench) -> None:
    bench.run(answer("yes"), system="word " * 30_000)

    [request] = bench.api.requests("T1")
    assert texts_of(request, "user")[-1].startswith("word word ")
    assert texts_of(request, "user")[-1].endswith("Do T1.")


def test_may_commit_in_a_worktree_and_open_sockets(bench: Bench, tmp_path: Path) -> None:
    def git(*words: str) -> None:
        author = ["-c", "user.name=ana", "-c", "user.email=ana@example.org"]
        subprocess.run(["git", *author, *words], cwd=tmp_path / "origin", check=True, capture_output=True)

    (tmp_path / "origin").mkdir()
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    git("config", "user.name", "ana")
    git("config", "user.email", "ana@example.org")
    git("worktree", "add", "-q", str(tmp_path / "tree"), "-b", "shoal/T1-x")
    listen = f"{sys.executable} -c 'import socket; socket.create_server((\"127.0.0.1\", 0))'"
    script = f"echo 1 > f && git add f && git commit -qm second && {listen} && echo fine"

    run = bench.run(answer(Shell(script)), answer("ok"), folder=tmp_path / "tree")

    [ended] = run.of(ToolEnded)
    assert ended.error is None
    assert "fine" in ended.result


def test_a_failing_command_says_its_exit_code_and_is_no_failure_of_the_run(bench: Bench) -> None:
    run = bench.run(answer(Shell("echo wrong >&2; exit 3")), answer("It failed."))

    [ended] = run.of(ToolEnded)
    assert (ended.result, ended.error) == ("wrong\n", "exit 3")
    assert run.of(Finished)[0].ok


def test_every_kind_of_tool_has_the_same_key_in_stream_and_rollout(bench: Bench, tmp_path: Path) -> None:
    server = tmp_path / "server.py"
    server.write_text(MCP_SERVER)
    run = bench.run(
        answer(Shell("echo one"), Shell("echo one"), Shell("echo \"it's\" `echo two` $HOME 'x\\y'; exit 1")),
        answer(Shell(PATCH), Search("weather")),
        answer(Call("add", {"b": 2, "a": 1}, "mcp__sums"), Call("add", {}, "mcp__sums")),
        answer(Call("no_such_tool", {}), Call("exec_command", "no json")),
        answer("ok"),
        args=["-c", f'mcp_servers.sums={{command="{sys.executable}",args=["{server}"]}}'],
    )
    transcript = run.transcript()

    streamed, written = calls(run.items), calls(transcript)
    assert sorted(name for name, _ in streamed.values()) == [
        *["command_execution"] * 3,
        "file_change",
        *["mcp__sums__add"] * 2,
        "web_search",
    ]
    # What the stream is silent about: calls that came to nothing.
    assert {name for key, (name, _) in written.items() if key not in streamed} == {"no_such_tool", "exec_command"}
    assert set(streamed) < set(written)
    assert [item.tool_call_id for item in run.of(ToolBegun)] == list(streamed), "a key comes twice"

    def ends(items: list[Item]) -> dict[str, str | None]:
        return {item.tool_call_id: item.error for item in items if isinstance(item, ToolEnded)}

    assert {key: error for key, error in ends(transcript).items() if key in streamed} == ends(run.items)
    assert sorted(filter(None, ends(run.items).values())) == ["exit 1", "failed"]
    refused = [error for key, error in ends(transcript).items() if key not in streamed]
    assert [str(error).split(":")[0] for error in refused] == [
        "unsupported call",
        "failed to parse function arguments",
    ]

    def messages(items: list[Item]) -> list[tuple[str, str]]:
        return [(item.key, item.text) for item in items if isinstance(item, Said) and item.role != "system"]

    assert messages(run.items) == messages(transcript)
    assert run.malformed == []


def test_a_resumed_session_knows_the_conversation_and_counts_nothing_twice(bench: Bench, tmp_path: Path) -> None:
    bench.api.script(
        "T1",
        answer(Shell("echo same"), usage=Usage(1000, 100, 0, 50)),
        answer("First.", usage=Usage(1100, 200, 0, 51)),
        answer(Shell("echo same"), usage=Usage(1200, 300, 0, 52)),
        answer("First.", usage=Usage(1300, 400, 0, 53)),
    )
    first = bench.start("Do T1.", system="Be brief.").end()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    second = bench.start("Go on.", system="Be brief.", resumes=first.session, folder=elsewhere).end()

    assert second.session == first.session
    third_request = bench.api.requests("T1")[2]
    assert "Be brief." in texts_of(third_request, "developer")
    assert texts_of(third_request, "assistant") == ["First."]
    assert texts_of(third_request, "user")[-1] == "Go on."
    assert "same" in tool_outputs(third_request)[0]
    # The same command and the same words in another episode are other items.
    assert not set(calls(first.items)) & set(calls(second.items))
    assert set(calls(first.items)) | set(calls(second.items)) == set(calls(second.transcript()))
    assert not {said.key for said in first.of(Said)} & {said.key for said in second.of(Said)}
    everything = counted(first.items, first.transcript(), second.items, second.transcript())
    assert list(everything.values()) == [(900, 50, 100, 0), (900, 51, 200, 0), (900, 52, 300, 0), (900, 53, 400, 0)]
    assert set(counted(first.items)) & set(counted(second.items)) == set()


def test_without_a_rollout_the_sum_of_the_turn_is_counted(bench: Bench) -> None:
    run = bench.run(
        answer(Shell("true"), usage=Usage(1000, 100, 0, 50)),
        answer("ok", usage=Usage(1100, 200, 0, 51)),
        args=["--ephemeral"],
    )

    assert list(counted(run.items, run.transcript()).values()) == [(1800, 101, 300, 0)]


def test_what_spawned_agents_used_is_counted(bench: Bench) -> None:
    bench.api.script("T2", answer("Sub-task done.", usage=Usage(700, 0, 0, 7)))
    run = bench.run(
        answer(Call("spawn_agent", {"message": "Do T2."}, "multi_agent_v1"), usage=Usage(1000, 0, 0, 10)),
        answer(
            Shell(f"until grep -rql Sub-task {bench.home}/codex/sessions; do sleep 0.1; done"), usage=Usage(output=11)
        ),
        answer("ok", usage=Usage(1000, 0, 0, 12)),
    )

    spent = counted(run.items, run.transcript())
    assert sorted(output for _, output, _, _ in spent.values()) == [7, 10, 11, 12]


def test_tokens_are_known_while_it_runs(bench: Bench) -> None:
    bench.api.script("T1", answer(Shell("true"), usage=Usage(1000, 0, 0, 50)), answer(Shell("true")), Hang())
    run = bench.start("Do T1.")
    bench.api.hanging.acquire(timeout=30)
    run.read(until=lambda _: len(run.of(ToolEnded)) >= 1)

    assert run.of(Spent)[0].usage.output_tokens == 50
    run.kill()


def test_a_run_that_hangs_is_ended_from_outside_and_can_be_resumed(bench: Bench) -> None:
    bench.api.script("T1", answer(Shell("echo one")), Hang(), answer("Went on."))
    run = bench.start("Do T1.")
    assert bench.api.hanging.acquire(timeout=30)
    run.kill()

    assert run.process.returncode == -signal.SIGKILL
    assert run.of(Finished) == []
    assert len(counted(run.items, run.transcript())) == 1
    again = bench.start("Go on.", resumes=run.session).end()
    assert again.of(Finished)[0].text == "Went on."
    assert "one" in tool_outputs(bench.api.requests("T1")[2])[0]


def test_a_command_that_was_cut_off_has_one_key(bench: Bench) -> None:
    bench.api.script("T1", answer(Shell("echo begun; exec sleep 600")))
    run = bench.start("Do T1.").read(until=lambda item: isinstance(item, ToolBegun))
    os.killpg(run.process.pid, signal.SIGINT)
    run.end()

    assert set(calls(run.transcript())) == set(calls(run.items))


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Fail(400, "too long"), "too long"),
        (Fail(401, "bad key"), "401"),
        (Fail(429, "slow down"), "429"),
        (Fail(500), "high demand"),
        (Cut(), "stream disconnected"),
    ],
    ids=["400", "401", "429", "500", "cut"],
)
def test_an_error_of_the_provider_ends_the_run_with_its_words(bench: Bench, step: Step, words: str) -> None:
    run = bench.run(answer(Shell("true")), step)

    [finished] = run.of(Finished)
    assert not finished.ok
    assert words in str(finished.error)
    assert run.process.returncode == 1
    assert len(counted(run.items, run.transcript())) == 1


def test_a_session_that_is_gone_cannot_be_resumed(bench: Bench) -> None:
    run = bench.start("Go on.", resumes="01a1fdd2-7238-7c90-8f60-bc135e79887e").end()

    assert run.process.returncode == 1
    assert run.items == []
    assert b"no rollout found" in run.errors.read_bytes()


def test_ten_at_once(bench: Bench, tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"w{number}").mkdir()
        bench.api.script(
            f"T{number}", answer(Shell(f"echo {number} > f"), usage=Usage(1000 + number)), answer(f"Made {number}.")
        )

    def one(number: int) -> Run:
        return bench.start(f"Do T{number}.", folder=tmp_path / f"w{number}").end()

    with ThreadPoolExecutor(10) as pool:
        runs = list(pool.map(one, range(10)))

    for number, run in enumerate(runs):
        assert (tmp_path / f"w{number}" / "f").read_text() == f"{number}\n"
        assert run.of(Finished)[0].text == f"Made {number}."
        assert [used[0] for used in counted(run.items, run.transcript()).values()] == [1000 + number, 1000]
    assert len({key for run in runs for key in counted(run.items)}) == 20


def test_its_own_sandbox_is_taken_when_the_arguments_ask_for_it(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(answer(Shell("touch inside")), answer("ok"), args=["--sandbox", "read-only"])

    assert not (bench.folder / "inside").exists()
    assert run.process.returncode == 0


def test_a_workflow_with_allowed_tools_is_refused(bench: Bench) -> None:
    with pytest.raises(AgentError, match="allowed_tools"):
        bench.start("x", workflow=WorkflowSettings(allowed_tools=["Read"]))


def test_commands_have_the_environment_of_the_task(bench: Bench) -> None:
    bench.settings.env.update({"SHOAL_TASK_ID": "T1", "SHOAL_TASK_KEY": "k", "MY_SECRET_TOKEN": "s"})
    run = bench.run(answer(Shell("echo $SHOAL_TASK_ID $SHOAL_TASK_KEY $MY_SECRET_TOKEN")), answer("ok"))

    assert run.of(ToolEnded)[0].result == "T1 k s\n"
