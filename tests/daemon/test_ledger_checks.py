"""The checks of the ledger and of the vault, against states whose answers are known."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shoal import Ledger
from shoal.adapters.checks.check import Context
from shoal.daemon.vault_cycle import Report
from shoal.errands import checks
from shoal.errands.checks.vault_pages import Targets, links, opened, prose
from shoal.errors import BadInput
from shoal.model.check import Brought, Finding
from shoal.model.job import RunStatus
from shoal.services import firing, runs
from tests.conftest import FakeClock
from tests.rows import execute

MINUTE, HOUR, DAY = 60, 3600, 86_400
Look = Callable[..., list[Finding]]
Told = list[tuple[str, str | None]]


@pytest.fixture
def look(ledger: Ledger, clock: FakeClock) -> Look:
    """What a check finds now."""

    def look(name: str, **options: Any) -> list[Finding]:
        check = checks.load(name)
        vault = partial(opened, ledger, lambda text: None)
        return list(check.run(Context(ledger=ledger, vault=vault, options=check.Options(**options), now_ms=clock.now)))

    return look


def keys(findings: list[Finding]) -> Told:
    return sorted((one.rule, one.key) for one in findings)


def test_every_check_is_described_and_has_a_shape() -> None:
    for name in checks.names():
        check, described = checks.load(name), checks.described(name)
        assert name == check.NAME
        assert described.description.endswith("."), name
        assert all(described.options.values()), name
        assert check.Options() == check.Options()
    with pytest.raises(BadInput, match="did you mean stale-work"):
        checks.load("stale-worke")


# jobs-health


def history(ledger: Ledger, clock: FakeClock, name: str, ends: str, *, seconds: list[int] | None = None) -> None:
    """Runs of a job, the oldest first: `+` went well, `-` did not; the last job that is made fires alone."""
    ledger.jobs.create(name=name, schedule="@yearly", action={"kind": "program", "command": ["x"]})
    engine: Any = ledger.engine
    for place, end in enumerate(ends):
        ledger.jobs.trigger(name)
        [claimed] = engine.write(lambda tx: runs.claim(tx, server="s", limit=1, logs="/logs"))
        clock.advance(seconds[place] if seconds else 1)
        status = RunStatus.SUCCESS if end == "+" else RunStatus.FAILED
        reason = None if end == "+" else "ended with 1"
        run, how = claimed.run.id, status
        engine.write(lambda tx, run=run, how=how, why=reason: runs.end(tx, run=run, server="s", status=how, reason=why))


def test_jobs_that_are_not_well(ledger: Ledger, clock: FakeClock, look: Look) -> None:
    history(ledger, clock, "well", "+-+++++")
    history(ledger, clock, "failing", "++---")
    history(ledger, clock, "flapping", "+-+-+-+-")
    history(ledger, clock, "dead", "-" * 10)
    history(ledger, clock, "slow", "+++++", seconds=[60, 70, 65, 60, 400])
    history(ledger, clock, "quick", "+++++", seconds=[1, 1, 1, 1, 40])
    history(ledger, clock, "off", "-----")
    ledger.jobs.disable("off")
    found = look("jobs-health")
    assert keys(found) == [("failing", "dead"), ("failing", "failing"), ("flapping", "flapping"), ("slow", "slow")]
    by_key = {one.key: one for one in found}
    assert [by_key[name].severity for name in ("dead", "failing", "slow")] == ["critical", "warning", "info"]
    assert by_key["failing"].message == "Job failing has failed 3 times in a row: ended with 1"
    assert by_key["slow"].message == "Job slow took 400 s, where 62 s are usual"
    assert keys(look("jobs-health", failures=4, slow_factor=10, changes=10)) == [("failing", "dead")]


def test_job_that_should_have_fired_is_overdue(ledger: Ledger, clock: FakeClock, look: Look) -> None:
    ledger.jobs.create(name="sweep", schedule="every 60s", action={"kind": "program", "command": ["x"]})
    ledger.jobs.create(name="waits", schedule="on_commit", action={"kind": "program", "command": ["x"]})
    clock.advance(10 * MINUTE)
    assert look("jobs-health") == []
    clock.advance(10 * MINUTE)
    assert keys(look("jobs-health")) == [("overdue", "sweep")]
    ledger.engine.write(firing.fire)  # type: ignore[attr-defined]
    assert look("jobs-health") == []


# stale-work


def test_tasks_that_wait_or_run_for_too_long(ledger: Ledger, clock: FakeClock, look: Look) -> None:
    ledger.tasks.create(title="Forgotten")
    ledger.tasks.create(title="Elsewhere", queue="other")
    ledger.tasks.create(title="Endless", priority="high", queue="now")
    ledger.tasks.claim(worker="w", queue="now", lease_seconds=86_400)
    clock.advance(47 * HOUR)
    assert look("stale-work") == []
    clock.advance(HOUR)
    [endless] = look("stale-work")
    assert (endless.rule, endless.key, endless.message) == (
        "active",
        "T3",
        "T3 (Endless) has been active for 48 hours, with w",
    )
    clock.advance(5 * DAY)
    assert keys(look("stale-work")) == [("active", "T3"), ("queued", "T1"), ("queued", "T2")]
    assert keys(look("stale-work", queues=["other"], queued_days=6)) == [("queued", "T2")]


def test_tasks_that_wait_for_what_is_over(ledger: Ledger, look: Look, address: str) -> None:
    blockers = [ledger.tasks.create(title=f"Blocker {number}").id for number in range(4)]
    for blocker in blockers:
        ledger.tasks.create(title="Waits", depends_on=[blocker])
    ledger.tasks.create(title="Held")
    ledger.tasks.hold(9, reason="later")
    ledger.tasks.cancel(2)
    execute(address, "UPDATE tasks SET status = 'failed' WHERE id = ?", 3)
    execute(address, "UPDATE tasks SET status = 'completed' WHERE id = ?", 4)  # and nobody told what waits for it
    found = look("stale-work")
    assert keys(found) == [("blocked-by-failed", "6:T2"), ("blocked-by-failed", "7:T3"), ("blocked-by-finished", "T8")]
    assert (
        sorted(one.message for one in found)[0] == "T6 (Waits) waits for T2, which is cancelled and will not let it go"
    )


# vault-health and learning-health


@pytest.fixture
def written(ledger: Ledger, vault: Path, sync: Callable[..., Report]) -> Callable[..., None]:
    """A vault with two tasks, and pages by their paths."""
    ledger.tasks.create(title="One")
    ledger.tasks.create(title="Two")
    sync()

    def write(**texts: str) -> None:
        for name, text in texts.items():
            path = vault / name.replace("__", "/")
            path = path.with_name(f"{path.name}.md")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def test_healthy_vault_has_no_findings(written: Callable[..., None], look: Look, clock: FakeClock) -> None:
    clock.advance(DAY)
    assert look("vault-health") == []
    assert look("learning-health") == []


def test_vault_that_is_not_there_yet_has_no_findings(ledger: Ledger, look: Look, vault: Path) -> None:
    assert not vault.exists()
    assert look("vault-health") == look("learning-health") == []


def test_what_is_wrong_with_a_vault(
    written: Callable[..., None], ledger: Ledger, vault: Path, look: Look, clock: FakeClock
) -> None:
    clock.advance(DAY)
    written(
        **{
            "030-knowledge__note": "See [[T1]], [[Other|that]], [[gone]] and [[note#Heading]].\n"
            "`[[code]]` [good](../010-tasks/active/T2.md#x) [bad](nothing.md) [web](https://example.org)\n"
            "```\n[[fenced]] [x](fenced.md)\n```\n![[picture.png]] [[{{template}}]] [[#Heading]]\n",
            "030-knowledge__Other": "[[sub/deep]] [[deep]]\n",
            "030-knowledge__sub__deep": "",
            "010-tasks__active__T99": "---\ntitle: nobody's\n---\n",
        }
    )
    (vault / "010-tasks/active/T1.md").write_text("---\n: [\n---\n")
    (vault / "010-tasks/active/T2.md").rename(vault / "010-tasks/active/elsewhere.md")
    found = look("vault-health")
    assert [
        (one.rule, one.file, one.line, one.key) for one in sorted(found, key=lambda one: (one.rule, one.key or ""))
    ] == [
        ("dead-link", "030-knowledge/note.md", 2, "../010-tasks/active/T2.md"),
        ("dead-link", "030-knowledge/note.md", 1, "gone"),
        ("dead-link", "030-knowledge/note.md", 2, "nothing.md"),
        ("dead-link", "030-knowledge/note.md", 6, "picture.png"),
        ("file-without-task", "010-tasks/active/T99.md", None, "orphan"),
        ("task-without-file", None, None, "T2"),
        ("unreadable", "010-tasks/active/T1.md", None, "unreadable"),
    ]
    assert look("vault-health", grace_minutes=100_000, ignore=["030-knowledge/*"], links=True)[-1].rule != "dead-link"
    assert not any(one.rule == "dead-link" for one in look("vault-health", links=False))


LESSONS = {
    "030-knowledge__lessons__tabs": "# Always use tabs\nBecause.\n",
    "030-knowledge__lessons__spaces": "# Formatting\n- Never use tabs.\n- Prefer short names\n- Avoid long names\n",
    "030-knowledge__lessons__names": "# Names\n- avoid short names: nobody understands them\n",
    "030-knowledge__lessons__copy": "# Retry uploads\nUploads fail now and then: try three times, a second apart.\n",
    "030-knowledge__lessons__again": "# Uploads\nUploads fail now and then; try three times, a second apart!\n",
    "030-knowledge__lessons__title": "# Retry Uploads\nAnother text.\n",
    "030-knowledge__lessons__dead": "# Dead\nLearned in T1 and T77, see [[T2]], [[no-note]] and `T78`.\n",
    "030-knowledge__plain": "# Always use tabs\nnot a lesson: never use tabs\n[[nowhere]]\n",
}


def test_what_is_wrong_with_lessons(written: Callable[..., None], look: Look) -> None:
    written(**LESSONS)
    found = look("learning-health", unused_days=0)
    assert [
        (one.rule, str(one.file)[22:], one.key, one.line)
        for one in sorted(found, key=lambda one: (one.rule, one.key or ""))
    ] == [
        ("contradiction", "spaces.md", "short names", 3),
        ("contradiction", "tabs.md", "tabs", 1),
        ("dead-reference", "dead.md", "T77", 2),
        ("dead-reference", "dead.md", "no-note", 2),
        ("duplicate", "copy.md", "030-knowledge/lessons/again.md", None),
        ("duplicate", "title.md", "030-knowledge/lessons/copy.md", None),
    ]
    [tabs] = [one for one in found if one.key == "tabs"]
    assert tabs.message == '"Always use tabs" is against "Never use tabs." of 030-knowledge/lessons/spaces.md'
    assert any(one.key == "nowhere" for one in look("learning-health", lessons_only=False))


def test_lesson_that_nobody_refers_to_is_unused_after_a_while(
    written: Callable[..., None], vault: Path, look: Look, clock: FakeClock
) -> None:
    names = ("linked", "named", "lonely", "fresh")
    written(**{f"030-knowledge__lessons__{name}": f"# About {name} things\n[[{name}]]\n" for name in names})
    written(**{"030-knowledge__index": "[[lessons/linked]], and About named things\n"})
    for name in names:
        age = 0 if name == "fresh" else 100 * DAY
        os.utime(vault / f"030-knowledge/lessons/{name}.md", (clock.now / 1000 - age,) * 2)
    assert [one.file for one in look("learning-health") if one.rule == "unused"] == ["030-knowledge/lessons/lonely.md"]
    assert look("learning-health", unused_days=101) == []


def test_links_are_read_as_obsidian_does() -> None:
    text = "[[a|b]] ![[c#d]] [[e\\|f]] [x](g%20h.md#i) [y](<j.md>) [[#k]] `[[l]]` [z](mailto:a@b) [m](#n)\n"
    assert [link.target for link in links(text)] == ["a", "c", "e", "g h.md", "j.md"]
    text = "[a\nb](one.md) [c]: [d] <!-- [e](f.md) --> <img src='g.png'>\n\n    [h](i.md)\n\n[d]: two.md\n"
    assert [(link.line, link.target) for link in links(text)] == [(1, "one.md"), (6, "two.md")]
    assert [link.target for link in links("---\nsee: '[[a]] [b](c.md)'\n---\n[x](y(1).md)")] == ["a", "y(1).md"]
    fenced = "one\n````\n```\ntwo\n````\nthree\n~~~ py\nfour\n"
    assert [line for _, line in prose(fenced)] == ["one", "three"]
    targets = Targets(["a/B.md", "a/c.png", "d/B.md"])
    assert [targets.find("a/x.md", link) for link in links("[[b]] [[d/b]] [c](c.png) [d](/d/) [[c.png]] [n](b)")] == [
        "a/B.md",
        "d/B.md",
        "a/c.png",
        "a/c.png",
        "d",
        None,
    ]


def test_todo_files_become_items_of_their_own(ledger: Ledger, clock: FakeClock, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/TODO.md").write_text("- [ ] Fix the login\n- [x] Done\n")
    check, said, brought = checks.load("todo-scan"), list[str](), list[Brought]()
    context = Context(
        ledger=ledger,
        options=check.Options(),
        project="web",
        root=tmp_path / "web",
        now_ms=clock.now,
        warn=said.append,
        brought=brought.append,
    )
    assert list(check.run(replace(context, dry_run=True))) == []
    assert ledger.items.list(project="web") == []
    assert list(check.run(context)) == []
    assert brought == [Brought(found=2), Brought(found=2, new=["W1"])]
    assert ("Fix the login", "scan") in [(item.text, item.origin) for item in ledger.items.list(project="web")]
    assert said[0].startswith("markdown: 1 file read, 0 unchanged; ")
