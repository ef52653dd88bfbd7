"""Tokens: who gets one, for what, and when none is given."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shoal import Ledger
from shoal.daemon.revoker import Revoker
from shoal.errors import (
    BadInput,
    Forbidden,
    ForgeError,
    ForgeUnreachable,
    NotConfigured,
    NotFound,
    Refused,
    WrongStatus,
)
from shoal.model.grant import Token
from shoal.settings import ADMIN_TOKEN, ServiceSettings
from tests.conftest import FakeClock
from tests.github_app import HOUR_MS, AppApi
from tests.services.broker import ADMIN, Open, at_work, audited, open_broker

MAKE = "POST .*/access_tokens"


def test_attempt_gets_a_token_for_its_repositories_with_its_own_key(
    broker: Ledger, api: AppApi, clock: FakeClock
) -> None:
    claim = at_work(broker, "acme/web")
    given = broker.tasks.token(claim.task.id, key=claim.key)
    assert (given.repositories, given.expires_at) == (["acme/web"], clock.now + HOUR_MS)
    assert given.permissions == {"contents": "write", "metadata": "read", "pull_requests": "write"}
    assert api.allows(given.token, "acme/web", "contents", "write")
    assert not api.allows(given.token, "acme/api", "contents", "read")
    [grant] = broker.grants.list(task=1)
    assert (grant.task, grant.attempt, grant.token_end, grant.actor) == (1, 1, given.token[-4:], "ana")
    assert (grant.revoked_at, grant.ends) == (None, None)
    assert broker.tasks.registration(1).token_count == 1
    assert audited(broker, task="T1") == ["registered", "issued"]
    event = broker.events.list(task=1, kind="token.issued")[0]
    assert event.data["repositories"] == ["acme/web"]


def test_administrator_gets_it_too_and_nobody_else(broker: Ledger, api: AppApi) -> None:
    claim, other = at_work(broker), at_work(broker)
    assert broker.tasks.token(1, key=ADMIN).token in api.tokens
    for key in (None, "x", other.key, claim.key[:-1], claim.key.upper(), "ß"):
        with pytest.raises(Forbidden, match="key"):
            broker.tasks.token(1, key=key)
    with pytest.raises(NotFound, match="no task 'gone'"):
        broker.tasks.token("gone", key=ADMIN)
    assert len(api.tokens) == 1
    assert audited(broker, action="refused", task=1) == ["refused"] * 6
    assert audited(broker, task="gone") == ["refused"]


def test_without_an_administrators_token_none_fits(
    broker: Ledger, monkeypatch: pytest.MonkeyPatch, api: AppApi
) -> None:
    monkeypatch.setenv(ADMIN_TOKEN, " ")
    at_work(broker)
    with pytest.raises(Forbidden):
        broker.tasks.token(1, key=" ")
    with pytest.raises(Forbidden, match=r"this server has none; set \$SHOAL_ADMIN_TOKEN"):
        broker.tasks.register(1, key="x")
    assert api.tokens == {}


def test_open_broker_asks_for_no_key_but_takes_no_wrong_one(open_at: Open, api: AppApi) -> None:
    broker = open_broker(open_at, api, open=True)
    at_work(broker)
    assert broker.tasks.token(1).token in api.tokens
    with pytest.raises(Forbidden):
        broker.tasks.token(1, key="that of an earlier attempt")
    broker.tasks.register(1, repositories=["acme/api"])
    assert broker.tasks.token(1).repositories == ["acme/api"]


def end_by(broker: Ledger, clock: FakeClock, how: str) -> None:
    if how == "completed":
        broker.tasks.complete(1, attempt=1)
    elif how == "failed":
        broker.tasks.fail(1, attempt=1, error="x", permanent=True)
    elif how == "cancelled":
        broker.tasks.cancel(1)
    elif how == "released":
        broker.tasks.release(1, attempt=1)
    elif how == "in review":
        broker.tasks.complete(1, attempt=1)
    else:
        clock.advance(301)


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "released", "in review", "run out"])
def test_attempt_that_is_over_gets_none(broker: Ledger, api: AppApi, clock: FakeClock, how: str) -> None:
    claim = at_work(broker, requires_qa=how == "in review")
    broker.tasks.token(1, key=claim.key)
    end_by(broker, clock, how)
    for key in (claim.key, ADMIN):
        with pytest.raises(WrongStatus, match=r"tokens are for attempts at work|ran out at"):
            broker.tasks.token(1, key=key)
    assert len(api.tokens) == 1


def test_key_of_an_earlier_attempt_gets_none(broker: Ledger) -> None:
    first = at_work(broker)
    broker.tasks.release(1, attempt=1)
    [second] = broker.tasks.claim(worker="w2").claims
    with pytest.raises(Forbidden, match="not that of attempt 2, which has T1 now; stop this work"):
        broker.tasks.token(1, key=first.key)
    assert broker.tasks.token(1, key=second.key).token


def test_same_token_comes_again_until_it_is_renewed_before_it_expires(
    broker: Ledger, api: AppApi, clock: FakeClock
) -> None:
    claim = at_work(broker)
    seen = []
    for _ in range(30):  # three hours
        token = broker.tasks.token(1, key=claim.key).token
        assert api.allows(token, "acme/web", "contents", "write")
        seen.append(token)
        clock.advance(200)
        broker.tasks.beat(worker="w", tasks={"T1": 1})
        broker.tasks.token(1, key=claim.key)
        clock.advance(200)
        broker.tasks.beat(worker="w", tasks={"T1": 1})
    assert 3 <= len(set(seen)) == len(api.tokens) <= 5
    actions = audited(broker, task=1)
    assert actions.count("issued") == 1
    assert actions.count("renewed") == len(api.tokens) - 1
    assert actions.count("reused") == 60 - len(api.tokens)


def test_each_scope_and_each_attempt_has_a_token_of_its_own(broker: Ledger, api: AppApi) -> None:
    claim = at_work(broker)
    whole = broker.tasks.token(1, key=claim.key).token
    less = broker.tasks.token(1, key=claim.key, permissions={"contents": "read"})
    assert less.permissions == {"contents": "read", "metadata": "read"}
    assert broker.tasks.token(1, key=claim.key).token == whole
    broker.tasks.release(1, attempt=1)
    [claim] = broker.tasks.claim(worker="w2").claims
    assert broker.tasks.token(1, key=claim.key).token not in {whole, less.token}
    other = at_work(broker)
    assert broker.tasks.token(2, key=other.key).token != whole
    assert len(api.tokens) == 4


def test_permissions_are_never_wider_than_the_registration(broker: Ledger, api: AppApi) -> None:
    claim = at_work(broker)
    for asked in ({"administration": "write"}, {"contents": "admin"}, {"metadata": "write"}):
        with pytest.raises(Forbidden, match="is more than the registration of T1 allows"):
            broker.tasks.token(1, key=claim.key, permissions=asked)
    for bad in ({"contents": "all"}, {"Contents": "read"}, {}):
        with pytest.raises(BadInput):
            broker.tasks.token(1, key=claim.key, permissions=bad)
    assert api.tokens == {}


def test_task_with_two_owners_has_a_token_for_each(broker: Ledger, api: AppApi) -> None:
    claim = at_work(broker, "acme/web", "other/web", "acme/api")
    with pytest.raises(BadInput, match=r"repositories of 2 owners, .* one of acme/web, other/web, acme/api"):
        broker.tasks.token(1, key=claim.key)
    ours = broker.tasks.token(1, key=claim.key, repository="acme/api")
    theirs = broker.tasks.token(1, key=claim.key, repository="Other/Web.git")
    assert (ours.repositories, theirs.repositories) == (["acme/api", "acme/web"], ["other/web"])
    assert not api.allows(ours.token, "other/web", "contents", "read")
    assert broker.tasks.token(1, key=claim.key, repository="acme/web").token == ours.token
    for other in ("acme/secret", "third/web", "web", "https://evil.example/acme/web"):
        with pytest.raises(Forbidden, match="is not among the repositories of T1"):
            broker.tasks.token(1, key=claim.key, repository=other)


def test_owner_without_an_installation_is_refused_by_name(broker: Ledger, api: AppApi) -> None:
    claim = at_work(broker, "stranger/web")
    with pytest.raises(ForgeError, match="no installation for stranger"):
        broker.tasks.token(1, key=claim.key)
    assert api.tokens == {}
    assert broker.grants.audit(task=1)[0].reason is not None
    assert audited(broker, task=1) == ["registered", "refused"]


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "released", "in review", "run out"])
def test_task_that_ends_while_the_forge_answers_gets_nothing(
    broker: Ledger, api: AppApi, clock: FakeClock, how: str
) -> None:
    claim = at_work(broker, requires_qa=how == "in review")
    there, go = api.hold(MAKE)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(broker.tasks.token, 1, key=claim.key)
        assert there.wait(10)
        end_by(broker, clock, how)
        go.set()
        with pytest.raises(WrongStatus):
            asking.result(30)
    assert len(api.tokens) == 1
    assert api.alive == []
    assert audited(broker, task=1) == ["registered", "revoked", "refused"]
    [grant] = broker.grants.list(task=1)
    assert grant.revoked_at is not None
    assert not broker.engine.sources.purse  # type: ignore[attr-defined]


def test_next_attempt_does_not_make_the_earlier_ones_ask_good(broker: Ledger, api: AppApi) -> None:
    at_work(broker)
    there, go = api.hold(MAKE)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(broker.tasks.token, 1, key=ADMIN)
        assert there.wait(10)
        broker.tasks.release(1, attempt=1)
        broker.tasks.claim(worker="w2")
        go.set()
        with pytest.raises(Refused, match="may have changed while GitHub was asked; ask again"):
            asking.result(30)
    assert api.alive == []


@pytest.mark.parametrize("what", ["deregistered", "narrowed"])
def test_registration_that_shrinks_while_the_forge_answers_counts(broker: Ledger, api: AppApi, what: str) -> None:
    claim = at_work(broker, "acme/web", "acme/api")
    there, go = api.hold(MAKE)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(broker.tasks.token, 1, key=claim.key)
        assert there.wait(10)
        if what == "deregistered":
            broker.tasks.deregister(1, key=ADMIN)
        else:
            broker.tasks.register(1, repositories=["acme/api"], key=claim.key)
        go.set()
        with pytest.raises(Refused):
            asking.result(30)
    assert api.alive == []


def test_many_asks_at_once_are_one_token(broker: Ledger, api: AppApi) -> None:
    claim = at_work(broker)
    start = threading.Barrier(16)

    def ask(_: int) -> Token:
        start.wait()
        return broker.tasks.token(1, key=claim.key)

    with ThreadPoolExecutor(16) as pool:
        given = list(pool.map(ask, range(16)))
    assert len({one.token for one in given}) == len(api.tokens) == 1


def test_forge_that_fails_is_told_and_asked_again(broker: Ledger, api: AppApi) -> None:
    claim = at_work(broker)
    api.broken = (503, {}, b'{"message": "Unicorn"}')
    with pytest.raises(ForgeUnreachable, match="answers 503: Unicorn"):
        broker.tasks.token(1, key=claim.key)
    api.broken = None
    assert broker.tasks.token(1, key=claim.key).token
    assert audited(broker, task=1) == ["registered", "refused", "issued"]


def test_service_gets_what_is_configured_for_it(
    open_at: Open, api: AppApi, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setenv(ADMIN_TOKEN, ADMIN)
    services = {
        "vault": ServiceSettings(repositories=["acme/api"]),
        "wild": ServiceSettings(repositories=["acme/*"]),
    }
    broker = open_broker(open_at, api, services=services)
    given = broker.grants.service(service="vault", key=ADMIN)
    assert (given.repositories, given.permissions) == (["acme/api"], {"contents": "read", "metadata": "read"})
    assert broker.grants.service(service="vault", key=ADMIN).token == given.token
    clock.advance(3400)
    assert broker.grants.service(service="vault", key=ADMIN).token != given.token
    assert audited(broker, service="vault") == ["issued", "reused", "renewed"]
    with pytest.raises(NotFound, match=r"no service 'other' .*: vault"):
        broker.grants.service(service="other", key=ADMIN)
    with pytest.raises(NotConfigured, match="takes whole names"):
        broker.grants.service(service="wild", key=ADMIN)
    claim = at_work(broker)
    for key in (None, claim.key):
        with pytest.raises(Forbidden, match="needs the administrator's token"):
            broker.grants.service(service="vault", key=key)


def test_without_an_app_the_verbs_say_what_is_missing(ledger: Ledger) -> None:
    claim = at_work(ledger)
    with pytest.raises(NotConfigured, match="there is no GitHub App"):
        ledger.tasks.token(1, key=claim.key)
    with pytest.raises(NotConfigured):
        ledger.grants.service(service="vault", key=claim.key)
    assert ledger.tasks.complete(1, attempt=1).status == "completed"
    assert (ledger.grants.status().configured, ledger.grants.list(), audited(ledger, task=1)) == (
        False,
        [],
        ["refused"],
    )


def test_status_says_how_the_broker_is(broker: Ledger) -> None:
    claim = at_work(broker)
    broker.tasks.token(1, key=claim.key)
    found = broker.grants.status()
    assert (found.configured, found.problem, found.alive, found.registrations) == (True, None, 1, 1)
    assert (found.has_administrator, found.open) == (True, False)


@pytest.mark.parametrize("how", ["narrowed", "deregistered"])
def test_token_that_is_about_to_end_is_not_given_out_again(broker: Ledger, api: AppApi, how: str) -> None:
    claim = at_work(broker, "acme/web", "acme/api")
    doomed = broker.tasks.token(1, key=claim.key).token
    if how == "narrowed":
        broker.tasks.register(1, repositories=["acme/api"], key=claim.key)
    else:
        broker.tasks.deregister(1, key=ADMIN)
    broker.tasks.register(1, repositories=["acme/web", "acme/api"], key=ADMIN)
    given = broker.tasks.token(1, key=claim.key)
    assert given.token != doomed
    assert broker.tasks.token(1, key=claim.key).token == given.token
    looker = Revoker(broker.engine)  # type: ignore[arg-type]
    looker.tick()
    looker.close()
    assert [one.token for one in api.alive] == [given.token], "the other is ended all the same"
