"""Every error that Shoal raises, as one tree.

    ShoalError
    ├── BadInput             what was sent cannot be meant
    │   └── TooLarge
    ├── NotFound             no such task, lock, queue …
    ├── Forbidden            the door does not open for this caller
    ├── Refused              understood, but not now
    │   ├── AmbiguousRef     one name, several tasks
    │   ├── WrongStatus      the task's status does not allow the verb
    │   ├── LeaseLost        the attempt no longer holds the task
    │   ├── LockLost         the lock has a newer owner
    │   ├── Duplicate        a unique name is taken
    │   └── Cycle            a dependency would wait for itself
    ├── StoreError           the database cannot do it
    │   ├── StoreBusy  StoreFull  StoreReadOnly  StoreCorrupt
    │   ├── StoreMissing     a database that should be there is not
    │   ├── SchemaTooNew     written by a newer Shoal
    │   └── StoreUnreachable
    ├── VaultError           the vault cannot be read or written as it is
    │   └── NoVault          this ledger has none
    ├── GitError             git refuses, or takes too long
    ├── ForgeError           a forge (GitHub) refuses
    │   └── ForgeUnreachable it cannot be asked now
    ├── TrackerError         a tracker (ClickUp) refuses
    │   └── TrackerUnreachable  it cannot be asked now
    ├── ChannelError         a notification was not taken
    ├── NotConfigured        what this needs has not been set up
    ├── AgentError           an agent cannot be run as it is configured
    │   └── WorkspaceError   its folder cannot be prepared or kept
    ├── ExecutorError        an executor refuses to start an attempt
    │   └── ExecutorUnreachable  it does not answer now
    ├── ServerRunning        this home has a server already
    └── ServerUnreachable    nobody answers at the address

A message names the object and the next step. `code` is stable and goes over the wire; `status` is the
HTTP status, `exit_code` what the command line ends with.
"""

from __future__ import annotations


class ShoalError(Exception):
    """Something went wrong inside Shoal; the message says what."""

    code = "error"
    status = 500
    exit_code = 1

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class BadInput(ShoalError):
    """A value is missing, unknown, of the wrong type or out of range; `field` names it."""

    code = "bad_input"
    status = 400
    exit_code = 2


class TooLarge(BadInput):
    """A body or value is larger than the limit that the message names."""

    code = "too_large"
    status = 413


class NotFound(ShoalError):
    """Nothing has this name."""

    code = "not_found"
    status = 404
    exit_code = 3


class Forbidden(ShoalError):
    """The caller may not do this: a page from elsewhere, or a key that does not fit."""

    code = "forbidden"
    status = 403
    exit_code = 4


class Refused(ShoalError):
    """The request is understood but cannot be granted in the present state."""

    code = "refused"
    status = 409
    exit_code = 4


class AmbiguousRef(Refused):
    """The name fits more than one task; use the T-number."""

    code = "ambiguous_ref"


class WrongStatus(Refused):
    """The task's status does not allow this verb."""

    code = "wrong_status"


class LeaseLost(Refused):
    """The attempt no longer holds the task; nothing was written and the work must stop."""

    code = "lease_lost"
    exit_code = 5


class LockLost(Refused):
    """The lock is no longer held by this owner and fence."""

    code = "lock_lost"
    exit_code = 5


class Duplicate(Refused):
    """A value that must be unique is taken; `field` names it."""

    code = "duplicate"


class Cycle(Refused):
    """The dependency would make a task wait for itself; the message shows the path."""

    code = "cycle"


class StoreError(ShoalError):
    """The database refused; nothing was written."""

    code = "store_error"
    status = 503
    exit_code = 6


class StoreBusy(StoreError):
    """Another process held the database longer than the patience setting."""

    code = "store_busy"


class StoreFull(StoreError):
    """The disk is full; free space and try again, nothing was lost."""

    code = "store_full"
    status = 507


class StoreReadOnly(StoreError):
    """The database file or its folder cannot be written."""

    code = "store_read_only"


class StoreCorrupt(StoreError):
    """The file is damaged or is not a Shoal database."""

    code = "store_corrupt"


class StoreMissing(StoreError):
    """A database that should exist is gone; it is never silently made anew."""

    code = "store_missing"


class SchemaTooNew(StoreError):
    """The database was written by a newer Shoal; upgrade this one."""

    code = "schema_too_new"


class StoreUnreachable(StoreError):
    """The PostgreSQL server does not answer."""

    code = "store_unreachable"


class VaultError(ShoalError):
    """The vault cannot be read or written as it is; the message names the file."""

    code = "vault"
    status = 409


class NoVault(VaultError):
    """The ledger was opened without a vault."""

    code = "no_vault"
    status = 409


class GitError(ShoalError):
    """A call of git failed; the message holds its words."""

    code = "git"
    status = 409


class ForgeError(ShoalError):
    """A forge refused; the message holds its words."""

    code = "forge"
    status = 409


class ForgeUnreachable(ForgeError):
    """A forge cannot be asked now: it does not answer, or asks to wait; try again later."""

    code = "forge_unreachable"
    status = 503
    exit_code = 7


class TrackerError(ShoalError):
    """A tracker refused; the message names it, and holds its words."""

    code = "tracker"
    status = 409


class TrackerUnreachable(TrackerError):
    """A tracker cannot be asked now: it does not answer, or asks to wait for long; push again later."""

    code = "tracker_unreachable"
    status = 503
    exit_code = 7


class ChannelError(ShoalError):
    """A channel did not take a notification; the message names it, and says why as far as that can be told."""

    code = "channel"
    status = 502


class NotConfigured(ShoalError):
    """What this needs has not been set up; the message names the settings."""

    code = "not_configured"
    status = 503
    exit_code = 6


class ModelError(ShoalError):
    """A language model gave no answer that can be used; the message names it."""

    code = "model"
    status = 502


class ModelUnreachable(ModelError):
    """A language model cannot be asked now: it does not answer, or asks to wait; try again later."""

    code = "model_unreachable"
    status = 503
    exit_code = 7


class AgentError(ShoalError):
    """An agent cannot be run; the message names the setting or the program."""

    code = "agent"
    status = 409


class WorkspaceError(AgentError):
    """The folder of an attempt cannot be prepared or kept; the message names the repository."""

    code = "workspace"


class ExecutorError(ShoalError):
    """An executor refuses to start an attempt, or is not set up; the message names the setting or holds its words."""

    code = "executor"
    status = 409


class ExecutorUnreachable(ExecutorError):
    """An executor does not answer now: whether it did what it was asked is not known."""

    code = "executor_unreachable"
    status = 503
    exit_code = 7


class ServerRunning(ShoalError):
    """Another `shoal serve` has this home; the message gives its pid and address."""

    code = "server_running"
    status = 409
    exit_code = 4


class ServerUnreachable(ShoalError):
    """No Shoal server answers at the address."""

    code = "server_unreachable"
    status = 503
    exit_code = 7


def error_classes() -> dict[str, type[ShoalError]]:
    """All errors by their code: what a remote ledger raises again, and what the docs list."""
    found: dict[str, type[ShoalError]] = {}
    pending: list[type[ShoalError]] = [ShoalError]
    while pending:
        error = pending.pop()
        found[error.code] = error
        pending.extend(error.__subclasses__())
    return dict(sorted(found.items()))
