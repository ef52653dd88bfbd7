"""People and agents around a task."""

from __future__ import annotations

from collections.abc import Callable

from shoal import Ledger
from tests.conftest import FakeClock


def test_join_and_leave(ledger: Ledger, clock: FakeClock, events_of: Callable[..., list[str]]) -> None:
    ledger.tasks.create(title="a")
    joined = ledger.tasks.join(1, agent="bo", role="qa")
    assert [(one.agent, one.role, one.joined_at) for one in joined.participants] == [("bo", "qa", clock.now)]
    clock.advance(5)
    assert ledger.tasks.join(1, agent="bo", role="lead").participants[0].joined_at == clock.now - 5000
    assert ledger.tasks.leave(1, agent="bo").participants == []
    assert ledger.tasks.leave(1, agent="bo").participants == []
    assert events_of(1) == ["task.created", "task.joined", "task.joined", "task.left"]


def test_comment_stands_in_the_log(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    ledger.tasks.comment(1, message="die Größe stimmt nicht ✓")
    event = ledger.events.list(task=1)[0]
    assert (event.kind, event.actor, event.data) == ("task.commented", "ana", {"message": "die Größe stimmt nicht ✓"})
