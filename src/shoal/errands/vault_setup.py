"""A home is given its vault: a new one, or a folder that people have already."""

from __future__ import annotations

import json
import re
from pathlib import Path

from msgspec import Struct

from shoal.adapters.git.repository import Git
from shoal.adapters.vault import files, setup
from shoal.adapters.vault.layout import Layout
from shoal.errors import NoVault, Refused, StoreMissing
from shoal.ledger.instance import read_instance
from shoal.settings import Home

_SETTING = re.compile(r"^vault\s*=.*$", re.MULTILINE)
_TABLE = re.compile(r"^\[", re.MULTILINE)


class Prepared(Struct, frozen=True):
    """A vault that is ready, and what was added to make it so."""

    folder: str
    added: list[str]


def prepare(home: Home, folder: Path | None, remote: str | None = None, *, bring: bool = False) -> Prepared:
    """Make the home's vault ready; with a folder that one becomes it. What is in it stays as it is.

    Raises Refused when the vault before it holds pages, unless `bring` takes its files along.
    """
    if not home.exists:
        raise StoreMissing(f"there is no Shoal home at {home}; `shoal init` makes one here")
    settings = home.settings()
    root = home.vault(settings)
    if folder is not None:
        root = folder.expanduser().absolute()
    before = home.vault(settings)
    instance = read_instance(home)
    if folder is not None and instance is not None:
        raise Refused(f"a server has this home (pid {instance.pid}); stop it, name the vault, and start it again")
    if root is None:
        raise NoVault(f"`vault` is empty in {home.config}; name a folder: shoal vault init FOLDER")
    git = Git(root, timeout_seconds=settings.vault_git_seconds)
    added = setup.ensure(root, Layout.of(settings), git, remote=remote)
    if folder is not None and before is not None and before.is_dir() and not before.samefile(root):
        added += _bring(before, root, Layout.of(settings), bring=bring)
    if folder is not None:
        _remember(home, root)
    return Prepared(str(root), added)


def _bring(before: Path, root: Path, layout: Layout, *, bring: bool) -> list[str]:
    """Copy what stands in the vault before into this one, where that has no such file."""
    folders = [*layout.task_folders, layout.context, layout.notes, layout.archive]
    found = [path.relative_to(before) for folder in folders for path in sorted((before / folder).glob("*"))]
    missing = [path for path in found if not (root / path).exists()]
    if missing and not bring:
        raise Refused(
            f"the vault so far, {before}, holds {len(missing)} files that {root} has not; "
            f"take them along with --bring, or begin without them by moving {before} away"
        )
    for path in missing:
        files.write_bytes(root / path, files.read_bytes(before / path))
    return [str(path) for path in missing]


def _remember(home: Home, root: Path) -> None:
    line = f"vault = {json.dumps(str(root), ensure_ascii=False)}"
    text = files.read(home.config)
    if _SETTING.search(text):
        text = _SETTING.sub(lambda _: line, text, count=1)
    else:
        # Before the first table, or the line would belong to the last one.
        table = _TABLE.search(text)
        at = table.start() if table else len(text)
        head = text[:at] if not text[:at] or text[:at].endswith("\n") else text[:at] + "\n"
        text = f"{head}{line}\n{text[at:]}"
    files.write(home.config, text)
