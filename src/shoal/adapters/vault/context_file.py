"""The shared context of a task: a YAML file whose keys are set one at a time, every other line left as it is."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import yaml
from yaml import MappingNode, ScalarNode

from shoal.adapters.vault.front_matter import escaped
from shoal.errors import VaultError
from shoal.model.content import Context

LARGEST = 2_000_000
MOST_NESTED = 100
ROOT = "context"


def read(task_id: str, text: str | None) -> Context:
    """What a file says; nothing is shared while there is no file. Raises VaultError."""
    if not text or _root(text) is None:
        return Context(task_id, {})
    found = _values(text)
    values = found.get(ROOT) or {}
    if not isinstance(values, dict):
        raise VaultError(f"{ROOT}: must hold keys with values")
    told = _json(found)
    return Context(task_id, _json(values), told.get("updated_at"), told.get("updated_by"))


def updated(task_id: str, text: str | None, *, key: str, value: Any, at: str, by: str) -> str:
    """The text with one key set. Raises VaultError when the file is not such that this can be done."""
    if not text or not text.strip():
        text = f"task_id: {task_id}\nupdated_at: {at}\nupdated_by: {_one(by)}\n{ROOT}:\n"
    for name, told in (("updated_at", at), ("updated_by", _one(by))):
        text = _set(text, [name], f"{name}: {told}")
    return _set(text, [ROOT, key], _block(key, value))


def _set(text: str, path: list[str], lines: str) -> str:
    """Put these lines in the place of the ones of a key, or behind the last key of its mapping."""
    newline = "\r\n" if "\r\n" in text else "\n"
    root = _root(text)
    node = root
    for name in path[:-1]:
        pairs = {key.value: value for key, value in node.value} if node is not None else {}
        if name not in pairs:
            text = f"{_ended(text, newline)}{name}:{newline}"
            return _set(text, path, lines)
        inner = pairs[name]
        if _is_empty(inner):
            start, behind = inner.start_mark.index, inner.end_mark.index
            end = _line_end(text, behind)
            comment = text[behind:end].strip()
            head = text[:start].rstrip(" ") + (f"  {comment}" if comment else "")
            return head + newline + _indented(lines, "  ", newline) + text[end:]
        if not isinstance(inner, MappingNode) or inner.flow_style:
            raise VaultError(f"{name}: must hold keys with values, a line each")
        node = inner
    if node is None or not node.value:
        return _ended(text, newline) + lines.replace("\n", newline) + newline
    indent = " " * node.value[0][0].start_mark.column
    for key, value in node.value:
        if key.value == path[-1]:
            start = key.start_mark.index - key.start_mark.column
            end = _line_end(text, _last(text, value))
            return text[:start] + _indented(lines, indent, newline) + text[end:]
    end = _line_end(text, _last(text, node))
    return _ended(text[:end], newline) + _indented(lines, indent, newline) + text[end:]


def _values(text: str) -> Any:
    try:
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        # Such as a date that there is not, a tag of somebody's own, a list as a key.
        raise VaultError(f"a value cannot be read: {' '.join(str(error).split())}") from None


def _root(text: str) -> MappingNode | None:
    try:
        _check_depth(text)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise VaultError(f"{where}{getattr(error, 'problem', None) or 'this is not YAML'}") from None
    except UnicodeEncodeError:
        raise VaultError("the file is not UTF-8") from None
    if root is not None and (not isinstance(root, MappingNode) or root.flow_style):
        raise VaultError("the file must hold keys with values, a line each")
    return root


def _check_depth(text: str) -> None:
    """The parser of values is recursive, in C: deep nesting would end the process, and aliases grow without bound."""
    if len(text) > LARGEST:
        raise VaultError(f"the file is larger than {LARGEST:,} characters")
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            raise VaultError("aliases (*name) are not understood here")
        if depth > MOST_NESTED:
            raise VaultError("it is nested too deeply")


def _last(text: str, node: yaml.Node) -> int:
    """Where the characters of a value end; the parser counts blank lines behind a block as part of it."""
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _last(text, node.value[-1])
    if isinstance(node, MappingNode) and not node.flow_style and node.value:
        return _last(text, node.value[-1][1])
    start, end = int(node.start_mark.index), int(node.end_mark.index)
    return start + len(text[start:end].rstrip())


def _line_end(text: str, index: int) -> int:
    if index > 0 and text[index - 1] == "\n":
        return index
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _is_empty(node: yaml.Node) -> bool:
    if isinstance(node, ScalarNode):
        return node.value in {"", "~", "null"}
    return isinstance(node, MappingNode) and not node.value


def _indented(lines: str, indent: str, newline: str) -> str:
    return "".join(f"{indent}{line}".rstrip(" ") + newline for line in lines.split("\n"))


def _ended(text: str, newline: str) -> str:
    return text if not text or text.endswith("\n") else text + newline


def _block(key: str, value: Any) -> str:
    """The lines of a key; what YAML's writer does not bring back as it was is written as JSON, which is YAML too."""
    written = yaml.safe_dump({key: value}, allow_unicode=True, sort_keys=False, width=120)
    if yaml.load(written, Loader=yaml.CSafeLoader) == {key: value}:
        return written.rstrip("\n")
    return escaped(json.dumps({key: value}, ensure_ascii=False)[1:-1])


def _one(text: str) -> str:
    return yaml.safe_dump(text, allow_unicode=True, width=10_000).removesuffix("...\n").strip()


def _json(value: Any) -> Any:
    """A value of YAML as JSON has it."""
    if isinstance(value, dict):
        return {str(key): _json(one) for key, one in value.items()}
    if isinstance(value, list | set | tuple):
        return [_json(one) for one in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value
