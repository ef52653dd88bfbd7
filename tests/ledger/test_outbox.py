"""Reports that nobody heard: kept, delivered in order, none twice, and dropped when the lease is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger, connect
from shoal.errors import BadInput, LeaseLost, ServerUnreachable, ShoalError, StoreError, VaultError
from shoal.ledger import outbox as module
from shoal.ledger.outbox import FILE, Outbox, Report
from tests.fleet import Server, environment

Open = Callable[..., Ledger]


class Away:
    """A ledger whose server can be away: before a call arrives, or after it was done."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.before = self.after = False
        self.call = ledger.engine.call
        ledger.engine.call = self._call  # type: ignore[method-assign]

    def _call(self, verb: Any, *given: Any) -> Any:
        if self.before and verb.key in module.REPORTS:
            raise ServerUnreachable("nobody is there")
        answer = self.call(verb, *given)
        if self.after and verb.key in module.REPORTS:
            raise ServerUnreachable("it went away")
        return answer


@pytest.fixture
def away(ledger: Ledger) -> Away:
    return Away(ledger)


def kinds(ledger: Ledger, task: int = 1) -> list[str]:
    return [str(event.kind) for event in ledger.events.list(after=0, task=task)][2:]


def claimed(ledger: Ledger) -> int:
    return ledger.tasks.claim(worker="w", task=ledger.tasks.create(title="x").id).claims[0].attempt


def test_what_is_heard_is_not_kept(ledger: Ledger, tmp_path: Path) -> None:
    attempt = claimed(ledger)
    assert Outbox(tmp_path).say(ledger, "tasks.progress", task=1, attempt=attempt, progress=10) is None
    assert not (tmp_path / FILE).exists()
    assert kinds(ledger) == ["task.progressed"]


def test_reports_of_an_outage_come_in_order_and_once(ledger: Ledger, away: Away, tmp_path: Path) -> None:
    attempt = claimed(ledger)
    box = Outbox(tmp_path)
    away.before = True
    assert box.say(ledger, "tasks.start", task=1, attempt=attempt)
    assert box.say(ledger, "tasks.progress", task=1, attempt=attempt, progress=50, message="half")
    away.before = False
    assert box.say(ledger, "tasks.comment", task="T1", message="behind what waits"), "nothing goes before earlier ones"
    assert box.say(ledger, "tasks.complete", task=1, attempt=attempt, summary="done", result={"x": [1]})
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert Outbox(tmp_path).deliver(ledger)
    assert not (tmp_path / FILE).exists()
    assert kinds(ledger) == ["task.started", "task.progressed", "task.commented", "task.completed"]
    assert ledger.tasks.get(1).result == {"x": [1]}
    assert Outbox(tmp_path).deliver(ledger)


@pytest.mark.parametrize("verb", sorted(module.NAMED))
def test_report_that_was_heard_without_an_answer_counts_once(
    ledger: Ledger, away: Away, tmp_path: Path, verb: str
) -> None:
    attempt = claimed(ledger)
    given: dict[str, dict[str, Any]] = {
        "tasks.start": {"attempt": attempt},
        "tasks.verified": {"attempt": attempt, "failed": [], "manual": ["looks right"]},
        "tasks.progress": {"attempt": attempt, "progress": 5},
        "tasks.comment": {"message": 'said with "report":"0123456789abcdef"'},
        "tasks.result": {"attempt": attempt, "text": "what came of it"},
    }
    away.after = True
    id = Outbox(tmp_path).say(ledger, verb, task=1, **given[verb])
    assert not Outbox(tmp_path).deliver(ledger), "again nobody answers"
    away.after = False
    box = Outbox(tmp_path)
    assert box.deliver(ledger)
    assert id is not None
    assert not box.waits(id)
    assert len(kinds(ledger)) == 1
    assert box.say(ledger, verb, task=1, **given[verb]) is None
    assert len(kinds(ledger)) == 2, "the same words in another report are another report"


@pytest.mark.parametrize("verb", ["tasks.complete", "tasks.fail", "tasks.release"])
def test_end_that_was_heard_without_an_answer_counts_once(
    ledger: Ledger, away: Away, tmp_path: Path, verb: str
) -> None:
    attempt = claimed(ledger)
    more = {"error": "broke"} if verb == "tasks.fail" else {}
    away.after = True
    Outbox(tmp_path).say(ledger, verb, task=1, attempt=attempt, **more)
    away.after = False
    assert Outbox(tmp_path).deliver(ledger)
    assert len(kinds(ledger)) == 1


def test_report_of_a_lost_lease_is_dropped_and_the_next_one_delivered(
    ledger: Ledger, away: Away, tmp_path: Path
) -> None:
    attempt = claimed(ledger)
    away.before = True
    box = Outbox(tmp_path)
    mine = box.say(ledger, "tasks.complete", task=1, attempt=attempt)
    box.say(ledger, "tasks.comment", task=1, message="still told")
    away.before = False
    ledger.tasks.release(1)
    ledger.tasks.claim(worker="other", task=1)
    dropped: list[tuple[Report, ShoalError]] = []
    late = Outbox(tmp_path, on_dropped=lambda report, error: dropped.append((report, error)))
    assert late.deliver(ledger)
    [(report, error)] = dropped
    assert (report.verb, type(error)) == ("tasks.complete", LeaseLost)
    assert ledger.tasks.get(1).status == "active"
    assert kinds(ledger)[-1] == "task.commented"
    assert mine is not None
    with pytest.raises(LeaseLost):
        late.waits(mine)


def test_reports_of_another_ledger_and_torn_lines_stay_apart(ledger: Ledger, away: Away, tmp_path: Path) -> None:
    attempt = claimed(ledger)
    away.before = True
    Outbox(tmp_path).say(ledger, "tasks.progress", task=1, attempt=attempt, progress=1)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"id": "torn", "led')
    Outbox(tmp_path).say(ledger, "tasks.progress", task=1, attempt=attempt, progress=2)
    with connect(tmp_path / "other.db", actor="bo") as other:
        assert Outbox(tmp_path).deliver(other)
    away.before = False
    assert Outbox(tmp_path).deliver(ledger)
    assert ledger.tasks.get(1).progress == 2
    assert len(kinds(ledger)) == 2


def test_only_reports_are_kept_and_refusals_are_told_at_once(ledger: Ledger, tmp_path: Path) -> None:
    claimed(ledger)
    with pytest.raises(BadInput):
        Outbox(tmp_path).say(ledger, "tasks.progress", task=1, attempt=1, progress=1000)
    (tmp_path / FILE).write_text(
        f'{{"id":"a","ledger":"{ledger.address}","actor":"x","verb":"tasks.cancel","given":{{"task":1}}}}\n'
    )
    assert Outbox(tmp_path).deliver(ledger)
    assert ledger.tasks.get(1).status == "active"


class Killed(BaseException):
    """What ends a process in the middle."""


def test_death_between_saying_and_marking_it_done_says_nothing_twice(
    ledger: Ledger, away: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = claimed(ledger)
    for progress in (1, 2, 3):
        Outbox(tmp_path).keep(ledger, "tasks.progress", task=1, attempt=attempt, progress=progress)

    def killed(*given: Any) -> Any:
        away.call(*given)
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(ledger.engine, "call", killed)
        with pytest.raises(Killed):
            Outbox(tmp_path).deliver(ledger)
    assert Outbox(tmp_path).deliver(ledger)
    assert kinds(ledger) == ["task.progressed"] * 3
    assert not (tmp_path / FILE).exists()


def test_report_that_a_newer_version_wrote_is_kept(ledger: Ledger, away: Away, tmp_path: Path) -> None:
    attempt = claimed(ledger)
    newer = f'{{"id":"a","ledger":"{ledger.address}","actor":"x","verb":"tasks.newer","given":{{"task":1}}}}'
    (tmp_path / FILE).write_text(newer + "\n")
    box = Outbox(tmp_path)
    assert box.say(ledger, "tasks.progress", task=1, attempt=attempt, progress=1) is None, "it holds up nothing"
    box.keep(ledger, "tasks.progress", task=1, attempt=attempt, progress=2)
    assert box.deliver(ledger)
    assert newer in (tmp_path / FILE).read_text().splitlines()
    assert kinds(ledger) == ["task.progressed"] * 2


def test_many_reports_are_kept_and_delivered_without_reading_all_of_them_each_time(
    ledger: Ledger, away: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = claimed(ledger)
    monkeypatch.setattr(module, "COMPACT_BYTES", 20_000)
    taken: list[bytes] = []
    take = Outbox._take
    monkeypatch.setattr(Outbox, "_take", lambda box, line: (taken.append(line), take(box, line))[1])
    box = Outbox(tmp_path)
    for number in range(300):
        box.keep(ledger, "tasks.comment", task=1, message=f"{number}")
    assert box.deliver(ledger)
    said = [event.data["message"] for event in ledger.events.list(after=0, task=1, kind="task.commented", limit=1000)]
    assert said == [f"{number}" for number in range(300)]
    assert len(taken) < 2000
    assert ledger.tasks.get(1).attempt == attempt


def test_what_has_no_room_goes_oldest_first_but_no_end_and_no_costs(
    ledger: Ledger, away: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = claimed(ledger)
    monkeypatch.setattr(module, "COMPACT_BYTES", 1000)
    monkeypatch.setattr(module, "LARGEST_BYTES", 20_000)
    box = Outbox(tmp_path)
    box.keep(ledger, "tasks.start", task=1, attempt=attempt)
    spent = {"item": "spent", "usage": {"request_key": "a"}}
    box.keep(ledger, "sessions.record", session=1, attempt=attempt, items=[spent, {"item": "said", "text": "x" * 900}])
    for number in range(100):
        box.keep(ledger, "tasks.progress", task=1, attempt=attempt, progress=number, message="m" * 500)
    box.keep(ledger, "tasks.complete", task=1, attempt=attempt)
    assert (tmp_path / FILE).stat().st_size < 25_000
    kept = Outbox(tmp_path)._of(ledger)
    assert [one.verb for one in kept[:2]] == ["tasks.start", "sessions.record"]
    assert kept[1].given["items"] == [spent]
    assert (kept[-1].verb, kept[-2].given["progress"]) == ("tasks.complete", 99)
    assert 5 < len(kept) < 50


def test_seal_of_what_was_delivered_is_not_left_behind(ledger: Ledger, away: Away, tmp_path: Path) -> None:
    attempt = claimed(ledger)
    box = Outbox(tmp_path)
    with connect(tmp_path / "other.db", actor="bo") as other:
        box.keep(other, "tasks.comment", task=1, message="waits on")
    seal = "what only the worker knows"
    box.keep(ledger, "tasks.verified", task=1, attempt=attempt, failed=[], seal=seal)
    assert seal in (tmp_path / FILE).read_text()
    assert box.deliver(ledger)
    assert kinds(ledger) == ["task.verified"]
    assert seal not in (tmp_path / FILE).read_text()
    assert "waits on" in (tmp_path / FILE).read_text()


def test_full_disk_is_told_and_tried_again(
    ledger: Ledger, away: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = claimed(ledger)
    box = Outbox(tmp_path)
    for progress in (1, 2):
        box.keep(ledger, "tasks.progress", task=1, attempt=attempt, progress=progress)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as without_room:
        without_room.setattr(Outbox, "_append", full)
        assert not box.deliver(ledger)
        assert "No space left" in str(box.trouble)
        with pytest.raises(StoreError, match="No space left"):
            box.keep(ledger, "tasks.progress", task=1, attempt=attempt, progress=3)
    assert kinds(ledger) == []
    assert box.deliver(ledger)
    assert kinds(ledger) == ["task.progressed"] * 2


def test_report_that_the_vault_has_no_room_for_waits(
    ledger: Ledger, away: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = claimed(ledger)
    box = Outbox(tmp_path)
    box.keep(ledger, "tasks.complete", task=1, attempt=attempt)

    def full(*_: Any) -> None:
        raise VaultError("the vault cannot take content: No space left on device; nothing was written")

    with monkeypatch.context() as without_room:
        without_room.setattr(ledger.engine, "call", full)
        assert not box.deliver(ledger)
    assert "cannot take content" in str(box.trouble)
    assert box.deliver(ledger)
    assert kinds(ledger) == ["task.completed"]


def test_report_survives_the_death_of_its_sender_and_of_the_server(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    port = server.url.rpartition(":")[2]
    with connect(server.url, actor="ana") as ledger:
        attempt = claimed(ledger)
    server.kill()
    script = (
        "import os, signal, sys; from pathlib import Path; from shoal import connect; "
        "from shoal.ledger.outbox import Outbox; ledger = connect(sys.argv[1], actor='w'); "
        "ledger.engine._retry_seconds = 0.0; "
        "Outbox(Path(sys.argv[2])).say(ledger, 'tasks.complete', task=1, attempt=int(sys.argv[3])); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    home = tmp_path / "worker"
    command = [sys.executable, "-c", script, server.url, str(home), str(attempt)]
    assert subprocess.run(command, env=environment(PATH=os.environ["PATH"])).returncode == -signal.SIGKILL
    again = Server(tmp_path / "server", "--port", port)
    with connect(again.url, actor="ana") as ledger:
        assert Outbox(home).deliver(ledger)
        assert ledger.tasks.get(1).status == "completed"
    assert again.stop() == 0
