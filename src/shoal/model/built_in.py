"""The options of the built-ins that jobs run: what each may be, and what it means. What they do: daemon/built_ins.

They stand here so that a job with a wrong one is refused when it is made, and not when it fires.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from shoal.errors import BadInput
from shoal.mistakes import explain, nearest
from shoal.model.fields import Name
from shoal.model.job import BuiltIn
from shoal.settings import FOLDER

Days = Annotated[int, Meta(ge=0, le=36_500)]
VaultFile = Annotated[str, Meta(pattern=rf"^\Z|(?=.*\.md\Z){FOLDER.pattern}", max_length=200)]


class NoOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Of those that have none."""


class BackupOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Of `backup`."""

    keep: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)] | None,
        Meta(description="how many are kept, this one with them; left out: `backups_kept`"),
    ] = None


class FlushLogsOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Of `flush_logs`."""

    days: Annotated[Days, Meta(description="how long a log stays where it was written; 0")] = 0
    keep_days: Annotated[Days, Meta(description="how long it is kept in the vault; 0: for ever")] = 0
    compress: Annotated[bool, Meta(description="whether it becomes a .log.gz; true")] = True


class StatusReportOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Of `status_report`."""

    file: Annotated[
        VaultFile | None,
        Meta(
            description="a path in the vault that ends with .md; empty: none; left out: `status.md` in `fleet_folder`"
        ),
    ] = None
    channels: Annotated[
        list[Name], Meta(max_length=100, description="channels that get it in short, by their names; none")
    ] = []
    days: Annotated[int, Meta(ge=1, le=366, description="of how many days money is added up; 7")] = 7


OPTIONS: dict[str, type[Struct]] = {
    "backup": BackupOptions,
    "flush_logs": FlushLogsOptions,
    "review_pull_requests": NoOptions,
    "status_report": StatusReportOptions,
    "supervise": NoOptions,
}


def options_of(action: BuiltIn) -> Any:
    """The options of a built-in as their type. Raises BadInput, also for a built-in that there is not."""
    kind = OPTIONS.get(action.name)
    if kind is None:
        known = f"; there are {', '.join(OPTIONS)}"
        raise BadInput(
            f"there is no built-in {action.name!r}{nearest(action.name, OPTIONS) or known}", field="action.name"
        )
    return converted(action.options, kind, action.name)


def converted(options: dict[str, Any], kind: type[Struct], name: str) -> Any:
    """The options of what is called so, as their type. Raises BadInput, which names the one that is wrong."""
    try:
        return msgspec.convert(options, kind)
    except msgspec.ValidationError as error:
        field, message = explain(error, kind)
        said = message.replace("no such field", "no such option")
        raise BadInput(f"option {field} of {name}: {said}", field=f"action.options.{field}") from None


def meanings(name: str) -> dict[str, str]:
    """Each option of a built-in, and what it means."""
    return meanings_of(OPTIONS.get(name, NoOptions))


def meanings_of(options: type[Struct]) -> dict[str, str]:
    """Each field of a struct of options, and what it means."""
    import msgspec.inspect as inspect

    described = inspect.type_info(options)
    found = {}
    for field in getattr(described, "fields", ()):
        kind = field.type
        while isinstance(kind, inspect.Metadata) and "description" not in (kind.extra_json_schema or {}):
            kind = kind.type
        found[field.name] = (kind.extra_json_schema or {})["description"] if isinstance(kind, inspect.Metadata) else ""
    return found
