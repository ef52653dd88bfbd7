"""`shoal dep`: what waits for what."""

from __future__ import annotations

import click

from shoal.cli.session import Session, command
from shoal.cli.tasks import after
from shoal.model.dependency import Graph

KIND = click.option(
    "--kind",
    type=click.Choice(["blocks", "related", "parent", "discovered-from"]),
    default="blocks",
    show_default=True,
    help="Only blocks holds a task back.",
)


@click.group()
def dep() -> None:
    """What waits for what: add, remove, list, graph."""


@dep.command(epilog="Example: shoal dep add T8 T7 makes T8 wait for T7")
@click.argument("task")
@click.argument("on")
@KIND
@command
def add(session: Session, task: str, on: str, kind: str) -> None:
    """Make TASK wait for ON."""
    after(session, session.ledger.tasks.depend(task, on=on, kind=kind))


@dep.command()
@click.argument("task")
@click.argument("on")
@KIND
@command
def remove(session: Session, task: str, on: str, kind: str) -> None:
    """Let TASK wait for ON no longer."""
    after(session, session.ledger.tasks.undepend(task, on, kind=kind))


@dep.command("list")
@click.argument("task")
@command
def list_(session: Session, task: str) -> None:
    """List every dependency of a task, either way."""
    edges = session.ledger.tasks.dependencies(task)

    def show() -> None:
        from shoal.cli import output

        rows = [
            (e.blocked, e.kind, e.blocker, e.blocker_title, output.status(e.blocker_status), "done" if e.done else "")
            for e in edges
        ]
        output.table(["Task", "Kind", "On", "Title", "Status", ""], rows, empty="No dependencies.", grows="Title")

    session.answer(edges, show, ids=[edge.blocker for edge in edges])


@dep.command(epilog="Example: shoal dep graph T8 --format mermaid > graph.mmd")
@click.argument("task")
@click.option("--format", "form", type=click.Choice(["table", "mermaid"]), default="table", show_default=True)
@command
def graph(session: Session, task: str, form: str) -> None:
    """Show everything that a task waits for, that waits for it, or that is below it; with the critical path."""
    found = session.ledger.tasks.graph(task=task)

    def show() -> None:
        from shoal.cli import output

        if form == "mermaid":
            click.echo(_mermaid(found))
            return
        waits: dict[str, list[str]] = {}
        for edge in found.edges:
            if edge.kind == "blocks" and not edge.done:
                waits.setdefault(edge.blocked, []).append(edge.blocker)
        critical = set(found.critical_path)
        rows = [
            (
                "*" if n.task_id in critical else "",
                n.task_id,
                output.status(n.status),
                ", ".join(waits.get(n.task_id, [])),
                n.title,
            )
            for n in found.nodes
        ]
        output.table(["", "Task", "Status", "Waits for", "Title"], rows, empty="", grows="Title")
        if found.critical_path:
            path = " → ".join(found.critical_path)
            output.sentence(f"Critical path (*): {path}, {found.critical_minutes} minutes")
        if not found.complete:
            output.sentence("The graph is larger than this; only a part is shown.")

    session.answer(found, show, ids=[node.task_id for node in found.nodes])


def _mermaid(found: Graph) -> str:
    lines = ["graph LR"]
    for node in found.nodes:
        title = node.title.replace('"', "'").replace("\n", " ")
        lines.append(f'  {node.task_id}["{node.task_id} {title}"]:::{node.status}')
    for edge in found.edges:
        arrow = "-->" if edge.kind == "blocks" else "-.->"
        lines.append(f"  {edge.blocker} {arrow} {edge.blocked}")
    return "\n".join(lines)
