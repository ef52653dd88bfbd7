"""One look of a check in this process: a built-in or somebody's function, with its options and its findings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from shoal.adapters.checks.check import Context
from shoal.adapters.git.reading import Reading
from shoal.clock import SystemClock
from shoal.daemon import checks
from shoal.errors import BadInput, ShoalError
from shoal.ledger import Ledger
from shoal.model.built_in import converted
from shoal.model.check import Check, Finding

GIT_SECONDS = 30


class Look(Struct, frozen=True):
    """A check that is ready to run: by which version, and what it finds."""

    version: str
    findings: Iterator[Finding]


def look(
    action: Check,
    *,
    root: Path | None,
    ledger: Callable[[], Ledger],
    warn: Callable[[str], None],
    partial: Callable[[str], None],
    home: Path,
) -> Look:
    """Make a check ready that is no command. Raises BadInput for one that there is not, or whose options are wrong.

    A function is also looked for in the home. `ledger` is asked for one when the check is about it.
    """
    now = SystemClock().now_ms()
    context = Context(root=root, project=action.project, warn=warn, partial=partial, now_ms=now)
    if action.handler is not None:
        module, function = _function(action.handler, home)
        kind = getattr(module, "Options", None)
        options = action.options if kind is None else converted(action.options, kind, action.name)
        given = msgspec.structs.replace(context, options=options)
        version = str(getattr(module, "VERSION", action.version or "1"))
        return Look(version, (_as_finding(one) for one in function(given)))
    found = checks.load(action.name)
    options = converted(action.options, found.Options, action.name)
    asked = ledger() if checks.asks_ledger(action.name) else None
    return Look(found.VERSION, found.run(msgspec.structs.replace(context, options=options, ledger=asked)))


def head_of(root: Path | None) -> str | None:
    """The commit that is checked out there; None where there is no repository."""
    if root is None or not root.is_dir():
        return None
    try:
        return Reading(root, timeout_seconds=GIT_SECONDS).head()
    except ShoalError:
        return None


def _function(handler: str, home: Path) -> tuple[Any, Callable[[Context], Iterator[Any]]]:
    module_name, _, name = handler.partition(":")
    if str(home) not in sys.path:
        sys.path.append(str(home))
    try:
        module = import_module(module_name)
        function = getattr(module, name)
    except Exception as error:
        raise BadInput(
            f"{handler} cannot be had: {type(error).__name__}: {error}; put {module_name.partition('.')[0]} into "
            f"{home}, or install it where Shoal is",
            field="handler",
        ) from None
    return module, function


def _as_finding(given: Any) -> Finding:
    try:
        return msgspec.convert(msgspec.to_builtins(given), Finding)
    except (TypeError, msgspec.ValidationError) as error:
        raise BadInput(f"a finding is not as one has to be: {error}", field="findings") from None
