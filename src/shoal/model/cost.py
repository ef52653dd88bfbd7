"""What one model call used and cost, and on whose account it is. Sums are services/costs.py's.

Money is in millionths of a US dollar, whole.
"""

from __future__ import annotations

from enum import StrEnum
from operator import add
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import astuple

from shoal.model.fields import Moment, Name, Positive, TaskRef
from shoal.model.item import ItemRef, Project
from shoal.model.item import shown as item_shown

# Far above any call there is, and so far below 2**63 that no sum leaves the databases' integers.
Tokens = Annotated[int, Meta(ge=0, le=10**9)]
Micros = Annotated[int, Meta(ge=0, le=10**12, description="Millionths of a US dollar.")]


class Usage(Struct, frozen=True, kw_only=True):
    """The tokens of one model call, by kind: `input_tokens` leaves those read from and written to a cache out,
    `output_tokens` has those of reasoning in it. `cost_usd_micros` is what the agent reported, if it did.
    """

    request_key: Annotated[Name, Meta(description="What the call is known by; the same key is counted once.")]
    provider: Name
    model: Name
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cache_read_tokens: Tokens = 0
    cache_write_tokens: Tokens = 0
    cost_usd_micros: Micros | None = None

    @property
    def is_paid(self) -> bool:
        """Whether it used anything that a provider asks money for."""
        used = self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens
        return any((*used, self.cost_usd_micros))


class Purpose(StrEnum):
    """What a model call was for. It says whose account the call is on: to work is a task's, to scope a work item's,
    to check and to prioritise are a project's.
    """

    WORK = "work"
    SCOPE = "scope"
    CHECK = "check"
    PRIORITISE = "prioritise"


class NewCost(Usage, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a cost is recorded from. Without `cost_usd_micros` the list price of the model is taken, where known.

    It names its account: the `task` that was worked on, the `item` that was scoped, the `check` with its `project`, or
    the `project` whose items were prioritised, which is left out when they are of several.
    """

    purpose: Purpose = Purpose.WORK
    task: TaskRef | None = None
    item: ItemRef | None = None
    check: Name | None = None
    project: Project | None = None
    attempt: Positive | None = None
    agent: Name | None = None
    at: Moment | None = None
    session: Positive | None = None


class Priced(StrEnum):
    """Where the money of a call is from: the agent said it, the list has it, or nobody knows, and it is null."""

    REPORTED = "reported"
    LIST = "list"
    UNKNOWN = "unknown"


class Cost(Struct, frozen=True):
    """One model call on its account; its fields stand in the order of the table's columns.

    `assessment` is the version of the item's assessment that it was made for.
    """

    id: int
    at: int
    task: int | None
    attempt: int | None
    session: int | None
    agent: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd_micros: int | None
    priced: Priced
    request_key: str
    configuration: str | None
    purpose: Purpose
    item: int | None
    assessment: int | None
    check: str | None
    project: str | None
    task_id: str | None
    item_id: str | None


class CostSum(Struct, frozen=True):
    """Costs of one account, purpose, task, agent, configuration, model, provider or day, summed exactly.

    `unpriced` counts the calls without a price.
    """

    key: str
    calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd_micros: int
    unpriced: int

    @property
    def all_input_tokens(self) -> int:
        """Those from a cache and those written to it with them."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def cached_percent(self) -> int | None:
        """Of a hundred input tokens, how many were read from a cache; None without input."""
        return 100 * self.cache_read_tokens // self.all_input_tokens if self.all_input_tokens else None

    def __add__(self, other: CostSum) -> CostSum:
        """Both together, under the key of the first."""
        mine, theirs = astuple(self)[1:], astuple(other)[1:]
        return CostSum(self.key, *map(add, mine, theirs))


class CostOutcome(Struct, frozen=True):
    """How many of the costs sent were new, and how many were known by their key already.

    `unpriced` of the new ones have no price: none was given, and the list has none of their provider's model.
    """

    counted: int
    known: int
    unpriced: int = 0


def dollars(micros: int) -> str:
    """Money as people read it: exact, and with cents at least."""
    whole, rest = divmod(micros, 1_000_000)
    digits = f"{rest:06d}".rstrip("0")
    return f"{whole}.{digits:0<2}"


def cost_from_row(row: tuple[Any, ...], prefix: str) -> Cost:
    """A cost from its row."""
    values = list(row)
    values[13], values[16] = Priced(values[13]), Purpose(values[16])
    task, item = row[2], row[17]
    values += [None if task is None else f"{prefix}{task}", None if item is None else item_shown(item)]
    return Cost(*values)
