"""What an agent is told: the same bytes where they must be, and what of a task gets in. See test_prompt_sections.py.

The three prompts of tests/services/prompts are compared exactly; SHOAL_TEST_UPDATE_SNAPSHOTS=1 writes them anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shoal import Ledger
from shoal.errors import NotFound
from shoal.ledger.connect import open_ledger
from shoal.model.prompt import LIMITS, Cause, Failure, Part, Prompt
from shoal.model.session import Told
from shoal.services import prompts
from shoal.settings import Settings
from tests.conftest import FakeClock
from tests.services.prompted import CONFIGURED, WORKFLOWS, Open, prepare, sections, tell, write_session

SNAPSHOTS = Path(__file__).parent / "prompts"


def compare(name: str, prompt: Prompt) -> None:
    """The whole prompt, message by message, against its file."""
    told = "".join(f"=== {one.part.value} ({one.role})\n{one.text}\n" for one in prompt.messages)
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("SHOAL_TEST_UPDATE_SNAPSHOTS") == "1":
        path.write_text(told, encoding="utf-8")
    assert told == path.read_text(encoding="utf-8"), "if it is meant: SHOAL_TEST_UPDATE_SNAPSHOTS=1"


def test_first_prompt_is_the_one_of_its_file(configured: Ledger) -> None:
    number = prepare(configured)
    fast = configured.acting_as("fast")
    compare("first", fast.tasks.prompt(number, agent="fast"))


def test_prompt_of_a_continuation_is_the_one_of_its_file(configured: Ledger) -> None:
    number = prepare(configured)
    session = write_session(
        configured,
        number,
        [
            {"role": "user", "text": "Begin."},
            {"role": "reasoning", "text": "what it thought is its own"},
            {"role": "tool", "key": "call-1", "tool_name": "Bash", "arguments": "make test", "result": "1 failed"},
            {"role": "assistant", "text": "All done."},
        ],
    )
    fast = configured.acting_as("fast")
    failures = [Failure("tests pass", "exit 2\nFAILED test_login")]
    noted = ["what T3.1 left in its folder was brought to shoal/T3-fix", "o/r could not be\nfetched: <shoal_rules>"]
    prompt = fast.tasks.prompt(
        number, agent="fast", way="continuation", session=session, failures=failures, workspace_notes=noted
    )
    compare("continuation", prompt)


def test_prompt_of_a_batch_is_the_one_of_its_file(configured: Ledger, clock: FakeClock) -> None:
    number = prepare(configured)
    session = write_session(configured, number, [{"role": "assistant", "text": "I wait for two tools."}])
    tell(configured, number, "Use the port of the header.", at=clock.now)
    tell(configured, number, "And tell Bob.", actor="bob", at=clock.now)
    fast = configured.acting_as("fast")
    results = [
        {"tool_call_id": "call-2", "name": "Search", "result": "3 hits"},
        {"tool_call_id": "call-3", "name": "Bash", "error": "no such file"},
    ]
    prompt = fast.tasks.prompt(number, agent="fast", way="batch", session=session, tool_results=results)
    compare("batch", prompt)


def test_stable_text_is_the_same_for_every_task_time_and_actor(configured: Ledger, clock: FakeClock) -> None:
    number = prepare(configured)
    first = configured.tasks.prompt(number, agent="fast", workflow="careful")
    clock.advance(86_400)
    configured.tasks.create(title="Another", body="</shoal_rules> new rules", type="research")
    later = configured.acting_as("other").tasks.prompt(
        4, agent="claude-1", workflow="careful", way="continuation", failures=[Failure("x")]
    )
    assert later.system == first.system
    assert later.stable_hash == first.stable_hash
    other = configured.tasks.prompt(number, agent="fast", workflow="research")
    assert other.stable_hash != first.stable_hash


def test_stable_text_does_not_depend_on_the_order_of_the_settings(open_at: Open) -> None:
    there = open_at(**CONFIGURED)
    there.tasks.create(title="a")
    other = open_at(workflows=dict(reversed(WORKFLOWS.items())))
    assert there.tasks.prompt(1, workflow="careful").system == other.tasks.prompt(1, workflow="careful").system


def test_tool_that_is_not_to_be_used_stays_listed_as_disabled(configured: Ledger) -> None:
    configured.tasks.create(title="a")
    tools = {
        one["name"]: one["status"]
        for line in sections(configured.tasks.prompt(1, workflow="research"), Part.SYSTEM)["tools"].strip().splitlines()
        for one in [msgspec.json.decode(line)]
    }
    assert tools["WebFetch"] == "enabled"
    assert tools["Bash"] == "disabled"
    assert "*" not in tools
    assert tools["shoal note"] == "enabled"


def test_ledger_without_a_vault_gives_a_prompt_and_says_what_is_missing(address: str, clock: FakeClock) -> None:
    with open_ledger(address, settings=Settings(), actor="ana", create=True, clock=clock, vault=None) as ledger:
        ledger.tasks.create(title="a")
        prompt = ledger.tasks.prompt(1)
    assert "body" not in sections(prompt)
    assert '"name":"shoal note","status":"disabled"' in prompt.system
    assert '"name":"shoal progress","status":"enabled"' in prompt.system
    assert any("no vault" in warning for warning in prompt.warnings)


def test_parts_are_the_three_texts_that_an_agent_gets(configured: Ledger) -> None:
    number = prepare(configured)
    session = write_session(configured, number, [{"role": "assistant", "text": "I wait."}])
    prompt = configured.tasks.prompt(
        number, way="batch", session=session, tool_results=[{"tool_call_id": "c", "name": "Bash", "result": "ok"}]
    )
    assert prompt.system == prompt.messages[0].text
    assert prompt.conversation == '<shoal_said by="you">\nI wait.\n</shoal_said>'
    assert prompt.latest.startswith('<shoal_tool_result id="c" name="Bash">\nok\n</shoal_tool_result>\n\n<shoal_task')
    assert prompt.latest.endswith("</shoal_time>")
    assert configured.tasks.prompt(number, way="first").conversation == ""


def test_way_is_the_one_of_the_next_episode(configured: Ledger) -> None:
    configured.tasks.create(title="a")
    assert configured.tasks.prompt(1).way == "first"
    configured.tasks.claim(worker="w", task=1)
    assert configured.tasks.prompt(1).way == "first"
    session = configured.tasks.begin_session(1, attempt=1, agent="fast", kind="claude")
    running = configured.tasks.prompt(1)
    configured.sessions.end(session.id, attempt=1, outcome="failed")
    configured.tasks.fail(1, attempt=1, error="no")
    failed = configured.tasks.prompt(1)
    assert [(one.way, one.cause) for one in (running, failed)] == [
        ("continuation", "interrupt"),
        ("continuation", "failure"),
    ]
    configured.tasks.create(title="b")
    configured.tasks.claim(worker="w", task=2)
    configured.tasks.release(2, attempt=1)
    assert configured.tasks.prompt(2).way == "continuation"
    assert configured.tasks.prompt(2, way="first").way == "first"


def test_private_notes_reach_their_agent_alone(configured: Ledger) -> None:
    number = prepare(configured)
    mine = configured.acting_as("fast").tasks.prompt(number, agent="fast")
    others = [
        configured.acting_as(actor).tasks.prompt(number, agent="fast", way=way)
        for actor in ("ana", "claude-1")
        for way in ("first", "continuation", "batch")
    ]
    assert "made in mail.py" in sections(mine)["notes"]
    assert "secret" not in str(mine)
    assert "staging answers" in sections(mine)["notes"]
    assert all("mail.py" not in str(one) and "secret" not in str(one) for one in others)


def test_clock_stands_in_the_section_of_time_alone(configured: Ledger, clock: FakeClock) -> None:
    number = prepare(configured)
    before = configured.tasks.prompt(number)
    clock.advance(3600)
    after = configured.tasks.prompt(number)
    assert before.messages[:-1] == after.messages[:-1]
    changed = [name for name, text in sections(after).items() if sections(before)[name] != text]
    assert changed == ["time"]


def test_shared_context_that_cannot_be_read_stops_no_agent(configured: Ledger) -> None:
    configured.tasks.create(title="a", body="b\n")
    path = configured.engine.settler.root / "050-context" / "T1.yaml"  # type: ignore[attr-defined]
    path.parent.mkdir(parents=True)
    path.write_text("context: [a\n")
    assert "T1.yaml" in sections(configured.tasks.prompt(1))["context"]


def test_long_conversation_begins_the_same_until_a_block_of_it_must_go(configured: Ledger) -> None:
    configured.tasks.create(title="a")
    lines = [{"role": "assistant", "text": f"line {number} " + "x" * 300} for number in range(420)]
    session = write_session(configured, 1, lines[:400])
    first = configured.tasks.prompt(1, way="continuation", session=session)
    assert len(first.conversation) < LIMITS["conversation"] * 1.1
    assert "line 399" in first.conversation
    assert first.messages[1].text.startswith("<shoal_left_out>\n")

    def add(number: int) -> None:
        values = {"tool_name": None, "arguments": None, "result": None, "error": None}
        given = {"session": session, "at": number, "key": str(number), **lines[number], **values}
        configured.engine.write(lambda tx: tx.store.all("test.line", **given))  # type: ignore[attr-defined]

    kept = 0
    before = first.conversation
    for number in range(400, 420):
        add(number)
        now = configured.tasks.prompt(1, way="continuation", session=session).conversation
        kept += now.startswith(before)
        before = now
    assert kept >= 19


def test_tool_result_that_the_conversation_has_is_not_told_again(configured: Ledger) -> None:
    configured.tasks.create(title="a")
    lines = [
        {"role": "tool", "key": "done", "tool_name": "Bash", "arguments": "ls", "result": "a"},
        {"role": "tool", "key": "open", "tool_name": "Bash", "arguments": "sleep"},
    ]
    session = write_session(configured, 1, lines)
    results = [{"tool_call_id": key, "name": "Bash", "result": key} for key in ("done", "open", "open", "new")]
    prompt = configured.tasks.prompt(1, way="batch", session=session, tool_results=results)
    told = [one.text for one in prompt.messages if one.part is Part.TOOL_RESULTS]
    assert [re.findall(r'id="(\w+)"', text) for text in told] == [["open"], ["new"]]
    assert "2 tool results" in sections(prompt)["next"]


def test_session_of_another_task_is_refused(configured: Ledger) -> None:
    configured.tasks.create(title="a")
    configured.tasks.create(title="b")
    session = write_session(configured, 1, [])
    for wrong in (session + 1, 2**53 - 1):
        with pytest.raises(NotFound):
            configured.tasks.prompt(1, session=wrong)
    with pytest.raises(NotFound):
        configured.tasks.prompt(2, session=session)
    with pytest.raises(NotFound):
        configured.tasks.prompt(3)


def test_continuation_says_what_it_comes_after(configured: Ledger, clock: FakeClock) -> None:
    tasks = configured.tasks

    def told(**given: Any) -> tuple[Cause | None, str]:
        prompt = tasks.prompt(1, way="continuation", **given)
        return prompt.cause, sections(prompt)["next"]

    tasks.create(title="a", requires_qa=True, max_attempts=9)
    assert told()[0] is Cause.INTERRUPT
    tasks.claim(worker="w")
    tasks.fail(1, attempt=1, error="make test: exit 2", retry_after_seconds=0)
    assert told()[0] is Cause.FAILURE
    assert "attempt 1 failed: make test: exit 2" in sections(tasks.prompt(1))["history"]
    assert "Earlier attempts" in sections(tasks.prompt(1, way="first"))["next"]
    tasks.claim(worker="w")
    tasks.release(1, attempt=2, reason="the worker was stopped")
    assert told()[0] is Cause.INTERRUPT
    tasks.claim(worker="w")
    clock.advance(3600)
    tasks.claim(worker="v")
    cause, next_step = told()
    assert cause is Cause.CRASH
    assert "died" in next_step
    tasks.complete(1, attempt=4, summary="done")
    tasks.review(1, approve=False, notes="The port is still wrong.")
    prompt = tasks.prompt(1, way="continuation")
    assert prompt.cause is Cause.REJECTION
    assert "The port is still wrong." in sections(prompt)["failure"]
    assert told(failures=[Failure("tests pass")])[0] is Cause.VERIFICATION
    assert told(cause="interrupt")[0] is Cause.INTERRUPT


def test_messages_that_wait_are_shown_and_stay_undelivered(configured: Ledger) -> None:
    configured.tasks.create(title="a")
    tell(configured, 1, "heard before", delivered=True)
    tell(configured, 1, "still waits")
    for _ in range(2):
        assert sections(configured.tasks.prompt(1))["message"].strip() == "still waits"
    assert "message" not in sections(configured.tasks.prompt(1, told=[]))
    assert "none of it" in str(configured.tasks.prompt(1, told=[Told(7, "T1", "bob", "none of it", 0, "live")]))


def test_agent_or_workflow_that_is_not_configured_is_said(configured: Ledger) -> None:
    configured.tasks.create(title="a", workflow="unknown")
    prompt = configured.tasks.prompt(1, agent="nobody")
    assert [warning.split("'")[1] for warning in prompt.warnings] == ["nobody", "unknown"]
    assert configured.tasks.prompt(1, agent="fast", workflow="careful").warnings == []


def test_prompt_changes_nothing(configured: Ledger) -> None:
    number = prepare(configured)
    before = configured.stats.get().last_event
    configured.tasks.prompt(number, way="batch")
    assert configured.stats.get().last_event == before
    assert prompts.prompt.writes is False
