"""Priorities by a scripted model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal import Ledger
from shoal.daemon.ranking import rank
from shoal.errors import ModelError, Refused
from shoal.ledger.connect import open_ledger
from shoal.settings import BacklogSettings, ProjectSettings, Settings
from tests.agents.messages_api import Answer, MessagesApi, Tokens, Tool


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesApi]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "anything")
    with MessagesApi() as api:
        yield api


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(str(tmp_path / "ledger.db"), settings=Settings(), actor="ana", create=True) as ledger:
        for text in ("First ostrich", "Second ostrich", "Not assessed"):
            ledger.items.create(text=text, project="web", accepted=True)
        ledger.items.assess(1, effort="small", summary="It is broken.")
        ledger.items.assess(2, effort="large")
        yield ledger


def settings(api: MessagesApi, **given: float) -> Settings:
    projects = {"web": ProjectSettings(path="/x", goals=["speed"])}
    return Settings(projects=projects, backlog=BacklogSettings(base_url=api.url, **given))  # type: ignore[arg-type]


def says(*numbers: int) -> Answer:
    items = [{"item": f"W{n}", "priority": n % 4, "sort_order": 10 * n, "reason": f"why {n}"} for n in numbers]
    return Answer(tools=(Tool("final_result", {"items": items}),), tokens=Tokens(1000, 100))


def test_model_gives_priorities_with_reasons_and_persons_keep_theirs(ledger: Ledger, api: MessagesApi) -> None:
    ledger.items.update(2, priority=0)
    api.script("ostrich", says(1, 2))
    came = rank(ledger, settings(api), model=None)
    item = ledger.items.get(1)
    assert (item.priority, item.sort_order, item.prioritised_by) == (1, 10, "model:anthropic:claude-haiku-4-5")
    assert (ledger.items.get(2).priority, came.prioritised.changed, came.cost_usd_micros) == (0, 1, 1500)
    [event] = ledger.events.list(item=1, kind="item.prioritised")
    assert event.data is not None
    assert event.data["reason"] == "why 1"
    sent = str(api.served("ostrich")[0].body["messages"])
    assert "- speed" in sent
    assert "W3" not in sent


def test_nothing_is_paid_for_what_cannot_be_kept(ledger: Ledger, api: MessagesApi) -> None:
    with pytest.raises(Refused, match="W3 is not assessed"):
        rank(ledger, settings(api), model=None, items=["W1", "W3"])
    with pytest.raises(Refused, match="raise max_usd"):
        rank(ledger, settings(api, max_usd=0.0001), model=None)
    assert api.strays == []


def test_answer_without_all_items_changes_nothing(ledger: Ledger, api: MessagesApi) -> None:
    api.script("ostrich", *[says(1)] * 3)
    with pytest.raises(ModelError, match="missing: W2"):
        rank(ledger, settings(api), model=None)
    assert ledger.items.get(1).priority is None
