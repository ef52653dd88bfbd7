"""ClickUp's answers, the good and the bad ones, from a server on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shoal.adapters.trackers.clickup import ClickUp
from shoal.adapters.trackers.tracker import NewTicket
from shoal.errors import TrackerError, TrackerUnreachable
from tests.clickup_api import LIST, TOKEN, ClickUpApi
from tests.conftest import FakeClock

NEW = NewTicket(title="Fix the login", text="It fails.", marker="shoal:abc:W1")


@pytest.fixture
def api() -> Iterator[ClickUpApi]:
    api = ClickUpApi()
    yield api
    api.close()


@pytest.fixture
def waited() -> list[float]:
    return []


@pytest.fixture
def clickup(api: ClickUpApi, waited: list[float], clock: FakeClock) -> Iterator[ClickUp]:
    clickup = ClickUp(api.url, TOKEN, LIST, clock=clock, wait=waited.append)
    yield clickup
    clickup.close()


def test_task_is_made_found_by_its_marker_and_moved(api: ClickUpApi, clickup: ClickUp) -> None:
    made = clickup.create(NewTicket(title="a", text="b", marker="shoal:abc:W1", priority=0, due_at=5, status="to do"))
    assert (api.tasks[made.id]["priority"], api.tasks[made.id]["due_date"]) == (1, 5)
    assert made.url == f"https://app.clickup.com/t/{made.id}"
    assert clickup.set_status(made.id, "complete")
    assert api.tasks[made.id]["status"] == {"status": "complete"}
    assert clickup.known() == {"shoal:abc:W1": made}


def test_tasks_of_all_pages_are_known_archived_ones_too(api: ClickUpApi, clickup: ClickUp) -> None:
    for number in range(1, 251):
        clickup.create(NewTicket(title=str(number), text="", marker=f"shoal:abc:W{number}"))
    api.named("17")["archived"] = True
    assert len(clickup.known()) == 250


def test_task_that_was_deleted_is_gone(clickup: ClickUp) -> None:
    assert clickup.set_status("86nothing", "complete") is False


def test_limit_is_waited_for_as_long_as_it_says(
    api: ClickUpApi, clickup: ClickUp, waited: list[float], clock: FakeClock
) -> None:
    api.refuse(429, times=2, err="Rate limit reached", Retry_After="7")
    assert clickup.create(NEW).id in api.tasks
    assert waited == [7.0, 7.0]
    api.refuse(429, X_RateLimit_Reset=str(clock.now_ms() // 1000 + 30))
    clickup.known()
    assert 29 <= waited[-1] <= 30


def test_limit_that_lasts_ends_the_push(api: ClickUpApi, clickup: ClickUp, waited: list[float]) -> None:
    api.refuse(429, times=100, err="Rate limit reached", Retry_After="3")
    with pytest.raises(TrackerUnreachable, match="ClickUp asks to wait: Rate limit reached"):
        clickup.create(NEW)
    api.refuse(429, Retry_After="4000")
    with pytest.raises(TrackerUnreachable, match="asks to wait"):
        clickup.create(NEW)
    assert waited == [3.0, 3.0]


def test_fault_of_the_server_is_asked_again_but_makes_nothing_twice(
    api: ClickUpApi, clickup: ClickUp, waited: list[float]
) -> None:
    api.refuse(502, times=1)
    clickup.known()
    assert waited == [1.0]
    api.refuse(502, times=1)
    with pytest.raises(TrackerUnreachable, match="answers 502 to POST /list"):
        clickup.create(NEW)
    api.misbehave = None
    api.drop_after = 1
    with pytest.raises(TrackerUnreachable, match="does not answer"):
        clickup.create(NEW)
    assert list(clickup.known()) == [NEW.marker]


@pytest.mark.parametrize(
    ("token", "list_id", "words"),
    [
        ("pk_wrong", LIST, "does not take the token: Token invalid .OAUTH_025."),
        (TOKEN, "5", "has no list 5 for this token: List not found"),
    ],
)
def test_wrong_settings_are_told_as_such(api: ClickUpApi, token: str, list_id: str, words: str) -> None:
    clickup = ClickUp(api.url, token, list_id)
    with pytest.raises(TrackerUnreachable, match=words):
        clickup.create(NEW)
    clickup.close()


def test_refused_task_is_told_in_its_words(clickup: ClickUp) -> None:
    with pytest.raises(TrackerError, match=r"answers 400 to POST .*: Status not found") as raised:
        clickup.create(NewTicket(title="a", text="b", marker="m", status="nonsense"))
    assert not isinstance(raised.value, TrackerUnreachable)


def test_answer_that_is_something_else_is_told(api: ClickUpApi, clickup: ClickUp) -> None:
    api.misbehave = lambda *_: (200, {}, ["nonsense"])
    with pytest.raises(TrackerUnreachable, match="answers with something else"):
        clickup.known()


def test_token_goes_nowhere_unencrypted_and_stands_in_no_repr() -> None:
    with pytest.raises(TrackerError, match="not encrypted"):
        ClickUp("http://clickup.example", TOKEN, LIST)
    with pytest.raises(TrackerError, match="spaces"):
        ClickUp("https://clickup.example", "two words", LIST)
    assert TOKEN not in repr(ClickUp("https://clickup.example", TOKEN, LIST))


def test_token_of_an_app_is_a_bearers(api: ClickUpApi) -> None:
    clickup = ClickUp(api.url, "12_abc", LIST)
    with pytest.raises(TrackerUnreachable):
        clickup.known()
    clickup.close()
    assert api.authorizations == ["Bearer 12_abc"]
