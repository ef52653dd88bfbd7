"""`shoal backlog import` and `push`, as a person and a script run them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.clickup_api import LIST, TOKEN, ClickUpApi

QUEUE = (
    "items:\n- {id: sup-1, title: Fix ports, priority: 1}\n- {id: sup-2, title: Then this, blocked_by: sup-1}\n- x\n"
)


@pytest.fixture
def api() -> Iterator[ClickUpApi]:
    api = ClickUpApi()
    yield api
    api.close()


def test_backlog_is_imported_and_followed(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "queue.yaml"
    path.write_text(QUEUE)
    said = shell("backlog", "import", "queue.yaml", "--project", "web", "--dry-run", code=2)
    assert "3 items of queue-yaml: 2 taken, 0 updated, 0 the same, 1 refused" in said
    assert "nothing was changed" in said
    said = shell("backlog", "import", "queue.yaml", "--project", "web", code=2)
    assert "2 taken" in said
    assert "queue.yaml:4: not taken: it is no item but str" in shell.errors
    path.write_text(QUEUE.replace("- x\n", "").replace("Fix ports", "Fix all ports"))
    found = shell.json("backlog", "import", "queue.yaml", "--project", "web")
    assert (found["taken"], found["updated"], found["same"], found["refused"]) == (0, 1, 1, 0)
    assert shell("backlog", "import", "queue.yaml", "--project", "other", "-q").split() == ["W3", "W4"]


def test_what_cannot_be_told_is_asked_for(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    shell("backlog", "import", "notes.txt", code=2)
    assert "cannot tell what notes.txt is; say it by --from queue-yaml, beads" in shell.errors


def test_accepted_items_are_pushed(shell: Shell, tmp_path: Path, api: ClickUpApi) -> None:
    settings = shell.home / "shoal.toml"
    table = f'\n[trackers.board]\nkind = "clickup"\nlist = "{LIST}"\ntoken_variable = "CU"\nurl = "{api.url}"\n'
    settings.write_text((settings.read_text() if settings.exists() else "") + table)
    (tmp_path / "queue.yaml").write_text(QUEUE.replace("- x\n", ""))
    shell("backlog", "import", "queue.yaml")
    assert shell("backlog", "push", "board", CU=TOKEN) == "board: nothing to tell\n"
    from shoal import connect

    with connect(home=str(shell.home)) as ledger:
        ledger.items.accept(1)
    assert shell("backlog", "push", "board", "--dry-run").splitlines() == [
        "W1  created",
        "board: 1 created",
        "nothing was told: this was a dry run",
    ]
    [id, *_] = shell("backlog", "push", "board", "-q", CU=TOKEN).split()
    assert (id, len(api.tasks)) == ("W1", 1)
    with connect(home=str(shell.home)) as ledger:
        ledger.items.accept(2)
    shell("backlog", "push", "board", code=6)
    assert "$CU is not set" in shell.errors
    api.refuse(503, times=9)
    assert shell("backlog", "push", "board", code=7, CU=TOKEN) == ""
    assert "ClickUp answers 503" in shell.errors
    api.misbehave = None
    assert "W2  created  https://app.clickup.com/t/86a1x" in shell("backlog", "push", "board", CU=TOKEN)
