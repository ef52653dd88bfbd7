"""The code of a checkout: what is read of it, what never is, and where words stand."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from shoal.adapters.git.sources import Sources


def lay(root: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


FILES: dict[str, str | bytes] = {
    "src/login.py": "def log_in(user):\n    return week_key(user)\n",
    "src/week.py": "def week_key(user):\n    return 1\n",
    "big.py": "week_key\n" * 200_000,
    "blob.bin": b"week_key\0\n",
    "made.js": "week_key" + " x" * 400 + "\n",
    "secret.py": "week_key = 1\n",
    ".gitignore": "secret.py\n",
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    lay(tmp_path, {"outside/private.py": "week_key outside\n"})
    return tmp_path / "outside"


@pytest.fixture(params=["git", "plain"])
def root(request: pytest.FixtureRequest, tmp_path: Path, outside: Path) -> Path:
    root = tmp_path / "checkout"
    lay(root, FILES)
    os.symlink(outside / "private.py", root / "link.py")
    os.symlink(outside, root / "linked")
    if request.param == "git":
        subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
        subprocess.run(["git", "add", "src"], cwd=root, check=True)
    return root


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name in names else found(name))


@pytest.mark.parametrize("hidden", [(), ("rg",)])
def test_words_are_found_where_they_may_be_read(
    root: Path, hidden: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, *hidden)
    found = Sources(root).where(["week_key", "log_in", "week"], most_files=10)
    assert [(one.path, one.line) for one in found["log_in"]] == [("src/login.py", 1)]
    assert {one.path for one in found["week_key"]} == {"src/login.py", "src/week.py"}
    assert found["week"] == []


def test_words_are_found_without_any_program(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "rg", "git")
    found = Sources(root).where(["log_in"], most_files=10)
    assert [one.path for one in found["log_in"]] == ["src/login.py"]


def test_nothing_is_read_that_is_ignored_linked_binary_or_huge(root: Path) -> None:
    sources = Sources(root)
    assert sources.text("src/week.py") == FILES["src/week.py"]
    for path in (
        *("secret.py", "link.py", "linked/private.py", "../outside/private.py", "blob.bin", "big.py", "nothing.py"),
        *("/etc/passwd", "src/../src/week.py"),
    ):
        assert sources.text(path) is None, path


def test_word_that_is_everywhere_says_nothing(tmp_path: Path) -> None:
    lay(tmp_path, {f"{number}.py": "common\n" for number in range(9)})
    assert Sources(tmp_path).where(["common"], most_files=8) == {"common": []}


def test_head_is_the_commit(tmp_path: Path) -> None:
    assert Sources(tmp_path).head is None
    lay(tmp_path, {"a.py": "x\n"})
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q", "."], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert Sources(tmp_path).head == told.stdout.strip()
    assert Sources(tmp_path / "nothing").files == frozenset()
