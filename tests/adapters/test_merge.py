"""Two histories of one vault brought together: whatever both sides wrote is there afterwards, each line once."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.adapters.git.repository import Git
from shoal.adapters.vault.front_matter import FrontMatter
from shoal.adapters.vault.layout import Layout
from shoal.adapters.vault.merge import Merger
from shoal.settings import Settings

LAYOUT = Layout.of(Settings())
ACTIVE, DONE = "010-tasks/active", "010-tasks/completed"
PAGE = """---
id: {id}
name: Task {id}
status: queued
priority: P2
mine: kept
---

# Task {id}

## Objective

## Notes

## Result
"""


class Side:
    """Changes the working tree of a repository at random, and knows which lines it wrote."""

    def __init__(self, root: Path, name: str, seed: int, *, moves: bool) -> None:
        self.root = root
        self.name = name
        self.lines: list[str] = []
        self._chance = random.Random(seed)
        self._moves = moves

    def change(self) -> None:
        """One change."""
        pages = sorted((self.root / "010-tasks").rglob("T*.md"))
        page = self._chance.choice(pages)
        line = f"{self.name} {len(self.lines)}"
        text = page.read_text()
        match self._chance.randrange(7):
            case 0:
                heading = self._chance.choice(["## Objective\n", "## Notes\n", "## Result\n"])
                page.write_text(text.replace(heading, f"{heading}\n{line}\n", 1))
            case 1:
                page.write_text(text + f"{line}\n")
            case 2:
                page.write_text(text.replace("---\n\n#", f'"{line}": 1\n---\n\n#', 1))
            case 3 if self._moves:
                (self.root / DONE).mkdir(exist_ok=True)
                target = self.root / DONE / page.name
                text = text.replace("status: queued\n", "status: completed\ncompleted_at: 2026-01-01T00:00:00Z\n")
                page.unlink()
                target.write_text(text + f"{line}\n")
            case 4:
                note = self.root / "note.md"
                note.write_text((note.read_text() if note.exists() else "") + f"{line}\n")
            case 5:
                log = self.root / "050-context" / "T1.progress.jsonl"
                log.parent.mkdir(exist_ok=True)
                log.write_text((log.read_text() if log.exists() else "") + f"{line}\n")
            case _:
                (self.root / f"{self.name}.md").write_text(f"{line}\n")
                self.lines = [one for one in self.lines if not one.endswith("!")]
                line += ""
        self.lines.append(line)


def repository(folder: Path) -> Git:
    git = Git(folder)
    git.run("init", "--quiet")
    (folder / ACTIVE).mkdir(parents=True)
    for number in (1, 2, 3):
        (folder / ACTIVE / f"T{number}.md").write_text(PAGE.format(id=f"T{number}"))
    git.commit("Begin\n")
    return git


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seeds=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    counts=st.tuples(st.integers(0, 5), st.integers(1, 5)),
    several=st.booleans(),
)
def test_no_line_of_either_side_is_lost(seeds: tuple[int, int], counts: tuple[int, int], several: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        git = repository(root)
        git.run("branch", "upstream")
        local = Side(root, "local", seeds[0], moves=True)
        for _ in range(counts[0]):
            local.change()
            if several:
                git.commit("Local\n")
        git.commit("Local\n")
        git.run("checkout", "--quiet", "upstream")
        upstream = Side(root, "upstream", seeds[1], moves=False)
        for _ in range(counts[1]):
            upstream.change()
        git.commit("Upstream\n")
        git.run("checkout", "--quiet", "main")

        tip = Merger(git, LAYOUT).rebase("upstream")
        git.move_to(tip)

        files = [path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts]
        texts = {path: path.read_text() for path in files}
        together = "\n".join(texts.values()) + "\n"
        written = {
            side.name: [line for line in side.lines if not self_written(line, side)] for side in (local, upstream)
        }
        for lines in written.values():
            for line in lines:
                assert f"{line}\n" in together or f'"{line}": 1\n' in together, line
        assert "<<<<<<<" not in together
        for number in (1, 2, 3):
            assert len([path for path in files if path.name == f"T{number}.md"]) == 1
        for path, text in texts.items():
            if path.name.startswith("T") and path.suffix == ".md":
                assert FrontMatter(text).has("id")
        assert git.holds(tip, git.commit_of("upstream") or "")
        assert git.changed() == []


def self_written(line: str, side: Side) -> bool:
    """Whether a side itself overwrote the line afterwards: its own page holds the last one only."""
    own = side.root / f"{side.name}.md"
    return own.exists() and f"{line}\n" not in own.read_text() and line not in _elsewhere(side)


def _elsewhere(side: Side) -> str:
    return "\n".join(
        path.read_text()
        for path in side.root.rglob("*")
        if path.is_file() and ".git" not in path.parts and path.name != f"{side.name}.md"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def bring(root: Path, local: dict[str, str | bytes | None], upstream: dict[str, str | bytes | None]) -> Merger:
    """Change a repository on two branches and bring the local one on top of the other."""
    git = Git(root)
    if not git.exists:
        git = repository(root)

    def write(changes: dict[str, str | bytes | None], message: str) -> None:
        for name, content in changes.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        git.commit(message)

    git.run("branch", "upstream")
    write(local, "Local\n")
    git.run("checkout", "--quiet", "upstream")
    write(upstream, "Upstream\n")
    git.run("checkout", "--quiet", "main")
    merger = Merger(git, LAYOUT)
    git.move_to(merger.rebase("upstream"))
    return merger


def test_new_pages_that_look_alike_are_not_taken_for_moved_ones(root: Path) -> None:
    done = PAGE.format(id="T1").replace("queued", "completed") + "a long result\n" * 40
    edited = PAGE.format(id="T1").replace("## Notes\n", "## Notes\n\nby hand\n")
    merger = bring(
        root,
        {f"{ACTIVE}/T1.md": None, f"{DONE}/T1.md": done, f"{ACTIVE}/T9.md": PAGE.format(id="T9")},
        {f"{ACTIVE}/T1.md": edited},
    )
    assert "by hand" in (root / DONE / "T1.md").read_text()
    assert (root / ACTIVE / "T9.md").read_text() == PAGE.format(id="T9")
    assert not (root / ACTIVE / "T1.md").exists()
    assert merger.conflicts == []


def test_keys_of_both_sides_are_joined(root: Path) -> None:
    page = PAGE.format(id="T1")
    merger = bring(
        root,
        {
            f"{ACTIVE}/T1.md": page.replace(
                "status: queued\npriority: P2", "status: active\nassigned_to: bob\npriority: P1"
            )
        },
        {f"{ACTIVE}/T1.md": page.replace("status: queued", "status: mine  # by hand\nwhy: because")},
    )
    text = (root / ACTIVE / "T1.md").read_text()
    assert "# by hand\nwhy: because\n" in text
    assert "mine: kept\n" in text
    assert merger.conflicts == []


def test_same_key_of_people_changed_on_both_sides_keeps_both_files(root: Path) -> None:
    page = PAGE.format(id="T1")
    merger = bring(
        root,
        {f"{ACTIVE}/T1.md": page.replace("mine: kept", "mine: ours")},
        {f"{ACTIVE}/T1.md": page.replace("mine: kept", "mine: theirs")},
    )
    texts = [path.read_text() for path in (root / ACTIVE).glob("T1*.md")]
    assert len(texts) == 2
    assert "mine: theirs\n" in (root / ACTIVE / "T1.md").read_text()
    assert any("mine: ours\n" in text for text in texts)
    assert [conflict.path for conflict in merger.conflicts] == [f"{ACTIVE}/T1.md"]


def test_shared_keys_of_both_sides_are_joined(root: Path) -> None:
    start = "task_id: T1\nupdated_at: 2026-01-01\nupdated_by: a\ncontext:\n  one: 1\n"
    bring(root, {"050-context/T1.yaml": start}, {})
    git = Git(root)
    git.run("branch", "--delete", "--force", "upstream")
    merger = bring(
        root,
        {"050-context/T1.yaml": start.replace("2026-01-01", "2026-01-02") + "  ours: [1, 2]\n"},
        {"050-context/T1.yaml": start.replace("2026-01-01", "2026-01-03") + "  theirs: {a: b}\n"},
    )
    text = (root / "050-context/T1.yaml").read_text()
    assert "  one: 1\n" in text
    assert "  ours: [1, 2]\n" in text
    assert "theirs:\n    a: b\n" in text
    assert merger.conflicts == []


def test_deleted_on_one_side_and_changed_on_the_other_stays(root: Path) -> None:
    bring(root, {"a.md": "a\n", "b.md": "b\n"}, {})
    Git(root).run("branch", "--delete", "--force", "upstream")
    bring(root, {"a.md": None, "b.md": "b\nours\n"}, {"a.md": "a\ntheirs\n", "b.md": None})
    assert (root / "a.md").read_text() == "a\ntheirs\n"
    assert (root / "b.md").read_text() == "b\nours\n"


def test_authors_and_messages_stay(root: Path) -> None:
    git = repository(root)
    git.run("branch", "upstream")
    (root / "one.md").write_text("one\n")
    git.run("add", "--all")
    author = {"NAME": "Änne", "EMAIL": "a@example.org", "DATE": "2020-01-02T03:04:05+02:00"}
    environment = {f"GIT_AUTHOR_{name}": value for name, value in author.items()}
    git.run("commit", "--quiet", "-m", "Größe: one\n\nand why", environment=environment)
    (root / "two.md").write_text("two\n")
    git.commit("Two\n")
    git.run("checkout", "--quiet", "upstream")
    (root / "three.md").write_text("three\n")
    git.commit("Three\n")
    git.run("checkout", "--quiet", "main")
    git.move_to(Merger(git, LAYOUT).rebase("upstream"))
    log = git.text("log", "--format=%an|%aI|%s|%b", "--reverse").split("\n")
    assert [line.split("|")[2] for line in log if line] == ["Begin", "Three", "Größe: one", "Two"]
    assert "Änne|2020-01-02T03:04:05+02:00|Größe: one|and why" in log
