"""The shape of a check: what it is asked, and what it says. What becomes of its findings: services/checks.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from shoal.errors import BadInput
from shoal.model.check import Brought, Finding
from shoal.settings import Settings


class NoOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Of checks that have none."""


class Context(Struct, frozen=True, kw_only=True):
    """What a check is asked: where to look, and how.

    `root` is the checkout, `options` an instance of the check's Options, `settings` those of the home. `ledger` is the
    Ledger for those that are about it, and None for the others; `vault` opens its vault. `now_ms` is the time, epoch
    milliseconds. With `dry_run` nothing is to be kept. `warn` tells people on the way, and ends nothing. `partial` says
    why this look does not see everything: what it found is kept, and nothing counts as gone. `brought` says what the
    check itself has made items of, so that there are no findings of that.
    """

    root: Path | None = None
    options: Any = NoOptions()
    project: str = "default"
    settings: Settings = Settings()
    ledger: Any = None
    vault: Callable[[], Any] = lambda: None
    now_ms: int = 0
    dry_run: bool = False
    warn: Callable[[str], None] = lambda text: None
    partial: Callable[[str], None] = lambda why: None
    brought: Callable[[Brought], None] = lambda what: None

    @property
    def checkout(self) -> Path:
        """The checkout. Raises BadInput when there is none."""
        return checkout_at(self.root, self.project)


def checkout_at(root: Path | None, project: str) -> Path:
    """The checkout of a project, when it is there. Raises BadInput when it is not."""
    if root is None or not root.is_dir():
        where = "" if root is None else f": {root} is no folder"
        raise BadInput(
            f"project {project} has no checkout here{where}; say where it is in shoal.toml, as "
            f'[projects.{project}] path = "…"',
            field="project",
        )
    return root


Run = Callable[[Context], Iterator[Finding]]


class Check(Protocol):
    """A check as its module is: a file with these names, and with a docstring whose first line says what it looks for.

    VERSION is another one whenever the check judges otherwise than before: then its old findings are judged anew.
    Options is a frozen struct whose fields all have defaults, and descriptions in a Meta. `run` yields findings as it
    finds them; that it returns means that it has looked at everything, unless it has said `partial`. What it raises
    ends it, and nothing counts as gone.
    """

    NAME: str
    VERSION: str
    Options: type[Struct]

    def run(self, context: Context) -> Iterator[Finding]:
        """Look, and say what is wrong."""
        ...
