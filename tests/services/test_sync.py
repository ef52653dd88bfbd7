"""How far the vault follows: asked for, counted, remembered."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal import Ledger
from shoal.daemon.vault_sync import VaultSync
from shoal.errors import NoVault
from shoal.ledger.connect import open_ledger
from shoal.settings import Settings
from tests.conftest import FakeClock


def test_status_before_and_after_a_sync(ledger: Ledger, clock: FakeClock) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.create(title="b")
    before = ledger.sync.status()
    assert (before.enabled, before.running, before.last_sync, before.pending) == (True, False, None, 2)
    VaultSync(ledger.engine).run()  # type: ignore[arg-type]
    after = ledger.sync.status()
    assert (after.last_sync, after.pending, after.commits, after.last_error) == (clock.now, 0, 1, None)
    assert after.position > before.position


def test_trigger_is_done_when_the_position_has_reached_it(ledger: Ledger) -> None:
    request = ledger.sync.trigger()
    assert ledger.sync.status().position < request.event
    VaultSync(ledger.engine).run()  # type: ignore[arg-type]
    assert ledger.sync.status().position >= request.event


def test_trigger_for_everything_looks_at_every_task(ledger: Ledger) -> None:
    sync = VaultSync(ledger.engine)  # type: ignore[arg-type]
    for title in ("a", "b", "c"):
        ledger.tasks.create(title=title)
    sync.run()
    ledger.sync.trigger()
    assert sync.run().tasks == 0
    ledger.sync.trigger(everything=True)
    assert sync.run().tasks == 3


def test_pruned_log_makes_the_sync_look_at_every_task(ledger: Ledger, clock: FakeClock) -> None:
    from shoal.daemon import pruner

    for title in ("a", "b", "c"):
        ledger.tasks.create(title=title)
    clock.advance(400 * 86_400)
    assert pruner.tick(ledger.engine) > 0  # type: ignore[arg-type]
    ledger.tasks.create(title="d")
    assert VaultSync(ledger.engine).run().tasks == 4  # type: ignore[arg-type]


def test_texts_are_found_after_a_sync(ledger: Ledger, open_at: Callable[..., Ledger]) -> None:
    ledger.tasks.create(title="Fix the login", body="# Login\n\nThe cookie expires.\n")
    ledger.tasks.note(1, text="try the xylophone")
    ledger.tasks.result(1, text="It was the timezone.")
    ledger.tasks.share(1, key="where", value="in the gateway")
    VaultSync(ledger.engine).run()  # type: ignore[arg-type]
    for text, kind in (
        ("login", "title"),
        ("cookie", "body"),
        ("timezone", "result"),
        ("xylophone", "note"),
        ("gateway", "context"),
    ):
        assert [hit.task_id for hit in ledger.tasks.search(text=text, kind=kind)] == ["T1"], text
    assert ledger.acting_as("bob").tasks.search(text="xylophone") == []
    ledger.tasks.set_body(1, text="Nothing of it.\n")
    ledger.sync.trigger(everything=True)
    VaultSync(ledger.engine).run()  # type: ignore[arg-type]
    assert ledger.tasks.search(text="cookie") == []


def test_ledger_without_a_vault_is_not_synced(address: str) -> None:
    with open_ledger(address, settings=Settings(), actor="ana", create=True) as ledger:
        assert not ledger.sync.status().enabled
        with pytest.raises(NoVault):
            ledger.sync.trigger()
        with pytest.raises(NoVault):
            VaultSync(ledger.engine)  # type: ignore[arg-type]
