"""List prices: those that one computes by hand, exact, and asked of nobody."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal import Ledger
from shoal.model.cost import Usage
from shoal.services import prices
from tests.conftest import START_MS

KINDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
# Provider, model, input, output, cache reads, cache writes; and by hand, from the prices for a million tokens:
PRICED = [
    # 100 * 3 + 10 * 15 + 1,000 * 0.30 + 200 * 3.75 = 300 + 150 + 300 + 750
    ("anthropic", "claude-sonnet-4-5", 100, 10, 1_000, 200, 1_500),
    # 7 * 1 + 3 * 5 + 40,001 * 0.10 + 1,234 * 1.25 = 7 + 15 + 4,000.1 + 1,542.5 = 5,564.6
    ("anthropic", "claude-haiku-4-5-20251001", 7, 3, 40_001, 1_234, 5_565),
    # 2 * 5 + 500 * 25 + 90,000 * 0.50 + 10,000 * 6.25 = 10 + 12,500 + 45,000 + 62,500
    ("anthropic", "claude-opus-4-5-20251101", 2, 500, 90_000, 10_000, 120_010),
    # 1,200 * 1.25 + 345 * 10 + 4,096 * 0.125 = 1,500 + 3,450 + 512
    ("openai", "gpt-5-codex", 1_200, 345, 4_096, 0, 5_462),
    # More than 200,000 tokens of input in all cost more: 1 * 6 + 1 * 22.50 + 200,000 * 0.60 = 120,028.5, to even
    ("anthropic", "claude-sonnet-4-5", 1, 1, 200_000, 0, 120_028),
    # 2 * 1.25 = 2.5 and 6 * 1.25 = 7.5: half to even
    ("openai", "gpt-5", 2, 0, 0, 0, 2),
    ("openai", "gpt-5", 6, 0, 0, 0, 8),
]


@pytest.mark.parametrize(("provider", "model", "plain", "output", "read", "written", "micros"), PRICED)
def test_prices_are_those_computed_by_hand_and_by_the_package(
    provider: str, model: str, plain: int, output: int, read: int, written: int, micros: int
) -> None:
    from genai_prices import Usage as Used
    from genai_prices import calc_price

    usage = Usage(
        request_key="k",
        provider=provider,
        model=model,
        input_tokens=plain,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    assert prices.list_price(usage, START_MS) == micros
    used = Used(
        input_tokens=plain + read + written,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    exact = Fraction(calc_price(used, model, provider_id=provider).total_price) * 1_000_000
    assert round(exact) == micros  # of a Fraction, round is half to even


@given(st.integers(1, 10**9), *(st.integers(0, 10**9) for _ in KINDS[1:]), st.sampled_from([one[:2] for one in PRICED]))
@settings(deadline=None)
def test_price_is_exact_whatever_decimals_the_program_around_uses(
    plain: int, output: int, read: int, written: int, of: tuple[str, str]
) -> None:
    import decimal

    counts = dict(zip(KINDS, (plain, output, read, written), strict=True))
    usage = Usage(request_key="k", provider=of[0], model=of[1], **counts)
    price = prices.list_price(usage, START_MS)
    assert isinstance(price, int)
    with decimal.localcontext(prec=3, rounding=decimal.ROUND_UP):
        assert prices.list_price(usage, START_MS) == price


@pytest.mark.parametrize(
    ("provider", "model"),
    [("anthropic", "claude-99"), ("my-own", "gpt-5"), ("cerebras", "qwen-3-coder-480b"), ("litellm", "x/y/z")],
)
def test_what_is_on_no_list_has_no_price(ledger: Ledger, provider: str, model: str) -> None:
    ledger.tasks.create(title="a")
    ledger.costs.record(
        costs=[{"task": 1, "request_key": "k", "provider": provider, "model": model, "input_tokens": 9}]
    )
    [cost] = ledger.costs.list()
    assert (cost.cost_usd_micros, cost.priced) == (None, "unknown")
    [found] = ledger.costs.sums()
    assert (found.calls, found.cost_usd_micros, found.unpriced) == (1, 0, 1)
    [event] = ledger.events.list(kind="cost.recorded")
    assert event.data["cost_usd_micros"] is None


def test_call_of_which_nobody_knows_what_it_used_has_no_price() -> None:
    assert prices.list_price(Usage(request_key="k", provider="openai", model="gpt-5"), START_MS) is None


def test_prices_ask_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    prices.load()
    assert (
        prices.list_price(
            Usage(request_key="k", provider="anthropic", model="claude-sonnet-4-5", input_tokens=10), START_MS
        )
        == 30
    )
