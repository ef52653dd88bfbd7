"""Archives of a task's files: whole, back where they were, and never anywhere else."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from shoal.adapters.vault import archive, files
from shoal.adapters.vault.layout import Layout
from shoal.errors import ShoalError, VaultError
from shoal.settings import Settings

LAYOUT = Layout.of(Settings())
PLACES = [PurePosixPath("010-tasks/completed/T1.md"), PurePosixPath("050-context/T1.yaml")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for place in PLACES:
        files.write_bytes(tmp_path / "vault" / place, f"{place} ü\r\n".encode())
    return tmp_path / "vault"


def test_files_come_back_byte_for_byte(root: Path) -> None:
    before = {place: (root / place).read_bytes() for place in PLACES}
    archive.pack(root, PLACES, root / "a.tar.gz")
    assert not any((root / place).exists() for place in PLACES)
    assert archive.unpack(root, root / "a.tar.gz", LAYOUT, "x") == []
    assert {place: (root / place).read_bytes() for place in PLACES} == before
    assert not (root / "a.tar.gz").exists()


def test_file_saved_while_it_is_packed_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = files.write_bytes

    def write(path: Path, data: bytes) -> None:
        real(path, data)
        (root / PLACES[0]).write_text("saved meanwhile\n")

    monkeypatch.setattr(files, "write_bytes", write)
    archive.pack(root, PLACES, root / "a.tar.gz")
    assert (root / PLACES[0]).read_text() == "saved meanwhile\n"
    assert not (root / PLACES[1]).exists()


@pytest.mark.parametrize(
    "name",
    [
        "../out.md",
        "/out.md",
        "010-tasks/active/../../../out.md",
        ".git/hooks/post-commit",
        "030-knowledge/x.md",
        "x.md",
    ],
)
def test_archive_writes_nowhere_else(root: Path, name: str) -> None:
    with tarfile.open(root / "a.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(VaultError, match="no file of a vault"):
        archive.unpack(root, root / "a.tar.gz", LAYOUT, "x")
    assert not list(root.parent.glob("**/out.md"))
    assert (root / "a.tar.gz").exists()


def test_link_in_an_archive_is_refused(root: Path) -> None:
    with tarfile.open(root / "a.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("010-tasks/active/T2.md")
        member.type = tarfile.SYMTYPE
        member.linkname = "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(ShoalError):
        archive.unpack(root, root / "a.tar.gz", LAYOUT, "x")


def test_other_text_in_the_place_of_a_file_stays(root: Path) -> None:
    archive.pack(root, PLACES, root / "a.tar.gz")
    (root / PLACES[0]).write_text("newer\n")
    [beside] = archive.unpack(root, root / "a.tar.gz", LAYOUT, "x")
    assert (root / PLACES[0]).read_text() == "newer\n"
    assert (root / beside).read_text() == f"{PLACES[0]} ü\n"
