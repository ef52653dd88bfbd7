"""Which files of a project are read, with real git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from shoal.adapters.git.files import Note, Reader, look
from shoal.adapters.git.renames import renamed_since
from shoal.adapters.scanners import credit, markdown_files, ticking, tree
from shoal.model.found import FoundFile

NAMES = ["TODO.md", "TODO", "BACKLOG.md", "ROADMAP.md", "docs/plans/**"]


def git(root: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org", "-c", "commit.gpgSign=false"]
    run = subprocess.run(["git", *settings, *arguments], cwd=root, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_md", ".md")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "pump"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    return root


def test_files_are_those_that_git_has_or_would_take(repository: Path) -> None:
    write(repository, TODO_md="- [ ] a\n", docs__TODO_md="", build__TODO_md="", gone_md="", nested__TODO_md="")
    (repository / ".gitignore").write_text("build/\n")
    git(repository, "add", "TODO.md", "gone.md")
    (repository / "gone.md").unlink()
    git(repository / "nested", "init", "-q")
    found = look(repository)
    assert found.paths == [".gitignore", "TODO.md", "docs/TODO.md", "gone.md"]
    assert (found.in_git, found.head) == (True, None)
    assert Reader(found.root, 100).read("gone.md") is None
    assert look(repository, ["docs"]).paths == ["docs/TODO.md"]
    assert look(repository / "docs").paths == ["TODO.md"]
    git(repository, "commit", "-qm", "One")
    assert look(repository).head == git(repository, "rev-parse", "HEAD")


def test_without_git_the_same_rules_hold(tmp_path: Path) -> None:
    write(
        tmp_path, TODO_md="", docs__TODO_md="", docs__old__TODO_md="", build__TODO_md="", x__TODO_md="", x__keep_md=""
    )
    (tmp_path / ".gitignore").write_text("build/\n*.log\n/x/*.md\n!keep.md\n")
    (tmp_path / "docs/.gitignore").write_text("old\n")
    (tmp_path / "a.log").write_text("")
    (tmp_path / "nested/.git").mkdir(parents=True)
    (tmp_path / "nested/TODO.md").write_text("")
    found = look(tmp_path)
    assert found.paths == [".gitignore", "TODO.md", "docs/.gitignore", "docs/TODO.md", "x/keep.md"]
    assert found.notes == [Note("nested", "is a repository of its own; scan it by itself")]
    assert look(tmp_path, ["docs"]).paths == ["docs/.gitignore", "docs/TODO.md"]
    assert [note.why for note in look(tmp_path / "none").notes] == ["is no folder"]


def test_links_are_listed_alike_and_folders_of_others_are_not_entered_without_git(repository: Path) -> None:
    write(repository, TODO_md="", node_modules__a__TODO_md="")
    (repository / "also.md").symlink_to("TODO.md")
    (repository / ".gitignore").write_text("node_modules/\n")
    in_git = look(repository).paths
    (repository / ".gitignore").write_text("")
    (repository / ".git").rename(repository.parent / "git")
    assert look(repository).paths == in_git == [".gitignore", "TODO.md", "also.md"]
    read = Reader(repository, 100).read
    assert (read("also.md"), read("TODO.md"), read("node_modules")) == (Note("also.md", "is a link"), b"", None)


def test_links_lead_nowhere(repository: Path) -> None:
    outside = repository.parent / "outside"
    write(outside, TODO_md="- [ ] not ours\n")
    write(repository, inner__TODO_md="- [ ] ours\n")
    git(repository, "add", ".")
    (repository / "inner/TODO.md").unlink()
    (repository / "inner").rmdir()
    (repository / "inner").symlink_to(outside)  # git's list still has a file below it
    (repository / "BACKLOG.md").symlink_to(outside / "TODO.md")
    found = look(repository)
    seen = [*markdown_files.scan_files(found.root, tree.wanted(found.paths, NAMES), {}, max_bytes=1000)]
    assert seen == [Note("BACKLOG.md", "is a link"), Note("inner/TODO.md", "stands behind a link")]


@pytest.mark.parametrize("in_git", [True, False])
def test_hostile_names_are_told_and_left_out(repository: Path, in_git: bool) -> None:
    root = repository if in_git else repository.parent / "plain"
    root.mkdir(exist_ok=True)
    (root / "two\nlines.md").write_text("")
    (root / "-rf TODO.md").write_text("")
    (root / "*.md").write_text("")
    with open(os.fsencode(root) + b"/b\xffd.md", "w"):
        pass
    found = look(root)
    assert found.paths == ["*.md", "-rf TODO.md"]
    assert {note.why for note in found.notes} == {
        "has a name that is no UTF-8",
        "has a name that is too long or cannot be shown",
    }
    assert look(root, ["*.md"]).paths == ["*.md"]


def test_names_and_patterns_say_what_is_read() -> None:
    paths = ["TODO.md", "a/todo.md", "bin/todo", "x/TODO", "docs/plans/a/b.md", "docs/plans/c.png", "docs/a.md", "b.md"]
    assert tree.wanted(paths, NAMES) == ["TODO.md", "a/todo.md", "x/TODO", "docs/plans/a/b.md"]
    assert tree.wanted(paths, NAMES, markdown=True) == [
        *("TODO.md", "a/todo.md", "x/TODO", "docs/plans/a/b.md", "docs/a.md", "b.md")
    ]
    assert tree.wanted(paths, ["TODO.md", "!a/**"], known={"docs/a.md"}) == ["TODO.md", "docs/a.md"]


def test_binary_and_huge_files_are_told_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"- [ ] a\0")
    (tmp_path / "b.md").write_text("- [ ] b\n" * 100)
    (tmp_path / "c.md").write_text("- [ ] c\n")
    os.mkfifo(tmp_path / "d.md")
    first, second, third = markdown_files.scan_files(tmp_path, ["a.md", "b.md", "c.md", "d.md"], {}, max_bytes=500)
    assert (first, second) == (
        Note("a.md", "is binary"),
        Note("b.md", "has 800 bytes; files with more than 500 are not read"),
    )
    assert isinstance(third, FoundFile)
    assert [one.text for one in third.found] == ["c"]
    again = [*markdown_files.scan_files(tmp_path, ["c.md"], {"c.md": third.hash}, max_bytes=500)]
    assert again == [markdown_files.Unchanged("c.md")]


def test_git_tells_what_was_renamed_since_a_commit(repository: Path) -> None:
    write(repository, TODO_md="- [ ] a pump\n- [ ] a hose\n", docs__b_md="- [ ] b\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "One")
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "mv", "TODO.md", "BACKLOG.md")
    git(repository, "commit", "-qm", "Two")
    git(repository, "mv", "docs/b.md", "docs/c.md")
    assert renamed_since(repository, head) == {"BACKLOG.md": "TODO.md", "docs/c.md": "docs/b.md"}
    assert renamed_since(repository / "docs", head) == {"c.md": "b.md"}
    assert renamed_since(repository, "0" * 40) == {}
    assert renamed_since(repository, "--output=x") == {}
    assert renamed_since(repository.parent, head) == {}


def test_commit_that_ticked_is_found_below_later_ones(repository: Path) -> None:
    file = repository / "TODO.md"
    commits = []
    for text in (
        "- [ ] Mend the pump\n- [x] Buy a hose\n",
        "# TODO\n\n- [x] Mend the pump\n- [x] Buy a hose\n",
        "# TODO\n\n- [x] Mend the old pump\n- [x] Buy a hose\n",
    ):
        file.write_text(text)
        git(repository, "add", ".")
        git(repository, "commit", "-qm", "On")
        commits.append(git(repository, "rev-parse", "HEAD"))
    file.write_text(file.read_text() + "- [x] Not committed\n")
    assert credit.commits_of(repository, "TODO.md", [3, 4, 5], 1000) == {3: commits[1], 4: commits[0]}
    assert credit.commits_of(repository, "none.md", [1], 1000) == {}


def test_repository_of_another_shape_is_read(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256")
    write(tmp_path, TODO_md="- [x] a\n", own_md="", other_md="")
    git(tmp_path, "add", "TODO.md")
    git(tmp_path, "commit", "-qm", "One")
    git(tmp_path, "worktree", "add", "-q", "other")
    (tmp_path / ".git/info/exclude").write_text("own.md\nother/\n")
    found = look(tmp_path)
    assert (found.paths, found.head) == (["TODO.md", "other.md"], git(tmp_path, "rev-parse", "HEAD"))
    assert credit.commits_of(tmp_path, "TODO.md", [1], 1000) == {1: found.head}
    beside = look(tmp_path / "other")
    assert (beside.paths, beside.head) == (["TODO.md"], found.head)


@pytest.mark.parametrize(
    "path", ["../TODO.md", "/etc/passwd", "docs/../../TODO.md", ".git/config", "sub/.GIT/x.md", "..", ""]
)
def test_nothing_outside_of_the_project_is_read_or_ticked(repository: Path, path: str) -> None:
    box = "- [ ] Mend the pump\n"
    write(repository.parent, TODO_md=box)
    write(repository, **{"sub__.GIT__x_md": box, ".git__config": box})
    told = [Note(path, "is no file of the project's own folder")]
    assert [Reader(repository, 1000).read(path)] == told
    assert ticking.tick(repository, path, {"W1": (1, "Mend the pump")}, 1000) == ([], told)
