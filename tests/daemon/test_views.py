"""The vault's views: what they show, that their links lead somewhere, and that no title breaks them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from shoal import Ledger
from shoal.adapters.vault.layout import Layout
from shoal.daemon.views import VIEWS, costs, dependencies, fleet, mine, overdue, overview, pipeline
from shoal.daemon.views.page import LONGEST_CELL, Markdown, Page, escaped, link, shortened, table
from shoal.settings import Settings
from tests.conftest import FakeClock

LAYOUT = Layout.of(Settings())
LINK = re.compile(r"\[\[([^\]|\\]+)\\\|([^\]]+)\]\]")
HOUR = 3600
EVIL = [
    "a | b \\| c \\\\| d",
    "[[T1|x]] ]] [x](y) ![[z]] [^1]",
    "`code` ``x` and * _emphasis_ **strong** snake_case __init__ ~~gone~~ ==marked==",
    "<b>bold</b> <!-- x --> <script> &amp; &#35; R&D",
    "#tag and #42, $x$ $$y$$, %%hidden%%, (due:: today) [due:: x]",
    "https://example.org/a_b_c?d=e www.example.org/a_b x@example.org",
    "שלום עולם مرحبا \u202eback\u202c \U0001f469\u200d\U0001f4bb ✅",
    "--- \u2028 style:<b> ```mermaid end classDef x:#fff; `",
]
EVIL_NAMES = [text for text in EVIL if text.isprintable()]


def call(key: str, task: int | None, **fields: Any) -> dict[str, Any]:
    """A model call of a known price."""
    told = {"provider": "anthropic", "model": "claude", "input_tokens": 100, "cost_usd_micros": 1_500_000}
    return {"task": task, "request_key": key} | told | fields


@pytest.fixture
def read(ledger: Ledger) -> Callable[[Any], Page]:
    """Writes a view's page."""
    return lambda view: ledger.engine.write(lambda tx: view.page(tx, LAYOUT))  # type: ignore[attr-defined]


def front(page: Page) -> dict[str, Any]:
    return next(yaml.safe_load_all(page.text))


def tables(text: str) -> list[list[list[str]]]:
    """Every table, as GitHub's markdown has it; markup in a cell is an error."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and token.level == 4:
            assert {child.type for child in token.children or []} <= {"text"}, token.content
            found[-1][-1].append("".join(child.content for child in token.children or []))
    return found


def column(found: list[list[str]], header: str) -> list[str]:
    at = found[0].index(header)
    return [row[at] for row in found[1:]]


def ids(found: list[list[str]]) -> list[str]:
    return [cell.removesuffix("]]").rpartition("|")[2] for cell in column(found, "Task")]


def finish(ledger: Ledger) -> None:
    [claim] = ledger.tasks.claim(worker="w").claims
    ledger.tasks.complete(claim.task.id, attempt=claim.attempt)


def fill(ledger: Ledger) -> None:
    """A task of every status."""
    finish_first = ledger.tasks.create(title="done", priority=0)
    finish(ledger)
    ledger.tasks.fail(ledger.tasks.create(title="broken").id, error="x")
    ledger.tasks.cancel(ledger.tasks.create(title="called off").id)
    ledger.tasks.create(title="to review", requires_qa=True, priority=0)
    finish(ledger)
    ledger.tasks.create(title="held by a worker", priority=0, deadline=1)
    ledger.tasks.claim(worker="w")
    waiting = ledger.tasks.create(title="ready", assignee="ana")
    ledger.tasks.create(title="later", run_at=2_000_000_000_000)
    ledger.tasks.create(title="waits", depends_on=[waiting.id])
    ledger.tasks.create(title="kept", hold_reason="not | yet")
    ledger.costs.record(costs=[call("k", 1)])
    assert ledger.tasks.get(finish_first.id).status == "completed"


def test_pages_stay_the_same_until_something_changes(ledger: Ledger, clock: FakeClock) -> None:
    fill(ledger)

    def written() -> list[str]:
        return [ledger.engine.write(lambda tx, view=view: view(tx, LAYOUT)).text for view in VIEWS]  # type: ignore

    before = written()
    clock.advance(20 * 60)
    assert written() == before
    ledger.tasks.create(title="one more")
    assert written() != before
    before = written()
    ledger.costs.record(costs=[call("k", 1)])
    assert written() == before, "it was known already"
    ledger.costs.record(costs=[call("l", 1)])
    assert written() != before


def test_pages_have_their_places_and_front_matter(ledger: Ledger, read: Callable[[Any], Page]) -> None:
    found = {
        page.front["view"]: page for page in map(read, (overview, pipeline, mine, overdue, dependencies, fleet, costs))
    }
    assert len(found) == len(VIEWS)
    assert found["overview"].path == PurePosixPath("010-tasks/_overview.md")
    assert found["fleet"].path == PurePosixPath("080-views/fleet.md")
    for name, page in found.items():
        values = front(page)
        assert (values.pop("kind"), values.pop("view")) == ("shoal-view", name)
        assert values
        assert set(values.values()) == {0}
        assert page.text.endswith("\n")
        assert "```dataview\nTABLE" in page.text


def test_links_lead_to_the_files_where_they_are_now(ledger: Ledger, read: Callable[[Any], Page]) -> None:
    fill(ledger)
    found = {str(LAYOUT.task_file(task)) for task in ledger.tasks.list(limit=100)}
    linked = set()
    for view in (overview, pipeline, mine, overdue, dependencies, fleet, costs):
        for target, name in LINK.findall(read(view).text):
            assert PurePosixPath(target).name == name
            linked.add(f"{target}.md")
    assert linked == found


def test_overview_counts_and_shows_the_latest_changes(
    ledger: Ledger, clock: FakeClock, read: Callable[[Any], Page]
) -> None:
    for title in ("a", "b", "c"):
        ledger.tasks.create(title=title)
        clock.advance(60)
    ledger.tasks.update(1, title="A")
    page = read(overview)
    counts, recent = tables(page.text)
    assert ["queued", "3", "ready to be claimed"] in counts
    assert front(page)["queued"] == 3
    assert ids(recent) == ["T1", "T3", "T2"]
    assert column(recent, "Changed")[0] == "2027-01-15 08:03 UTC"

    ledger.tasks.create(title="d", queue="side")
    _, queues, _ = tables(read(overview).text)
    assert [row[:2] for row in queues] == [["Queue", "Queued"], ["default", "3"], ["side", "1"]]


def test_overview_knows_tasks_whose_events_are_forgotten(
    ledger: Ledger, read: Callable[[Any], Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "SCANNED", 2)
    fill(ledger)
    assert len(ids(tables(read(overview).text)[-1])) == len(ledger.tasks.list(limit=100))


def test_pipeline_is_in_the_order_of_claims_over_all_queues(
    ledger: Ledger, clock: FakeClock, read: Callable[[Any], Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "SHOWN", 5)
    for number in range(9):
        ledger.tasks.create(title=f"t{number}", queue="ab"[number % 2], priority=2 if number % 2 else 1)
        clock.advance(1)
    page = read(pipeline)
    [queued] = tables(page.text)
    assert ids(queued) == ["T1", "T3", "T5", "T7", "T9"]
    assert "4 more are not shown." in page.body
    assert front(page)["queued"] == 9


def test_pipeline_shows_every_status(ledger: Ledger, read: Callable[[Any], Page]) -> None:
    fill(ledger)
    queued, scheduled, blocked, active, review, finished = tables(read(pipeline).text)
    assert [column(found, "Title") for found in (queued, scheduled, active, review)] == [
        ["ready"],
        ["later"],
        ["held by a worker"],
        ["to review"],
    ]
    assert column(blocked, "Waits for") == ["1 task", "held: not | yet"]
    assert sorted(column(finished, "Status")) == ["cancelled", "completed", "failed"]


def test_mine_is_by_assignee_and_bounded(
    ledger: Ledger, read: Callable[[Any], Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mine, "SHOWN", 2)
    ledger.tasks.create(title="nobody's", priority=3)
    for number in range(4):
        ledger.tasks.create(title=f"t{number}", assignee="bo", priority=3 - number % 2, queue="other")
    ledger.tasks.create(title="x", assignee="#1 | ana")
    ledger.tasks.cancel(ledger.tasks.create(title="y", assignee="cy").id)
    ledger.tasks.claim(worker="w", queue="other")
    page = read(mine)
    assert re.findall(r"^## (.*)", page.body, re.MULTILINE) == ["Everybody", "\\#1 &#124; ana", "ana", "bo"]
    assert front(page)["assignees"] == 3
    of_others, of_ana, of_bo = tables(page.text)
    assert (ids(of_others), ids(of_ana), ids(of_bo)) == (["T6"], ["T3"], ["T5", "T2"])
    assert "There are more." in page.body


def test_overdue_and_stale_tasks_are_found(ledger: Ledger, clock: FakeClock, read: Callable[[Any], Page]) -> None:
    late = ledger.tasks.create(title="late", deadline=clock.now + 1000, queue="later")
    ledger.tasks.cancel(ledger.tasks.create(title="no more", deadline=clock.now + 1000).id)
    ledger.tasks.create(title="quiet", priority=0)
    ledger.tasks.claim(worker="w", lease_seconds=30 * 24 * HOUR)
    ledger.tasks.create(title="kept", hold_reason="x")
    ledger.tasks.create(title="to review", requires_qa=True, priority=0)
    finish(ledger)
    assert set(front(read(overdue)).values()) == {"shoal-view", "overdue", 0}

    clock.advance(HOUR + 1)
    page = read(overdue)
    assert (front(page)["overdue"], front(page)["stale_active"], front(page)["stale_queued"]) == (1, 1, 0)
    assert [ids(found) for found in tables(page.text)] == [[late.task_id], ["T3"]]
    ledger.tasks.progress(3, attempt=1, progress=50)
    assert front(read(overdue))["stale_active"] == 0

    clock.advance(7 * 24 * HOUR)
    page = read(overdue)
    assert [front(page)[f"stale_{status}"] for status in ("active", "queued", "review", "blocked")] == [1, 1, 1, 1]
    assert "for more than 7 days" in page.body


def test_task_that_became_ready_lately_is_not_stale(
    ledger: Ledger, clock: FakeClock, read: Callable[[Any], Page]
) -> None:
    first = ledger.tasks.create(title="first")
    ledger.tasks.create(title="second", depends_on=[first.id])
    clock.advance(48 * HOUR)
    finish(ledger)
    assert front(read(overdue))["stale_queued"] == 0


def test_dependencies_are_drawn_and_listed(
    ledger: Ledger, read: Callable[[Any], Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "DRAWN", 2)
    a = ledger.tasks.create(title='a "quoted"')
    b = ledger.tasks.create(title="b", depends_on=[a.id])
    c = ledger.tasks.create(title="c", depends_on=[a.id, b.id])
    ledger.tasks.create(title="kept", hold_reason="x")
    ledger.tasks.cancel(ledger.tasks.create(title="no more", depends_on=[a.id]).id)
    page = read(dependencies)
    assert f'    n{a.id}["T1 a #34;quoted#34; (queued)"]' in page.body
    assert re.findall(r"^ +(n\d+ --> n\d+)$", page.body, re.MULTILINE) == ["n1 --> n2", "n1 --> n3"]
    assert "1 more dependencies are not drawn." in page.body
    [found] = tables(page.text)
    assert ids(found) == [b.task_id, c.task_id, c.task_id]
    assert column(found, "Its status") == ["queued", "queued", "blocked"]
    assert (front(page)["blocked"], front(page)["dependencies"]) == (3, 3)


def test_fleet_shows_workers_queues_and_locks(ledger: Ledger, read: Callable[[Any], Page]) -> None:
    for title in ("a", "b", "c"):
        ledger.tasks.create(title=title)
    ledger.tasks.claim(worker="w2", limit=2)
    ledger.tasks.claim(worker="w1")
    ledger.tasks.progress(3, attempt=1, progress=50, message="half | way")
    ledger.queues.pause("side", reason="line\nbreak")
    ledger.queues.limit("default", concurrency=7)
    ledger.locks.acquire("deploy", owner="ana")
    page = read(fleet)
    workers, queues, locks = tables(page.text)
    assert column(workers, "Worker") == ["w1", "w2", "w2"]
    assert column(workers, "Progress")[0] == "50 % half | way"
    assert queues[1:] == [["default", "no", "", "7", "3", "0"], ["side", "yes", "line break", "", "0", "0"]]
    assert locks[1][:3] == ["deploy", "ana", "1"]
    counts = front(page)
    assert [counts[name] for name in ("workers", "active", "queues_paused", "queues_limited", "locks")] == [
        2,
        3,
        1,
        1,
        1,
    ]


def test_costs_are_those_of_the_latest_days_that_had_any(
    ledger: Ledger, clock: FakeClock, read: Callable[[Any], Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "DAYS", 2)
    monkeypatch.setattr(costs, "SHOWN", 2)
    ledger.tasks.create_many(tasks=[{"title": title} for title in ("a", "b", "c")])
    ledger.costs.record(costs=[call("long ago", 1, cost_usd_micros=10**9)])
    clock.advance(7 * 24 * HOUR)
    ledger.costs.record(costs=[call("k1", 1, cost_usd_micros=1), call("k2", 2, agent="bo", cache_read_tokens=300)])
    clock.advance(24 * HOUR)
    ledger.items.create(text="x")
    scoped = call("k5", None, cost_usd_micros=5) | {"purpose": "scope", "item": 1}
    ledger.costs.record(
        costs=[scoped, call("k3", 3, agent="bo"), call("k4", 3, cost_usd_micros=None, model="no | list")]
    )
    page = read(costs)
    days, purposes, agents, models, tasks = tables(page.text)
    assert days[1:] == [
        ["2027-01-23", "3", "300", "0 %", "0", "1.500005", "1"],
        ["2027-01-22", "2", "500", "60 %", "0", "1.500001", ""],
    ]
    assert [row[:2] for row in purposes[1:]] == [["work", "4"], ["scope", "1"]]
    assert [row[:2] for row in agents[1:]] == [["bo", "2"], ["ana", "3"]]
    assert column(models, "Model") == ["claude", "no | list"]
    assert (ids(tasks), column(tasks, "Title")) == (["T3", "T2"], ["c", "b"])
    assert [front(page)[name] for name in ("days", "calls", "cost_usd_micros", "calls_unpriced")] == [
        2,
        5,
        3_000_006,
        1,
    ]


def test_no_title_breaks_a_page(ledger: Ledger, read: Callable[[Any], Page]) -> None:
    made = ledger.tasks.create_many(tasks=[{"title": title, "assignee": title[:100]} for title in EVIL])
    ledger.tasks.create_many(tasks=[{"title": title, "depends_on": [made[0].id]} for title in EVIL])
    ledger.tasks.claim(worker=EVIL[0])
    ledger.costs.record(costs=[call(f"{n}", made[n].id, agent=name, model=name) for n, name in enumerate(EVIL_NAMES)])
    for view in (overview, pipeline, mine, dependencies, fleet, costs):
        for found in tables(read(view).text):
            assert {len(row) for row in found} == {len(found[0])}
            if found[0][0] == "Task":
                assert set(column(found, "Title")) <= {" ".join(title.split()) for title in EVIL}
    graph = re.findall(r'^    n\d+\["T\d+ ([^"]*) \(\w+\)"\]$', read(dependencies).body, re.MULTILINE)
    assert len(graph) == 1 + len(EVIL)


def plain(text: str) -> str:
    """What a cell must show of a text."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "\ufffd", shortened(" ".join(text.split()), LONGEST_CELL))


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
MARKUP = st.text(st.sampled_from("|\\`*_[]<>#$%=:~&!^-+.w/;@ \n\r\tax1é\u202e😀"), max_size=40)


@given(st.lists(st.lists(st.one_of(ANY_TEXT, MARKUP, st.sampled_from(EVIL)), min_size=3, max_size=3), min_size=1))
def test_any_text_is_shown_as_it_is_in_a_table(rows: list[list[str]]) -> None:
    target = link("010-tasks/active", "T42")
    [found] = tables(table(["Task", "a", "b", "c"], [[target, *row] for row in rows]))
    assert found[0] == ["Task", "a", "b", "c"]
    assert found[1:] == [["[[010-tasks/active/T42|T42]]", *map(plain, row)] for row in rows]


@given(st.one_of(ANY_TEXT, MARKUP))
def test_escaped_text_holds_nothing_that_obsidian_reads(text: str) -> None:
    shown = escaped(text)
    bare = re.sub(r"\\.|&#\d+;", "x", shown)
    assert not re.search(r"[|`$#<>\[\]]|%%|==|::|://", bare)
    assert "\n" not in shown


@given(st.one_of(ANY_TEXT, MARKUP))
def test_any_text_is_a_label_of_mermaid(text: str) -> None:
    label = dependencies.label(text)
    assert re.fullmatch(r"(?:[\w ,.]|[^\x00-\x9f]|#\d+;)*", label)
    decoded = re.sub(r"#(\d+);", lambda match: chr(int(match[1])), label)
    assert decoded == shortened(" ".join(text.split()), dependencies.LONGEST_LABEL)


def test_what_is_markdown_already_is_left_alone() -> None:
    assert table(["a"], [[Markdown("**x**")], [None], [3]]).splitlines()[2:] == ["| **x** |", "|  |", "| 3 |"]
    assert table(["a"], []) == "None."
