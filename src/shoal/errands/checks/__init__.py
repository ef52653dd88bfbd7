"""All checks that Shoal brings along: those of a checkout, from adapters/checks, and those that ask the ledger.

The latter are files here, of the same shape, with a line in OF_LEDGER, or in OF_BOTH when they look at a checkout too;
their context has a ledger.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING

from msgspec import Struct

from shoal.adapters import checks as of_checkouts
from shoal.errors import BadInput
from shoal.model.built_in import converted, meanings_of
from shoal.model.check import Check as Action

if TYPE_CHECKING:
    from shoal.adapters.checks.check import Check

# Name -> module.
OF_LEDGER: dict[str, str] = {
    "jobs-health": "shoal.errands.checks.jobs_health",
    "learning-health": "shoal.errands.checks.learning_health",
    "stale-work": "shoal.errands.checks.stale_work",
    "vault-health": "shoal.errands.checks.vault_health",
}
OF_BOTH: dict[str, str] = {
    "code-scrutiny": "shoal.errands.checks.code_scrutiny",
    "todo-scan": "shoal.errands.checks.todo_scan",
}


class Described(Struct, frozen=True):
    """A check as people read about it: what it looks for, where, and what its options mean."""

    name: str
    description: str
    about: str
    version: str
    options: dict[str, str]


def names() -> list[str]:
    """What the checks are called."""
    return sorted({*OF_LEDGER, *OF_BOTH, *of_checkouts.BUILT_INS})


def load(name: str) -> Check:
    """The check of a name. Raises BadInput, with the names that there are."""
    module = OF_LEDGER.get(name) or OF_BOTH.get(name) or of_checkouts.BUILT_INS.get(name)
    if module is None:
        import difflib

        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}"
        raise BadInput(f"there is no check {name!r}; {hint}", field="check")
    found: Check = import_module(module)
    return found


def looks_at_checkout(action: Action) -> bool:
    """Whether a check is about the files of a project: all are but those of the ledger and the vault."""
    return action.handler is not None or action.command is not None or action.name not in OF_LEDGER


def asks_ledger(name: str) -> bool:
    """Whether one of Shoal's checks is given a ledger."""
    return name in OF_LEDGER or name in OF_BOTH


def problem(action: Action) -> str | None:
    """What is wrong with the name or the options of one of Shoal's checks, before it runs; None when nothing is."""
    if action.handler is not None or action.command is not None:
        return None
    try:
        converted(action.options, load(action.name).Options, action.name)
    except BadInput as error:
        return error.message
    return None


def described(name: str) -> Described:
    """What there is to say about a check."""
    module = load(name)
    description = (inspect.getdoc(module) or "").partition("\n")[0]
    about = "ledger" if name in OF_LEDGER else "checkout"
    return Described(name, description, about, module.VERSION, meanings_of(module.Options))
