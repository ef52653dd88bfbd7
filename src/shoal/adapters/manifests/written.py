"""One file of a manifest: what is written in it, and in which line. What that means as jobs: definition.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from shoal.errors import BadInput
from shoal.mistakes import line_of, nearest

if TYPE_CHECKING:
    import yaml

LIMIT_BYTES = 1_000_000
TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
LIMIT_NODES = 100_000  # a few YAML aliases can stand for billions
YAML = (".yaml", ".yml")
SUFFIXES = (".toml", *YAML)
TOML_FORM = "a job is written as [jobs.NAME], with schedule and command"
YAML_FORM = "a job is written as a key below `jobs:`, with schedule and command below that"
Keys = tuple[str, ...]
Lines = Callable[[Keys], int | None]


class Text(Struct, frozen=True):
    """A file of a manifest; `name` is what it is called in messages."""

    name: str
    content: bytes


class Entry(Struct, frozen=True):
    """A job as it stands in a file; `line` is that of a key, of the job itself without one."""

    name: str
    table: dict[str, Any]
    file: str
    line: Lines

    def place(self, keys: Keys = ()) -> str:
        """Where it stands, in words."""
        line = self.line(keys)
        return self.file if line is None else f"{self.file}, line {line}"


def entries(text: Text) -> Iterator[Entry]:
    """The jobs of a file, in its order. Raises BadInput with file, line and reason."""
    is_yaml = text.name.endswith(YAML)
    read, form = (_read_yaml, YAML_FORM) if is_yaml else (_read_toml, TOML_FORM)
    written, line = read(text.name, _decoded(text))

    def wrong(reason: str, keys: Keys) -> BadInput:
        at = line(keys)
        return BadInput(f"{text.name}{f', line {at}' if at else ''}: {reason}", field="jobs")

    if not isinstance(written, dict):
        raise wrong(f"it is no table; {form}", ())
    for key in written:
        if key != "jobs":
            raise wrong(f"{key}: there is no such table{nearest(str(key), ['jobs'])}; {form}", (str(key),))
    for name, table, keys in _jobs(written.get("jobs") or {}, wrong, form):
        yield Entry(name, table, text.name, _below(line, keys))


def _jobs(jobs: Any, wrong: Callable[[str, Keys], BadInput], form: str) -> Iterator[tuple[str, dict[str, Any], Keys]]:
    """The name of each job, its table, and where that stands."""
    if isinstance(jobs, dict):
        for name, table in jobs.items():
            keys = ("jobs", str(name))
            if not isinstance(table, dict):
                raise wrong(f"jobs.{name} is no table; {form}", keys)
            if "name" in table:
                raise wrong(f"{name}: its name stands in the heading; leave `name` out", (*keys, "name"))
            yield str(name), table, keys
    elif isinstance(jobs, list):
        for number, table in enumerate(jobs):
            keys = ("jobs", str(number))
            if not isinstance(table, dict) or not isinstance(table.get("name"), str):
                raise wrong(f"the job number {number + 1} has no name", keys)
            yield table["name"], {key: value for key, value in table.items() if key != "name"}, keys
    else:
        raise wrong(f"jobs is no table; {form}", ("jobs",))


def _decoded(text: Text) -> str:
    if len(text.content) > LIMIT_BYTES:
        raise BadInput(f"{text.name} has {len(text.content)} bytes, a manifest {LIMIT_BYTES} at most", field="jobs")
    try:
        return text.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.content.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{text.name}, line {line}: it is not UTF-8", field="jobs") from None


def _below(line: Lines, above: Keys) -> Lines:
    return lambda keys: line((*above, *keys))


def _read_toml(name: str, content: str) -> tuple[Any, Lines]:
    import tomllib

    try:
        written = tomllib.loads(content)
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        at = re.search(r" \(at line (\d+), column \d+\)$", said)
        number = int(at[1]) if at else content.count("\n") + 1
        reason = said[: at.start()] if at else said.replace(" (at end of document)", "")
        raise BadInput(f"{name}, line {number}: {reason}", field="jobs") from None

    def line(keys: Keys) -> int | None:
        if len(keys) > 1 and isinstance(written.get("jobs"), list):
            return _line_in_array(content, int(keys[1]), keys[2:])
        return line_of(content, keys) if keys else 1

    return written, line


def _line_in_array(content: str, number: int, keys: Keys) -> int | None:
    """The line of a key in one of several [[jobs]]."""
    lines = content.splitlines()
    heads = [place for place, text in enumerate(lines) if re.match(r"\s*\[\[\s*jobs\s*\]\]", text)]
    if number >= len(heads):
        return line_of(content, ("jobs",))
    begin, end = heads[number], heads[number + 1] if number + 1 < len(heads) else len(lines)
    part = "\n".join(["[jobs]", *lines[begin + 1 : end]])
    return begin + (line_of(part, ("jobs", *keys)) or 1) if keys else begin + 1


def _read_yaml(name: str, content: str) -> tuple[Any, Lines]:
    import yaml

    try:
        loader = yaml.SafeLoader(content)
    except yaml.reader.ReaderError as error:
        at = content.count("\n", 0, error.position) + 1
        raise BadInput(f"{name}, line {at}: it has a character that no text has", field="jobs") from None
    try:
        root = loader.get_single_node()
        if root is None:
            return {}, lambda _: None
        _check(name, root)
        written = loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context or "it is not valid YAML"
        if mark is not None and _begins_with_star(content, mark.line):
            reason = "quote a schedule that begins with *: YAML takes it for an alias"
        raise BadInput(f"{name}, line {mark.line + 1 if mark else 1}: {reason}", field="jobs") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise BadInput(f"{name}: {said}", field="jobs") from None
    finally:
        loader.dispose()

    def line(keys: Keys) -> int | None:
        return _line_in_yaml(root, keys)

    return written, line


def _begins_with_star(content: str, line: int) -> bool:
    lines = content.splitlines()
    return line < len(lines) and bool(re.search(r":\s+\*", lines[line]))


def _check(name: str, root: yaml.Node) -> None:
    """Refuse what YAML would quietly drop or blow up: keys that stand twice, aliases of themselves or of too much."""
    import yaml

    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if (known := sizes.get(id(node))) is not None:
            if known == 0:
                raise BadInput(f"{name}, line {node.start_mark.line + 1}: it stands for itself", field="jobs")
            return known
        sizes[id(node)] = 0
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                place = f"{name}, line {key.start_mark.line + 1}"
                if not isinstance(key, yaml.ScalarNode):
                    raise BadInput(f"{place}: a name is one word, no list or table", field="jobs")
                if key.tag not in (TEXT, MERGE):  # `on`, `~`, 2026-01-01: YAML takes them for something else
                    raise BadInput(f'{place}: YAML takes {key.value} for no text; write "{key.value}"', field="jobs")
                if key.value in seen and key.tag != MERGE:
                    raise BadInput(f"{place}: {key.value} stands there twice", field="jobs")
                seen.add(key.value)
                inner += [key, value]
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        total = 1 + sum(map(size, inner))
        if total > LIMIT_NODES:
            raise BadInput(f"{name}: its aliases stand for too much", field="jobs")
        sizes[id(node)] = total
        return total

    size(root)


def _line_in_yaml(root: yaml.Node, keys: Keys) -> int | None:
    import yaml

    node, line = root, int(root.start_mark.line) + 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            found = [(one, value) for one, value in node.value if one.value == key]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and key.isdecimal() and int(key) < len(node.value):
            node = node.value[int(key)]
            line = node.start_mark.line + 1
        else:
            break
    return line
