"""What a prompt remembers: tasks like this one, and notes and lessons of the knowledge folder."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal import Ledger
from shoal.model.prompt import Failure
from shoal.model.session import Told
from shoal.services import knowledge, memory
from tests.services.prompted import sections, sync, tell, write_session


def test_memory_looks_for_words_of_people_and_never_of_machines(configured: Ledger) -> None:
    tasks = configured.tasks
    tasks.create(
        title="Mend Zebra",
        body="# Heading\n\n## Objective\n\nThe yellow submarine.\n\nSecond paragraph.\n\n## Result\n\nmachinery\n",
    )
    expected = ["mend", "zebra", "the", "yellow", "submarine"]
    assert tasks.prompt(1).query == expected
    fast = configured.acting_as("fast")
    claim = fast.tasks.claim(worker="w", task=1).claims[0]
    fast.tasks.comment(1, message="agents chatter")
    fast.tasks.result(1, attempt=claim.attempt, text="resulting prose")
    fast.tasks.progress(1, attempt=claim.attempt, message="progressing")
    fast.tasks.fail(1, attempt=claim.attempt, error="traceback gibberish", retry_after_seconds=0)
    write_session(configured, 1, [{"role": "assistant", "text": "monologue"}], agent="some-agent")
    configured.acting_as("some-agent").tasks.comment(1, message="unconfigured chatter")
    assert tasks.prompt(1, failures=[Failure("machine", "words")]).query == expected
    tasks.comment(1, message="Also paint it.")
    assert tasks.prompt(1).query == [*expected, "also", "paint"]
    tell(configured, 1, "Rather green.", at=2**50, delivered=True)
    assert tasks.prompt(1).query == [*expected, "rather", "green"]
    newest = Told(9, "T1", "bob", "Or blue?", 2**51, "live")
    assert tasks.prompt(1, told=[newest, Told(10, "T1", "fast", "robot", 2**52, "live")]).query == [*expected, "blue"]


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_query_is_the_same_for_the_same_texts_and_bounded(title: str, objective: str, message: str) -> None:
    first = memory.derive_query(title=title, objective=objective, message=message)
    assert first == memory.derive_query(title=title, objective=objective, message=message)
    assert len(first) == len(set(first)) <= sum(memory.TERMS.values())


def test_words_of_scripts_without_spaces_are_looked_for_in_pairs() -> None:
    found = [term.words for term in memory.derive_query(title="東京都 login 天")]
    assert found == [("東", "京"), ("京", "都"), ("login",), ("天",)]


def test_memory_has_finished_tasks_best_first_and_never_the_task_itself(configured: Ledger) -> None:
    tasks = configured.tasks
    for number in range(30):
        tasks.create(title=f"Chore {number} of the house")
    tasks.create(title="Rotate the signing keys of the gateway")  # T31, not finished
    tasks.create(title="Keys of the gateway")
    tasks.create(title="Rotate signing keys")
    tasks.create(title="Gateway timeouts")
    tasks.complete(32, summary="kept in the vault")
    tasks.fail(33, error="no rights")
    tasks.complete(34)
    tasks.create(title="Rotate the signing keys of the gateway")
    tasks.complete(35, summary="done monthly")
    sync(configured)
    tasks.reopen(35)
    tasks.create(title="Rotate signing keys of the gateway", depends_on=[])
    tasks.complete(36, summary="with the script")
    sync(configured)
    shown = sections(tasks.prompt(35))["memory"]
    assert re.findall(r"^- (T\d+) (\w+)", shown, re.MULTILINE) == [
        ("T36", "completed"),
        ("T33", "failed"),
        ("T32", "completed"),
    ]
    assert "no rights" in shown
    assert "with the script" in shown


def test_memory_has_notes_and_lessons_of_the_knowledge_folder_as_they_change(configured: Ledger) -> None:
    configured.tasks.create(title="Deploy the payment gateway")
    folder = configured.engine.settler.root / "030-knowledge"  # type: ignore[attr-defined]

    def remembered() -> str:
        sync(configured)
        return sections(configured.tasks.prompt(1)).get("memory", "")

    assert remembered() == ""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pay.md").write_text("# Payments\n\nSomething else.\n\nThe payment gateway needs a restart.\n")
    (folder / "bread.md").write_text("# Bread\n\nFlour and water.\n")
    assert remembered().strip() == "notes:\n- 030-knowledge/pay.md, Payments: The payment gateway needs a restart."
    (folder / "pay.md").write_text("---\ntags: [lesson]\ntitle: Paying\n---\nDeploy no gateway on Fridays.\n")
    assert remembered().strip() == "lessons:\n- 030-knowledge/pay.md, Paying: Deploy no gateway on Fridays."
    (folder / "sub").mkdir()
    (folder / "pay.md").rename(folder / "sub" / "pay.md")
    assert "030-knowledge/sub/pay.md" in remembered()
    (folder / "sub" / "pay.md").unlink()
    (folder / "bread.md").write_text("---\nbroken\n")
    assert remembered() == ""


def test_knowledge_is_indexed_once_and_anew_when_asked(configured: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    configured.tasks.create(title="a")
    folder = configured.engine.settler.root / "030-knowledge"  # type: ignore[attr-defined]
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.md").write_text(f"note {number}\n")
    sync(configured)
    read: list[str] = []
    put = knowledge.put

    def spy(tx: Any, *, notes: list[Any], gone: list[str]) -> None:
        read.extend(note.path for note in notes)
        put(tx, notes=notes, gone=gone)

    monkeypatch.setattr(knowledge, "put", spy)
    configured.tasks.create(title="b")
    sync(configured)
    assert read == []
    (folder / "1.md").write_text("changed\n")
    sync(configured)
    assert read == ["030-knowledge/1.md"]
    configured.sync.trigger(everything=True)
    sync(configured)
    assert len(read) == 4
