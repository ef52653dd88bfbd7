"""Which program looks for a check, and with what: for the server, and for whoever runs one in the foreground."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.daemon.check_output import NO_FINDING, CheckOutput, Told
from shoal.errors import BadInput, ShoalError
from shoal.ledger import Ledger
from shoal.model.check import Check, Findings
from shoal.settings import Home

ACTION = "SHOAL_CHECK_ACTION"
OPTIONS = "SHOAL_CHECK_OPTIONS"
ROOT = "SHOAL_CHECK_ROOT"
SINCE = "SHOAL_CHECK_SINCE"
CHUNK_BYTES = 65_536


class Order(Struct, frozen=True):
    """The program that is to be started for a check, where, and with what in its environment."""

    command: list[str]
    folder: Path
    environment: dict[str, str]


def order(action: Check, *, home: Home, root: Path | None, since: str | None = None) -> Order:
    """What is started for a check. `since` is the commit at which it looked the last time."""
    told = {ACTION: msgspec.json.encode(action).decode(), OPTIONS: msgspec.json.encode(action.options).decode()}
    told |= {"SHOAL_CHECK": action.name, "SHOAL_CHECK_PROJECT": action.project, "SHOAL_HOME": str(home.folder)}
    if root is not None:
        told[ROOT] = str(root)
    if since is not None:
        told[SINCE] = since
    # -P: a checkout's own files must not stand in for Python's.
    command = action.command or [sys.executable, "-P", "-m", "shoal.daemon.check_program"]
    folder = root if root is not None and root.is_dir() else home.folder
    return Order(command, folder, told)


def examine(
    action: Check,
    *,
    home: Home,
    root: Path | None,
    ledger: Callable[[], Ledger],
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> tuple[Findings, str | None]:
    """Look in the foreground: what was found, and what went wrong, if anything did. `say` is told why it was partial.

    A built-in and a function run in this process. Raises BadInput for a check that there is not.
    """
    output = CheckOutput(lambda line: say(line) if line.startswith(NO_FINDING) else None)
    if action.command is not None:
        problem = _run(action, output, home=home, root=root, environment=environment)
        return output.outcome(action, ended_well=problem is None), _problem(output, problem, say)
    from shoal.daemon.checks.look import head_of, look

    found = look(
        action,
        root=root,
        ledger=ledger,
        warn=say,
        partial=lambda why: output.tell(Told(partial=why)),
        home=home.folder,
    )
    problem = None
    try:
        for one in found.findings:
            output.take(one)
    except ShoalError:
        raise
    except Exception as error:  # somebody's function, which may do anything
        problem = f"{action.name} ended with {type(error).__name__}: {error}; nothing counts as gone"
    outcome = output.outcome(action, ended_well=problem is None)
    return msgspec.structs.replace(outcome, version=found.version, head=head_of(root)), _problem(output, problem, say)


def _problem(output: CheckOutput, problem: str | None, say: Callable[[str], None]) -> str | None:
    """What went wrong; that a look was partial is only said."""
    if problem is None and output.fault is None and output.remark is not None:
        say(output.remark)
    return problem or output.fault


def _run(
    action: Check, output: CheckOutput, *, home: Home, root: Path | None, environment: Mapping[str, str]
) -> str | None:
    wanted = order(action, home=home, root=root)
    try:
        process = subprocess.Popen(  # noqa: S603 - it is what the caller asked for
            wanted.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**environment, **wanted.environment},
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
