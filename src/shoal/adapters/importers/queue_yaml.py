"""queue.yaml of flat queues: a list of items, or a table with one; each has an id and a title or text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from shoal.adapters.importers import reading, record
from shoal.errors import BadInput
from shoal.model.item_import import ImportedItem, Refusal, System

SYSTEM = System.QUEUE_YAML
LISTS = ("items", "queue", "tasks", "todos", "todo", "backlog", "work")
LARGEST = 8 * 1024 * 1024
TITLES = ("title", "name", "text", "task", "summary", "description")
BODIES = ("description", "details", "body", "text", "notes", "note", "context", "prompt")


def fits(path: Path) -> bool:
    """Whether a path looks like such a file."""
    return path.is_file() and path.suffix.lower() in (".yaml", ".yml") and "queue" in path.stem.lower()


def read(path: Path) -> Iterator[ImportedItem | Refusal]:
    """The items of a file, in its order. Raises BadInput when it is no queue."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text, name = reading.read_text(path, limit=LARGEST), record.line(path.name)
    reading.refuse_tricks(lambda: yaml.parse(text, Loader=loader), name)
    reader = reading.constructed(lambda: loader(text), name)
    for key, node in _nodes(yaml, reading.constructed(reader.get_single_node, name), name):
        place = f"{name}:{node.start_mark.line + 1}"
        try:
            given = reading.constructed(partial(reader.construct_document, node), "it")
        except BadInput as error:
            yield Refusal(place, error.message)
        else:
            yield _item(given, key, place)


def _nodes(yaml: Any, root: Any, name: str) -> Iterator[tuple[str | None, Any]]:
    """The node of each item, with its key where they stand in a table by their ids."""
    if isinstance(root, yaml.MappingNode):
        table = {key.value: value for key, value in root.value if isinstance(key, yaml.ScalarNode)}
        found = next((table[key] for key in LISTS if isinstance(table.get(key), yaml.CollectionNode)), None)
        if found is None and not all(isinstance(value, yaml.MappingNode) for value in table.values()):
            raise BadInput(f"{name} has no list of items: it has none of {', '.join(LISTS)}", field="file")
        root = root if found is None else found
    if isinstance(root, yaml.MappingNode):
        for key, node in root.value:
            yield (key.value if isinstance(key, yaml.ScalarNode) else None), node
    elif isinstance(root, yaml.SequenceNode):
        for node in root.value:
            yield None, node
    elif root is not None:
        raise BadInput(f"{name} is no list of items", field="file")


def _item(given: Any, key: str | None, place: str) -> ImportedItem | Refusal:
    if isinstance(given, str) and key is not None:
        given = {"title": given}
    if not isinstance(given, dict):
        return Refusal(place, f"it is no item but {type(given).__name__}")
    left = dict(given)

    def pop(*names: str) -> Any:
        found = [left.pop(name, None) for name in names]
        return next((one for one in found if one not in (None, "", [])), None)

    id = pop("id", "key", "slug") or key
    title_key = next((name for name in TITLES if left.get(name)), "title")
    title = record.text_of(left.pop(title_key, None) or "")
    first, _, more = title.strip().partition("\n")
    bodies = [record.text_of(left.pop(name)) for name in BODIES if isinstance(left.get(name), str | int | float)]
    return record.item(
        SYSTEM,
        id,
        place=place,
        title=first,
        body="\n\n".join(filter(None, [more.strip(), *bodies])),
        status=pop("status", "state"),
        priority=pop("priority", "prio"),
        effort=pop("effort", "size"),
        estimate=pop("estimate", "estimate_minutes", "estimated_minutes"),
        type=pop("type", "kind", "category"),
        labels=record.names(pop("labels", "tags")),
        owner=pop("owner", "assignee", "assigned_to"),
        due_at=pop("due_at", "due", "due_date", "deadline"),
        closed_at=pop("closed_at", "completed_at", "completed", "done_at"),
        parent=pop("parent", "parent_id", "epic"),
        blocked_by=record.names(pop("blocked_by", "depends_on", "dependencies", "depends", "deps")),
        files=record.names(pop("files", "file", "source_file", "paths")),
        rest=left,
    )
