"""Named locks with a fence."""

from __future__ import annotations

import pytest

from shoal import Ledger
from shoal.errors import LockLost, NotFound, Refused
from tests.conftest import FakeClock


def test_lock_has_one_owner_until_it_is_given_back(ledger: Ledger) -> None:
    mine = ledger.locks.acquire("deploy", owner="a", ttl_seconds=60)
    theirs = ledger.locks.acquire("deploy", owner="b")
    assert (mine.acquired, mine.lock.fence) == (True, 1)
    assert (theirs.acquired, theirs.lock.owner, theirs.retry_after_ms) == (False, "a", 60_000)

    ledger.locks.release("deploy", owner="a", fence=1)
    assert ledger.locks.acquire("deploy", owner="b").lock.fence == 2


def test_only_an_expired_lock_is_taken_over(ledger: Ledger, clock: FakeClock) -> None:
    ledger.locks.acquire("deploy", owner="a", ttl_seconds=10)
    clock.advance(9)
    assert not ledger.locks.acquire("deploy", owner="b").acquired
    clock.advance(1)
    assert ledger.locks.acquire("deploy", owner="b").lock.fence == 2
    for verb in (ledger.locks.renew, ledger.locks.release):
        with pytest.raises(LockLost, match="held by b with fence 2"):
            verb("deploy", owner="a", fence=1)


def test_renewed_lock_lasts_longer_and_never_shorter(ledger: Ledger, clock: FakeClock) -> None:
    ledger.locks.acquire("deploy", owner="a", ttl_seconds=60)
    clock.advance(30)
    assert ledger.locks.renew("deploy", owner="a", fence=1, ttl_seconds=60).expires_at == clock.now + 60_000
    assert ledger.locks.renew("deploy", owner="a", fence=1, ttl_seconds=1).expires_at == clock.now + 60_000


def test_expired_lock_cannot_be_renewed(ledger: Ledger, clock: FakeClock) -> None:
    ledger.locks.acquire("deploy", owner="a", ttl_seconds=1)
    clock.advance(2)
    with pytest.raises(LockLost, match="expired"):
        ledger.locks.renew("deploy", owner="a", fence=1)


def test_context_manager_holds_and_gives_back(ledger: Ledger) -> None:
    with ledger.lock("deploy", owner="a") as held:
        assert [lock.name for lock in ledger.locks.list()] == ["deploy"]
        assert held.fence == 1
        with pytest.raises(Refused, match="held by a"), ledger.lock("deploy", owner="b"):
            raise AssertionError("two owners")
    assert ledger.locks.list() == []


def test_unknown_lock_is_said_so(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        ledger.locks.get("never")
