"""What is written about a job becomes its definition: the short forms that people write, and their mistakes."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from shoal.adapters.manifests.written import Entry, Keys
from shoal.errors import BadInput
from shoal.mistakes import explain
from shoal.model.job import Definition, split_command

ACTIONS = ("command", "script", "task", "built_in", "check", "action")
FIELDS = tuple(name for name in Definition.__struct_fields__ if name != "name")
KNOWN = (*FIELDS, "command", "script", "task", "built_in", "check", "options", "project")
# What other programs call it.
MEANT = {
    **dict.fromkeys(("cron", "when", "every", "interval"), "schedule"),
    **dict.fromkeys(("tz", "time_zone", "zone"), "timezone"),
    **dict.fromkeys(("env", "variables"), "environment"),
    **dict.fromkeys(("cwd", "dir", "directory", "workdir", "working_folder"), "folder"),
    **dict.fromkeys(("timeout", "limit"), "timeout_seconds"),
    **dict.fromkeys(("concurrency", "concurrency_policy"), "overlap"),
    **dict.fromkeys(("retries", "attempts"), "max_attempts"),
    **dict.fromkeys(("cmd", "run", "exec", "args"), "command"),
    **dict.fromkeys(("builtin", "built-in"), "built_in"),
    **dict.fromkeys(("misfire", "catchup", "misfire_grace_time"), "catch_up"),
    "grace": "grace_seconds",
    "backoff": "backoff_seconds",
    "jitter": "jitter_seconds",
    "active": "enabled",
}


def definition(entry: Entry) -> Definition:
    """The job that an entry defines. Raises BadInput with file, line and reason."""
    for key in entry.table:
        if key not in KNOWN:
            raise _wrong(entry, f"{key}: there is no such field{_nearest(str(key))}", str(key))
    given = {name: value for name, value in entry.table.items() if name in FIELDS and name != "action"}
    given |= {"name": entry.name, "action": _action(entry)}
    if isinstance(values := given.get("environment"), dict):
        given["environment"] = {name: _as_text(value) for name, value in values.items()}
    if "schedule" not in given:
        raise _wrong(entry, "schedule: it is missing; write five cron fields, @daily, or `every 90s`")
    try:
        return msgspec.convert(given, Definition)
    except msgspec.ValidationError as error:
        field, message = explain(error, Definition)
        keys = _keys(entry, field or "")
        raise _wrong(entry, f"{'.'.join(keys) or field}: {message}", *keys) from None


def place(entry: Entry, field: str) -> str:
    """Where a field of the job's definition stands."""
    return entry.place(_keys(entry, field))


def _keys(entry: Entry, field: str) -> Keys:
    """The keys in the file that a field of the definition was written with."""
    parts = tuple(part for part in re.split(r"[.\[\]]+", field) if part)
    if parts[:1] == ("action",) and "action" not in entry.table:
        if parts[1:2] in (("options",), ("project",)):
            return parts[1:]
        written = next((name for name in ACTIONS if name in entry.table), "")
        inner = [part for part in parts[1:] if part not in ("command", "task", "name")]
        return (written, *inner) if written else ()
    return () if parts == ("name",) else parts


def _action(entry: Entry) -> Any:
    given = [name for name in ACTIONS if name in entry.table]
    if len(given) != 1:
        said = f"it has both {given[0]} and {given[1]}; keep one" if given else "it does nothing; give it a command"
        more = "" if given else ', as command = "sweep.sh --fast", or task = {title = "…"}, or built_in = "…"'
        raise _wrong(entry, said + more, *given[1:2])
    [form] = given
    value = entry.table[form]
    if "options" in entry.table and form not in ("built_in", "check"):
        raise _wrong(entry, "options: these are for a built_in or a check", "options")
    if "project" in entry.table and form != "check":
        raise _wrong(entry, "project: this is for a check", "project")
    if form in ("command", "script"):
        return {"kind": "program", "command": _command(entry, form, value)}
    if form == "task":
        return {"kind": "task", "task": {"title": value} if isinstance(value, str) else value}
    if form in ("built_in", "check"):
        named: Any = {"name": value} if isinstance(value, str) else value
        if not isinstance(named, dict):
            raise _wrong(entry, f"{form}: write its name", form)
        if form == "check" and isinstance(named.get("command"), str):
            named = named | {"command": _command(entry, form, named["command"])}
        beside = {key: entry.table[key] for key in ("options", "project") if key in entry.table}
        return {"kind": form, **named, **beside}
    if not isinstance(value, dict):
        raise _wrong(entry, 'action: it is a table; short is command = "…"', "action")
    return value


def _command(entry: Entry, form: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return split_command(value)
    except BadInput as error:
        said = error.message.replace("run sh with -c", f'write {form} = ["sh", "-c", "…"]')
        raise _wrong(entry, f"{form}: {said}", form) from None


def _nearest(key: str) -> str:
    import difflib

    near = difflib.get_close_matches(key.lower(), [*KNOWN, *MEANT], n=1)
    return f"; did you mean {MEANT.get(near[0], near[0])}?" if near else ""


def _as_text(value: Any) -> Any:
    """A number or truth as a program finds it in its environment."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else value


def _wrong(entry: Entry, reason: str, *keys: str) -> BadInput:
    return BadInput(f"{entry.place(keys)}: job {entry.name}: {reason}", field="jobs")
