"""Tokens end when their task does: soon, once, and told where it cannot be."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from shoal import Ledger
from shoal.daemon.loop import Loop
from shoal.daemon.revoker import Revoker
from shoal.ledger.world import Sources
from shoal.settings import ADMIN_TOKEN
from tests.conftest import FakeClock, wait_until
from tests.github_app import AppApi
from tests.services.broker import ADMIN, Open, at_work, audited, open_broker

END = "DELETE /installation/token"


@pytest.fixture
def api(clock: FakeClock) -> Iterator[AppApi]:
    api = AppApi(clock)
    yield api
    api.close()


@pytest.fixture
def broker(api: AppApi, open_at: Open, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv(ADMIN_TOKEN, ADMIN)
    return open_broker(open_at, api)


@pytest.fixture
def loop(broker: Ledger) -> Iterator[Loop]:
    """The loop, as the server runs it."""
    looker = Revoker(broker.engine)  # type: ignore[arg-type]
    loop = Loop("broker", looker.seconds, looker.tick, looker.wait)
    loop.start()
    yield loop
    loop.stop()
    loop.join(10)
    looker.close()
    assert loop.report()["error"] in (None, "not running")


@pytest.mark.parametrize("how", ["complete", "submit", "fail", "cancel", "release", "expire", "deregister", "narrow"])
def test_token_ends_within_a_second_or_so(broker: Ledger, api: AppApi, clock: FakeClock, loop: Loop, how: str) -> None:
    claim, other = at_work(broker, "acme/web", "acme/api", requires_qa=how == "submit"), at_work(broker)
    broker.tasks.token(1, key=claim.key)
    kept = broker.tasks.token(2, key=other.key).token
    began = time.monotonic()
    if how in {"complete", "submit"}:
        broker.tasks.complete(1, attempt=1)
    elif how == "fail":
        broker.tasks.fail(1, attempt=1, error="x")
    elif how == "cancel":
        broker.tasks.cancel(1)
    elif how == "release":
        broker.tasks.release(1, attempt=1)
        broker.tasks.claim(worker="w2", task=1)
    elif how == "deregister":
        broker.tasks.deregister(1, key=ADMIN)
    elif how == "narrow":
        broker.tasks.register(1, repositories=["acme/api"], key=claim.key)
    else:
        broker.tasks.beat(worker="w", tasks={"T2": 1}, lease_seconds=900)
        broker.engine.database.write(  # type: ignore[attr-defined]
            lambda store: store.all("tasks.change", id=1, now=clock.now, leased_until=clock.now - 1)
        )
        from shoal.services import leases

        assert len(broker.engine.write(leases.expire)) == 1  # type: ignore[attr-defined]
    wait_until(lambda: [one.token for one in api.alive] == [kept], seconds=10)
    assert time.monotonic() - began < 5
    wait_until(lambda: audited(broker, task=1)[-1] == "revoked")
    grant = broker.grants.list(task=1)[0]
    assert (grant.revoked_at, grant.revoke_error) == (clock.now, None)
    assert grant.ends is not None
    assert broker.events.list(task=1, kind="token.revoked")[0].data["reason"] == grant.ends


def test_revocation_that_fails_is_told_and_tried_again(broker: Ledger, api: AppApi, loop: Loop) -> None:
    claim = at_work(broker)
    broker.tasks.token(1, key=claim.key)
    api.broken = (500, {}, b'{"message": "Unicorn"}')
    broker.tasks.complete(1, attempt=1)
    wait_until(lambda: "unrevoked" in audited(broker, task=1))
    line = broker.grants.audit(task=1)[0]
    assert line.reason is not None
    assert "the task is completed" in line.reason
    assert "Unicorn" in line.reason
    api.broken = None
    wait_until(lambda: api.alive == [])
    wait_until(lambda: audited(broker, task=1)[-2:] == ["unrevoked", "revoked"])


def test_slow_forge_holds_up_no_other_token(broker: Ledger, api: AppApi, loop: Loop) -> None:
    first, second = at_work(broker), at_work(broker)
    broker.tasks.token(1, key=first.key)
    broker.tasks.token(2, key=second.key)
    there, go = api.hold(END)
    broker.tasks.complete(1, attempt=1)
    assert there.wait(10)
    broker.tasks.complete(2, attempt=1)
    wait_until(lambda: audited(broker, task=2)[-1] == "revoked")
    go.set()
    wait_until(lambda: audited(broker, task=1)[-1] == "revoked")


def test_many_tokens_end_together(broker: Ledger, api: AppApi, loop: Loop) -> None:
    for claim in [at_work(broker) for _ in range(30)]:
        broker.tasks.token(claim.task.id, key=claim.key)
    assert len(api.alive) == 30
    for number in range(1, 31):
        broker.tasks.complete(number, attempt=1)
    wait_until(lambda: api.alive == [])
    wait_until(lambda: audited(broker, action="revoked") == ["revoked"] * 30)


def test_registration_that_expires_ends_its_tokens(broker: Ledger, api: AppApi, clock: FakeClock) -> None:
    claim = at_work(broker)
    expires_at = broker.tasks.register(1, key=ADMIN).expires_at
    clock.now = expires_at - 600_000
    broker.tasks.beat(worker="w", tasks={"T1": 1}, lease_seconds=3600)
    broker.tasks.token(1, key=claim.key)
    looker = Revoker(broker.engine)  # type: ignore[arg-type]
    assert looker.tick() == 0
    clock.now = expires_at
    assert looker.tick() == 1
    looker.close()
    assert api.alive == []
    assert broker.grants.list(task=1)[0].ends == "the registration has expired"


def test_token_that_expired_by_itself_is_forgotten(broker: Ledger, api: AppApi, clock: FakeClock) -> None:
    claim = at_work(broker)
    broker.tasks.token(1, key=claim.key)
    looker = Revoker(broker.engine)  # type: ignore[arg-type]
    clock.advance(3601)
    broker.tasks.complete(1, attempt=1)
    assert looker.tick() == 0
    assert not broker.engine.sources.purse  # type: ignore[attr-defined]
    assert END not in " ".join(api.asked)


def test_what_a_server_that_died_gave_out_is_told(broker: Ledger, api: AppApi, clock: FakeClock) -> None:
    claim, other = at_work(broker), at_work(broker)
    broker.tasks.token(1, key=claim.key)
    broker.tasks.token(2, key=other.key)
    died = broker.engine.sources  # type: ignore[attr-defined]
    broker.engine.sources = Sources(tokens=died.tokens)  # type: ignore[attr-defined]
    broker.tasks.complete(1, attempt=1)
    Revoker(broker.engine).tick()  # type: ignore[arg-type]
    assert audited(broker, action="unrevoked") == [], "it may be about to end it"
    clock.advance(61)
    Revoker(broker.engine).tick()  # type: ignore[arg-type]
    Revoker(broker.engine).tick()  # type: ignore[arg-type]
    [line] = broker.grants.audit(action="unrevoked")
    assert line.task == 1
    assert "the server that gave it out is gone" in (line.reason or "")
    assert len(api.alive) == 2, "each lives until its hour is over"
    assert broker.tasks.token(2, key=other.key).token in api.tokens
    assert len(api.tokens) == 3, "a server that starts anew has its own"
