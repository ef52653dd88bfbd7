"""Which program looks for a check, and with what: for the server, and for whoever runs one in the foreground."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.adapters.checks.check import checkout_at
from shoal.adapters.git.renames import renamed_since
from shoal.errands.check_output import NO_FINDING, CheckOutput, Told
from shoal.errands.checks import looks_at_checkout
from shoal.errands.checks.look import head_of, look
from shoal.errands.programs import command_line, missing
from shoal.errors import BadInput, ShoalError
from shoal.ledger import Ledger
from shoal.model.check import Check, Finding, Findings
from shoal.settings import Home

ACTION = "SHOAL_CHECK_ACTION"
OPTIONS = "SHOAL_CHECK_OPTIONS"
ROOT = "SHOAL_CHECK_ROOT"
SINCE = "SHOAL_CHECK_SINCE"
CHUNK_BYTES = 65_536


class Order(Struct, frozen=True):
    """The program that is to be started for a check, where, and with which environment."""

    command: list[str]
    folder: Path
    environment: dict[str, str]


def seen(action: Check, *, root: Path | None, since: str | None) -> Told:
    """What is known of a look before it begins: the commit that it sees, what git has renamed since the last one, and
    that there is nothing to see, as where a disk is not mounted. Raises BadInput when its checkout is not there.
    """
    if root is None or not looks_at_checkout(action):
        return Told(renamed={})
    folder = checkout_at(root, action.project)
    renamed = renamed_since(folder, since) if since is not None else {}
    return Told(head=head_of(folder), renamed=renamed, partial=f"{root} is empty" if _is_empty(folder) else None)


def order(
    action: Check, *, home: Home, root: Path | None, environment: Mapping[str, str], since: str | None = None
) -> Order:
    """What is started for a check. `since` is the commit at which it looked the last time.

    Raises BadInput when its program is not there.
    """
    told = {ACTION: msgspec.json.encode(action).decode(), OPTIONS: msgspec.json.encode(action.options).decode()}
    told |= {"SHOAL_CHECK": action.name, "SHOAL_CHECK_PROJECT": action.project, "SHOAL_HOME": str(home.folder)}
    if root is not None:
        told[ROOT] = str(root)
    if since is not None:
        told[SINCE] = since
    folder = root if root is not None and looks_at_checkout(action) else home.folder
    if action.command is None:
        # -P: a checkout's own files must not stand in for Python's.
        command = [sys.executable, "-P", "-m", "shoal.errands.check_program"]
    elif why := missing(action.command[0], folder, environment):
        raise BadInput(why, field="command")
    else:
        command = command_line(action.command)
    return Order(command, folder, {**environment, **told})


def examine(
    action: Check,
    *,
    home: Home,
    root: Path | None,
    since: str | None,
    ledger: Callable[[], Ledger],
    environment: Mapping[str, str],
    say: Callable[[str], None],
    dry_run: bool = False,
) -> tuple[Findings, str | None]:
    """Look in the foreground: what was found, and what went wrong, if anything did. `say` is told why it was partial.

    A built-in and a function run in this process. Raises BadInput for a check that there is not.
    """
    output = CheckOutput(lambda line: say(line) if line.startswith(NO_FINDING) else None)
    output.tell(seen(action, root=root, since=since))
    if action.command is not None:
        problem = _run(action, output, order(action, home=home, root=root, environment=environment, since=since))
    else:
        found = look(action, root=root, home=home, ledger=ledger, warn=say, tell=output.tell, dry_run=dry_run)
        problem = _take(action, output, found)
    return output.outcome(action, ended_well=problem is None), _problem(output, problem, say)


def _is_empty(folder: Path) -> bool:
    """Whether there is no file in a folder, but for those of git's own."""
    for place, folders, files in os.walk(folder):
        if Path(place) == folder:
            folders[:] = [one for one in folders if one != ".git"]
            files = [one for one in files if one != ".git"]
        if files:
            return False
    return True


def _take(action: Check, output: CheckOutput, found: Iterator[Finding]) -> str | None:
    try:
        for one in found:
            output.take(one)
    except ShoalError:
        raise
    except Exception as error:  # somebody's function, which may do anything
        return f"{action.name} ended with {type(error).__name__}: {error}; nothing counts as gone"
    return None


def _problem(output: CheckOutput, problem: str | None, say: Callable[[str], None]) -> str | None:
    """What went wrong; that a look was partial is only said."""
    if problem is None and output.fault is None and output.remark is not None:
        say(output.remark)
    return problem or output.fault


def _run(action: Check, output: CheckOutput, wanted: Order) -> str | None:
    try:
        process = subprocess.Popen(  # noqa: S603 - it is what the caller asked for
            wanted.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=wanted.environment,
            cwd=wanted.folder,
        )
    except (OSError, ValueError) as error:
        raise BadInput(f"{wanted.command[0]} cannot be started in {wanted.folder}: {error}", field="command") from None
    with process:
        assert process.stdout is not None  # noqa: S101 - opened as a pipe
        while data := process.stdout.read1(CHUNK_BYTES):  # type: ignore[attr-defined]
            output.write(data)
    output.close()
    return None if process.returncode == 0 else f"{action.name} ended with {process.returncode}: nothing counts as gone"
