"""`shoal import lobwife` beside a server that has the same home."""

from __future__ import annotations

from tests import lobwife_state
from tests.cli.shell import Shell


def test_import_shows_a_table_and_what_was_refused(shell: Shell) -> None:
    state = shell.folder / "state"
    state.mkdir()
    lobwife_state.database(state)
    lobwife_state.json_files(state)
    assert "dry run" in shell("import", "lobwife", str(state), "--dry-run", code=2)
    said = shell("import", "lobwife", str(state), code=2)
    lines = [line.split() for line in said.splitlines()]
    assert lines[0] == ["file", "rows", "taken", "there", "refused", "now"]
    assert lines[1] == ["lobmob.db", "13", "11", "0", "2", "lobmob.db.migrated"]
    assert "task_events 5: refused: its task T99 was not taken" in shell.errors
    assert [task["id"] for task in shell.json("list")] == [9, 8, 7, 3]
    (state / "jobs.json").write_text("[")
    assert "jobs.json is no" in shell("import", "lobwife", str(state), code=2).replace("\n", " ")
    shell("import", "lobwife", str(state), code=4, SHOAL_URL="http://127.0.0.1:9")
    shell("import", "nobody", str(state), code=2)
    shell("import", "x.md", "--dry-run", code=2)
    shell("import", "lobwife", code=2)
    assert "which folder is it?" in shell.errors
