"""Cursors of every list: a page's own `next` goes on, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from shoal import Ledger
from shoal.errors import BadInput


@pytest.mark.parametrize("cursor", ["x", "1.2", "-", "--1", "٣", "9" * 19, "1e3", " 1"])
def test_text_that_is_no_cursor_is_refused_by_every_list(ledger: Ledger, cursor: str) -> None:
    ledger.tasks.create(title="a")
    lists = (
        lambda: ledger.events.list(cursor=cursor),
        lambda: ledger.costs.list(cursor=cursor),
        lambda: ledger.tasks.list(cursor=cursor),
        lambda: ledger.tasks.list(order="claim", cursor=cursor),
        lambda: ledger.tasks.sessions(1, cursor=cursor),
    )
    for read in lists:
        with pytest.raises(BadInput, match="is not a cursor of this list"):
            read()


def test_log_goes_on_newest_first_behind_its_own_cursor(ledger: Ledger) -> None:
    for title in "abc":
        ledger.tasks.create(title=title)
    page = ledger.events.list(limit=2)
    assert [event.task for event in [*page, *ledger.events.list(cursor=page.next, limit=2)]] == [3, 2, 1]
