"""Reads the tasks of an existing vault and brings them into a ledger; nothing of it is changed unless asked for."""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
from msgspec import Struct

from shoal.adapters.git.repository import Git
from shoal.adapters.vault import files, task_file
from shoal.adapters.vault.front_matter import FrontMatter
from shoal.adapters.vault.layout import Layout
from shoal.clock import SystemClock
from shoal.errands.vault_setup import prepare
from shoal.errors import BadInput, Refused, ShoalError
from shoal.ledger import Ledger
from shoal.ledger.connect import open_home
from shoal.model.migration import Migration, OldTask, RefusedTask
from shoal.model.task import Status
from shoal.services.verb import bad_input
from shoal.settings import Home

CHUNK = 1000
CHUNK_BYTES = 4_000_000
# Words that vaults before this one used, and what is meant by the folder when none is known.
STATUSES = {
    **{status.value: status for status in Status},
    **dict.fromkeys(("todo", "to_do", "open", "pending", "ready", "new", "backlog"), Status.QUEUED),
    **dict.fromkeys(("in_progress", "doing", "claimed", "assigned", "running"), Status.ACTIVE),
    **dict.fromkeys(("done", "complete", "closed", "finished"), Status.COMPLETED),
    **dict.fromkeys(("canceled", "wontfix", "abandoned"), Status.CANCELLED),
    **dict.fromkeys(("waiting", "on_hold", "paused"), Status.BLOCKED),
    **dict.fromkeys(("in_review", "qa"), Status.REVIEW),
    "error": Status.FAILED,
}
BY_FOLDER = {"active": Status.QUEUED, "completed": Status.COMPLETED, "failed": Status.FAILED}
_NUMBERED = re.compile(r"([A-Za-z]{1,8})([1-9]\d{0,17})")
_HEADING = re.compile(r"^#[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)


NEW = "a new task"


class Import(Struct, frozen=True):
    """What an import came to."""

    created: list[str]
    existing: list[str]
    refused: list[RefusedTask]
    map: dict[str, str]


class Source(Struct, frozen=True):
    """A file and the task that it tells of."""

    place: PurePosixPath
    task: OldTask


def run(
    ledger: Ledger, folder: Path, *, pattern: str | None = None, dry_run: bool = False, rename: bool = False
) -> Import:
    """Bring the tasks of a vault into a ledger. A second time adds nothing; each file that is not taken is named."""
    sources, refused = _read(folder, Layout.of(_settings(ledger)), pattern)
    if dry_run:
        known: dict[str, str] = {}
        for chunk in _chunks([msgspec.structs.replace(source.task, text=None) for source in sources]):
            known |= ledger.tasks.migrate(tasks=chunk, dry_run=True).map
        new = [source.task.name for source in sources if source.task.name not in known]
        return Import(new, list(known.values()), refused, dict.fromkeys(new, NEW) | known)
    done = _migrate(ledger, [source.task for source in sources], refused)
    if rename:
        _rename(folder, sources, done.map)
    return done


def keep(home: Home, done: Import) -> Path:
    """Write down what an import came to, in the home."""
    path = home.folder / "imports" / f"{SystemClock().now_ms()}.json"
    files.write(path, msgspec.json.format(msgspec.json.encode(done)).decode() + "\n")
    return path


def rebuild(home: Home, folder: Path) -> Import:
    """Make the ledger of an empty home from a vault alone, which becomes its vault: every task under its number."""
    if home.database.exists():
        raise Refused(f"{home.database} exists; rebuild into an empty home: shoal --home NEW vault rebuild {folder}")
    layout = Layout.of(home.settings())
    sources, refused = _read(folder, layout, None)
    sources += list(_archived(folder, layout, refused))
    prefixes = Counter(match[1] for source in sources if (match := _NUMBERED.fullmatch(source.task.name)))
    prefix = prefixes.most_common(1)[0][0] if prefixes else None
    numbered = []
    for source in sources:
        match = _NUMBERED.fullmatch(source.task.name)
        if match and match[1] == prefix:
            numbered.append(msgspec.structs.replace(source.task, id=int(match[2]), text=None))
        else:
            refused.append(RefusedTask(str(source.place), "its name is no number of a task; import it afterwards"))
    with open_home(home, actor="shoal", settings=home.settings(prefix=prefix), create=True) as ledger:
        done = _migrate(ledger, numbered, refused)
    home.create()
    prepare(home, folder)
    return done


def _settings(ledger: Ledger) -> Any:
    from shoal.settings import Settings

    return getattr(ledger.engine, "settings", None) or Settings()


def _migrate(ledger: Ledger, tasks: list[OldTask], refused: list[RefusedTask]) -> Import:
    done = Import([], [], list(refused), {})
    for chunk in _chunks(_ordered(tasks)):
        answer: Migration = ledger.tasks.migrate(tasks=chunk)
        done.created.extend(answer.created)
        done.existing.extend(answer.existing)
        done.refused.extend(answer.refused)
        done.map.update(answer.map)
    return done


def _ordered(tasks: list[OldTask]) -> list[OldTask]:
    """What others depend on or are part of comes first; within a circle the order of the files stays."""
    by_name = {task.name: task for task in tasks}
    graph = {
        task.name: [name for name in [*task.depends_on, task.parent] if name in by_name and name != task.name]
        for task in tasks
    }
    while True:
        try:
            return [by_name[name] for name in TopologicalSorter(graph).static_order() if name is not None]
        except CycleError as error:
            # The edge that closes the circle is refused by the ledger, with the reason.
            before, after = error.args[1][:2]
            graph[after] = [name for name in graph[after] if name != before]


def _chunks(tasks: list[OldTask]) -> Iterator[list[OldTask]]:
    chunk: list[OldTask] = []
    size = 0
    for task in tasks:
        length = len(task.text or "")
        if chunk and (len(chunk) == CHUNK or size + length > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(task)
        size += length
    if chunk:
        yield chunk


def _read(folder: Path, layout: Layout, pattern: str | None) -> tuple[list[Source], list[RefusedTask]]:
    sources: list[Source] = []
    refused: list[RefusedTask] = []
    names: dict[str, PurePosixPath] = {}
    for path in _paths(folder, layout, pattern):
        place = PurePosixPath(path.relative_to(folder))
        try:
            task = _task(place, files.read(files.inside(folder, path)))
            if task.name in names:
                raise BadInput(f"{names[task.name]} has the same name")
        except (ShoalError, ValueError, OverflowError, OSError) as error:
            reason = error.message if isinstance(error, ShoalError) else str(error)
            refused.append(RefusedTask(str(place).encode(errors="replace").decode(), reason))
            continue
        names[task.name] = place
        sources.append(Source(place, task))
    return sources, refused


def _paths(folder: Path, layout: Layout, pattern: str | None) -> list[Path]:
    patterns = [pattern] if pattern else [f"{place}/*.md" for place in layout.task_folders]
    found = [path for one in patterns for path in folder.glob(one)]
    return sorted(path for path in found if path.is_file() and not path.name.startswith(("_", ".")))


def _task(place: PurePosixPath, text: str) -> OldTask:
    """The task that a file tells of. Raises BadInput with what is wrong with it."""
    told = task_file.read(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput("it is not UTF-8") from None
    heading = _HEADING.search(task_file.body(text))
    title = told.get("name") or (heading[1] if heading else place.stem)
    fields: dict[str, Any] = {
        "name": place.stem,
        "title": " ".join(title.split())[:500],
        "status": _status(told.get("status"), place, FrontMatter(text).has("status")),
        "type": told.get("type"),
        "priority": told.get("priority"),
        "queue": told.get("queue"),
        "slug": told.get("slug"),
        "created_at": told.get("created"),
        "assignee": told.get("assigned_to"),
        "claimed_at": told.get("assigned_at"),
        "completed_at": told.get("completed_at"),
        "run_at": told.get("run_at"),
        "hold_reason": told.get("hold_reason"),
        "estimate_minutes": told.get("estimate"),
        "model": told.get("model"),
        "repos": told.get("repos"),
        "workflow": told.get("workflow"),
        "labels": told.get("tags"),
        "requires_qa": told.get("requires_qa"),
        "discord_thread_id": told.get("discord_thread_id"),
        "depends_on": told.get("depends_on"),
        "parent": told.get("parent"),
        "cost_usd_micros": told.get("cost_usd"),
        "text": text,
    }
    try:
        return msgspec.convert({name: value for name, value in fields.items() if value is not None}, OldTask)
    except msgspec.ValidationError as error:
        raise bad_input(error, OldTask) from None


def _status(word: str | None, place: PurePosixPath, written: bool) -> Status:
    known = STATUSES.get(re.sub(r"[\s-]+", "_", (word or "").strip().lower()))
    if known is not None:
        return known
    by_folder = BY_FOLDER.get(place.parent.name)
    if by_folder is None or (written and word):
        raise BadInput(f"status {word!r} is none that is known: {', '.join(sorted(STATUSES))}", field="status")
    return by_folder


def _archived(folder: Path, layout: Layout, refused: list[RefusedTask]) -> Iterator[Source]:
    """The tasks whose files lie in archives."""
    for path in sorted((folder / layout.archive).glob("task_*_*.tar.gz")):
        place = PurePosixPath(path.relative_to(folder))
        try:
            with tarfile.open(path) as tar:
                for member in tar.getmembers():
                    inner = PurePosixPath(member.name)
                    found = tar.extractfile(member) if inner.parent in layout.task_folders else None
                    if found is not None:
                        yield Source(place, _task(inner, found.read().decode("utf-8", "surrogateescape")))
        except (tarfile.TarError, EOFError, OSError) as error:
            refused.append(RefusedTask(str(place), f"it cannot be unpacked: {error}"))
        except ShoalError as error:
            refused.append(RefusedTask(str(place), error.message))


def _rename(folder: Path, sources: list[Source], numbers: dict[str, str]) -> None:
    """Give the sources their numbers for names, in their folders; by git where it knows them."""
    git = Git(folder)
    for source in sources:
        task_id = numbers.get(source.task.name)
        target = source.place.with_name(f"{task_id}.md")
        if task_id is None or target == source.place or (folder / target).exists():
            continue
        if git.exists and git.text("ls-files", "--", str(source.place)):
            git.run("mv", "--", str(source.place), str(target))
        else:
            files.move(folder / source.place, folder / target)
