"""Programs that tests start as processes of their own: claimers, creators, servers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from shoal import connect
from shoal.errors import ShoalError

SHOAL = [sys.executable, "-m", "shoal"]


def environment(**given: str) -> dict[str, str]:
    """The environment of a child: ours without any setting of Shoal's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")} | given


def start(verb: str, *arguments: str, **keywords: str) -> subprocess.Popen[str]:
    """Run one of the functions below in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fleet", verb, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env=environment(**keywords),
    )


class Programs:
    """`shoal` commands that run beside a test until `close`; all of them reach the ledger at this address."""

    def __init__(self, url: str, **variables: str) -> None:
        self._variables = {"SHOAL_URL": url} | variables
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, under: tuple[str, ...] = (), **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*under, *SHOAL, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**self._variables | variables),
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


class Server:
    """A `shoal serve` on a free port."""

    def __init__(self, home: Path, *options: str, **settings: str) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [*SHOAL, "--home", str(home), "serve", "--port", "0", *options],
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**settings),
        )
        assert self.process.stderr is not None
        self.first_line = self.process.stderr.readline()
        if "listens at" not in self.first_line:
            raise AssertionError(self.first_line + self.process.stderr.read())
        self.url = self.first_line.split()[3]
        # What it says later must not fill the pipe and stop it.
        self.log: list[str] = []
        self._reader = threading.Thread(target=self.log.extend, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def kill(self) -> None:
        """As a power cut does it."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As an operator does it; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


def drain(address: str, worker: str, limit: str) -> None:
    """Claim and complete until nothing is left; print what was completed."""
    done = []
    with connect(address, actor=worker) as ledger:
        while claims := ledger.tasks.claim(worker=worker, limit=int(limit), lease_seconds=60).claims:
            assert len(claims) <= int(limit)
            for claim in claims:
                ledger.tasks.complete(claim.task.id, attempt=claim.attempt)
                done.append(claim.task.id)
    print(json.dumps(done))


def create(address: str, name: str, count: str) -> None:
    """Create tasks one by one, and print each id after it is acknowledged."""
    with connect(address, actor=name) as ledger:
        for number in range(int(count)):
            print(ledger.tasks.create(title=f"{name} {number}").id, flush=True)


def churn(address: str, worker: str) -> None:
    """Create, claim and complete for ever; print `created N` and `completed N` after each acknowledgement."""
    with connect(address, actor=worker) as ledger:
        while True:
            print("created", ledger.tasks.create(title="x", max_attempts=1000).id, flush=True)
            for claim in ledger.tasks.claim(worker=worker, lease_seconds=1).claims:
                ledger.tasks.complete(claim.task.id, attempt=claim.attempt)
                print("completed", claim.task.id, flush=True)


def report(address: str, worker: str) -> None:
    """Claim, write a result and complete, for ever."""
    with connect(address, actor=worker) as ledger:
        while True:
            # The server is killed now and then; what was claimed meanwhile comes back when its lease ends.
            with contextlib.suppress(ShoalError):
                claims = ledger.tasks.claim(worker=worker, lease_seconds=5).claims
                for claim in claims:
                    task, attempt = claim.task.task_id, claim.attempt
                    ledger.tasks.result(task, attempt=attempt, text=f"done by {task}")
                    ledger.tasks.complete(task, attempt=attempt)
                if not claims:
                    ledger.wait_for_events(ledger.stats.get().last_event, 0.5)


def converse(address: str, session: str) -> None:
    """Report 30 messages and tool calls of a session, some of them twice."""
    from shoal.model.session import Said, ToolBegun, ToolEnded

    with connect(address, actor="claude-1") as ledger:
        for number in range(30):
            items = [
                item
                for one in range(max(0, number - 3), number + 1)
                for item in (
                    Said(f"m{one}", "assistant", f"message {one}"),
                    ToolBegun(f"t{one}", "Bash"),
                    ToolEnded(f"t{one}", "ok"),
                )
            ]
            ledger.sessions.record(int(session), attempt=1, items=items)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
