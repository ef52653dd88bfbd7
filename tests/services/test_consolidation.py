"""Foundations that items share: proposed with the evidence, the same each time, made only when told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from shoal import Ledger
from shoal.errors import NotFound


@pytest.fixture
def assessed(ledger: Ledger) -> Callable[..., int]:
    """Makes an item with an assessment."""

    def make(text: str, *files: str, overlaps: Sequence[str] = (), **fields: Any) -> int:
        number = ledger.items.create(text=text, accepted=True, files=list(files), **fields).id
        ledger.items.assess(number, overlaps=list(overlaps))
        return number

    return make


def groups(ledger: Ledger, **given: Any) -> list[list[str]]:
    return [one.items for one in ledger.items.proposals(**given)]


def test_items_about_the_same_files_share_a_foundation(ledger: Ledger, assessed: Callable[..., int]) -> None:
    files = ["src/http.py", "src/retry.py", "src/client.py"]
    assessed("Retry uploads", *files)
    assessed("Log slow calls", *files, "src/log.py")
    assessed("Paint the door", "door.py", "src/http.py")
    [proposal] = ledger.items.proposals()
    assert (proposal.items, proposal.files) == (["W1", "W2"], sorted(files))
    assert "W1, W2 and W3 are about src/http.py" not in proposal.evidence
    assert "W1 and W2 are about src/http.py" in proposal.evidence
    assert ledger.items.proposals() == [proposal]


def test_overlap_that_an_assessment_names_counts(ledger: Ledger, assessed: Callable[..., int]) -> None:
    assessed("Alpha beta")
    assessed("Gamma delta", overlaps=["alpha BETA"])
    assessed("Epsilon zeta", overlaps=["W2 (both)", "W3", "W77", "7"])
    assessed("Eta theta", overlaps=["Gamma deltas"])
    assert groups(ledger) == [["W1", "W2"]]
    assert ledger.items.proposals()[0].evidence == ["the assessment of W2 names W1: 'alpha BETA'"]


def test_items_that_say_much_the_same_share_a_foundation(ledger: Ledger, assessed: Callable[..., int]) -> None:
    assessed("Normalise timezone handling across report exports")
    assessed("Normalise timezone handling across invoice exports")
    assessed("Paint the door in green")
    [proposal] = ledger.items.proposals()
    assert proposal.items == ["W1", "W2"]
    assert "say much the same: across, exports, handling, normalise, timezone" in proposal.evidence[0]


def test_group_is_as_large_as_all_belong_together(ledger: Ledger, assessed: Callable[..., int]) -> None:
    files = ["a.py", "b.py", "c.py"]
    for text in ("One thing", "Another matter", "Third subject"):
        assessed(text, *files)
    assessed("Fourth topic", overlaps=["W1"])
    assert groups(ledger) == [["W1", "W2", "W3"]]


def test_projects_are_kept_apart(ledger: Ledger, assessed: Callable[..., int]) -> None:
    for project in ("web", "web", "api"):
        assessed(f"Do {project}", "a.py", "b.py", "c.py", project=project)
    assert groups(ledger) == [["W1", "W2"]]
    assert groups(ledger, project="api") == []


def test_only_assessed_items_are_looked_at(ledger: Ledger, assessed: Callable[..., int]) -> None:
    assessed("One", "a.py", "b.py", "c.py")
    ledger.items.create(text="One", files=["a.py", "b.py", "c.py"], accepted=True)
    assert groups(ledger) == []


def test_accepted_proposal_makes_an_item_that_the_others_wait_for(ledger: Ledger, assessed: Callable[..., int]) -> None:
    for text in ("Retry uploads", "Log slow calls"):
        assessed(text, "src/http.py", "src/retry.py", "src/client.py")
    [proposal] = ledger.items.proposals()
    made = ledger.items.consolidate(key=proposal.key, title="One client")
    found = ledger.items.get(made.id)
    assert (found.name, found.origin, found.status, found.blocks) == ("One client", "manual", "triaged", ["W1", "W2"])
    assert [one.path for one in found.files] == ["src/client.py", "src/http.py", "src/retry.py"]
    assert groups(ledger) == []
    with pytest.raises(NotFound, match="is not proposed, or not any more"):
        ledger.items.consolidate(key=proposal.key)
    assert len(ledger.items.list()) == 3


def test_items_that_wait_for_each_other_need_no_other_foundation(ledger: Ledger, assessed: Callable[..., int]) -> None:
    for text in ("Retry uploads", "Log slow calls"):
        assessed(text, "src/http.py", "src/retry.py", "src/client.py")
    ledger.items.depend(1, on=2)
    assert groups(ledger) == []
