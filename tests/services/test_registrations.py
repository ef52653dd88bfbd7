"""Which repositories a task may have tokens for, and who may say so."""

from __future__ import annotations

from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import BadInput, Forbidden, NotFound, Refused, WrongStatus
from shoal.model.task import TaskChanges
from shoal.services.registrations import github_name, is_open_to
from shoal.settings import ADMIN_TOKEN, BrokerSettings, RepositorySettings, Settings
from tests.conftest import START_MS, FakeClock
from tests.github_app import AppApi
from tests.services.broker import ADMIN, Open, at_work, audited, open_broker

HOUR_MS = 3_600_000
DEFAULT = {"contents": "write", "metadata": "read", "pull_requests": "write"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("acme/web", "acme/web"),
        ("acme/web.git", "acme/web"),
        ("https://github.com/acme/web.git", "acme/web"),
        ("https://user:secret@GitHub.com/acme/web/", "acme/web"),
        ("git@github.com:acme/web.git", "acme/web"),
        ("ssh://git@github.com/acme/web", "acme/web"),
        ("known", "acme/api"),
        ("acme/elsewhere", None),
        ("https://evil.example/acme/web", None),
        ("https://github.com.evil.example/acme/web", None),
        ("https://github.com/acme/web/tree/main", None),
        ("https://[/acme/web", None),
        ("/srv/web", None),
        ("web", None),
        ("acme/..", None),
        ("acme/.git", None),
        ("../acme/web", None),
        ("acme/we b", None),
        ("acme/web?x", None),
    ],
)
def test_name_of_a_repository_is_what_github_calls_it_or_nothing(name: str, meant: str | None) -> None:
    repositories = {
        "known": RepositorySettings(url="git@github.com:acme/api.git"),
        "acme/elsewhere": RepositorySettings(url="https://git.example/acme/elsewhere"),
    }
    assert github_name(Settings(repositories=repositories), name) == meant


def test_patterns_say_what_tasks_may_have() -> None:
    some = Settings(broker=BrokerSettings(repositories=["acme/*", "other/one"]))
    assert [name for name in ("acme/a", "ACME/B", "other/One", "other/two", "xacme/a") if is_open_to(some, name)] == [
        "acme/a",
        "ACME/B",
        "other/One",
    ]
    assert is_open_to(Settings(), "any/thing")


def test_first_ask_registers_what_the_task_names(broker: Ledger) -> None:
    claim = at_work(broker, "acme/web", "ACME/Web", "/srv/other", "acme/api")
    with pytest.raises(NotFound, match="T1 is not registered"):
        broker.tasks.registration(1)
    broker.tasks.token(1, key=claim.key)
    found = broker.tasks.registration("T1")
    assert (found.repositories, found.permissions) == (["acme/web", "acme/api"], DEFAULT)
    assert (found.attempt, found.status, found.expires_at) == (1, "active", START_MS + 24 * HOUR_MS)
    assert [one.task for one in broker.grants.registrations()] == [1]


def test_task_without_repositories_on_github_gets_no_token(broker: Ledger, api: AppApi) -> None:
    claim = at_work(broker, "/srv/web")
    with pytest.raises(
        Refused, match=r"T1 has nothing to get a token for: none of /srv/web is on a host of broker.hosts"
    ):
        broker.tasks.token(1, key=claim.key)
    assert api.asked == []


def test_registration_reaches_no_further_than_the_settings(
    open_at: Open, api: AppApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADMIN_TOKEN, ADMIN)
    types: Any = {"docs": {"contents": "read", "administration": "write"}, "none": {"administration": "read"}}
    broker = open_broker(open_at, api, repositories=["acme/w*"], types=types)
    claim = at_work(broker, "acme/web", "acme/api")
    assert broker.tasks.token(1, key=claim.key).repositories == ["acme/web"]
    with pytest.raises(Forbidden, match="acme/api is not among the repositories of T1"):
        broker.tasks.token(1, key=claim.key, repository="acme/api")
    with pytest.raises(Forbidden, match=r"broker.repositories allows no token for acme/api"):
        broker.tasks.register(1, repositories=["acme/api"], key=ADMIN)
    with pytest.raises(Forbidden, match=r"administration=write is more than broker.permissions"):
        broker.tasks.register(1, permissions={"administration": "write"}, key=ADMIN)
    with pytest.raises(BadInput, match=r"'web' is no repository on a host of broker.hosts"):
        broker.tasks.register(1, repositories=["web"], key=ADMIN)
    other = at_work(broker, "acme/api")
    with pytest.raises(Forbidden, match=r"broker.repositories allows no token for acme/api"):
        broker.tasks.token(2, key=other.key)
    docs = at_work(broker, type="docs")
    assert broker.tasks.token(3, key=docs.key).permissions == {"contents": "read", "metadata": "read"}
    with pytest.raises(Forbidden, match="contents=write is more than"):
        broker.tasks.register(3, permissions={"contents": "write"}, key=ADMIN)
    none = at_work(broker, type="none")
    with pytest.raises(Refused, match=r"none allows nothing that broker.permissions allows"):
        broker.tasks.token(4, key=none.key)


def test_administrator_registers_other_repositories_than_the_task_names(broker: Ledger, api: AppApi) -> None:
    broker.tasks.create(title="later")
    made = broker.tasks.register(1, repositories=["other/web"], permissions={"contents": "read"}, key=ADMIN)
    assert (made.attempt, made.registered_by, made.task_id) == (None, "ana", "T1")
    [claim] = broker.tasks.claim(worker="w").claims
    given = broker.tasks.token(1, key=claim.key)
    assert (given.repositories, given.permissions) == (["other/web"], {"contents": "read", "metadata": "read"})
    broker.tasks.release(1, attempt=1)
    [claim] = broker.tasks.claim(worker="w").claims
    assert broker.tasks.token(1, key=claim.key).repositories == ["other/web"], "it holds for every attempt"
    assert [event.kind for event in broker.events.list(task=1, kind="task.registered")] == ["task.registered"]


def test_attempt_can_only_give_something_up(broker: Ledger, clock: FakeClock) -> None:
    claim = at_work(broker, "acme/web", "acme/api")
    for more in (
        {"repositories": ["other/web"]},
        {"permissions": {"administration": "read"}},
        {"permissions": {"contents": "admin"}},
    ):
        with pytest.raises(Forbidden):
            broker.tasks.register(1, key=claim.key, **more)
    clock.advance(200)
    broker.tasks.register(1, key=claim.key, repositories=["acme/api"], permissions={"contents": "read"})
    less = broker.tasks.registration(1)
    assert (less.repositories, less.permissions, less.attempt) == (["acme/api"], {"contents": "read"}, 1)
    with pytest.raises(Forbidden):
        broker.tasks.register(1, key=claim.key, repositories=["acme/web"])
    clock.advance(50)
    assert broker.tasks.register(1, key=claim.key).expires_at == less.expires_at, "its time is not made longer"
    with pytest.raises(Forbidden):
        broker.tasks.register(1)
    broker.tasks.release(1, attempt=1)
    with pytest.raises(WrongStatus):
        broker.tasks.register(1, key=claim.key)


def test_narrowing_ends_the_tokens_that_reach_further(broker: Ledger) -> None:
    claim = at_work(broker, "acme/web", "acme/api")
    broker.tasks.token(1, key=claim.key)
    broker.tasks.token(1, key=claim.key, permissions={"contents": "read"})
    broker.tasks.register(1, key=claim.key, permissions={"contents": "read"})
    newest, oldest = broker.grants.list(task=1)
    assert (newest.ends, oldest.ends) == (None, "the task was registered for less")
    broker.tasks.register(1, repositories=["other/tool"], key=ADMIN)
    assert broker.grants.list(task=1)[0].ends == "the task was registered for other repositories"


def test_deregistered_task_gets_none_until_it_is_registered_anew(broker: Ledger, api: AppApi) -> None:
    claim = at_work(broker)
    broker.tasks.token(1, key=claim.key)
    assert broker.tasks.deregister("T1", key=ADMIN).status == "removed"
    assert broker.tasks.deregister(1, key=ADMIN).status == "removed"
    assert broker.grants.list(task=1)[0].ends == "the task was deregistered"
    for verb in (broker.tasks.token, broker.tasks.register):
        with pytest.raises(Refused, match=r"T1 was deregistered by ana; .*shoal broker register T1"):
            verb(1, key=claim.key)
    broker.tasks.release(1, attempt=1)
    [claim] = broker.tasks.claim(worker="w").claims
    with pytest.raises(Refused, match="deregistered"):
        broker.tasks.token(1, key=claim.key)
    broker.tasks.register(1, key=ADMIN)
    assert broker.tasks.token(1, key=claim.key).token
    assert audited(broker, task=1, action="deregistered") == ["deregistered"]
    with pytest.raises(NotFound):
        broker.tasks.deregister(9, key=ADMIN)


def test_registration_expires(broker: Ledger, clock: FakeClock) -> None:
    claim = at_work(broker)
    broker.tasks.token(1, key=claim.key)
    for _ in range(24):
        clock.advance(3600)
        broker.tasks.beat(worker="w", tasks={"T1": 1}, lease_seconds=7200)
    with pytest.raises(Refused, match="registration of T1 expired at 2027-01-16 08:00:00 UTC; an administrator"):
        broker.tasks.token(1, key=claim.key)
    assert broker.grants.registrations() == []
    broker.tasks.register(1, key=ADMIN)
    assert broker.tasks.token(1, key=claim.key).token


def test_next_attempt_registers_what_the_task_names_then(broker: Ledger, clock: FakeClock) -> None:
    claim = at_work(broker)
    broker.tasks.token(1, key=claim.key)
    broker.tasks.release(1, attempt=1)
    broker.tasks.update(1, repos=["acme/api"])
    [claim] = broker.tasks.claim(worker="w").claims
    assert broker.tasks.token(1, key=claim.key).repositories == ["acme/api"]
    assert broker.tasks.registration(1).attempt == 2


def test_finished_task_is_not_registered(broker: Ledger) -> None:
    broker.tasks.create(title="x", repos=["acme/web"])
    broker.tasks.cancel(1)
    with pytest.raises(WrongStatus, match="T1 is cancelled and gets no tokens; `shoal reopen T1` first"):
        broker.tasks.register(1, key=ADMIN)


def test_task_at_work_gets_no_more_repositories(open_at: Open, api: AppApi) -> None:
    broker = open_broker(open_at, api, types={"ops": {"contents": "read"}})
    claim = at_work(broker)
    why = "T1 is active, and by its repos attempt 1 gets its tokens; `shoal release T1`"
    with pytest.raises(WrongStatus, match=why):
        broker.tasks.update(1, repos=["acme/web", "acme/api"])
    with pytest.raises(WrongStatus, match="its type"):
        broker.tasks.update(1, type="ops")
    assert broker.tasks.update(1, repos=[], title="new").updated == ["repos", "title"]
    with pytest.raises(WrongStatus, match=why):
        broker.tasks.update(1, repos=["acme/web"])
    broker.tasks.release(1, attempt=claim.attempt)
    assert broker.tasks.update(1, repos=["acme/api"], type="ops").updated == ["repos", "type"]


def test_no_field_of_the_broker_is_one_of_a_task() -> None:
    known = set(TaskChanges.__struct_fields__)
    assert known.isdisjoint({"permissions", "registration", "registered_at", "token_count", "key", "expires_at"})
