"""The vault from the command line: bodies through an editor, syncing with and without a server, imports, rebuilding."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal import connect
from tests.cli.shell import Shell
from tests.conftest import wait_until
from tests.fleet import Server
from tests.vaults import git


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell("init")
    return shell


@pytest.fixture
def server(shell: Shell) -> Iterator[Server]:
    server = Server(shell.home)
    yield server
    server.kill()


def test_content_commands(shell: Shell, tmp_path: Path) -> None:
    shell("add", "First", "-b", "# First\n")
    shell("add", "Second", "--body-file", "-", stdin="# Größe\n")
    assert shell("body", "T1") == "# First\n"
    assert shell("body", "2") == "# Größe\n"
    (tmp_path / "plan.md").write_text("# Plan\n")
    shell("body", "T1", "--file", "plan.md")
    shell("result", "T1", "It", "works", "--pr", "https://github.com/o/r/pull/1")
    shell("share", "T1", "api", '{"login": "/x"}')
    shell("share", "T1", "word", "not json")
    shell("note", "T1", "mine")
    shell("discover", "T1", "found", "it")
    assert shell.json("context", "T1")["values"] == {"api": {"login": "/x"}, "word": "not json"}
    assert "mine" in shell("note", "T1")
    assert "no notes" in shell("--actor", "bob", "note", "T1")
    shell("claim", "T1", "--worker", "w")
    shell("progress", "T1", "50", "--attempt", "1", "-m", "half")
    assert "half" in shell("progress", "T1")
    shell("progress", "T1", "50", code=2)
    shell("done", "T1", "--attempt", "1")
    shell("vault", "sync")
    assert "T1" in shell("search", "plan")
    shell("archive", "T1")
    assert list((shell.home / "vault").rglob("T1.*")) == []
    shell("archive", "T1", "--restore")
    assert "# Plan" in shell("body", "T1")


def test_body_in_an_editor(shell: Shell, tmp_path: Path) -> None:
    shell("add", "First", "-b", "old\n")
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i s/old/new/ "$1"\n')
    editor.chmod(0o755)
    shell("task", "edit", "T1", "--body", EDITOR=str(editor))
    assert shell("body", "T1") == "new\n"
    shell("edit", "T1", "--body", EDITOR="true")
    assert "unchanged" in shell.errors


def test_editor_does_not_overwrite_what_was_written_meanwhile(shell: Shell, tmp_path: Path) -> None:
    shell("add", "First", "-b", "old\n")
    editor = tmp_path / "editor.sh"
    editor.write_text(f'#!/bin/sh\nsed -i s/old/other/ {shell.home}/vault/010-tasks/active/T1.md\necho mine > "$1"\n')
    editor.chmod(0o755)
    shell("edit", "T1", "--body", code=4, EDITOR=str(editor))
    kept = Path(shell.errors.rpartition(" is in ")[2].strip())
    assert shell("body", "T1") == "other\n"
    assert kept.read_text() == "mine\n"
    kept.unlink()


def test_server_syncs_by_itself_and_when_asked(shell: Shell, server: Server) -> None:
    with connect(server.url, actor="ana") as ledger:
        ledger.tasks.create(title="Hello", body="# Hello\n")
        file = shell.home / "vault/010-tasks/active/T1.md"
        wait_until(file.exists, seconds=10)
        wait_until(lambda: ledger.sync.status().commits >= 1, seconds=20)
        ledger.tasks.update(1, priority=0)
        assert "synced" in shell("vault", "sync")
        assert "priority: P0" in file.read_text()
        assert "synced" in shell("vault", "sync", "--all")
        told = shell.json("vault", "status")
        assert (told["enabled"], told["pending"], told["last_error"]) == (True, 0, None)
        assert "last sync" in shell("vault", "status")
        assert json.loads(shell("vault", "status", "--json"))["data"]["commits"] >= 2


def test_vault_of_people_is_adopted_with_nothing_changed(shell: Shell, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    (notes / ".obsidian").mkdir(parents=True)
    (notes / ".obsidian" / "app.json").write_text("{}")
    (notes / "Idea.md").write_text("# Idea\n")
    (notes / ".gitignore").write_text("*.tmp\n")
    before = {path: path.read_bytes() for path in notes.rglob("*") if path.is_file()}
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "remote.git")
    told = shell("vault", "init", str(notes), "--remote", str(tmp_path / "remote.git"))
    assert "010-tasks/active/" in told
    assert {path: path.read_bytes() for path in before} == before
    shell("add", "First")
    shell("vault", "sync")
    assert (notes / "010-tasks/active/T1.md").exists()
    assert "Idea.md" in git(tmp_path / "remote.git", "ls-tree", "--name-only", "HEAD")
    shell("vault", "init", str(notes))
    assert (shell.home / "shoal.toml").read_text().count("vault =") == 1


def test_pages_of_the_vault_before_are_not_left_behind(shell: Shell, tmp_path: Path) -> None:
    shell("add", "First", "-b", "text")
    shell("vault", "sync")
    shell("vault", "init", str(tmp_path / "notes"), code=4)
    assert "--bring" in shell.errors
    assert "vault" not in (shell.home / "shoal.toml").read_text().replace("# ", "")
    shell("vault", "init", str(tmp_path / "notes"), "--bring")
    assert shell("body", "T1") == "text\n"
    shell("vault", "sync")
    assert (tmp_path / "notes/010-tasks/active/T1.md").exists()


def test_empty_variable_says_no_vault(shell: Shell) -> None:
    shell("add", "First", SHOAL_VAULT="")
    shell("vault", "sync", code=1, SHOAL_VAULT="")
    assert "there is no vault" in shell.errors
    assert not (shell.home / "vault").exists()


def test_vault_inside_another_repository_is_refused(shell: Shell, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "project")
    shell("vault", "init", str(tmp_path / "project" / "vault"), code=2)
    assert "lies within the repository" in shell.errors
    (tmp_path / "project" / ".gitignore").write_text("vault/\n")
    shell("vault", "init", str(tmp_path / "project" / "vault"))


def test_import_of_an_old_vault(shell: Shell, tmp_path: Path) -> None:
    old = tmp_path / "old" / "010-tasks"
    files = {
        "active/task-2026-02-15-a1b2.md": "---\nid: task-2026-02-15-a1b2\nname: One\nstatus: queued\n"
        'created: "2026-02-15T10:00:00Z"\nrepo: o/r\nestimate_minutes: 90\nrequires_qa:\n---\n\nBody one\n',
        "completed/deadbeef.md": "---\nname: Two\nstatus: done\ncreated: 2026-02-14\ncompleted_at: 2026-02-16\n"
        "depends_on: [task-2026-02-15-a1b2]\n---\nBody two\r\n",
        "failed/slug-named.md": "# Three from its heading\n",
        "active/broken.md": "---\nname: [a\n---\n",
        "active/odd.md": "---\nname: x\nstatus: strange\n---\n",
    }
    for name, text in files.items():
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).write_bytes(text.encode())
    plan = shell.json("vault", "import", "old", "--dry-run")
    assert sorted(plan["map"]) == ["deadbeef", "slug-named", "task-2026-02-15-a1b2"]
    assert shell.json("list") == []

    done = shell.json("vault", "import", "old")
    assert sorted(done["map"]) == sorted(plan["map"])
    assert sorted(Path(one["name"]).name for one in done["refused"]) == ["broken.md", "odd.md"]
    assert {name: (old / name).read_bytes().decode() for name in files} == files
    one, two, three = (shell.json("show", name) for name in ("task-2026-02-15-a1b2", "deadbeef", "slug-named"))
    assert (one["title"], one["repos"], one["estimate_minutes"], one["created_at"]) == (
        "One",
        ["o/r"],
        90,
        1_771_149_600_000,
    )
    assert (two["status"], three["status"], three["title"]) == ("completed", "failed", "Three from its heading")
    assert shell("body", "task-2026-02-15-a1b2") == "Body one\n"
    again = shell.json("vault", "import", "old")
    assert (again["created"], len(again["existing"]), again["map"]) == ([], 3, done["map"])
    stored = [json.loads(path.read_text()) for path in (shell.home / "imports").glob("*.json")]
    assert done["map"] in [report["map"] for report in stored]

    shell("vault", "import", "old", "--rename")
    assert (old / "active" / f"{done['map']['task-2026-02-15-a1b2']}.md").exists()


def test_ledger_is_rebuilt_from_the_vault_alone(shell: Shell, tmp_path: Path) -> None:
    chance = random.Random(7)
    with connect(home=shell.home, actor="ana") as ledger:
        for start in range(0, 1000, 250):
            ledger.tasks.create_many(
                tasks=[
                    {
                        "title": f"Task {number}: #{chance.randrange(99)} | ü",
                        "body": f"# {number}\n\n{'word ' * chance.randrange(30)}\n",
                        "priority": chance.randrange(4),
                        "labels": chance.sample(["a", "b", "c"], chance.randrange(3)),
                        "queue": chance.choice(["default", "gpu"]),
                        "depends_on": [chance.randrange(1, start + 1) for _ in range(chance.randrange(3))]
                        if start
                        else [],
                        "parent": chance.randrange(1, start + 1) if start and chance.random() < 0.2 else None,
                        "hold_reason": "why: not" if chance.random() < 0.1 else None,
                        "run_at": 4_000_000_000_000 if chance.random() < 0.1 else None,
                    }
                    for number in range(start, start + 250)
                ]
            )
            for _ in range(3):
                for claim in ledger.tasks.claim(worker="w", limit=30).claims:
                    chance.choice(
                        [
                            lambda claim=claim: ledger.tasks.complete(claim.task.id, attempt=claim.attempt),
                            lambda claim=claim: ledger.tasks.fail(
                                claim.task.id, attempt=claim.attempt, error="x", permanent=True
                            ),
                            lambda claim=claim: ledger.tasks.cancel(claim.task.id),
                            lambda: None,
                        ]
                    )()
        for number in (3, 30, 300):
            if ledger.tasks.get(number).status in {"queued", "blocked", "scheduled"}:
                ledger.tasks.cancel(number)
        archived = [task.id for task in ledger.tasks.list(status="completed", limit=3)]
        calls = [
            {
                "task": n,
                "request_key": f"k{n}",
                "provider": "p",
                "model": "m",
                "cost_usd_micros": chance.randrange(10**9),
            }
            for n in [*range(1, 1000, 7), *archived]
        ]
        ledger.costs.record(costs=calls)
        shell("vault", "sync")
        for number in archived:
            ledger.tasks.archive(number)
    shell("vault", "sync")

    def state(home: Path) -> dict[int, tuple[object, ...]]:
        with connect(home=home, actor="ana") as ledger:
            found = []
            cursor: dict[str, str] = {}
            while True:
                page = ledger.tasks.list(limit=1000, **cursor)
                found += page
                if page.next is None:
                    break
                cursor = {"cursor": page.next}
            spent = {one.key: one.cost_usd_micros for one in ledger.costs.sums(limit=1000)}
            return {
                task.id: (
                    task.title,
                    task.status,
                    task.priority,
                    task.labels,
                    task.queue,
                    task.parent,
                    task.hold_reason,
                    task.blockers,
                    sorted(edge.blocker for edge in ledger.tasks.dependencies(task.id) if edge.blocked == task.task_id),
                    ledger.tasks.body(task.id).text if task.id not in archived else None,
                    spent.get(task.task_id, 0),
                )
                for task in found
            }

    before = state(shell.home)
    assert len(before) == 1000
    subprocess.run(["cp", "-r", str(shell.home / "vault"), str(tmp_path / "copy")], check=True)
    shell("--home", "new", "vault", "rebuild", "copy")
    assert "copy" in (tmp_path / "new" / "shoal.toml").read_text()
    assert state(tmp_path / "new") == before
    shell("--home", "new", "vault", "rebuild", "copy", code=4)
    assert shell("--home", "new", "add", "next", "-q") == "T1001\n"
