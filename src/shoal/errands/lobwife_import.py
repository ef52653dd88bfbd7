"""Takes over a folder of lobwife: reads its files, has their rows taken in one transaction, renames what is done."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from msgspec import Struct

from shoal.adapters.importers import lobwife
from shoal.errors import BadInput, ShoalError, StoreMissing
from shoal.ledger.connect import open_ledger
from shoal.ledger.embedded import EmbeddedEngine
from shoal.live_settings import LiveSettings
from shoal.model.takeover import OldRow, Outcome, TakenRow
from shoal.services import Tx, takeover
from shoal.settings import Home
from shoal.store.foreign import read_tables

# The database first: what the files are about may be in it.
FILES = (lobwife.DATABASE, lobwife.JOBS, lobwife.REGISTRATIONS, lobwife.AUDIT)
DONE = ".migrated"
BESIDE = ("-wal", "-shm", "-journal")


class ImportedFile(Struct, frozen=True, kw_only=True):
    """What became of a file: how many rows it has, and of these were taken, there already, and refused.

    `renamed` is what it is called now; `problem` why it is called as before.
    """

    file: str
    rows: int = 0
    taken: int = 0
    existing: int = 0
    refused: int = 0
    renamed: str | None = None
    problem: str | None = None


class Import(Struct, frozen=True):
    """What came of it all; `told` are the rows that were refused, or of which there is something to know."""

    dry_run: bool
    files: list[ImportedFile]
    told: list[TakenRow]


class _DryRun(Exception):
    def __init__(self, told: list[TakenRow]) -> None:
        self.told = told


def run(home: Home, folder: Path, *, dry_run: bool = False) -> Import:
    """Import what lobwife left in a folder into the ledger of a home, which may be served meanwhile.

    Repeating it adds nothing twice. Raises BadInput when nothing of lobwife's is there.
    """
    settings = LiveSettings(home)
    address = home.database_address(settings())
    home.expect_database(address)
    if not home.exists:
        raise StoreMissing(f"there is no Shoal home at {home}; `shoal init` makes one here")
    present = [name for name in FILES if (folder / name).is_file()]
    if not present:
        done = ", ".join(sorted(path.name for path in folder.glob(f"*{DONE}*")))
        raise BadInput(
            f"{folder} has none of {', '.join(FILES)}" + (f"; these were taken before: {done}" if done else ""),
            field="folder",
        )
    rows, problems = _read(folder, present, Path(address) if "://" not in address else None)
    with open_ledger(address, settings=settings, actor="lobwife", create=False) as ledger:
        assert isinstance(ledger.engine, EmbeddedEngine)  # noqa: S101 - it is opened by its address
        told = _take(ledger.engine, rows, dry_run=dry_run)
    files = [_done(folder, name, rows, told, problems.get(name), dry_run=dry_run) for name in present]
    return Import(dry_run, files, [one for one in told if one.reason is not None])


def _read(folder: Path, present: list[str], own: Path | None) -> tuple[list[OldRow], dict[str, str]]:
    """The rows of all files that can be read, and why the others cannot."""
    rows: list[OldRow] = []
    problems: dict[str, str] = {}
    for name in present:
        path = folder / name
        try:
            if name != lobwife.DATABASE:
                rows += lobwife.json_rows(name, path.read_bytes())
            elif own is not None and own.exists() and own.samefile(path):
                raise BadInput(f"{path} is this ledger's own database")
            else:
                rows += lobwife.table_rows(read_tables(path, lobwife.TABLES))
        except ShoalError as error:
            problems[name] = error.message
        except OSError as error:
            problems[name] = f"it cannot be read: {error.strerror}"
    return rows, problems


def _take(engine: EmbeddedEngine, rows: list[OldRow], *, dry_run: bool) -> list[TakenRow]:
    def work(tx: Tx) -> list[TakenRow]:
        told = takeover.take(tx, rows)
        if dry_run:
            raise _DryRun(told)
        return told

    try:
        taken: list[TakenRow] = engine.write(work, takeover.ACTOR)
    except _DryRun as dry:
        return dry.told
    return taken


def _done(
    folder: Path, name: str, rows: list[OldRow], told: list[TakenRow], problem: str | None, *, dry_run: bool
) -> ImportedFile:
    """What became of a file; it is renamed when each of its rows is accounted for."""
    read = sum(one.file == name for one in rows)
    counted = Counter(one.outcome for one in told if one.file == name)
    renamed = None
    if problem is None and read != counted.total():
        problem = f"of {read} rows {counted.total()} are accounted for"
    if problem is None and not dry_run:
        try:
            renamed = _rename(folder / name)
        except OSError as error:
            problem = f"its rows are taken, and it cannot be renamed: {error.strerror}"
    return ImportedFile(
        file=name,
        rows=read,
        taken=counted[Outcome.TAKEN],
        existing=counted[Outcome.EXISTING],
        refused=counted[Outcome.REFUSED],
        renamed=renamed,
        problem=problem,
    )


def _rename(path: Path) -> str:
    """Its new name; nothing that has it already is replaced."""
    number = 1
    while (target := path.with_name(f"{path.name}{DONE}{'' if number == 1 else f'-{number}'}")).exists():
        number += 1
    # The log of a database goes first: alone under the old name it would be taken for that of another one.
    for suffix in BESIDE:
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(target.with_name(target.name + suffix))
    path.rename(target)
    return target.name
