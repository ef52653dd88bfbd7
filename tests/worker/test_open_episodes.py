"""What an agent spent after its worker was killed is read from its transcript by whoever works next in the home."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger, connect
from shoal.model.cost import CostSum
from shoal.settings import Home
from shoal.worker.open_episodes import OpenEpisodes
from tests.conftest import wait_until
from tests.fleet import SHOAL, environment

SESSION = "5e551011-0000-4000-8000-000000000001"
TOLD, UNTOLD, LATER = (10, 1, 100, 5), (20, 2, 200, 0), (40, 4, 400, 0)
KINDS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def call(name: str, tokens: tuple[int, ...], **more: Any) -> str:
    """A line with a model call that has ended."""
    usage = dict(zip(KINDS, tokens, strict=True))
    message = {"id": name, "model": "claude-sonnet-4-5", "role": "assistant", "stop_reason": "end_turn"}
    message |= {"content": [{"type": "text", "text": name}], "usage": usage}
    return json.dumps({"type": "assistant", "uuid": f"u-{name}", "session_id": SESSION, "message": message} | more)


class House:
    """A home with an agent `main` that tells of one call, and makes another that only its transcript knows of."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.folder, self.ledger = folder, ledger
        self.home = folder / "home"
        self.transcript = folder / "config" / "projects" / "p" / f"{SESSION}.jsonl"
        self.transcript.parent.mkdir(parents=True)
        self.called = folder / "called"
        init = json.dumps({"type": "system", "subtype": "init", "session_id": SESSION, "model": "claude-sonnet-4-5"})
        calls = f"{call('one', TOLD)}\n{call('two', UNTOLD)}"
        (folder / "claude").write_text(
            f"#!/bin/sh\necho '{init}'\necho '{call('one', TOLD)}'\n"
            f"echo '{calls}' > {self.transcript}\ntouch {self.called}\nexec sleep 600\n"
        )
        (folder / "claude").chmod(0o755)
        main = f'kind = "claude"\nprogram = ["{folder}/claude"]\nenv = {{ CLAUDE_CONFIG_DIR = "{folder}/config" }}\n'
        other = 'kind = "command"\nprogram = ["true"]\n'
        self.settings = f"retry_base_seconds = 1\n[agents.main]\n{main}[agents.other]\n{other}"
        self.configure("main")
        self.started: list[subprocess.Popen[str]] = []

    def configure(self, agent: str) -> None:
        (self.home / "shoal.toml").write_text(f'agent = "{agent}"\n{self.settings}')

    def work(self) -> subprocess.Popen[str]:
        worker = subprocess.Popen(
            [*SHOAL, "--home", str(self.home), "work", "--until-empty", "--lease", "4", "--poll", "0.05"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=environment(),
        )
        self.started.append(worker)
        return worker

    def finish(self) -> None:
        worker = self.work()
        _, said = worker.communicate(timeout=30)
        assert worker.returncode == 0, said

    def kill_a_worker_in_the_middle(self) -> None:
        worker = self.work()
        wait_until(lambda: self.called.exists() and self.used() is not None)
        worker.kill()
        worker.communicate()

    def used(self) -> tuple[int, ...] | None:
        """Calls and tokens by kind on the task's account."""
        found: list[CostSum] = self.ledger.costs.sums(by="task")
        if not found:
            return None
        one = found[0]
        return one.calls, one.input_tokens, one.output_tokens, one.cache_read_tokens, one.cache_write_tokens

    def remembered(self) -> list[Path]:
        return list((self.home / "episodes").glob("*.json"))


ONE, BOTH = (1, *TOLD), (2, *map(sum, zip(TOLD, UNTOLD, strict=True)))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with connect(tmp_path / "home" / "ledger.db", actor="ana") as ledger:
        house = House(tmp_path, ledger)
        yield house
        for worker in house.started:
            worker.kill()
            worker.wait()
            assert worker.stderr is not None
            worker.stderr.close()


def by_another_agent(house: House) -> None:
    house.ledger.tasks.create(title="x")
    house.kill_a_worker_in_the_middle()
    house.configure("other")


def cancelled(house: House) -> None:
    house.ledger.tasks.create(title="x")
    house.kill_a_worker_in_the_middle()
    house.ledger.tasks.cancel(1)


def poison(house: House) -> None:
    house.ledger.tasks.create(title="x", max_attempts=1)
    house.kill_a_worker_in_the_middle()


@pytest.mark.parametrize("how", [by_another_agent, cancelled, poison])
def test_calls_that_nobody_told_of_are_counted_once(house: House, how: Callable[[House], None]) -> None:
    how(house)
    assert house.used() == ONE
    house.finish()
    assert house.used() == BOTH
    assert {(one.attempt, one.session, one.agent) for one in house.ledger.costs.list()} == {(1, 1, "main")}
    assert house.remembered() == []
    assert not (house.home / "episodes" / "T1.1").exists(), "what the killed worker left for its episode goes"

    with house.transcript.open("a") as file:
        file.write(call("three", LATER) + "\n")
    house.ledger.tasks.create(title="y")
    house.configure("other")
    house.finish()
    assert house.used() == BOTH, "it is read once"


def test_run_that_was_reported_to_its_end_is_not_read_again(house: House) -> None:
    house.ledger.tasks.create(title="x", max_attempts=1)
    script = house.folder / "claude"
    script.write_text(script.read_text().replace("exec sleep 600", "exit 1"))
    house.finish()
    assert house.used() == BOTH
    assert house.remembered() == []


def test_run_whose_worker_lives_is_left_alone(house: House) -> None:
    house.ledger.tasks.create(title="x")
    house.work()
    wait_until(lambda: house.called.exists() and house.used() is not None and house.remembered())
    home = Home(house.home)
    OpenEpisodes(home.folder, house.ledger, home.settings).settle()
    assert house.used() == ONE
    assert house.remembered()


def test_transcript_that_is_away_is_looked_for_as_long_as_folders_are_kept(house: House) -> None:
    cancelled(house)
    away = house.transcript.rename(house.folder / "away")
    house.finish()
    assert (house.used(), len(house.remembered())) == (ONE, 1)
    away.rename(house.transcript)
    house.finish()
    assert (house.used(), house.remembered()) == (BOTH, [])


def test_transcript_that_is_gone_is_given_up_in_the_end(house: House) -> None:
    cancelled(house)
    house.transcript.unlink()
    house.settings = f"workspace_days = 0\n{house.settings}"
    house.configure("main")
    house.finish()
    assert (house.used(), house.remembered()) == (ONE, [])


def test_agent_may_be_renamed_meanwhile(house: House) -> None:
    cancelled(house)
    house.settings = '[agents.main]\nkind = "command"\nprogram = ["true"]\n'
    house.configure("main")
    house.finish()
    assert (house.used(), house.remembered()) == (BOTH, [])


def test_damaged_memory_of_a_run_is_put_aside(house: House) -> None:
    cancelled(house)
    [file] = house.remembered()
    file.write_bytes(file.read_bytes()[:50])
    house.finish()
    assert (house.used(), house.remembered()) == (ONE, [])
    assert [path.name for path in file.parent.glob("*.damaged")] == ["T1.1.damaged"]
