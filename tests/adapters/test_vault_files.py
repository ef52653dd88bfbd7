"""Files of the vault: whole or not at all, and inside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.adapters.vault import files
from shoal.errors import BadInput, NotFound, VaultError


@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_and_written_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("vault") / "a.md"
    path.write_bytes(data)
    text = files.read(path)
    assert not files.write(path, text)
    assert files.write(path, text + "x")
    assert path.read_bytes() == data + b"x"


def test_write_keeps_the_mode_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "a.md"
    assert files.write(path, "one")
    path.chmod(0o600)
    assert files.write(path, "two")
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["a.md"]


def test_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        files.read(tmp_path / "none.md")


def test_link_out_of_the_vault_is_refused(tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    vault.mkdir()
    (vault / "out").symlink_to(tmp_path)
    with pytest.raises(BadInput, match="leads out"):
        files.inside(vault, vault / "out" / "a.md")
    assert files.inside(vault, vault / "in" / "a.md") == vault / "in" / "a.md"


WRITER = """
import sys
from pathlib import Path
from shoal.adapters.vault import files
print("ready", flush=True)
while True:
    for letter in "ab":
        files.write(Path(sys.argv[1]), letter * 300_000)
"""


def test_killed_writer_leaves_the_old_text_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    for _ in range(10):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        writer.stdout.readline()
        while not path.exists():
            assert writer.poll() is None
        writer.kill()
        writer.communicate()
        assert files.read(path) in {"a" * 300_000, "b" * 300_000}
    files.clear_partials(tmp_path)
    assert os.listdir(tmp_path) == ["a.md"]


def test_text_that_somebody_saves_meanwhile_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.md"
    path.write_text("one\n")
    real = files._partial
    saves = iter(["by hand\n"])

    def partial(*arguments: object, **keywords: object) -> Path:
        if (text := next(saves, None)) is not None:
            path.write_text(text)
        return real(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "_partial", partial)
    assert files.update(path, lambda text: f"{text}added\n")
    assert path.read_text() == "by hand\nadded\n"
    assert os.listdir(tmp_path) == ["a.md"]


def test_of_many_texts_the_one_saved_meanwhile_is_refused(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text("old")
    (tmp_path / "b").write_text("by hand")
    wanted = {tmp_path / name: (b"old", "new") for name in "abc"} | {tmp_path / "d": (None, "new")}
    assert files.write_all(wanted) == [tmp_path / "b"]
    assert [(tmp_path / name).read_text() for name in "abcd"] == ["new", "by hand", "new", "new"]
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c", "d"]


def test_only_partial_files_are_cleared(tmp_path: Path) -> None:
    (tmp_path / f"{files.PARTIAL}1").write_text("x")
    (tmp_path / f"{files.PARTIAL}folder").mkdir()
    (tmp_path / "a.md").write_text("x")
    files.clear_partials(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [f"{files.PARTIAL}folder", "a.md"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)])
def test_what_is_no_plain_file_is_not_read(tmp_path: Path, make: object) -> None:
    make(tmp_path / "x")  # type: ignore[operator]
    with pytest.raises(VaultError):
        files.read(tmp_path / "x")
