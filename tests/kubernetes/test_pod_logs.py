"""What pods print grows in the logs of the home while they run: no line twice, none lost, whoever dies meanwhile."""

from __future__ import annotations

import signal
from pathlib import Path

from shoal import Ledger
from tests.conftest import wait_until
from tests.kubernetes.api import Api
from tests.kubernetes.conftest import Dispatch, finish

ONCE = ("--until-empty",)


def test_log_that_cannot_be_had_holds_up_nothing_else(api: Api, ledger: Ledger, dispatch: Dispatch) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}"} for n in range(2)])
    api.broken_logs.add("shoal-swe-t1-a1")
    process = dispatch("true", options=("-n", "2"))
    wait_until(lambda: ledger.stats.get().counts["completed"] == 2)
    wait_until(lambda: api.jobs() == ["shoal-swe-t1-a1"])
    api.broken_logs.clear()
    wait_until(lambda: api.jobs() == [])
    process.send_signal(signal.SIGTERM)
    finish(process)


SPEAKER = """
i=0
while [ ! -f "$SHOAL_HOME/../enough" ]; do i=$((i+1)); echo "line $i"; sleep 0.05; done
echo "said $i"
"""


def said_by(log: Path) -> list[int]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [int(line.split()[1]) for line in lines if line.startswith("line ")]


def enough(api: Api) -> None:
    for folder in api.nodes.folder.glob("*/home"):
        (folder.parent / "enough").touch()


def test_log_grows_while_the_pod_runs(api: Api, ledger: Ledger, dispatch: Dispatch, home: Path) -> None:
    ledger.tasks.create(title="x")
    process = dispatch("sh", "-c", SPEAKER, options=ONCE)
    log = home / "logs" / "T1.1.log"
    wait_until(lambda: len(said_by(log)) > 20)
    assert ledger.tasks.get(1).status == "active"
    enough(api)
    finish(process)
    count = int(ledger.tasks.get(1).summary.rpartition("said ")[2])
    assert said_by(log) == list(range(1, count + 1))


def test_dispatchers_that_die_neither_double_nor_lose_a_line(
    api: Api, ledger: Ledger, dispatch: Dispatch, home: Path
) -> None:
    ledger.tasks.create(title="x")
    log = home / "logs" / "T1.1.log"
    for number in range(1, 4):
        process = dispatch("sh", "-c", SPEAKER)
        wait_until(lambda number=number: len(said_by(log)) > 20 * number)
        process.kill()
    process = dispatch("sh", "-c", SPEAKER, options=ONCE)
    seen = len(said_by(log))
    wait_until(lambda: len(said_by(log)) > seen)
    api.nodes.rotate("shoal-swe-t1-a1")
    # What was printed and not collected by then is gone; what comes after is not.
    rotated = said_by(log)[-1]
    wait_until(lambda: said_by(log)[-1] > rotated + 10)
    enough(api)
    finish(process)
    count = int(ledger.tasks.get(1).summary.rpartition("said ")[2])
    told = said_by(log)
    assert told == sorted(set(told))
    assert set(range(1, seen + 1)) <= set(told), "what was collected stays, whatever the kubelet has put aside"
    assert told[-1] == count


def test_node_that_is_silent_holds_up_no_other_log(api: Api, ledger: Ledger, dispatch: Dispatch, home: Path) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"t{n}"} for n in range(2)])
    api.broken_logs.add("shoal-swe-t1-a1")
    process = dispatch("sh", "-c", SPEAKER, options=(*ONCE, "-n", "2"))
    wait_until(lambda: len(said_by(home / "logs" / "T2.1.log")) > 20)
    api.broken_logs.clear()
    enough(api)
    finish(process)
    assert said_by(home / "logs" / "T1.1.log")[0] == 1
