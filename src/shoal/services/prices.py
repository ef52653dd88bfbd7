"""The list price of a model call, from the tables of genai-prices that are installed here. It asks nobody else."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from shoal.model.cost import Usage

MICRO = Decimal("0.000001")
# Wide enough for every product of tokens and price, whatever context the program around us has set.
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


def load() -> None:
    """Read the tables now, which takes half a second, so that no transaction waits for them later."""
    import genai_prices.data  # noqa: F401


def list_price(usage: Usage, at: int) -> int | None:
    """What the call costs by the list of its time, in millionths of a dollar, rounded half to even once.

    `at` is epoch milliseconds. None when the provider or the model is not on the list, or has no token price there, and
    when nothing says what the call used.
    Cache writes are taken to last five minutes, and the service to be the standard one: longer or faster costs more.
    """
    if not usage.is_paid:
        return None
    # Reading the tables takes half a second, and what only builds Shoal's types does not have them.
    from genai_prices import Usage as Priced
    from genai_prices import calc_price

    used = Priced(
        input_tokens=usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    moment = datetime.fromtimestamp(at / 1000, UTC)
    with localcontext(EXACT):
        try:
            found = calc_price(used, usage.model, provider_id=usage.provider, genai_request_timestamp=moment)
        except (LookupError, ValueError):
            return None
        if found.model_price.input_mtok is None and found.model_price.output_mtok is None:
            return None
        return int(found.total_price.quantize(MICRO).scaleb(6))
