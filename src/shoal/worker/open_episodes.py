"""Episodes of agents that have not been reported to their end. What an agent spent after its worker was killed stands
in its own transcript alone: whoever works next in the same home reads it there once, and says it.

episodes/T42.1.json   remembers an episode from when its session has a name until its end has been reported

Only money is told: what an attempt did after it had lost its task may change nothing else.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from shoal.adapters import agents
from shoal.adapters.agents.agent import Assignment
from shoal.clock import DAY_MS, SystemClock
from shoal.errors import NotFound
from shoal.ledger import Ledger
from shoal.model.cost import NewCost
from shoal.model.session import Item, Outcome, Session, Spent
from shoal.settings import AgentSettings, Settings, WorkflowSettings
from shoal.worker.place import Place

log = structlog.get_logger()
FOLDER = "episodes"
BATCH = 1000  # costs that are recorded at once
PLACES = ("HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME")  # agents keep their transcripts below these


class OpenEpisode(Struct, frozen=True):
    """An episode that may have to be read up on: its session as it stood when the agent had named it, and the variables
    by which the agent's transcripts are found, however it is configured by then.
    """

    session: Session
    attempt: int
    provider_session: str
    environment: dict[str, str] = {}


class OpenEpisodes:
    """Those of a home. Any number of processes may have one."""

    def __init__(self, root: Path, ledger: Ledger, settings: Callable[[], Settings]) -> None:
        self._root = root.resolve()
        self._ledger = ledger
        self._settings = settings
        self._one_at_a_time = threading.Lock()
        self._missed: set[Path] = set()

    def remember(self, session: Session, provider_session: str, environment: Mapping[str, str]) -> None:
        """An episode is under way, in this environment; whoever has the attempt's place lives."""
        file = self._file(session)
        partial = file.with_suffix(".new")
        places = {name: value for name in PLACES if (value := environment.get(name))}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(msgspec.json.encode(OpenEpisode(session, session.attempt, provider_session, places)))
            partial.replace(file)
        except OSError as error:  # a full disk is no reason to stop the agent
            log.warning("the episode cannot be remembered", attempt=file.stem, reason=str(error))

    def forget(self, session: Session) -> None:
        """It has been reported to its end."""
        self._file(session).unlink(missing_ok=True)

    def settle(self, task_id: str | None = None) -> None:
        """Say what the agents of killed workers spent, of one task or of all; never raises.

        What cannot be read or said now stays for the next time.
        """
        with self._one_at_a_time:
            for file in sorted((self._root / FOLDER).glob(f"{task_id or '*'}.*.json")):
                place = Place(self._root, file.stem)
                if not place.take():
                    continue  # its worker lives, or somebody else is just doing this
                try:
                    if self._settle(file):
                        file.unlink(missing_ok=True)
                        shutil.rmtree(file.with_suffix(""), ignore_errors=True)
                except Exception as error:
                    log.warning("what a killed worker's agent spent is not known", attempt=file.stem, reason=str(error))
                finally:
                    if place.read() is None:
                        place.forget()
                    place.release()

    def _settle(self, file: Path) -> bool:
        """Whether all is said of this one."""
        try:
            episode = msgspec.json.decode(file.read_bytes(), type=OpenEpisode)
        except FileNotFoundError:
            return True
        except msgspec.DecodeError as error:
            aside = file.with_suffix(".damaged")
            file.replace(aside)
            log.warning("what a killed worker's agent spent is not known", file=str(aside), reason=str(error))
            return True
        try:
            now = self._ledger.sessions.get(episode.session.id)
        except NotFound:
            return False
        if now.outcome is None or (now.task, now.started_at) != (episode.session.task, episode.session.started_at):
            return False  # its lease has not ended, a later attempt goes on with it, or it is another ledger's
        if now.outcome != Outcome.LOST and now.attempt == episode.attempt:
            return True
        items = self._read(episode)
        if not items:
            return self._is_given_up(file)
        usages = [item for item in items if isinstance(item, Spent)]
        costs = costs_of(usages, episode.session, attempt=episode.attempt)
        counted = 0
        for start in range(0, len(costs), BATCH):
            counted += self._ledger.costs.record(costs=costs[start : start + BATCH]).counted
        if counted:
            log.info("what a killed worker's agent spent is counted", attempt=file.stem, calls=counted)
        return True

    def _read(self, episode: OpenEpisode) -> list[Item]:
        session = episode.session
        agent = agents.agent(msgspec.convert({"kind": session.kind, "env": episode.environment}, AgentSettings))
        place = Path(session.workspace or self._root)
        of = Assignment(folder=place, home=place, system="", text="", claim=b"", workflow=WorkflowSettings())
        return list(agent.transcript(of, episode.provider_session))

    def _is_given_up(self, file: Path) -> bool:
        """Whether nobody will find the transcript any more: it is looked for as long as folders are kept."""
        if file not in self._missed:
            self._missed.add(file)
            log.warning("the transcript of a killed worker's agent is not found", attempt=file.stem)
        age = SystemClock().now_ms() - file.stat().st_mtime * 1000
        return age > self._settings().workspace_days * DAY_MS

    def _file(self, session: Session) -> Path:
        return self._root / FOLDER / f"{session.task_id}.{session.attempt}.json"


def count_dropped(ledger: Ledger, given: dict[str, Any]) -> None:
    """Count what a report of a session had spent that came too late for everything else."""
    session = ledger.sessions.get(given["session"])
    items = msgspec.convert(given.get("items", []), list[Item])
    if costs := costs_of(items, session, attempt=given["attempt"]):
        ledger.costs.record(costs=costs)


def costs_of(items: Iterable[Item], session: Session, *, attempt: int) -> list[NewCost]:
    """What these items spent, for `costs.record`, which takes it from an attempt that has lost its task too."""
    return [
        NewCost(
            **msgspec.structs.asdict(item.usage),
            task=session.task,
            attempt=attempt,
            agent=session.agent,
            session=session.id,
        )
        for item in items
        if isinstance(item, Spent)
    ]
