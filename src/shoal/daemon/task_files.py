"""Brings tasks' files in step with the ledger: only Shoal's keys and the folder; what cannot be read is left alone."""

from __future__ import annotations

from pathlib import PurePosixPath

from msgspec import Struct

from shoal.adapters.vault import files, task_file
from shoal.adapters.vault.front_matter import Unreadable
from shoal.adapters.vault.vault import Vault, version
from shoal.model.content import Facts
from shoal.model.task import FINISHED


class Trouble(Struct, frozen=True):
    """A file that was left alone, and why."""

    path: str
    reason: str
    task: int


class TaskFiles:
    """Writes the files of tasks, many at a time."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._archived = {
            path.name.split("_")[1] for path in vault.path(vault.layout.archive / "x").parent.glob("task_*_*.tar.gz")
        }
        self.troubles: list[Trouble] = []

    def write(self, batch: list[Facts]) -> int:
        """Write those that say something else than the ledger does, or stand elsewhere; how many."""
        texts: dict[PurePosixPath, tuple[bytes | None, str]] = {}
        moved: list[tuple[PurePosixPath, PurePosixPath]] = []
        vault = self._vault
        with vault.exclusive():
            for facts in batch:
                expected = vault.layout.task_file(facts.task)
                place = vault.find(facts.task)
                if place is None:
                    if facts.task.status not in FINISHED or facts.task.task_id not in self._archived:
                        texts[expected] = (None, task_file.written(facts))
                    continue
                self._settle_twins(facts, place)
                was = files.read_bytes(vault.root / place)
                try:
                    text = task_file.updated(was.decode("utf-8", "surrogateescape"), facts)
                except Unreadable as error:
                    self.troubles.append(Trouble(str(place), error.message, facts.task.id))
                    continue
                if place != expected:
                    moved.append((place, expected))
                    files.move(vault.root / place, vault.path(expected))
                if text.encode("utf-8", "surrogateescape") != was:
                    texts[expected] = (was, text)
            refused = files.write_all({vault.root / place: text for place, text in texts.items()})
        if refused:
            # Somebody saved the file in between: it is looked at again.
            again = {path.stem for path in refused}
            return len(texts) + self.write([one for one in batch if one.task.task_id in again])
        return len(texts.keys() | {target for _, target in moved})

    def _settle_twins(self, facts: Facts, place: PurePosixPath) -> None:
        """Of two files of one task the empty one goes; when both hold text, the second gets a name of its own."""
        vault = self._vault
        for folder in vault.layout.task_folders:
            twin = folder / f"{facts.task.task_id}.md"
            path = vault.root / twin
            if twin == place or not path.is_file():
                continue
            body = task_file.body(files.read(path)).strip()
            if body in (
                "",
                task_file.sections(facts.task).strip(),
                task_file.body(files.read(vault.root / place)).strip(),
            ):
                path.unlink()
                continue
            beside = twin.with_name(f"{twin.stem}.other-{version(body)[:8]}.md")
            files.move(path, vault.root / beside)
            self.troubles.append(
                Trouble(str(beside), f"{place} is this task's file too; both were kept", facts.task.id)
            )
