"""A day in the life of a vault: a server, workers, a remote, and a person who edits in a second clone all the time."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from shoal import connect
from tests.conftest import wait_until
from tests.fleet import SHOAL, Server, environment, start
from tests.vaults import git

TASKS, EDITS = 200, 50


class Person:
    """Someone with a clone of the vault who edits tasks and notes, and pushes."""

    def __init__(self, folder: Path, remote: Path) -> None:
        git(folder, "clone", "--quiet", str(remote), "person")
        self.folder = folder / "person"
        self.lines: list[str] = []
        self._chance = random.Random(11)

    def edit(self) -> None:
        """One edit, pushed whatever comes in between."""
        line = f"by hand {len(self.lines)} – größer"
        git(self.folder, "pull", "--quiet", "--rebase")
        files = sorted((self.folder / "010-tasks").rglob("T*.md"))
        path = self._chance.choice(files) if files and self._chance.random() < 0.8 else self.folder / "030-knowledge.md"
        self._write(path, line)
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--message", line)
        for _ in range(100):
            if (
                subprocess.run(["git", "push", "--quiet"], cwd=self.folder, capture_output=True, check=False).returncode
                == 0
            ):
                break
            git(self.folder, "fetch", "--quiet")
            # As people do it: what they wrote is put on top of what came; a conflict is resolved by keeping both.
            if subprocess.run(
                ["git", "rebase", "--quiet", "origin/main"], cwd=self.folder, capture_output=True, check=False
            ).returncode:
                self._resolve()
        else:
            raise AssertionError("the push never came through")
        self.lines.append(line)

    def _write(self, path: Path, line: str) -> None:
        text = path.read_text() if path.exists() else ""
        place = self._chance.randrange(4)
        if place == 0 and "## Objective\n" in text:
            text = text.replace("## Objective\n", f"## Objective\n\n{line}\n", 1)
        elif place == 1 and "## Notes\n" in text:
            text = text.replace("## Notes\n", f"## Notes\n{line}\n", 1)
        elif place == 2 and "status: queued" in text:
            text = text.replace("status: queued", f'status: mine\n"{line}": [a, b]  # kept', 1)
        else:
            text += f"{line}\n"
        path.write_text(text)

    def _resolve(self) -> None:
        for _ in range(20):
            for name in git(self.folder, "diff", "--name-only", "--diff-filter=U").splitlines():
                path = self.folder / name
                if path.exists():
                    kept = [
                        line
                        for line in path.read_text().splitlines(keepends=True)
                        if line[:7] not in ("<<<<<<<", "=======", ">>>>>>>")
                    ]
                    path.write_text("".join(kept))
            git(self.folder, "add", "--all")
            git(self.folder, "rebase", "--continue", check=False)
            if not (self.folder / ".git" / "rebase-merge").exists():
                return
        raise AssertionError("the person's rebase does not end")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("killed", [False, True], ids=["calm", "killed"])
def test_person_and_workers_change_the_vault_at_the_same_time(tmp_path: Path, killed: bool) -> None:
    home, remote = tmp_path / "home", tmp_path / "remote.git"
    tasks, edits = (TASKS, EDITS) if not killed else (TASKS // 2, EDITS // 2)
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    subprocess.run([*SHOAL, "--home", str(home), "init"], check=True, env=environment(), capture_output=True)
    subprocess.run(
        [*SHOAL, "--home", str(home), "vault", "init", "--remote", str(remote)],
        check=True,
        env=environment(),
        capture_output=True,
    )
    server = Server(home)
    port = server.url.rpartition(":")[2]
    with connect(server.url, actor="ana") as ledger:
        first = ledger.tasks.create(title="With a body", body="# With a body\n\nText.\n")
        wait_until(lambda: (home / "vault/010-tasks/active" / f"{first.task_id}.md").exists())
        wait_until(lambda: ledger.sync.status().commits >= 1)
    wait_until(lambda: git(remote, "rev-parse", "--verify", "--quiet", "main", check=False))
    person = Person(tmp_path, remote)
    workers = [start("report", server.url, name) for name in ("w1", "w2")]
    try:
        for number in range(edits):
            with connect(server.url, actor="ana") as ledger:
                ledger.tasks.create_many(
                    tasks=[{"title": f"Task {number}.{part}", "labels": ["x"]} for part in range(tasks // edits)]
                )
            person.edit()
            if killed and number % 3 == 2:
                server.kill()
                server = Server(home, "--port", port)
        with connect(server.url, actor="ana") as ledger:
            wait_until(lambda: ledger.stats.get().counts["completed"] > tasks, seconds=120)
            subprocess.run(
                [*SHOAL, "--home", str(home), "vault", "sync"], check=True, env=environment(), capture_output=True
            )
            status = ledger.sync.status()
            conflicts = ledger.events.list(after=0, kind="vault.conflict")
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
        server.kill()

    git(person.folder, "pull", "--quiet", "--rebase")
    vault = home / "vault"
    texts = {path: path.read_text() for path in person.folder.rglob("*.md")}
    together = "\n".join(texts.values())
    for line in person.lines:
        assert together.count(f"{line}\n") + together.count(f'"{line}": [a, b]  # kept\n') == 1, line
    for path, text in texts.items():
        assert "<<<<<<<" not in text, path
    files = sorted((person.folder / "010-tasks").rglob("T*.md"))
    assert [path.parent.name for path in files] == ["completed"] * (tasks + 1)
    for path in files:
        text = path.read_text()
        assert text.count("status: completed\n") + text.count("status: completed # ") == 1, path
        assert text.count(f"done by {path.stem}\n") >= 1, path
    assert (status.pending, status.last_error) == (0, None)
    assert git(vault, "status", "--porcelain") == ""
    for folder in (vault, remote, person.folder):
        assert git(folder, "fsck", "--no-dangling") == ""
    assert git(vault, "rev-parse", "HEAD") == git(remote, "rev-parse", "main")
    if not killed:
        ours = git(vault, "log", "--author=Shoal", "--oneline").splitlines()
        assert len(ours) == status.commits
        assert all("Sync: " in line for line in ours)
    assert all("both" in event.data["reason"] for event in conflicts)
