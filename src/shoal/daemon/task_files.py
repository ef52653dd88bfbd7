"""Brings tasks' files in step with the ledger: only Shoal's keys and the folder; what cannot be read is left alone."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from msgspec import Struct

from shoal.adapters.vault import files, task_file
from shoal.adapters.vault.front_matter import FrontMatter
from shoal.adapters.vault.task_file import OWNED
from shoal.adapters.vault.vault import Vault, version
from shoal.errors import ShoalError, VaultError
from shoal.model.content import Facts
from shoal.model.task import FINISHED


class Trouble(Struct, frozen=True):
    """A file that was left alone, and why."""

    path: str
    reason: str
    task: int | None = None


class TaskFiles:
    """Writes the files of tasks, many at a time."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        names = (path.name for path in vault.folder(vault.layout.archive).glob("*"))
        self._archived = {task_id for name in names if (task_id := vault.layout.archived_id(name))}
        self.troubles: list[Trouble] = []

    def write(self, batch: list[Facts]) -> None:
        """Write those that say something else than the ledger does, or stand elsewhere."""
        vault = self._vault
        texts: dict[Path, tuple[bytes | None, str]] = {}
        with vault.exclusive():
            for facts in batch:
                try:
                    texts |= self._text(facts)
                except (ShoalError, OSError) as error:
                    place = vault.find(facts.task) or vault.layout.task_file(facts.task)
                    reason = error.message if isinstance(error, ShoalError) else str(error)
                    self.troubles.append(Trouble(str(place), reason, facts.task.id))
            refused = files.write_all(texts)
        if refused:
            # Somebody saved the file in between: it is looked at again.
            again = {path.stem for path in refused}
            self.write([one for one in batch if one.task.task_id in again])

    def _text(self, facts: Facts) -> dict[Path, tuple[bytes | None, str]]:
        """What to write for a task, with what is there now; the file is moved to where it belongs."""
        vault = self._vault
        expected = vault.layout.task_file(facts.task)
        place = vault.find(facts.task)
        path = vault.path(expected)
        if place is None:
            if path.exists() or path.is_symlink():
                raise VaultError(f"{expected} is no plain file; move it out of the vault")
            if facts.task.status in FINISHED and facts.task.task_id in self._archived:
                return {}
            return {path: (None, task_file.written(facts))}
        was = files.read_bytes(vault.path(place))
        text = task_file.updated(task_file.concluded(was.decode("utf-8", "surrogateescape"), facts.task), facts)
        self._settle_twins(facts, place)
        if place != expected:
            files.move(vault.root / place, path)
        return {} if text.encode("utf-8", "surrogateescape") == was else {path: (was, text)}

    def _settle_twins(self, facts: Facts, place: PurePosixPath) -> None:
        """Of two files of one task the empty one goes; when both hold text, the second gets a name of its own."""
        vault = self._vault
        for folder in vault.layout.task_folders:
            twin = folder / f"{facts.task.task_id}.md"
            path = vault.root / twin
            if twin == place or not path.is_file():
                continue
            text = files.read(path)
            body = task_file.body(text).strip()
            known = ("", task_file.sections(facts.task).strip(), task_file.body(files.read(vault.root / place)).strip())
            if body in known and not FrontMatter(text).without(OWNED).strip():
                path.unlink()
                continue
            beside = vault.layout.beside(twin, version(text)[:8])
            files.move(path, vault.root / beside)
            self.troubles.append(
                Trouble(str(beside), f"{place} is this task's file too; both were kept", facts.task.id)
            )
