"""A tracker is told of accepted items once, and of their status after that; whatever it does meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shoal import Ledger
from shoal.errands import tracker_push
from shoal.errors import BadInput, NotConfigured, Refused
from shoal.settings import Settings, TrackerSettings
from tests.clickup_api import LIST, TOKEN, ClickUpApi

VARIABLE = "TEST_CLICKUP_TOKEN"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ClickUpApi]:
    monkeypatch.setenv(VARIABLE, TOKEN)
    api = ClickUpApi()
    yield api
    api.close()


@pytest.fixture
def settings(api: ClickUpApi) -> Settings:
    board = TrackerSettings(
        kind="clickup",
        list=LIST,
        token_variable=VARIABLE,
        url=api.url,
        statuses={"triaged": "to do", "in_progress": "in progress", "done": "complete"},
    )
    return Settings(trackers={"board": board})


def push(ledger: Ledger, settings: Settings, *, dry_run: bool = False) -> tuple[list[tuple[str, str]], str | None]:
    came = tracker_push.run(ledger, settings, "board", dry_run=dry_run)
    return [(one.item, one.action.value) for one in came.done], came.stopped


def test_accepted_items_become_tasks_once(ledger: Ledger, settings: Settings, api: ClickUpApi) -> None:
    ledger.items.create(text="Fix it\nIt fails.", accepted=True, priority=1, project="web")
    ledger.items.create(text="Nobody accepted this")
    assert push(ledger, settings) == ([("W1", "created")], None)
    [task] = api.tasks.values()
    assert (task["name"], task["status"], task["priority"]) == ("Fix it", {"status": "to do"}, 2)
    assert task["description"].startswith("Fix it\nIt fails.\n\nW1 of web\n\nshoal:")
    assert ledger.items.get(1).refs == {"board": task["id"]}
    asked = len(api.asked)
    assert push(ledger, settings) == ([], None)
    assert len(api.asked) == asked, "there is nothing to tell, so nothing is asked"


def test_secrets_are_taken_out_of_what_is_told(ledger: Ledger, settings: Settings, api: ClickUpApi) -> None:
    token, password = "ghp_" + "q8Zx9QpL7vBk2Wm4Tn6Rs1Yd3Fg5Hj0LcVbN", "Xk29" + "vLq8ZtRw"
    text = f"Rotate the token {token} of CI\npassword: {password}"
    ledger.items.create(text=text, accepted=True, source_file="config.yaml")
    ledger.items.assess(1, summary=f"It is {token}.")
    assert push(ledger, settings) == ([("W1", "created")], None)
    [task] = api.tasks.values()
    assert task["name"] == "Rotate the token [secret: a GitHub token] of CI"
    assert "It is [secret: a GitHub token]" in task["description"]
    assert token not in task["description"]
    assert password not in task["description"]


def test_mark_in_a_text_is_no_mark(ledger: Ledger, settings: Settings, api: ClickUpApi) -> None:
    ledger.items.create(text="a", accepted=True)
    push(ledger, settings)
    mark = api.named("a")["description"].rpartition("\n")[2].removesuffix("1")
    ledger.items.create(text=f"b\n{mark}3", accepted=True)
    push(ledger, settings)
    assert mark + "3" not in api.named("b")["description"]
    api.named("a")["description"] = f"{mark}3\n\n{api.named('a')['description']}"  # as a person may write it there
    ledger.items.create(text="c", accepted=True)
    assert push(ledger, settings) == ([("W3", "created")], None)


def test_status_is_told_once_and_only_where_it_has_a_name(ledger: Ledger, settings: Settings, api: ClickUpApi) -> None:
    for text in "ab":
        ledger.items.create(text=text, accepted=True)
    push(ledger, settings)
    ledger.items.done(1)
    ledger.items.reject(2)
    assert push(ledger, settings) == ([("W1", "status")], None)
    assert api.named("a")["status"] == {"status": "complete"}
    assert push(ledger, settings) == ([], None)
    ledger.items.reopen(1)
    assert push(ledger, settings) == ([("W1", "status")], None)
    assert [api.named(name)["status"] for name in "ab"] == [{"status": "to do"}] * 2


def test_what_was_made_before_a_push_was_killed_is_found_again(
    ledger: Ledger, settings: Settings, api: ClickUpApi
) -> None:
    for text in "abc":
        ledger.items.create(text=text, accepted=True)
    api.drop_after = 1
    done, stopped = push(ledger, settings)
    assert (done, len(api.tasks)) == ([], 1)
    assert "does not answer" in (stopped or "")
    ledger.items.done(1)
    assert push(ledger, settings)[0] == [("W2", "created"), ("W3", "created")]
    ledger.items.reopen(1)
    assert push(ledger, settings)[0] == [("W1", "found"), ("W1", "status")]
    assert len(api.tasks) == 3


def test_each_is_kept_right_after_it_was_done(ledger: Ledger, settings: Settings, api: ClickUpApi) -> None:
    for text in "abc":
        ledger.items.create(text=text, accepted=True)
    api.misbehave = lambda method, path, given: (
        (500, {}, {"err": "no"}) if method == "POST" and given["name"] == "b" else None
    )
    done, stopped = push(ledger, settings)
    assert (done, "500" in (stopped or "")) == ([("W1", "created")], True)
    assert [one.item for one in ledger.items.syncs(tracker="board")] == [1]
    api.misbehave = None
    assert push(ledger, settings) == ([("W2", "created"), ("W3", "created")], None)


def test_refused_item_is_told_and_the_others_go_on(ledger: Ledger, settings: Settings, api: ClickUpApi) -> None:
    for text in "ab":
        ledger.items.create(text=text, accepted=True)
    api.refuse(400, path="POST", err="Custom field required")
    came = tracker_push.run(ledger, settings, "board")
    assert [one.action.value for one in came.done] == ["refused", "created"]
    assert "Custom field required" in (came.done[0].reason or "")


def test_task_that_was_deleted_there_is_let_go(ledger: Ledger, settings: Settings, api: ClickUpApi) -> None:
    ledger.items.create(text="a", accepted=True)
    push(ledger, settings)
    api.tasks.clear()
    ledger.items.done(1)
    assert push(ledger, settings) == ([("W1", "gone")], None)
    assert push(ledger, settings) == ([], None)


def test_dry_run_asks_nothing_and_needs_no_token(
    ledger: Ledger, settings: Settings, api: ClickUpApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.items.create(text="a", accepted=True)
    monkeypatch.delenv(VARIABLE)
    assert push(ledger, settings, dry_run=True) == ([("W1", "created")], None)
    assert (api.asked, len(ledger.items.syncs(tracker="board"))) == ([], 0)
    with pytest.raises(NotConfigured, match=VARIABLE):
        push(ledger, settings)


def test_only_items_of_its_projects_are_pushed(ledger: Ledger, settings: Settings) -> None:
    from msgspec.structs import replace

    board = replace(settings.trackers["board"], projects=["web", "api"])
    for project in ("web", "other", "api"):
        ledger.items.create(text=project, accepted=True, project=project)
    assert push(ledger, Settings(trackers={"board": board}))[0] == [("W1", "created"), ("W3", "created")]


def test_two_pushes_at_once_are_one(ledger: Ledger, settings: Settings) -> None:
    ledger.items.create(text="a", accepted=True)
    held = ledger.locks.acquire("tracker board", owner="another", ttl_seconds=60)
    with pytest.raises(Refused, match="another push has the lock 'tracker board'"):
        push(ledger, settings)
    ledger.locks.release("tracker board", owner="another", fence=held.lock.fence)
    assert push(ledger, settings)[0] == [("W1", "created")]


def test_unknown_tracker_is_told_with_those_that_there_are(ledger: Ledger, settings: Settings) -> None:
    with pytest.raises(BadInput, match=r"there is no \[trackers.jira\] in shoal.toml; there are: board"):
        tracker_push.run(ledger, settings, "jira")


def test_its_token_is_a_secret(settings: Settings) -> None:
    assert VARIABLE in settings.secrets
