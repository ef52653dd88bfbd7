"""From a target to a Ledger: the address given, else SHOAL_URL, else the home's running server, else its database."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from shoal.clock import Clock
from shoal.errors import StoreMissing
from shoal.ledger.ledger import Ledger
from shoal.ledger.sources import sources_of
from shoal.ledger.world import Sources
from shoal.live_settings import LiveSettings
from shoal.settings import Home, Settings, find_home

OLD_VARIABLE = "LOBWIFE_URL"


def connect(
    target: str | os.PathLike[str] | None = None,
    *,
    home: str | os.PathLike[str] | None = None,
    actor: str | None = None,
    clock: Clock | None = None,
) -> Ledger:
    """Open a ledger.

    `target` is a path, `sqlite:///path`, `postgresql://…` or `http(s)://…`. Without it: SHOAL_URL when set, else the
    running server of the home if there is one, else the home's database. A path that does not exist is made.
    Where no home is named either, LOBWIFE_URL, which clients of lobwife have, stands for SHOAL_URL.
    """
    who = actor or default_actor()
    address = os.fspath(target) if target is not None else os.environ.get("SHOAL_URL")
    if address is None and home is None and "SHOAL_HOME" not in os.environ:
        address = os.environ.get(OLD_VARIABLE) or None
    if address is None:
        place = find_home(home)
        address = running_server(place)
        if address is None:
            return open_home(place, actor=who, clock=clock)
    if address.startswith(("http://", "https://")):
        from shoal.ledger.remote import RemoteEngine

        return Ledger(RemoteEngine(address), actor=who)
    return open_ledger(address, settings=LiveSettings(find_home(home)), actor=who, create=True, clock=clock)


def open_home(
    place: Home,
    *,
    actor: str,
    clock: Clock | None = None,
    settings: Settings | LiveSettings | None = None,
    create: bool = False,
) -> Ledger:
    """The ledger in the database of a home. Without `settings` it follows those of the home's file."""
    settings = settings or LiveSettings(place)
    now = _in_force(settings)
    address = place.database_address(now)
    place.expect_database(address)
    if not place.exists and not create:
        raise StoreMissing(f"there is no Shoal home at {place}; `shoal init` makes one here, `shoal serve` starts one")
    folder, spool = place.vault(now), place.folder / "spool"
    return open_ledger(
        address,
        settings=settings,
        actor=actor,
        create=create,
        clock=clock,
        vault=(folder, spool) if folder else None,
        sources=sources_of(place, settings if isinstance(settings, LiveSettings) else lambda: now, clock),
    )


def open_ledger(
    address: str,
    *,
    settings: Settings | LiveSettings,
    actor: str,
    create: bool,
    clock: Clock | None = None,
    vault: tuple[Path, Path] | None = None,
    sources: Sources | None = None,
) -> Ledger:
    """The ledger in a database, and its vault: the folder, and another one where content waits on its way there.

    `sources` are where verbs ask for what is outside of both.
    """
    from shoal.ledger.embedded import EmbeddedEngine, VaultPlace
    from shoal.store.connect import open_database

    database = open_database(address, create=create, patience_seconds=_in_force(settings).patience_seconds)
    return Ledger(
        EmbeddedEngine(database, settings=settings, clock=clock, vault=vault and VaultPlace(*vault), sources=sources),
        actor=actor,
    )


def default_actor() -> str:
    """Who acts when nobody says: SHOAL_ACTOR, else the user's name."""
    given = os.environ.get("SHOAL_ACTOR")
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def running_server(place: Home) -> str | None:
    """The address of the server that has this home, if one is alive."""
    from shoal.ledger.instance import read_instance

    instance = read_instance(place)
    return instance.url if instance else None


def _in_force(settings: Settings | LiveSettings) -> Settings:
    return settings() if isinstance(settings, LiveSettings) else settings
