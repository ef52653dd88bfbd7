"""SQLite: what goes wrong with files and disks is said, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path

import apsw
import pytest

from shoal import connect
from shoal.errors import SchemaTooNew, StoreBusy, StoreCorrupt, StoreFull, StoreMissing, StoreReadOnly
from shoal.ledger.connect import open_ledger
from shoal.settings import Settings
from shoal.store.sqlite import SQLite
from shoal.store.sqlite_copies import check_backup


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    with connect(path, actor="a") as ledger:
        ledger.tasks.create(title="kept")
    return path


def test_every_write_is_durable(path: Path) -> None:
    database = SQLite(path, create=False)
    try:
        assert database._writer.pragma("synchronous") == 2
        assert database._writer.pragma("journal_mode") == "wal"
    finally:
        database.close()


def test_newer_schema_is_refused(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("INSERT INTO schema_version VALUES (999, 0)")
    connection.close()
    with pytest.raises(SchemaTooNew, match="schema 999"):
        connect(path)


def test_missing_file_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        open_ledger(str(tmp_path / "gone.db"), settings=Settings(), actor="a", create=False)
    assert not (tmp_path / "gone.db").exists()


@pytest.mark.parametrize("content", [b"plain text " * 500, b"SQLite format 3\x00" + b"\xff" * 8000])
def test_file_that_is_no_ledger_is_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other.db"
    file.write_bytes(content)
    with pytest.raises(StoreCorrupt):
        connect(file)
    assert file.read_bytes() == content


def test_damaged_page_is_found(path: Path) -> None:
    with connect(path, actor="a") as ledger:
        ledger.tasks.create_many(tasks=[{"title": "x" * 400}] * 500)
        ledger.engine.database.maintain()  # type: ignore[attr-defined]
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(4096 * 4))
    with pytest.raises(StoreCorrupt):
        check_backup(path)


def test_full_disk_refuses_and_goes_on_when_there_is_room(path: Path) -> None:
    with connect(path, actor="a") as ledger:
        writer = ledger.engine.database._writer  # type: ignore[attr-defined]
        pages = writer.pragma("page_count")
        writer.pragma("max_page_count", pages + 2)
        made = 1

        def create_until_full() -> None:
            nonlocal made
            for _ in range(2000):
                ledger.tasks.create(title="y" * 400)
                made += 1

        with pytest.raises(StoreFull, match="no space left"):
            create_until_full()
        with pytest.raises(StoreFull):
            ledger.tasks.create_many(tasks=[{"title": "z" * 400}] * 100)
        assert sum(ledger.stats.get().counts.values()) == made
        writer.pragma("max_page_count", 1_000_000)
        assert ledger.tasks.create(title="room again").id
        assert ledger.engine.database.check() == []  # type: ignore[attr-defined]


def test_read_only_file_is_said_so() -> None:
    folder = Path(tempfile.mkdtemp(prefix="shoal-read-only-"))
    try:
        connect(folder / "ledger.db").close()
        for path in folder.iterdir():
            path.chmod(0o444)
        folder.chmod(0o555)
        # root may write anything, so it gives its rights up for a moment.
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            with pytest.raises(StoreReadOnly, match="check its owner, mode and folder"):
                open_ledger(str(folder / "ledger.db"), settings=Settings(), actor="a", create=False)
        finally:
            if is_root:
                os.seteuid(0)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_other_program_that_holds_the_file_is_waited_for_and_then_named(path: Path) -> None:
    holder = apsw.Connection(str(path))
    holder.execute("BEGIN IMMEDIATE")
    ledger = open_ledger(str(path), settings=Settings(patience_seconds=1), actor="a", create=False)
    assert ledger.tasks.get(1).title == "kept", "reading waits for nobody"
    with pytest.raises(StoreBusy, match="locked by another program"):
        ledger.tasks.create(title="x")
    timer = threading.Timer(0.3, lambda: holder.execute("ROLLBACK"))
    timer.start()
    assert ledger.tasks.create(title="x").id == 2
    timer.join()
    holder.close()
    ledger.close()


def test_backup_under_load_restores_to_a_whole_ledger(path: Path, tmp_path: Path) -> None:
    stopping = threading.Event()
    with connect(path, actor="a") as ledger:

        def write() -> None:
            while not stopping.is_set():
                ledger.tasks.create(title="busy")

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        ledger.engine.database.backup(str(tmp_path / "copy.db"))  # type: ignore[attr-defined]
        stopping.set()
        for thread in threads:
            thread.join()
    check_backup(tmp_path / "copy.db")
    with connect(tmp_path / "copy.db", actor="a") as copy:
        assert copy.tasks.get(1).title == "kept"
        stats = copy.stats.get()
        assert sum(stats.counts.values()) == len(copy.events.list(after=0, limit=1000)) or stats.last_event > 1000
        assert copy.tasks.create(title="goes on").id > 1
