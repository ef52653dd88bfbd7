"""`shoal backlog`: the work items together: taken in from other tools, pushed to trackers."""

from __future__ import annotations

import click

from shoal.cli.backlog_import import import_
from shoal.cli.backlog_push import push


@click.group(epilog="Examples: shoal backlog import .beads --from beads --dry-run; shoal backlog push board")
def backlog() -> None:
    """Work items: import other tools' backlogs, push to trackers."""


backlog.add_command(import_)
backlog.add_command(push)
