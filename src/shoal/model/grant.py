"""What a grant is: a short-lived token for the repositories of one task, or of a service; and its line in the audit."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

PERMISSIONS = {"contents": "write", "pull_requests": "write", "metadata": "read"}
# What each level of a permission includes.
LEVELS = {"read": 1, "write": 2, "admin": 3}


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
    """The repositories and permissions that a task may have tokens for, until it ends or `expires_at`."""

    task: int
    task_id: str
    repositories: list[str]
    permissions: dict[str, str]
    status: str
    registered_at: int
    registered_by: str
    expires_at: int
    token_count: int


class Token(Struct, frozen=True, kw_only=True):
    """A token, in clear, for whoever asked; nobody keeps it. `expires_at` is epoch milliseconds."""

    token: str
    expires_at: int
    repositories: list[str]
    permissions: dict[str, str]


class Grant(Struct, frozen=True, kw_only=True):
    """A token that was given out, without the token. Times are epoch milliseconds."""

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
