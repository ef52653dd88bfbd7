"""What a grant is: a short-lived token for the repositories of one task, or of a service; and its line in the audit."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

# What each level of a permission includes.
LEVELS = {"read": 1, "write": 2, "admin": 3}
_USUAL_PORTS = {"https": 443, "http": 80, "ssh": 22}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class GrantAction(StrEnum):
    """What the audit tells of."""

    REGISTERED = "registered"
    DEREGISTERED = "deregistered"
    ISSUED = "issued"
    REUSED = "reused"
    RENEWED = "renewed"
    REFUSED = "refused"
    REVOKED = "revoked"
    UNREVOKED = "unrevoked"


class Registration(Struct, frozen=True, kw_only=True):
    """The repositories and permissions that a task may have tokens for, until it ends or `expires_at`.

    One that was made because an attempt asked holds for this `attempt`; one that somebody made, for all of them.
    """

    task: int
    task_id: str
    repositories: list[str]
    permissions: dict[str, str]
    status: str
    registered_at: int
    registered_by: str
    expires_at: int
    token_count: int
    attempt: int | None


class Token(Struct, frozen=True):
    """A token, in clear: as the forge gave it out, and as whoever asked gets it. `expires_at` is epoch milliseconds."""

    token: str
    expires_at: int
    repositories: list[str]
    permissions: dict[str, str]

    def __repr__(self) -> str:
        return f"Token(for {', '.join(self.repositories)}, until {self.expires_at})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("repositories", self.repositories), ("expires_at", self.expires_at)]


class Credential(Struct, frozen=True, kw_only=True):
    """What git logs in with, in clear, for whoever asked; all null when there is nothing for that place.

    `expires_at` is epoch milliseconds.
    """

    username: str | None
    password: str | None
    expires_at: int | None

    def __repr__(self) -> str:
        return f"Credential(for {self.username}, until {self.expires_at})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("username", self.username), ("expires_at", self.expires_at)]


class Grant(Struct, frozen=True, kw_only=True):
    """A token that was given out, without the token. Times are epoch milliseconds.

    `ends` says why it has to end before its time, `revoke_error` why it could not be.
    """

    id: int
    task: int | None
    attempt: int | None
    service: str | None
    repositories: list[str]
    permissions: dict[str, str]
    actor: str
    server: str
    issued_at: int
    expires_at: int
    token_hash: str
    token_end: str
    revoked_at: int | None
    revoke_error: str | None
    ends: str | None
    task_id: str | None


class GrantLine(Struct, frozen=True, kw_only=True):
    """A line of the audit. `reference` is what the asker called the task."""

    id: int
    at: int
    action: GrantAction
    task: int | None
    attempt: int | None
    reference: str | None
    service: str | None
    actor: str
    repositories: list[str]
    permissions: dict[str, str]
    expires_at: int | None
    reason: str | None
    task_id: str | None


class BrokerStatus(Struct, frozen=True, kw_only=True):
    """How the broker is set up, and what it has given out. `problem` names the settings that are missing."""

    configured: bool
    problem: str | None
    api: str
    app_id: str | None
    owners: list[str]
    hosts: list[str]
    repositories: list[str]
    permissions: dict[str, str]
    services: list[str]
    has_administrator: bool
    open: bool
    registrations: int
    alive: int


def is_on(hosts: Iterable[str], protocol: str, host: str) -> bool:
    """Whether a place, HOST or HOST:PORT, is one of these hosts; one with a port of its own is named with it."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if "@" in host or parts.netloc != host:
        return False
    usual = port is None or port == _USUAL_PORTS.get(protocol)
    known = {one.lower() for one in hosts}
    return host.lower() in known or (usual and name in known)


def answers_for(hosts: Iterable[str], protocol: str, host: str) -> bool:
    """Whether tokens go to a place: to one of these hosts, encrypted, or on this machine."""
    if not is_on(hosts, protocol, host):
        return False
    return protocol == "https" or (protocol == "http" and urlsplit(f"//{host}").hostname in _LOOPBACK)


def registration_from_row(row: tuple[Any, ...], prefix: str) -> Registration:
    """A registration from its row; repositories and permissions are stored as JSON text."""
    task, repositories, permissions, *rest = row
    return Registration(
        task=task,
        task_id=f"{prefix}{task}",
        repositories=names_of(repositories),
        permissions=levels_of(permissions),
        **dict(zip(Registration.__struct_fields__[4:], rest, strict=True)),
    )


def grant_from_row(row: tuple[Any, ...], prefix: str) -> Grant:
    """A grant from its row."""
    return Grant(**_decoded(Grant, row, prefix))


def line_from_row(row: tuple[Any, ...], prefix: str) -> GrantLine:
    """A line of the audit from its row."""
    fields = _decoded(GrantLine, row, prefix)
    return GrantLine(**fields | {"action": GrantAction(fields["action"])})


def _decoded(kind: type[Struct], row: tuple[Any, ...], prefix: str) -> dict[str, Any]:
    fields = dict(zip(kind.__struct_fields__[:-1], row, strict=True))
    fields["task_id"] = None if fields["task"] is None else f"{prefix}{fields['task']}"
    return fields | {"repositories": names_of(fields["repositories"]), "permissions": levels_of(fields["permissions"])}


names_of = msgspec.json.Decoder(list[str]).decode
levels_of = msgspec.json.Decoder(dict[str, str]).decode
