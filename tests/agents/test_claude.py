"""Claude Code itself, driven by its adapter against a scripted model: what it does, and what is told of it."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shoal.adapters.agents.claude import Claude
from shoal.model.session import Finished, Item, Said, Spent, Started, ToolBegun, ToolEnded
from shoal.settings import WorkflowSettings
from tests.agents.claude_runs import MODEL, House, Run, counted_once, in_transcripts, key, total, usage
from tests.agents.messages_api import Answer, MessagesApi, Tokens, Tool, texts
from tests.conftest import wait_until


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with MessagesApi() as api:
        house = House(tmp_path, api)
        yield house
        house.clear()


def test_run_edits_a_file_and_is_told_to_the_token(house: House) -> None:
    house.api.script(
        "T1",
        Answer("First I look.", (Tool("Read", {"file_path": str(house.folder / "work/a.txt")}),), "Hm.",
               Tokens(1000, 300, cache_read=0, cache_write=5000, begun=7)),
        Answer("", (Tool("Edit", {"file_path": str(house.folder / "work/a.txt"), "old_string": "cat",
                                  "new_string": "dog"}),), tokens=Tokens(11, 222, cache_read=5000, cache_write=700)),
        Answer("It is a dog now.", tokens=Tokens(3, 44, cache_read=5700)),
    )  # fmt: skip
    assignment = house.assignment("Do T1.")
    (assignment.folder / "a.txt").write_text("a cat\n")
    run = house.start(assignment)
    assert run.end() == 0

    assert (assignment.folder / "a.txt").read_text() == "a dog\n"
    served = house.api.served("T1")
    assert [item.usage for item in run.of(Spent)] == [usage(run.session, one) for one in served]
    assert [(item.role, item.text) for item in run.of(Said)] == [
        ("user", "Do T1."),
        ("reasoning", "Hm."),
        ("assistant", "First I look."),
        ("assistant", "It is a dog now."),
    ]
    begun, ended = run.of(ToolBegun), run.of(ToolEnded)
    assert [(item.name, item.tool_call_id) for item in begun] == [
        ("Read", served[0].tool_ids[0]),
        ("Edit", served[1].tool_ids[0]),
    ]
    assert served[1].answer.tools[0].input.items() <= msgspec.json.decode(begun[1].arguments).items()
    assert [item.tool_call_id for item in ended] == [item.tool_call_id for item in begun]
    assert "a cat" in ended[0].result
    assert all(item.error is None and item.duration_ms is not None and item.at is not None for item in ended)
    (finished,) = run.of(Finished)
    assert (finished.ok, finished.text, finished.error, finished.turns) == (True, "It is a dog now.", None, 3)
    # 3 $ per million of input, 15 of output, 0.30 read from the cache, 3.75 written to it.
    assert finished.cost_usd_micros == round(3 * 1014 + 15 * 566 + 0.3 * 10_700 + 3.75 * 5700)
    assert run.of(Started) == [Started(run.session, MODEL)]
    assert uuid.UUID(run.session)


def test_stream_and_transcript_have_the_same_items(house: House) -> None:
    house.api.script(
        "T2",
        Answer("Look.", (Tool("Bash", {"command": "echo out"}), Tool("Nonsense", {"a": 1})), "Think.", Tokens(5, 60)),
        Answer("Done.", tokens=Tokens(7, 80, 90, 100)),
    )
    run = house.run("T2, please")

    told = [item for item in run.items if not isinstance(item, Started | Finished)]
    later = run.transcript()
    assert sorted(map(key, later)) == sorted(map(key, told))
    assert len(set(map(key, told))) == len(told)
    assert counted_once(told, later) == counted_once(later) == counted_once(told)
    dated = {key(item): item for item in later}
    for item in told:
        again = dated[key(item)]
        at = getattr(item, "at", None)
        if at is not None:
            assert abs(at - again.at) < 5000  # type: ignore[union-attr]
        assert msgspec.structs.asdict(item) | {"at": 0, "duration_ms": 0} == msgspec.structs.asdict(again) | {
            "at": 0, "duration_ms": 0
        }  # fmt: skip
    # Somebody else, who has not seen the stream, reads the same.
    assert list(Claude(house.settings()).transcript(run.assignment, run.session)) == later


def test_failing_tool_is_told_with_its_error(house: House) -> None:
    house.api.script("T3", Answer("", (Tool("Bash", {"command": "echo oops >&2; exit 3"}),)), Answer("It failed."))
    run = house.run("T3")
    (ended,) = run.of(ToolEnded)
    assert (ended.result, ended.error) == ("", "Exit code 3\noops")
    assert run.of(Finished)[-1].ok


@pytest.mark.parametrize("work", ["work", "elsewhere"])
def test_resumed_run_sees_the_conversation_from_any_folder(house: House, work: str) -> None:
    house.api.script("T4", Answer("The word is eel."), Answer("As I said: eel.", tokens=Tokens(1, 2, 3, 4)))
    first = house.run("T4: think of a word")
    second = house.run("Which word?", work=work, resumes=first.session)

    assert second.session == first.session
    assert second.of(Finished)[-1].text == "As I said: eel."
    seen = house.api.served("T4")[1].body["messages"]
    assert [texts(message)[-1] for message in seen] == ["T4: think of a word", "The word is eel.", "Which word?"]
    assert [item.usage for item in second.of(Spent)] == [usage(second.session, house.api.served("T4")[1])]
    assert len(counted_once(first.items, first.transcript(), second.items, second.transcript())) == 2


def test_session_that_is_not_here_is_told_as_a_failure(house: House) -> None:
    name = str(uuid.uuid4())
    (finished,) = house.run("T4", resumes=name).of(Finished)
    assert not finished.ok
    assert finished.error == f"No conversation found with session ID: {name}"


def test_message_told_while_a_tool_runs_reaches_the_model(house: House) -> None:
    gate = house.folder / "work" / "gate"
    house.api.script(
        "T5",
        Answer("", (Tool("Bash", {"command": "until [ -e gate ]; do sleep 0.05; done"}),)),
        Answer("I heard."),
    )
    run = house.start(house.assignment("T5"))
    wait_until(lambda: run.of(ToolBegun))
    run.tell("/clear is no command here")
    wait_until(lambda: in_transcripts(house, '"operation":"enqueue"') == 2)
    gate.touch()
    assert run.end() == 0

    heard = house.api.served("T5")[1].body["messages"][-1]
    assert any("/clear is no command here" in text for text in texts(heard))
    assert [item.text.strip() for item in run.of(Said) if item.role == "user"] == ["T5", "/clear is no command here"]
    told = [item for item in run.items if not isinstance(item, Started | Finished)]
    assert sorted(map(key, run.transcript())) == sorted(map(key, told))


def test_message_told_just_before_the_end_is_not_lost(house: House) -> None:
    house.api.script("T6", Answer("First."), Answer("Second."))
    agent = Claude(house.settings())
    read = agent.read

    def tell_at_the_end(line: bytes) -> list[Item]:
        items = list(read(line))
        if any(isinstance(item, Finished) for item in items) and len(house.api.served("T6")) == 1:
            run.tell("One more thing.")
        return items

    agent.read = tell_at_the_end  # type: ignore[method-assign]
    run = Run(agent, house.assignment("T6"))
    assert run.end() == 0
    finished = run.of(Finished)
    assert [item.text for item in finished] == ["First.", "Second."]
    assert [item.turns for item in finished] == [1, 2]
    assert texts(house.api.served("T6")[1].body["messages"][-1])[-1] == "One more thing."


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_hanging_call_is_ended_from_outside_and_its_input_counted(house: House, number: int) -> None:
    house.api.script(
        "T7",
        Answer("Working.", (Tool("Bash", {"command": "true"}),), tokens=Tokens(10, 20)),
        Answer("I am st", tokens=Tokens(300, 999, cache_read=4000, begun=2), hangs=True),
    )
    run = house.start(house.assignment("T7"))
    wait_until(lambda: any(item.text == "I am st" for item in run.of(Said)))
    run.kill(number)

    assert run.of(Finished) == []
    first, cut = house.api.served("T7")
    assert [item.usage for item in run.of(Spent)] == [usage(run.session, first)]
    known = usage(run.session, cut)
    assert counted_once(run.items, run.transcript()) == [
        usage(run.session, first),
        msgspec.structs.replace(known, output_tokens=2),
    ]


def test_run_killed_in_a_tool_goes_on_where_it_was(house: House) -> None:
    house.api.script("T8", Answer("I begin.", (Tool("Bash", {"command": "sleep 60"}),)), Answer("I go on."))
    run = house.start(house.assignment("T8"))
    wait_until(lambda: run.of(ToolBegun))
    wait_until(lambda: in_transcripts(house, "I begin."))
    run.kill()
    again = house.run("You were interrupted.", resumes=run.session)

    assert again.of(Finished)[-1].text == "I go on."
    seen = house.api.served("T8")[1].body["messages"]
    assert texts(seen[1])[0] == "I begin."
    calls = counted_once(run.items, run.transcript(), again.items, again.transcript())
    assert calls == [usage(run.session, one) for one in house.api.served("T8")]


def test_error_of_the_model_is_the_error_of_the_run(house: House) -> None:
    house.api.script("T9", Answer(status=400))
    run = house.run("T9")
    (finished,) = run.of(Finished)
    assert (finished.ok, finished.error, finished.cost_usd_micros) == (False, "API Error: 400 scripted", 0)
    assert [(item.role, item.text) for item in run.of(Said)][1:] == [("system", "API Error: 400 scripted")]
    assert run.of(Spent) == []


def test_overloaded_model_is_asked_again_and_said_so(house: House) -> None:
    house.api.script("T10", Answer(status=529), Answer("There.", tokens=Tokens(1, 2)))
    run = house.run("T10")
    assert run.of(Finished)[-1].ok
    retries = [item.text for item in run.of(Said) if item.role == "system"]
    assert retries == ["The model does not answer (529 overloaded): try 1 of 10 follows."]
    assert [item.usage for item in run.of(Spent)] == [usage(run.session, house.api.served("T10")[1])]


def test_workflow_allows_only_its_tools(house: House) -> None:
    house.api.script(
        "T11",
        Answer("", (
            Tool("Bash", {"command": "git init -q inner"}),
            Tool("Bash", {"command": "touch forbidden"}),
            Tool("Write", {"file_path": str(house.folder / "work/forbidden"), "content": ""}),
        )),
        Answer("So far."),
    )  # fmt: skip
    run = house.run("T11", workflow=WorkflowSettings(allowed_tools=["Bash(git *)", "Read"]))
    errors = [item.error for item in sorted(run.of(ToolEnded), key=lambda item: str(item.tool_call_id))]
    assert errors[0] is None
    assert "Permission to use Bash has been denied" in errors[1]
    assert "No such tool available: Write" in errors[2]
    assert (house.folder / "work/inner").is_dir()
    assert not (house.folder / "work/forbidden").exists()
    assert run.of(Finished)[-1].ok


def test_every_tool_may_be_used_without_a_workflow_also_by_root(house: House) -> None:
    house.api.script(
        "T12",
        Answer("", (
            Tool("Bash", {"command": 'echo "$(date)" > now; python3 -c "print(6 * 7)"'}),
            Tool("Write", {"file_path": str(house.folder / "work/new.txt"), "content": "new"}),
            Tool("Read", {"file_path": str(Path(__file__))}),
        )),
        Answer("Done."),
    )  # fmt: skip
    run = house.run("T12")
    assert [item.error for item in run.of(ToolEnded)] == [None] * 3
    assert (house.folder / "work/new.txt").read_text() == "new"


def test_sub_agents_and_calls_beside_the_conversation_are_counted(house: House) -> None:
    house.api.script(
        "T13",
        Answer("", (Tool("Agent", {"description": "x", "prompt": "SUB", "subagent_type": "general-purpose"}),),
               tokens=Tokens(1, 2, 3, 4)),
        Answer("", (Tool("WebSearch", {"query": "SEARCH"}),), tokens=Tokens(10, 20, 30, 40)),
        Answer("Done.", tokens=Tokens(100, 200, 300, 400)),
    )  # fmt: skip
    house.api.script(
        "SUB",
        Answer("I look", (Tool("Bash", {"command": "echo sub"}),), tokens=Tokens(1000, 2000, 3000, 4000)),
        Answer("Found.", tokens=Tokens(10_000, 20_000, 30_000, 40_000)),
    )
    house.api.script("SEARCH", Answer("Fish.", tokens=Tokens(500_000, 600_000, 700_000, 800_000)))
    run = house.run("T13")

    served = [one for word in ("T13", "SUB", "SEARCH") for one in house.api.served(word)]
    assert len(served) == 6
    calls = counted_once(run.items, run.transcript())
    assert total(calls) == total([usage(run.session, one) for one in served])
    by_key = {call.request_key: call for call in calls}
    told = [usage(run.session, one) for one in served if one.word != "SEARCH"]
    assert [by_key.pop(one.request_key) for one in told] == told
    (rest,) = by_key.values()
    assert (rest.model, rest.input_tokens) == (MODEL, 500_000)
    names = [item.name for item in run.of(ToolBegun)]
    # When the lines of a sub-agent stand among those of the conversation is Claude Code's affair.
    assert sorted(names) == ["Agent", "Bash", "WebSearch"]
    assert len(run.of(ToolEnded)) == 3
    assert run.of(Finished)[-1].turns == 3
    # Read again, and by a later episode of the session, all of it is known.
    house.api.script("T13", Answer("Again.", tokens=Tokens(9, 9, 9, 9)))
    again = house.run("And once more", resumes=run.session)
    more = counted_once([Spent(call) for call in calls], run.transcript(), again.items, again.transcript())
    assert more == [*calls, usage(run.session, house.api.served("T13")[0])]


def test_background_work_gets_its_turn_before_the_end(house: House) -> None:
    house.api.script(
        "T14",
        Answer("", (Tool("Bash", {"command": "sleep 0.3; echo late", "run_in_background": True}),)),
        Answer("Started."),
        Answer("It came.", tokens=Tokens(5, 6)),
    )
    run = house.run("T14")
    assert [item.text for item in run.of(Finished)][-1] == "It came."
    assert len(run.of(Spent)) == 3


def test_limit_of_turns_ends_the_run(house: House) -> None:
    house.api.script("T15", *[Answer("", (Tool("Bash", {"command": "true"}),))] * 5)
    run = house.run("T15", settings={"max_turns": 2})
    (finished,) = run.of(Finished)
    assert (finished.ok, finished.turns, finished.error) == (False, 2, "Reached maximum number of turns (2)")
    assert len(run.of(Spent)) == 2


def test_limit_of_money_ends_the_run(house: House) -> None:
    house.api.script("T16", *[Answer("", (Tool("Bash", {"command": "true"}),), tokens=Tokens(1_000_000, 1))] * 5)
    (finished,) = house.run("T16", settings={"max_usd": 5.0}).of(Finished)
    assert (finished.ok, finished.error) == (False, "Reached maximum budget ($5)")
    assert finished.cost_usd_micros == 2 * 3_000_015


def test_stable_part_is_the_same_in_every_folder(house: House) -> None:
    system = "Rules of the house.\n" * 10_000  # more than one argument may hold
    for word, work in (("T17", "one"), ("T18", "two")):
        house.api.script(word, Answer("Yes."))
        house.run(word, work=work, system=system)
    first, second = (house.api.served(word)[0].body for word in ("T17", "T18"))
    assert first["system"] == second["system"]
    assert first["tools"] == second["tools"]
    assert system.strip() in first["system"][-1]["text"]


def test_ten_at_once(house: House) -> None:
    runs = []
    for number in range(10):
        word = f"N{number}N"
        command = f"echo {word} > {word}"
        house.api.script(word, Answer("", (Tool("Bash", {"command": command}),)), Answer(word, tokens=Tokens(number)))
        runs.append(house.start(house.assignment(word, work=word)))
    for number, run in enumerate(runs):
        assert run.end() == 0
        assert run.of(Finished)[-1].text == f"N{number}N"
        assert (run.assignment.folder / f"N{number}N").exists()
        assert [item.usage for item in run.of(Spent)] == [
            usage(run.session, one) for one in house.api.served(f"N{number}N")
        ]
