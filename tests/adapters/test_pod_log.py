"""Lines of pods come into the file once each, in whatever pieces they are told and whoever dies meanwhile."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from shoal.adapters.executors.pod_log import MEMORIES, PodLog
from shoal.errors import ExecutorError, ExecutorUnreachable


def at(seconds: float, text: str) -> str:
    return f"2026-01-02T03:04:{seconds:012.9f}Z {text}\n"


def bring(path: Path, printed: list[str], *, last: bool = False, pod: str = "p", worker: str = "w") -> str | None:
    """What a dispatcher does, with the cluster's answer to what it asks."""
    with PodLog(path, worker=worker) as log:
        since = log.since(pod)
        told = [line for line in printed if since is None or line[:19] >= since[:19]]
        log.add(pod, "".join(told).encode(), last=last)
        return log.since(pod)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "T42.1.log"


def test_lines_are_appended_without_their_times(path: Path) -> None:
    bring(path, [at(1, "one"), at(2, "two and more")])
    bring(path, [at(1, "one"), at(2, "two and more"), at(3, "three")])
    assert path.read_text() == "one\ntwo and more\nthree\n"


def test_asked_for_again_are_the_last_seconds_only(path: Path) -> None:
    assert bring(path, [at(1, "one"), at(9.9, "two")]) == "2026-01-02T03:04:08Z"


def test_same_line_at_the_same_time_is_two_when_it_was_printed_twice(path: Path) -> None:
    same = at(1, "again")
    bring(path, [same])
    bring(path, [same, same])
    bring(path, [same, same])
    assert path.read_text() == "again\nagain\n"


def test_line_that_comes_late_with_an_earlier_time_is_not_lost(path: Path) -> None:
    bring(path, [at(2.5, "second")])
    bring(path, [at(2.5, "second"), at(2.4, "first")])
    assert path.read_text() == "second\nfirst\n"


def test_end_of_a_line_is_waited_for_until_the_last_time(path: Path) -> None:
    half = at(1, "half")[:-1]
    bring(path, [half])
    assert path.read_text() == ""
    bring(path, [half], last=True)
    assert path.read_text() == "half"


def test_what_was_written_and_not_remembered_is_not_doubled(path: Path) -> None:
    printed = [at(1, "one"), at(2, "two")]
    bring(path, printed[:1])
    with path.open("a") as file:
        file.write("two\n")  # and killed
    bring(path, printed)
    assert path.read_text() == "one\ntwo\n"


def test_what_was_rotated_away_stays(path: Path) -> None:
    bring(path, [at(1, "one")])
    bring(path, [])
    bring(path, [at(7, "two")], last=True)
    assert path.read_text() == "one\ntwo\n"


def test_log_of_another_attempt_of_this_name_is_replaced(path: Path) -> None:
    bring(path, [at(1, "of a ledger before")], worker="other")
    bring(path, [at(1, "mine")])
    assert path.read_text() == "mine\n"


def test_pods_of_one_job_are_told_apart(path: Path) -> None:
    bring(path, [at(9, "one")])
    bring(path, [at(1, "two")], pod="q")
    assert path.read_text() == "one\ntwo\n"


def test_carriage_returns_end_no_line(path: Path) -> None:
    bring(path, [at(1, "10%\r20%\r\x0b\x1c30%")])
    assert path.read_bytes() == b"10%\r20%\r\x0b\x1c30%\n"


def test_what_the_kubelet_says_itself_is_no_line(path: Path) -> None:
    bring(path, ["unable to retrieve container logs for containerd://1\n"])
    assert path.read_text() == ""


def test_times_of_another_zone_are_understood(path: Path) -> None:
    assert bring(path, ["2026-01-02T05:04:09.5+02:00 x\n"]) == "2026-01-02T03:04:08Z"


def test_one_at_a_time(path: Path) -> None:
    with PodLog(path, worker="w"), pytest.raises(ExecutorUnreachable):
        PodLog(path, worker="w").__enter__()


def test_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    with pytest.raises(ExecutorError, match=r"T42\.1\.log"):
        PodLog(tmp_path / "logs" / "T42.1.log", worker="w").__enter__()


def test_damaged_memory_begins_anew(path: Path) -> None:
    bring(path, [at(1, "one")])
    (path.parent / MEMORIES / "T42.1.json").write_text("{")
    bring(path, [at(1, "one"), at(2, "two")])
    assert path.read_text() == "one\ntwo\n"


@given(
    steps=st.lists(st.tuples(st.sampled_from([0.0, 0.0, 0.3, 0.9, 2.5]), st.sampled_from("ab")), max_size=12),
    looks=st.lists(st.integers(0, 12), max_size=6),
)
@settings(max_examples=100, deadline=None)
def test_whatever_the_times_of_the_looks_every_line_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[float, str]], looks: list[int]
) -> None:
    path = tmp_path_factory.mktemp("log") / "T1.1.log"
    moment, printed = 1.0, []
    for pause, text in steps:
        moment += pause
        printed.append(at(moment, text))
    for look in sorted(looks):
        bring(path, printed[:look])
    bring(path, printed, last=True)
    assert path.read_text() == "".join(f"{text}\n" for _, text in steps)
