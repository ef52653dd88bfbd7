"""Keeps the index of knowledge notes in step with the vault's last commit.

Git has a name for the content of the folder and for that of each note: what has the same name was indexed before, so
nothing is read twice, and a cycle that dies is made good by the next.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import PurePosixPath

from shoal.adapters.git.repository import Git, records
from shoal.adapters.vault import files, task_file
from shoal.adapters.vault.front_matter import FrontMatter
from shoal.adapters.vault.vault import Vault
from shoal.errors import ShoalError
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.prompt import one_line
from shoal.model.search import KnowledgeNote
from shoal.services import knowledge

CHUNK = 100
TITLE_LIMIT = 200
LESSON = re.compile(r"lessons?", re.IGNORECASE)
_HEADING = re.compile(r"^#{1,6}[ \t]+(\S.*?)[ \t#]*$", re.MULTILINE)


def index_knowledge(engine: EmbeddedEngine, vault: Vault, git: Git, *, anew: bool = False) -> None:
    """Index the notes that the last commit has and the index has not; with `anew` every one."""
    folder = vault.layout.knowledge
    tree = git.text("rev-parse", "--verify", "--quiet", f"HEAD:{folder}", codes=(0, 1, 128)) or "none"
    if not anew and engine.read(knowledge.indexed_tree) == tree:
        return
    there = {} if tree == "none" else _notes(git, tree, folder)
    known: dict[str, str] = engine.read(knowledge.indexed)
    changed = sorted(path for path, oid in there.items() if anew or known.get(path) != oid)
    gone = sorted(known.keys() - there.keys())
    for start in range(0, len(changed), CHUNK):
        notes = [note for path in changed[start : start + CHUNK] if (note := _read(vault, path, there[path]))]
        engine.write(partial(knowledge.put, notes=notes, gone=[]))
    for start in range(0, len(gone), CHUNK):
        engine.write(partial(knowledge.put, notes=[], gone=gone[start : start + CHUNK]))
    engine.write(partial(knowledge.finish, tree=tree))


def _notes(git: Git, tree: str, folder: PurePosixPath) -> dict[str, str]:
    """The notes of a tree by their paths in the vault, with the names of their contents."""
    found = {}
    for line in records(git.run("ls-tree", "-r", "-z", tree).stdout):
        head, _, name = line.partition("\t")
        mode, _, oid = head.split()
        if mode.startswith("100") and name.lower().endswith(".md") and name.isprintable():
            found[str(folder / name)] = oid
    return found


def _read(vault: Vault, path: str, oid: str) -> KnowledgeNote | None:
    """A note as it is on the disk; one that was changed or taken away meanwhile comes up again with the next commit."""
    place = PurePosixPath(path)
    try:
        text = files.read(vault.path(place))
    except ShoalError:
        return None
    body = task_file.body(text)
    try:
        front = FrontMatter(text).values
    except ShoalError:
        front = {}
    named = task_file.read_text(front.get("title") or front.get("name"))
    heading = _HEADING.search(body)
    title = named or (heading[1] if heading else None) or place.stem
    kinds = [*task_file.read_list(front.get("type")), *task_file.read_list(front.get("tags"))]
    lesson = any(LESSON.fullmatch(word) for word in [*kinds, *place.parent.parts])
    return KnowledgeNote(path=path, title=one_line(title, TITLE_LIMIT), lesson=lesson, hash=oid, text=body)
