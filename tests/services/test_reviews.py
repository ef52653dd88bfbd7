"""What is told of the reviews of pull requests."""

from __future__ import annotations

from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import BadInput, NotFound

PULL: dict[str, Any] = {
    "repository": "acme/web",
    "number": 7,
    "url": "https://github.com/acme/web/pull/7",
    "head": "a" * 40,
}


def test_review_and_merge_are_told_and_the_task_stays_as_it_is(ledger: Ledger) -> None:
    task = ledger.tasks.create(title="a")
    ledger.tasks.judged(1, **PULL, judgement="commented", holds=False, findings=["a.py:1: a private key"], rules="r")
    ledger.tasks.judged(1, **PULL, judgement="merged")
    reviewed, merged = ledger.events.list(after=0, task=1)[-2:]
    assert (reviewed.kind, merged.kind) == ("pull_request.reviewed", "pull_request.merged")
    said = {"judgement": "commented", "holds": False, "findings": ["a.py:1: a private key"], "rules": "r"}
    assert reviewed.data == PULL | said
    assert merged.data == PULL
    assert ledger.tasks.get(1).status == task.status


@pytest.mark.parametrize("wrong", [{"head": "main"}, {"judgement": "maybe"}, {"number": 0}, {"findings": ["x" * 501]}])
def test_what_cannot_be_meant_is_refused(ledger: Ledger, wrong: dict[str, Any]) -> None:
    ledger.tasks.create(title="a")
    with pytest.raises(BadInput):
        ledger.tasks.judged(1, **{**PULL, "judgement": "approved", **wrong})
    with pytest.raises(NotFound):
        ledger.tasks.judged(2, **PULL, judgement="approved")
