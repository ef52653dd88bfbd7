"""A check as a program of its own: what it finds goes to standard output, a line of JSON each, and the rest to standard
error. It ends with 0 when it has looked at everything.

A check reads a hundred thousand files: in a server's process all that the server does would wait for it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from shoal.errands.check_output import Told
from shoal.errands.checking import ACTION, ROOT
from shoal.errands.checks.look import look
from shoal.errors import ShoalError
from shoal.ledger import Ledger
from shoal.model.check import Check
from shoal.settings import find_home


def main() -> int:
    """Look, and say what was found; 2 when the check cannot be run so."""
    findings = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a check prints is no finding
    encode = msgspec.json.Encoder().encode
    action = msgspec.json.decode(os.environ[ACTION], type=Check)
    root = Path(os.environ[ROOT]) if os.environ.get(ROOT) else None
    home = find_home()
    opened: list[Ledger] = []

    def ledger() -> Ledger:
        from shoal.ledger.connect import open_home

        opened.append(open_home(home, actor=f"check:{action.name}"))
        return opened[-1]

    def warn(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def tell(told: Told) -> None:
        findings.write(encode(told) + b"\n")

    try:
        for one in look(action, root=root, home=home, ledger=ledger, warn=warn, tell=tell):
            findings.write(encode(one) + b"\n")
            findings.flush()
        findings.close()
    except ShoalError as error:
        warn(error.message)
        return 2
    finally:
        for door in opened:
            door.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
