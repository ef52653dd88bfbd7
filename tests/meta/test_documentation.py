"""Everything that can be reached is documented, and what the documents say is true."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

import shoal
from shoal.api.openapi import document
from shoal.cli import reference
from shoal.cli.main import COMMANDS, cli
from shoal.errors import error_classes
from shoal.model.event import KIND_MEANINGS, Kind
from shoal.model.task import STATUS_MEANINGS, TRANSITIONS, Status, Task
from shoal.services import VERBS
from shoal.settings import setting_descriptions
from shoal.store.migrate import migrations
from shoal.store.sqlite import DIALECT

ROOT = Path(__file__).parents[2]


def text(section: str) -> str:
    return "\n".join(reference.SECTIONS[section]())


def test_public_names() -> None:
    assert shoal.__all__ == ["Ledger", "connect"]
    assert all(getattr(shoal, name) for name in shoal.__all__)


@pytest.mark.parametrize("key", sorted(VERBS))
def test_every_verb_is_described_and_routed(key: str) -> None:
    verb = VERBS[key]
    assert (verb.__doc__ or "").strip(), "a verb's docstring is its documentation"
    assert verb.output is not None
    operation = document()["paths"][f"/api/v1{verb.path}"][verb.method.lower()]
    assert operation["summary"]
    assert f"{verb.method} /api/v1{verb.path}" in text("routes")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_does(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    # The list in `shoal --help` is written by hand so that it loads nothing; it must say the same.
    assert (command.help or "").partition("\n")[0].startswith(COMMANDS[name][1].rstrip("."))
    assert name == "task" or f"## shoal {name}" in text("commands")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"


def test_every_setting_is_described() -> None:
    for name, (_, meaning) in setting_descriptions().items():
        assert meaning, name
        assert f"| {name} |" in text("settings")


def test_kinds_of_events_are_a_closed_documented_set() -> None:
    assert set(KIND_MEANINGS) == set(Kind)
    for kind in Kind:
        assert f"| {kind.value} |" in text("events")
    source = "".join(path.read_text() for path in (ROOT / "src/shoal").rglob("*.py"))
    for kind in Kind:
        assert f"Kind.{kind.name}" in source.replace("KIND_MEANINGS", ""), kind


def test_every_error_is_described() -> None:
    for code, error in error_classes().items():
        assert error.__doc__
        assert f"| {code} |" in text("errors")


def test_statuses_and_their_diagram() -> None:
    assert set(STATUS_MEANINGS) == set(Status)
    drawn = "```mermaid\n" + "\n".join(reference.diagram()) + "\n```"
    concepts = (ROOT / "docs/concepts.md").read_text()
    assert f"<!-- states -->\n{drawn}\n<!-- /states -->" in concepts, "copy it from `shoal reference states`"
    reached = frozenset().union(*(after for _, after in TRANSITIONS.values()))
    assert reached == set(Status)


def test_fields_of_a_task_stand_in_the_order_of_its_columns() -> None:
    import apsw

    connection = apsw.Connection(":memory:")
    for migration in migrations().values():
        for part in DIALECT.fill(migration).split(";\n"):
            connection.execute(part)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(tasks)")]
    assert [*columns, "task_id"] == list(Task.__struct_fields__)


def anchors(path: Path) -> set[str]:
    """What can be linked to in a document: its headings, as GitHub names them."""
    found: set[str] = set()
    written = re.sub(r"^(```|~~~).*?^\1", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#{1,6} +(.+?)[ #]*$", written, re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        numbered = (name, *(f"{name}-{number}" for number in range(1, 100)))
        found.add(next(one for one in numbered if one not in found))
    return found


def dead_links(path: Path) -> list[str]:
    dead = []
    for target, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)", path.read_text()):
        meant = path.parent / target if target else path
        if not meant.exists() or (anchor and anchor not in anchors(meant)):
            dead.append(f"{path.name}: {target}#{anchor}" if anchor else f"{path.name}: {target}")
    return dead


def test_links_between_documents_resolve() -> None:
    assert [dead for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] for dead in dead_links(path)] == []


def test_dead_anchor_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `two`, three\n## Twice\n## Twice\n```\n# not a heading\n```\n")
    other = tmp_path / "other.md"
    other.write_text(
        "[a](page.md#one-two-three) [b](page.md#twice-1) [c](#gone) [d](page.md#not-a-heading) [e](no.md)\n"
    )
    assert dead_links(other) == ["other.md: #gone", "other.md: page.md#not-a-heading", "other.md: no.md"]


def test_commands_in_documents_exist() -> None:
    known = set(COMMANDS)
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(r"^\$ shoal ([a-z]+)", path.read_text(), re.MULTILINE):
            assert name in known, f"{path.name}: shoal {name}"


def test_example_has_at_least_thirty_tasks_that_depend_on_each_other() -> None:
    lines = re.findall(r"^\s*- \[.\] .*$", (ROOT / "examples/launch.md").read_text(), re.MULTILINE)
    assert len(lines) >= 30
    assert sum("blocked-by:" in line for line in lines) >= 20
