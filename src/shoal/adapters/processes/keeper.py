"""Outlives the worker by a moment: when the worker is gone, however it went, ends the process groups it left.

Some programs start others in sessions of their own (Codex does so with every command); these are known by a variable
that everything in a group inherits.

Run as a script of its own. Reads lines "+pgid" and "-pgid" from standard input; at its end, TERM and then KILL to
every group still on the list. Imports nothing of Shoal, so that it starts in 10 ms.
"""

import contextlib
import os
import signal
import sys
import time

GRACE_SECONDS = 2.0
MARK = "SHOAL_GROUP"  # in the environment of everything in a group: the group's number


def main() -> None:
    """Keep the list until the worker is gone, then end what is on it."""
    # A Ctrl-C in the terminal is the worker's to handle; this process ends when the worker does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        sign, number = line[:1], line[1:].strip()
        if not number.isdigit():
            continue  # a shell that cannot become its command complains here
        if sign == "+":
            groups.add(int(number))
        elif sign == "-":
            groups.discard(int(number))
    for call in (signal.SIGTERM, signal.SIGKILL):
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, call)
            signal_strays(group, call)
        if groups and call == signal.SIGTERM:
            time.sleep(GRACE_SECONDS)


def signal_strays(group: int, number: int) -> bool:
    """Signal what belongs to a group and has left it, where the system shows environments (Linux); whether any did."""
    found = False
    mark = f"{MARK}={group}".encode()
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if not name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/environ", "rb") as file:
                environment = file.read()
            if mark in environment.split(b"\0"):
                os.kill(int(name), number)
                found = True
    return found


if __name__ == "__main__":
    main()
