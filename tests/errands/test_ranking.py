"""Priorities by a scripted model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from shoal import Ledger
from shoal.errands.ranking import Ranked, question, rank
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


def ask(ledger: Ledger, settings: Settings, *, items: Sequence[str] = (), project: str | None = None) -> Ranked:
    return rank(ledger, settings, question(ledger, settings, model=None, items=items, project=project), project=project)


def spent(ledger: Ledger) -> list[tuple[str, str | None, int | None]]:
    return [(one.purpose.value, one.project, one.cost_usd_micros) for one in ledger.costs.list()]


def test_question_says_what_it_would_be_and_asks_nobody(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    asked = question(ledger, Settings(), model="anthropic:claude-haiku-4-5")
    assert [one.item for one in asked.items] == ["W2", "W1"]
    assert (asked.model, asked.left) == ("anthropic:claude-haiku-4-5", 0)
    assert asked.tokens > 100
    assert asked.most_usd_micros is not None
    assert "First ostrich" in asked.prompt
    assert question(ledger, Settings(), model="mine:own").most_usd_micros is None


def test_names_and_summaries_are_sent_without_their_secrets(ledger: Ledger) -> None:
    token = "ghp_" + "q8Zx9QpL7vBk2Wm4Tn6Rs1Yd3Fg5Hj0LcVbN"
    ledger.items.create(text=f"Rotate the token {token} of CI", project="web", accepted=True)
    ledger.items.assess(4, effort="small", summary=f"It is {token}.")
    prompt = question(ledger, Settings(), model=None, items=["W4"]).prompt
    assert "W4: Rotate the token [secret: a GitHub token] of CI" in prompt
    assert "It is [secret: a GitHub token]" in prompt
    assert token not in prompt


def test_model_gives_priorities_with_reasons_and_persons_keep_theirs(ledger: Ledger, api: MessagesApi) -> None:
    ledger.items.update(2, priority=0)
    api.script("ostrich", says(1, 2))
    came = ask(ledger, settings(api))
    item = ledger.items.get(1)
    assert (item.priority, item.sort_order, item.prioritised_by) == (1, 10, "model:anthropic:claude-haiku-4-5")
    assert (ledger.items.get(2).priority, came.prioritised.changed, came.cost_usd_micros) == (0, 1, 1500)
    [event] = ledger.events.list(item=1, kind="item.prioritised")
    assert event.data is not None
    assert event.data["reason"] == "why 1"
    assert spent(ledger) == [("prioritise", None, 1500)]
    sent = str(api.served("ostrich")[0].body["messages"])
    assert "- speed" in sent
    assert "W3" not in sent


def test_nothing_is_paid_for_what_cannot_be_kept(ledger: Ledger, api: MessagesApi) -> None:
    with pytest.raises(Refused, match="W3 is not assessed"):
        ask(ledger, settings(api), items=["W1", "W3"])
    with pytest.raises(Refused, match="raise max_usd"):
        ask(ledger, settings(api, max_usd=0.0001))
    assert api.strays == []


def test_answer_without_all_items_changes_nothing(ledger: Ledger, api: MessagesApi) -> None:
    api.script("ostrich", *[says(1)] * 3)
    with pytest.raises(ModelError, match="missing: W2"):
        ask(ledger, settings(api), project="web")
    assert spent(ledger) == [("prioritise", "web", 1500)] * 3
    assert ledger.items.get(1).priority is None
