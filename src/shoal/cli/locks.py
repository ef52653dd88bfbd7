"""`shoal lock`: named locks, and commands run under one."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import click

from shoal.cli.moments import shown
from shoal.cli.session import Session, command

TTL = click.option("--ttl", "ttl_seconds", type=int, default=60, show_default=True, help="Seconds until it expires.")


@click.group()
def lock() -> None:
    """Take, keep and give back named locks; run a command under one."""


@lock.command(epilog="Example: shoal lock acquire deploy --owner ci-7")
@click.argument("name")
@click.option("--owner", help="The owner; else who you are.")
@TTL
@command
def acquire(session: Session, name: str, owner: str | None, ttl_seconds: int) -> None:
    """Take a lock; exit code 4 when someone else has it."""
    ledger = session.ledger
    outcome = ledger.locks.acquire(name, owner=owner or ledger.actor, ttl_seconds=ttl_seconds)

    def show() -> None:
        from shoal.cli import output

        held = outcome.lock
        word = "is yours" if outcome.acquired else f"is held by {held.owner}"
        output.sentence(f"{name} {word} until {shown(held.expires_at)}, fence {held.fence}")

    session.answer(outcome, show, ids=[outcome.lock.fence] if outcome.acquired else [])
    if not outcome.acquired:
        session.close()
        sys.exit(4)


@lock.command()
@click.argument("name")
@click.option("--owner", help="The owner; else who you are.")
@click.option("--fence", type=int, required=True, help="The fence that acquire gave.")
@TTL
@command
def renew(session: Session, name: str, owner: str | None, fence: int, ttl_seconds: int) -> None:
    """Hold a lock for longer."""
    ledger = session.ledger
    _after(session, ledger.locks.renew(name, owner=owner or ledger.actor, fence=fence, ttl_seconds=ttl_seconds))


@lock.command()
@click.argument("name")
@click.option("--owner", help="The owner; else who you are.")
@click.option("--fence", type=int, required=True, help="The fence that acquire gave.")
@command
def release(session: Session, name: str, owner: str | None, fence: int) -> None:
    """Give a lock back."""
    ledger = session.ledger
    _after(session, ledger.locks.release(name, owner=owner or ledger.actor, fence=fence))


@lock.command("list")
@command
def list_(session: Session) -> None:
    """List the locks that are held."""
    found = session.ledger.locks.list()

    def show() -> None:
        from shoal.cli import output

        rows = [(one.name, one.owner, one.fence, shown(one.expires_at)) for one in found]
        output.table(["Lock", "Owner", "Fence", "Until"], rows, empty="No locks are held.")

    session.answer(found, show, ids=[one.name for one in found])


@lock.command(epilog="Example: shoal lock run deploy --wait 60 -- ./deploy.sh")
@click.argument("name")
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
@TTL
@click.option("--wait", "wait_seconds", type=float, default=0.0, help="Seconds to wait for it.")
@command
def run(session: Session, name: str, program: tuple[str, ...], ttl_seconds: int, wait_seconds: float) -> None:
    """Run a command while holding a lock; its exit code is ours. SHOAL_LOCK_FENCE tells it the fence."""
    import os

    with session.ledger.lock(name, ttl_seconds=ttl_seconds, wait_seconds=wait_seconds) as held:
        environment = os.environ | {"SHOAL_LOCK_NAME": name, "SHOAL_LOCK_FENCE": str(held.fence)}
        try:
            code = subprocess.run(program, env=environment, check=False).returncode  # noqa: S603 - that is the command
        except OSError as error:
            raise click.ClickException(f"cannot run {program[0]}: {error}") from None
    session.close()
    sys.exit(code if code >= 0 else 128 - code)


def _after(session: Session, held: Any) -> None:
    def show() -> None:
        from shoal.cli import output

        state = f"is held by {held.owner} until {shown(held.expires_at)}" if held.expires_at else "is free"
        output.sentence(f"{held.name} {state}, fence {held.fence}")

    session.answer(held, show, ids=[held.fence])
