"""How a verb is declared once and reached everywhere.

`@verb("POST /tasks/claim")` makes a function a verb of the noun `tasks`: an embedded call, a route and a method
of the remote ledger come from it. What the verbs do is written in the other modules here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import (
    Annotated,
    Any,
    Concatenate,
    Generic,
    NamedTuple,
    ParamSpec,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import NODEFAULT, Struct

from shoal.errors import BadInput
from shoal.mistakes import explain
from shoal.services.outside import Outside
from shoal.services.transaction import Tx

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", Tx, Outside)
# For an input (the struct, or the keywords by name): the kind of calls it can be joined with, or None.
Joins = Callable[[Any], Hashable | None]

VERBS: dict[str, Verb[Any, Any]] = {}


class Arguments(NamedTuple):
    """Input that has been checked: the verb's struct, if it takes one, and its keywords."""

    struct: Struct | None
    keywords: dict[str, Any]

    @property
    def input(self) -> Any:
        """The struct when the verb takes nothing else, else the keywords."""
        return self.keywords if self.struct is None else self.struct


class Call(NamedTuple):
    """One of several calls that are done together: who makes it, and its checked input."""

    actor: str
    input: Any


# Asks the database at once and gives a function that answers for each call: different verbs share a round trip so.
Joined = Callable[[Tx, list[Call]], Callable[[], list[Any]]]


class Verb(Generic[P, R]):
    """One thing that can be done to the ledger.

    What it takes is its keyword arguments, and the fields of a struct when its second parameter is one.
    """

    def __init__(
        self,
        function: Callable[Concatenate[Any, P], R],
        *,
        route: str,
        writes: bool,
        status: int,
        repeatable: bool,
        reads_vault: bool,
        outside: bool,
        body_limit_bytes: int | None,
        when_larger: str,
        joins: Joins,
        joined: Joined | None,
    ) -> None:
        self.method, _, self.path = route.partition(" ")
        self.noun = self.path.split("/")[1]
        self.name = function.__name__.rstrip("_")
        self.key = f"{self.noun}.{self.name}"
        self.function = function
        self.writes = writes
        self.status = status
        self.repeatable = repeatable
        self.reads_vault = reads_vault
        self.outside = outside
        self.body_limit_bytes = body_limit_bytes
        self.when_larger = when_larger
        self.joins = joins
        self.joined = joined
        self.path_fields: tuple[str, ...] = tuple(re.findall(r"\{(\w+)\}", self.path))
        self.__doc__ = function.__doc__

    def __call__(self, tx: Tx | Outside, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run inside a transaction that is already open, as one service does with another."""
        return self.function(tx, *args, **kwargs)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.function, include_extras=True)

    @cached_property
    def _struct(self) -> type[Struct] | None:
        second = list(inspect.signature(self.function).parameters.values())[1:2]
        if second and second[0].kind is not inspect.Parameter.KEYWORD_ONLY:
            struct: type[Struct] = self._hints[second[0].name]
            return struct
        return None

    @cached_property
    def _keywords(self) -> type[Struct]:
        parameters = inspect.signature(self.function).parameters.values()
        return msgspec.defstruct(
            f"{self._title}Keywords",
            [
                (one.name, self._hints[one.name])
                if one.default is one.empty
                else (one.name, self._hints[one.name], one.default)
                for one in parameters
                if one.kind is one.KEYWORD_ONLY
            ],
            kw_only=True,
            forbid_unknown_fields=True,
        )

    @cached_property
    def input(self) -> type[Struct]:
        """One struct of everything that the verb takes."""
        if self._struct is None:
            return self._keywords
        if not self._keywords.__struct_fields__:
            return self._struct
        fields = [*msgspec.structs.fields(self._struct), *msgspec.structs.fields(self._keywords)]
        return msgspec.defstruct(
            f"{self._title}Input",
            [(one.name, one.type) if one.required else (one.name, one.type, _default(one)) for one in fields],
            kw_only=True,
            forbid_unknown_fields=True,
        )

    @property
    def output(self) -> Any:
        """The type of the answer."""
        return self._hints.get("return")

    @property
    def _title(self) -> str:
        return "".join(part.title() for part in [*self.name.split("_"), self.noun])

    def arguments(self, args: tuple[Any, ...], given: dict[str, Any], *, strict: bool = True) -> Arguments:
        """Check what the caller gave; raises BadInput that names the field.

        Positional values stand for the fields of the path, in order.
        """
        if len(args) > len(self.path_fields):
            raise BadInput(f"{self.key} takes {len(self.path_fields)} positional values at most; name the others")
        if args:
            given |= dict(zip(self.path_fields, args, strict=False))
        try:
            struct: Struct | None = None
            if self._struct is not None:
                own = {name: given.pop(name) for name in self._keywords.__struct_fields__ if name in given}
                struct = msgspec.convert(given, self._struct, strict=strict)
                if not self._keywords.__struct_fields__:
                    return Arguments(struct, {})
                given = own
            keywords = msgspec.convert(given, self._keywords, strict=strict)
        except msgspec.ValidationError as error:
            raise bad_input(error, self.input) from None
        except RecursionError:
            raise BadInput("the input is nested too deeply") from None
        return Arguments(struct, msgspec.structs.asdict(keywords))

    def arguments_from_json(self, body: bytes, path: dict[str, Any]) -> Arguments:
        """The same for a JSON object, as a request body brings it, and the fields of its path."""
        try:
            if self._struct is not None and not self._keywords.__struct_fields__:
                return Arguments(msgspec.json.decode(body, type=self._struct), {})
            given = msgspec.json.decode(body) if body.strip() else {}
        except msgspec.ValidationError as error:
            raise bad_input(error, self.input) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"the body is not JSON: {error}") from None
        except RecursionError:
            raise BadInput("the input is nested too deeply") from None
        if not isinstance(given, dict):
            raise BadInput(f"the body must be a JSON object, not {type(given).__name__}")
        for name in path:
            if name in given:
                raise BadInput(f"{name} stands in the path already; leave it out of the body", field=name)
        return self.arguments((), given | {name: self._from_path(name, value) for name, value in path.items()})

    def _from_path(self, name: str, value: Any) -> Any:
        """A field of the path, which is text, as what it stands for."""
        hint = self._hints.get(name)
        whole = get_origin(hint) is Annotated and get_args(hint)[0] is int
        return int(value) if whole and re.fullmatch(r"[0-9]{1,18}", value) else value

    def run(self, tx: Tx | Outside, arguments: Arguments) -> R:
        """Run with arguments that `arguments` has checked."""
        function: Callable[..., R] = self.function
        if arguments.struct is None:
            return function(tx, **arguments.keywords)
        return function(tx, arguments.struct, **arguments.keywords)


def verb(
    route: str,
    *,
    writes: bool | None = None,
    status: int = 200,
    repeatable: bool = False,
    reads_vault: bool = False,
    outside: bool = False,
    body_limit_bytes: int | None = None,
    when_larger: str = "",
    joins: Joins = lambda _: None,
    joined: Joined | None = None,
) -> Callable[[Callable[Concatenate[C, P], R]], Verb[P, R]]:
    """Declare a verb.

    GET only reads unless `writes`. `status` is what HTTP answers when it went well. `repeatable` says that a
    second time changes nothing, so that it may be sent again when nobody heard the answer. One that `reads_vault` runs
    after everything committed is in its file. One that is `outside` is handed the outside world (outside.py) in place
    of a transaction. A request body may have `body_limit_bytes` where that is more than the setting of this name, and
    `when_larger` says what to do with more. A hot verb may have a second form `joined`, which does several calls at
    once; `joins` says which calls can be done together.
    """

    def declare(function: Callable[Concatenate[C, P], R]) -> Verb[P, R]:
        declared = Verb(
            function,
            route=route,
            writes=not route.startswith("GET") if writes is None else writes,
            status=status,
            repeatable=repeatable,
            reads_vault=reads_vault,
            outside=outside,
            body_limit_bytes=body_limit_bytes,
            when_larger=when_larger,
            joins=joins,
            joined=joined,
        )
        VERBS[declared.key] = declared
        return declared

    return declare


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return field.default


def bad_input(error: msgspec.ValidationError, kind: Any) -> BadInput:
    """A validation error of a type in the ledger's words, with the field it is about."""
    field, message = explain(error, kind)
    return BadInput(f"{field}: {message}" if field else message, field=field)
