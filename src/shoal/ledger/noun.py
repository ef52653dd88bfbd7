"""A noun of a ledger: its verbs become methods when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shoal.ledger.engine import Engine
from shoal.services import VERBS


class Noun:
    """The verbs of one noun, as methods; its class has the noun's name."""

    def __init__(self, engine: Engine, actor: str) -> None:
        self._engine = engine
        self._actor = actor
        self._name = type(self).__name__.lower()

    if not TYPE_CHECKING:  # types come from nouns.pyi

        def __getattr__(self, name: str) -> Callable[..., Any]:
            verb = VERBS.get(f"{self._name}.{name.rstrip('_')}")
            if verb is None:
                known = ", ".join(sorted(verb.name for verb in VERBS.values() if verb.noun == self._name))
                raise AttributeError(f"{self._name} has no verb {name!r}; it has {known}")

            def method(*args: Any, **given: Any) -> Any:
                return self._engine.call(verb, args, given, self._actor)

            method.__name__ = name
            method.__doc__ = verb.__doc__
            self.__dict__[name] = method
            return method

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(verb.name for verb in VERBS.values() if verb.noun == self._name)})
