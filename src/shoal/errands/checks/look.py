"""One look of a check in this process: a built-in or somebody's function, with its options, and what it finds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from shoal.adapters.checks.check import Context
from shoal.adapters.git.reading import Reading
from shoal.clock import SystemClock
from shoal.errands import checks
from shoal.errands.check_output import Told
from shoal.errors import BadInput, ShoalError
from shoal.ledger import Ledger
from shoal.model.built_in import converted
from shoal.model.check import Check, Finding
from shoal.settings import Home, Settings

GIT_SECONDS = 30


def look(
    action: Check,
    *,
    root: Path | None,
    home: Home,
    ledger: Callable[[], Ledger],
    warn: Callable[[str], None],
    tell: Callable[[Told], None],
    dry_run: bool = False,
) -> Iterator[Finding]:
    """Make a check ready that is no command, and give what it finds as it finds it. Raises BadInput for one that there
    is not, or whose options are wrong.

    A function is also looked for in the home. `ledger` is asked for one when the check is about it. `tell` hears of the
    version at once, and of what the check tells on the way.
    """
    context = Context(
        root=root,
        project=action.project,
        settings=home.settings() if home.exists else Settings(),
        now_ms=SystemClock().now_ms(),
        dry_run=dry_run,
        warn=warn,
        partial=lambda why: tell(Told(partial=why)),
        brought=lambda what: tell(Told(brought=what)),
    )
    if action.handler is not None:
        module, function = _function(action.handler, home.folder)
        kind = getattr(module, "Options", None)
        options = action.options if kind is None else converted(action.options, kind, action.name)
        tell(Told(version=str(getattr(module, "VERSION", action.version or "1"))))
        return (_as_finding(one) for one in function(msgspec.structs.replace(context, options=options)))
    found = checks.load(action.name)
    options = converted(action.options, found.Options, action.name)
    tell(Told(version=found.VERSION))
    if not checks.asks_ledger(action.name):
        return found.run(msgspec.structs.replace(context, options=options))
    asked = ledger()
    given = {"options": options, "ledger": asked, "vault": lambda: _vault(asked, warn)}
    return found.run(msgspec.structs.replace(context, **given))


def head_of(root: Path | None) -> str | None:
    """The commit that is checked out there; None where there is no repository."""
    if root is None or not root.is_dir():
        return None
    try:
        return Reading(root, timeout_seconds=GIT_SECONDS).head()
    except ShoalError:
        return None


def _vault(ledger: Ledger, warn: Callable[[str], None]) -> Any:
    from shoal.errands.checks.vault_pages import opened  # it brings YAML

    return opened(ledger, warn)


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
