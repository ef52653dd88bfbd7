"""Tokens and keys stand nowhere but in the answer: not in the database, events, errors or logs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger
from shoal.daemon.revoker import Revoker
from shoal.errors import (
    BadInput,
    Forbidden,
    ForgeError,
    NotFound,
)
from tests.conftest import FakeClock
from tests.github_app import AppApi
from tests.services.broker import ADMIN, at_work, audited


def test_token_is_nowhere_but_in_the_answer(
    broker: Ledger, api: AppApi, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    claim = at_work(broker)
    given = broker.tasks.token(1, key=claim.key)
    clock.advance(200)
    api.lie = lambda made: made.update(permissions={"contents": "admin"})
    with pytest.raises(ForgeError) as raised:
        broker.tasks.token(1, key=claim.key, permissions={"contents": "read"})
    shown = f"{given!r} {given} {broker.engine.sources.purse!r} {raised.value!r} {caplog.text}"  # type: ignore[attr-defined]
    told = [*broker.events.list(limit=1000), *broker.grants.list(), *broker.grants.audit(limit=1000)]
    shown += "".join(map(repr, told)) + everything_in(broker)
    assert len(api.tokens) == 2
    for secret in (*api.tokens, claim.key, ADMIN):
        assert secret not in shown
    assert given.token[-4:] in shown


def everything_in(ledger: Ledger) -> str:
    """Every row of every table of the database, and the file itself where there is one."""
    address = ledger.address
    if not address.startswith("postgresql"):
        # A copy: opening the live file a second time in this process would drop its locks.
        copy = Path(address).parent / "copy.db"
        ledger.engine.database.backup(str(copy))  # type: ignore[attr-defined]
        files = [path for path in Path(address).parent.rglob("*") if path.is_file() and "ledger.db" not in path.name]
        assert copy in files
        return "".join(path.read_bytes().decode("latin-1") for path in files)
    import psycopg

    rows: list[Any] = []

    with psycopg.connect(ledger.engine.database.url) as connection:  # type: ignore[attr-defined]
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        ).fetchall()
        for (table,) in tables:
            rows += connection.execute(f"SELECT t::text FROM {table} AS t").fetchall()  # type: ignore[arg-type]
    assert len(rows) > 5
    return repr(rows)


def leaks(broker: Ledger, secret: str) -> list[str]:
    """Where a secret stands that stands nowhere."""
    places = {
        "events": map(repr, broker.events.list(limit=1000)),
        "audit": map(repr, broker.grants.audit(limit=1000)),
        "grants": map(repr, broker.grants.list()),
        "database": [everything_in(broker)],
    }
    return [name for name, texts in places.items() if secret in "".join(texts)]


def test_token_or_key_in_a_question_is_neither_stored_nor_told_back(broker: Ledger) -> None:
    key = at_work(broker).key
    secret = "ghs" + "_" + "Zq9" * 12
    for ask in (
        lambda: broker.tasks.token(1, key=key, repository=f"https://x-access-token:{secret}@github.com/acme/api"),
        lambda: broker.tasks.token(1, key=key, repository=f"https://{secret}@github.com/acme/api"),
        lambda: broker.tasks.token(secret, key=key),
        lambda: broker.tasks.token(key, key=key),
        lambda: broker.tasks.token(ADMIN, key=key),
        lambda: broker.grants.service(service=secret, key=ADMIN),
        lambda: broker.grants.service(service=key, key=key),
        lambda: broker.tasks.register(1, key=ADMIN, repositories=[f"https://x:{secret}@gitlab.com/a/b"]),
    ):
        with pytest.raises((BadInput, Forbidden, NotFound)) as refused:
            ask()
        assert not any(one in f"{refused.value}{refused.value.message}" for one in (secret, key, ADMIN))
    for one in (secret, key, ADMIN):
        assert leaks(broker, one) == []
    assert [line.reference for line in broker.grants.audit(action="refused", task=secret)] == ["[hidden]"] * 3


@pytest.mark.parametrize("words", ["Authorization: Bearer {}", "you sent {}", "Zugang={} falsch"])
def test_token_that_github_says_back_is_not_told(broker: Ledger, api: AppApi, words: str) -> None:
    token = broker.tasks.token(1, key=at_work(broker).key).token
    broker.tasks.complete(1, attempt=1)
    api.next_time("DELETE .*", *[(502, {}, {"message": words.format(token)})] * 20)
    looker = Revoker(broker.engine)  # type: ignore[arg-type]
    looker.tick()
    looker.close()
    assert audited(broker, task=1)[-1] == "unrevoked"
    assert leaks(broker, token) == []
