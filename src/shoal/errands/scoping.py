"""Scoping: what accepted items take, asked of a model or told by a person, checked against the checkout, and kept.

It runs where the command runs; the ledger may be elsewhere. No transaction is open while a model thinks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, structs

from shoal.adapters.git.sources import Sources
from shoal.adapters.llm import scoper
from shoal.adapters.llm.model import DEFAULT, Model, most_used
from shoal.clock import SystemClock
from shoal.errands.scope_material import Material, gather, says, words_of
from shoal.errors import ShoalError
from shoal.model.assessment import MOST_FILES, Assessed, AssessedFile, NewAssessment, Suggestion
from shoal.model.cost import NewCost, Purpose, Usage
from shoal.model.item import Item, is_path
from shoal.services import assessments
from shoal.services.prices import list_price
from shoal.settings import Settings

if TYPE_CHECKING:
    from shoal.ledger import Ledger
    from shoal.settings import Home

PAGE = 500
MOST_OTHERS = 2000
_PLACE = re.compile(r":\d+(?:[-:]\d+)?$")


class Prepared(Struct, frozen=True, kw_only=True):
    """What would be sent about an item, and the `most` that it may use, call by call."""

    item: Item
    material: Material
    input_hash: str
    most: list[Usage]
    note: str | None

    @property
    def most_usd_micros(self) -> int | None:
        """The most that it may cost; None where no list has a price."""
        return cost_of(self.most)

    @property
    def tokens(self) -> int:
        """About how many are sent."""
        return (len(scoper.SYSTEM) + len(self.material.prompt)) // 4


class Scoped(Struct, frozen=True, kw_only=True):
    """What came of one item. `cost_usd_micros` is null where one of its calls has no price; `reckoned_usd_micros` takes
    such a call as the most that it may have cost, and is null where the model that was asked has no list price either.
    """

    item_id: str
    name: str
    outcome: Literal["assessed", "unchanged", "failed"]
    cost_usd_micros: int | None = 0
    reckoned_usd_micros: int | None = 0
    error: str | None = None
    assessed: Assessed | None = None
    hopeless: bool = False
    stopped: bool = False


class Batch(Struct, kw_only=True):
    """How far a batch is; what is spent is reckoned. `stopped` says why it ended before the last item."""

    total: int
    limit_usd_micros: int | None
    done: list[Scoped] = []
    spent_usd_micros: int = 0
    stopped: str | None = None
    notes: list[str] = []


class Scoping:
    """Assesses items of one ledger."""

    def __init__(self, ledger: Ledger, home: Home, settings: Settings, *, model: str | None = None) -> None:
        """`model` goes before that of the settings."""
        self._ledger = ledger
        self._home = home
        self._settings = settings
        self.model_name = model or settings.backlog.model or DEFAULT
        self._sources: dict[str, Sources | None] = {}
        self._others: dict[str, list[Item]] = {}

    def model(self) -> Model:
        """The model, to be used in a `with`. Raises NotConfigured."""
        return Model(self.model_name, base_url=self._settings.backlog.base_url)

    def waiting(self, project: str | None, *, oldest_first: bool, limit: int | None) -> list[Item]:
        """The accepted items that nobody has assessed."""
        found: list[Item] = []
        cursor: str | None = None
        while True:
            filters = {} if project is None else {"project": project}
            page = self._ledger.items.list(accepted=True, status="triaged", limit=PAGE, cursor=cursor, **filters)  # type: ignore[arg-type]
            found += [one for one in page if one.assessed_at is None]
            cursor = page.next
            if cursor is None or (limit is not None and len(found) >= limit and not oldest_first):
                break
        if oldest_first:
            found.sort(key=lambda one: (one.first_seen_at, one.id))
        return found[:limit]

    def require_accepted(self, items: Iterable[Item]) -> None:
        """Raises Refused when nobody accepted one of them, WrongStatus when one is over; before anything is spent."""
        for item in items:
            assessments.require_accepted(item)

    def prepare(self, item: Item) -> Prepared:
        """What would be sent about an item; nothing is."""
        sources = self.sources(item.project)
        material = gather(item, sources, self._open(item.project), tokens=self._settings.backlog.context_tokens)
        note = None
        if sources is None:
            note = (
                f"there is no checkout of {item.project} here, so no code is shown; say where it is in shoal.toml: "
                f'[projects.{item.project}] path = "…"'
            )
        return Prepared(
            item=item,
            material=material,
            input_hash=_input_hash(item, sources.head if sources is not None else None),
            most=most_used(self.model_name, scoper.SYSTEM, material.prompt),
            note=note,
        )

    def whole_prompt(self, prepared: Prepared) -> str:
        """All that would be sent."""
        return f"{scoper.SYSTEM}\n\n{prepared.material.prompt}"

    def has_no_price(self) -> bool:
        """Whether no list says what the model costs."""
        return cost_of(most_used(self.model_name, "", "")) is None

    def is_known(self, prepared: Prepared) -> bool:
        """Whether the same was assessed before."""
        item = prepared.item
        return item.assessed_at is not None and item.input_hash == prepared.input_hash

    def ask(self, prepared: Prepared, model: Model) -> Scoped:
        """Ask the model, look at its answer, and keep it; or keep that it gave none. Ctrl-C is `stopped`."""
        item = prepared.item
        reply = scoper.scope(model, prepared.material.prompt)
        provenance = {
            "model": model.name,
            "prompt_version": scoper.PROMPT_VERSION,
            "input_hash": prepared.input_hash,
            "calls": reply.calls,
        }
        if reply.value is None:
            error = reply.error.message if reply.error is not None else "no answer"
            new = NewAssessment(error=error[:2000], **provenance)  # type: ignore[arg-type]
        else:
            new = self._checked(item, reply.value, provenance)
        scoped = self._keep(item, new)
        return structs.replace(
            scoped,
            cost_usd_micros=cost_of(reply.calls),
            reckoned_usd_micros=reckoned(reply.calls, prepared.most),
            hopeless=scoped.hopeless or reply.is_hopeless,
            stopped=reply.stopped,
        )

    def by_hand(self, item: Item, said: Suggestion) -> Assessed:
        """Keep what a person says; the files are looked for all the same."""
        sources = self.sources(item.project)
        head = sources.head if sources is not None else None
        return self._assess(item, self._checked(item, said, {"input_hash": _input_hash(item, head)}))

    def sources(self, project: str) -> Sources | None:
        """The code of a project, where there is a checkout of it: by the settings, else the repository around us."""
        if project not in self._sources:
            written = self._settings.projects.get(project)
            root = None if written is None else Path(self._home.folder, Path(written.path).expanduser())
            if root is None:
                here = Path.cwd()
                tops = (one for one in (here, *here.parents) if (one / ".git").exists())
                root = next((one for one in tops if one.name == project), None)
            self._sources[project] = Sources(root) if root is not None and root.is_dir() else None
        return self._sources[project]

    def _open(self, project: str) -> list[Item]:
        if project not in self._others:
            found: list[Item] = []
            cursor: str | None = None
            while len(found) < MOST_OTHERS:
                page = self._ledger.items.list(project=project, open=True, limit=PAGE, cursor=cursor)
                found += page
                cursor = page.next
                if cursor is None:
                    break
            self._others[project] = found
        return self._others[project]

    def _checked(self, item: Item, said: Suggestion, provenance: dict[str, object]) -> NewAssessment:
        """What was said, its files parted into those that are there and those that are not."""
        sources = self.sources(item.project)
        words = words_of(item)
        there: list[AssessedFile] = []
        missing: list[str] = []
        for name in dict.fromkeys(map(_plain, said.files_involved)):
            text = sources.text(name) if sources is not None else None
            if sources is None or name not in sources.files:
                missing += [name] if is_path(name) else []
            else:
                named = name == item.source_file or any(name == one or name.endswith(f"/{one}") for one in words.paths)
                there.append(AssessedFile(name, named or (text is not None and says(text, words.telling))))
        return NewAssessment(
            title=" ".join((said.title or "").split()) or None,
            summary=said.summary or None,
            files=there[:MOST_FILES],
            missing_files=missing[:MOST_FILES],
            effort=said.effort,
            risk=said.risk,
            sub_tasks=said.sub_tasks,
            dependencies=said.dependencies,
            overlaps=said.overlaps,
            confidence=said.confidence,
            **provenance,  # type: ignore[arg-type]
        )

    def _keep(self, item: Item, new: NewAssessment) -> Scoped:
        try:
            kept = self._assess(item, new)
        except ShoalError as error:  # the money is spent all the same
            said, unkept = error.message, False
            try:
                record(self._ledger, new.calls, purpose=Purpose.SCOPE, item=item.id)
            except ShoalError as lost:
                said, unkept = f"{lost.message}; what {item.item_id} cost is on no account", True
            return Scoped(item_id=item.item_id, name=item.name, outcome="failed", error=said, hopeless=unkept)
        return Scoped(
            item_id=item.item_id,
            name=kept.item.name,
            outcome="failed" if new.error is not None else "assessed",
            error=new.error,
            assessed=kept,
        )

    def _assess(self, item: Item, new: NewAssessment) -> Assessed:
        given = {name: getattr(new, name) for name in new.__struct_fields__}
        return self._ledger.items.assess(item.id, **given)


def run(
    scoping: Scoping,
    items: Iterable[Item],
    batch: Batch,
    *,
    force: bool,
    tell: Callable[[Batch, Item], None] = lambda batch, item: None,
) -> Iterator[Scoped]:
    """Assess one item after the other; each is kept when it is yielded.

    It ends before a call by which the limit could be passed, and when the model is not set up. A model without a list
    price is not asked where there is a limit. Raises NotConfigured before anything is asked, and KeyboardInterrupt
    when what the item under way cost is kept.
    """
    with scoping.model() as model:
        for item in items:
            tell(batch, item)
            prepared = scoping.prepare(item)
            if prepared.note is not None and prepared.note not in batch.notes:
                batch.notes.append(prepared.note)
            if not force and scoping.is_known(prepared):
                scoped = Scoped(item_id=item.item_id, name=item.name, outcome="unchanged")
            else:
                if (why := _too_much(batch, prepared, model.name)) is not None:
                    batch.stopped = why
                    return
                scoped = scoping.ask(prepared, model)
            batch.done.append(scoped)
            batch.spent_usd_micros += scoped.reckoned_usd_micros or 0
            yield scoped
            if scoped.stopped:
                raise KeyboardInterrupt
            if scoped.hopeless:
                batch.stopped = scoped.error
                return


def _too_much(batch: Batch, prepared: Prepared, model: str) -> str | None:
    if batch.limit_usd_micros is None:
        return None
    if prepared.most_usd_micros is None:
        return f"no list price of {model} is known, so no limit can be kept; --no-limit spends without one"
    if batch.spent_usd_micros + prepared.most_usd_micros > batch.limit_usd_micros:
        most = prepared.most_usd_micros / 1e6
        return f"the next item may cost {most:.2f} USD, which could pass the limit; --max-usd raises it"
    return None


def record(ledger: Ledger, calls: Iterable[Usage], *, purpose: Purpose, **account: Any) -> None:
    """Put model calls on the account of what they were for. Ledgers count a call that is sent again once."""
    costs = [NewCost(**structs.asdict(one), purpose=purpose, **account) for one in calls]
    if costs:
        ledger.costs.record(costs=costs)


def cost_of(calls: Iterable[Usage]) -> int | None:
    """Millionths of a dollar by the list, each call by itself; None when one of them has no price."""
    total = 0
    for one in calls:
        price = list_price(one, SystemClock().now_ms())
        if price is None:
            return None
        total += price
    return total


def reckoned(calls: Iterable[Usage], most: Iterable[Usage]) -> int | None:
    """What calls count towards a limit, in millionths of a dollar: each by the list, and one without a price as the
    most that it may have cost. `most` is each of them at its longest (most_used); None when that has no price either.

    A gateway may name a model that no list knows, and of a call that was broken off nobody knows what it used.
    """
    total = 0
    for one, longest in zip(calls, most, strict=False):
        price = cost_of([one])
        if price is None:
            price = cost_of([longest])
        if price is None:
            return None
        total += price
    return total


def _input_hash(item: Item, head: str | None) -> str:
    said = "\0".join([item.text, item.source_file or "", *item.heading, head or ""])
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(path: str) -> str:
    """A path as people and models write it, as the checkout has it."""
    return _PLACE.sub("", path.strip().strip("`'\"").replace("\\", "/")).removeprefix("./").lstrip("/")
