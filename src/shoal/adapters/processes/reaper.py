"""Stands between the worker and one command: ends with it all that it started, and stays until nothing of that is left.
Its own end is the command's: the same exit code, or the same signal.

Linux gives a process that has lost its parent to the nearest reaper above it, and that is this one, whatever it did to
its group, session or environment. So a run is what is below here, and what is killed here hands its children up, until
there are none. Only own children are signalled, with the groups that they are in: such a number is given to no other
process before the child is reaped, and nobody else reaps it.

Other systems give orphans to the first of all processes; there a run is the command's process group.

Run as a script of its own: CONTROL LOCALE PROGRAM ARGUMENTS. Orders come from the pipe CONTROL, which the worker holds
open for as long as it lives; LOCALE is the command's LC_CTYPE, or empty. Imports little, and nothing of Shoal.
"""

import os
import signal
import sys
from collections.abc import Callable
from select import POLLIN, poll
from time import monotonic

ASK = b"T"  # TERM to all that is there
END = b"K"  # KILL, now
GRACE_SECONDS = 2.0  # between the two when the worker is gone
STUBBORN_SECONDS = 10.0  # for what the kernel does not let go of
LOOK_SECONDS = 0.05
LOCALE = "LC_CTYPE"  # which Python sets for itself where the locale is C
LOOKS = 10  # without anything that may be signalled: what is left belongs to somebody else

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36


class Reaper:
    """A command and what it leaves to this process."""

    def __init__(self, command: int, *, adopts: bool, woken: int) -> None:
        """`woken` can be read when a child has ended."""
        self.code: int | None = None
        self._command = command
        self._adopts = adopts
        self._woken = woken
        self._poll = poll()
        self._poll.register(woken, POLLIN)
        self._asked: set[int] = set()

    def watch(self, control: int) -> None:
        """Until the command has ended, or has to."""
        self._poll.register(control, POLLIN)
        asking = False
        deadline: float | None = None
        while self._reap() and self.code is None:
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                break
            if asking:
                self._signal(signal.SIGTERM, again=False)
            if control not in self._wait(left):
                continue
            orders = os.read(control, 64)
            if END in orders:
                break
            asking = True
            if not orders:
                self._poll.unregister(control)
                deadline = monotonic() + GRACE_SECONDS
        if deadline is None:
            self._poll.unregister(control)

    def end(self) -> None:
        """Kill what is left, and what that leaves, until there is nothing."""
        if not self._adopts:
            _signal_group(self._command, signal.SIGKILL)
        deadline = monotonic() + STUBBORN_SECONDS
        looks = 0
        while self._reap() and monotonic() < deadline and looks < LOOKS:
            looks = 0 if self._signal(signal.SIGKILL) else looks + 1
            self._wait(LOOK_SECONDS)

    def _reap(self) -> bool:
        """Take leave of the children that have ended; whether there are others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._command:
                self.code = os.waitstatus_to_exitcode(status)

    def _signal(self, number: int, *, again: bool = True) -> bool:
        """Signal the groups of all children, those that were signalled before only `again`; whether any could be."""
        done = False
        for child in self._children():
            group = _group(child)
            if again or group not in self._asked:
                self._asked.add(group)
                # Before it becomes the command, the first child is in the group of this process.
                signals = _signal_process if group == os.getpgrp() else _signal_group
                done |= signals(child if group == os.getpgrp() else group, number)
        return done

    def _children(self) -> list[int]:
        if not self._adopts:
            return [self._command] if self.code is None else []
        own = os.getpid()
        try:
            with open(f"/proc/self/task/{own}/children") as file:
                listed = file.read().split()
        except OSError:  # a kernel without this list
            listed = [name for name in _names("/proc") if name.isdecimal() and _parent(name) == own]
        # What is shown there may be the numbers of another container: the kernel itself says whose child it is.
        return [pid for pid in map(int, listed) if _is_child(pid)]

    def _wait(self, seconds: float | None) -> list[int]:
        ready = [number for number, _ in self._poll.poll(None if seconds is None else max(0, seconds) * 1000)]
        if self._woken in ready:
            os.read(self._woken, 4096)
        return ready


def main() -> None:
    """Start the command, and stay until all of it has ended."""
    control, locale, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    os.set_inheritable(control, False)
    set_own = _prctl()
    adopts = set_own(PR_SET_CHILD_SUBREAPER, 1)
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    own = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            # A run whose reaper is killed must not go on unseen.
            set_own(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == own:
                _become(command, locale)
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        finally:
            os._exit(127)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _let_go()
    reaper = Reaper(pid, adopts=adopts, woken=woken)
    reaper.watch(control)
    reaper.end()
    _end_as(-signal.SIGKILL if reaper.code is None else reaper.code, set_own)


def _prctl() -> Callable[[int, int], bool]:
    """What sets attributes of this process that only Linux knows; whether it did."""
    if sys.platform != "linux":
        return lambda *_: False
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):  # a Python without it
        return lambda *_: False
    prctl.argtypes = [ctypes.c_int, *4 * [ctypes.c_ulong]]
    return lambda option, value: prctl(option, value, 0, 0, 0) == 0


def _become(command: list[str], locale: str) -> None:
    """Be the command, in a session and group of its own, as if the worker had started it."""
    if locale:
        os.environ[LOCALE] = locale
    else:
        os.environ.pop(LOCALE, None)
    os.setsid()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them for itself
        signal.signal(number, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606 - the worker says what


def _let_go() -> None:
    """Hold neither the pipes nor the folder of the command: who waits for their end waits for the command's."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.chdir("/")
    if sys.platform == "linux":
        try:
            with open("/proc/self/comm", "w") as file:
                file.write("shoal-reaper")  # an agent that kills every `python` does not mean this one
        except OSError:
            pass


def _end_as(code: int, set_own: Callable[[int, int], bool]) -> None:
    if code < 0:
        set_own(PR_SET_DUMPABLE, 0)  # the command has left a core already, if it was to
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [-code])
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:  # it has ended; only where that hides its group, which is the command's
        return pid


def _is_child(pid: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _parent(name: str) -> int:
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:  # it has just ended
        return 0


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal_process(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
