"""What a lock is: a named lease with a fence."""

from __future__ import annotations

from msgspec import Struct


class Lock(Struct, frozen=True):
    """Who holds a name, until when. The fence grows with every owner: pass it on, and refuse a lower one."""

    name: str
    owner: str
    fence: int
    acquired_at: int
    expires_at: int


class LockOutcome(Struct, frozen=True):
    """Whether the lock was got; `lock` is ours then, and the holder's otherwise, with the time to ask again."""

    acquired: bool
    lock: Lock
    retry_after_ms: int | None = None
