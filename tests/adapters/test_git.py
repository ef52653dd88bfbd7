"""Git as Shoal runs it: what people's configuration and what others pushed cannot do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shoal.adapters.git.credentials import redacted
from shoal.adapters.git.repository import Git
from shoal.adapters.vault import replaced, setup
from shoal.adapters.vault.layout import Layout
from shoal.errors import GitError
from shoal.settings import Settings


@pytest.fixture
def git(tmp_path: Path) -> Git:
    git = Git(tmp_path / "vault")
    setup.ensure(git.root, Layout.of(Settings()), git)
    (git.root / "a.md").write_text("one\n")
    git.commit("One\n")
    return git


def test_nothing_of_the_repository_is_run(git: Git, tmp_path: Path) -> None:
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\ncat\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "filter.x.clean", "filter.x.smudge", "core.sshCommand", "merge.x.driver"):
        git.run("config", key, str(trap))
    for hook in ("pre-commit", "post-commit", "post-index-change", "reference-transaction", "post-checkout"):
        (git.folder / "hooks" / hook).parent.mkdir(exist_ok=True)
        (git.folder / "hooks" / hook).write_text(trap.read_text())
        (git.folder / "hooks" / hook).chmod(0o755)
    (git.root / ".gitattributes").write_text("* filter=x merge=x\n")
    (git.root / "b.md").write_text("two\n")
    first = git.commit_of("HEAD")
    second = git.commit("Two\n")
    assert first
    assert second
    git.move_to(first)
    git.move_to(second)
    assert not (tmp_path / "sprung").exists()
    assert (git.root / "b.md").read_text() == "two\n"


def test_attributes_that_others_push_change_no_byte(git: Git) -> None:
    (git.root / ".gitattributes").write_text("* ident text=auto eol=crlf working-tree-encoding=UTF-16\n")
    data = b"$Id: my own text$\r\nline\n\xff\r\n"
    (git.root / "c.md").write_bytes(data)
    commit = git.commit("C\n")
    assert git.run("cat-file", "blob", f"{commit}:c.md").stdout == data


def test_move_leaves_what_was_saved_since(git: Git) -> None:
    first = git.commit_of("HEAD")
    (git.root / "a.md").write_text("two\n")
    second = git.commit("Two\n")
    assert first
    assert second
    git.move_to(first)
    (git.root / "a.md").write_text("saved just now\n")
    with pytest.raises(GitError):
        git.move_to(second)
    assert (git.root / "a.md").read_text() == "saved just now\n"
    assert git.commit_of("HEAD") == first


def test_ignored_file_of_people_is_not_overwritten(git: Git) -> None:
    first = git.commit_of("HEAD")
    (git.root / "diary.md").write_text("theirs\n")
    second = git.commit("Diary\n")
    assert first
    assert second
    git.move_to(first)
    (git.folder / "info" / "exclude").write_text("diary.md\n")
    (git.root / "diary.md").write_text("mine\n")
    git.move_to(second)
    assert sorted(path.read_text() for path in git.root.glob("diary.md*")) == ["mine\n", "theirs\n"]


def test_repository_of_somebody_in_a_folder_stops_nothing(git: Git) -> None:
    inner = Git(git.root / "inner")
    inner.root.mkdir()
    inner.run("init", "--quiet")
    (git.root / "d.md").write_text("d\n")
    assert git.commit("D\n")
    assert "d.md" in git.text("ls-files")


def test_half_made_repository_is_made_whole(tmp_path: Path) -> None:
    (tmp_path / "vault" / ".git").mkdir(parents=True)
    git = Git(tmp_path / "vault")
    setup.ensure(git.root, Layout.of(Settings()), git)
    (git.root / "a.md").write_text("one\n")
    assert git.commit("One\n")


def test_page_that_is_written_over_is_kept_where_git_has_it_not(git: Git) -> None:
    from pathlib import PurePosixPath

    replaced.keep(git, PurePosixPath("a.md"))
    assert git.text("for-each-ref", "refs/shoal/replaced") == ""
    (git.root / "a.md").write_text("saved by hand\n")
    replaced.keep(git, PurePosixPath("a.md"))
    ref = git.text("for-each-ref", "--format=%(refname)", "refs/shoal/replaced")
    assert git.run("cat-file", "blob", ref).stdout == b"saved by hand\n"


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2@h/x",
        "https://me:hun@ter2@h/x",
        "https://hunter2@h/x",
        "https://h/x?private_token=hunter2&a=1",
    ],
)
def test_credentials_are_taken_out_of_what_git_says(url: str) -> None:
    assert "hunter2" not in redacted(f"fatal: unable to access '{url}/': no")
    assert "ter2" not in redacted(f"fatal: unable to access '{url}/': no")


def test_token_goes_to_the_remotes_host_alone_and_never_unencrypted(tmp_path: Path) -> None:
    git = Git(tmp_path / "vault", token="s3cret")
    setup.ensure(git.root, Layout.of(Settings()), git)
    git.run("remote", "add", "origin", "https://git.example.org/a/b.git")
    given = git._credentials("origin")
    assert any(value == "http.https://git.example.org/.extraHeader" for value in given.values())
    assert "false" in given.values(), "a redirect could lead it elsewhere"
    git.run("remote", "set-url", "origin", "http://git.example.org/a/b.git")
    with pytest.raises(GitError, match="https"):
        git.fetch("origin", "main")
    assert "s3cret" not in (git.folder / "config").read_text()
    assert not any("s3cret" in value for value in os.environ.values())
