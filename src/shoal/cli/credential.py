"""`shoal credential` and `shoal gh`: the tokens of a task in the hands of git and of GitHub's own program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from urllib.parse import urlsplit

import click

from shoal.cli.broker import KEY, key_of_caller
from shoal.cli.session import Session, command, given
from shoal.errors import BadInput, NotFound
from shoal.model.grant import Token

GITHUB = "github.com"
# What gh would take in place of the task's token, or send to another host.
OTHERS = ("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GH_HOST")


@click.command(
    epilog="Example: printf 'protocol=https\\nhost=github.com\\npath=acme/web.git\\n\\n' | shoal credential get"
)
@click.argument("operation")
def credential(operation: str) -> None:
    """Answer git as its credential helper: get, store or erase.

    The same as git-credential-shoal, which starts faster. `shoal broker setup` tells git about that.
    """
    from shoal.cli import git_credential

    sys.exit(git_credential.run([operation], sys.stdin.buffer, sys.stdout.buffer, os.environ))


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Examples: shoal gh -- pr create --fill    |    shoal gh -r other/tool -- issue list",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--task", help="Whose token it is; else $SHOAL_TASK_ID.")
@click.option("-r", "--repository", help="One of the task's, where they have several owners; else that around.")
@KEY
@command
def gh(session: Session, arguments: tuple[str, ...], task: str | None, repository: str | None, key: str | None) -> None:
    """Run GitHub's gh with a token of the task.

    The token is in the environment of gh and nowhere else. Your own login of gh is neither used nor changed.
    """
    task = task or os.environ.get("SHOAL_TASK_ID")
    if task is None:
        raise BadInput("which task's token? name it: shoal gh --task T42 -- …", field="task")
    if shutil.which("gh") is None:
        raise NotFound("gh is not on PATH; it is GitHub's command line, https://cli.github.com")
    ledger = session.ledger
    hosts = ledger.grants.status().hosts
    token = _token(session, task, repository, key_of_caller(key))
    session.close()
    sys.stdout.flush()
    own = {name: value for name, value in os.environ.items() if name not in OTHERS}
    try:
        os.execvpe("gh", ["gh", *arguments], own | _login(token, hosts))  # noqa: S606, S607 - what was asked for
    except FileNotFoundError:
        raise NotFound("gh is not on PATH; it is GitHub's command line, https://cli.github.com") from None


def _token(session: Session, task: str, repository: str | None, key: str | None) -> Token:
    ask = session.ledger.tasks.token
    try:
        return ask(task, **given(repository=repository, key=key))
    except BadInput as error:
        # Repositories of several owners: the one that we are in says for which.
        around = _origin() if error.field == "repository" and repository is None else None
        if around is None:
            raise
        return ask(task, **given(repository=around, key=key))


def _origin() -> str | None:
    """The URL of the repository around, without a login."""
    asked = ["git", "config", "--get", "remote.origin.url"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    url = said.stdout.strip()
    if "://" not in url:
        return url or None
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _login(token: Token, hosts: list[str]) -> dict[str, str]:
    """What gh takes a token from: another variable where the host is a company's own."""
    host = GITHUB if GITHUB in hosts or not hosts else hosts[0]
    if host == GITHUB:
        return {"GH_TOKEN": token.token}
    name = "GH_TOKEN" if host.endswith(".ghe.com") else "GH_ENTERPRISE_TOKEN"
    return {name: token.token, "GH_HOST": host}
