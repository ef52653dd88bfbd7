"""From what people call a task to the task: 42, T42, t42, a slug or an external key."""

from __future__ import annotations

from shoal.errors import AmbiguousRef, NotFound
from shoal.model.task import Task
from shoal.model.veil import veiled_name
from shoal.services.transaction import Tx

LARGEST_ID = 2**63 - 1


def task_number(tx: Tx, ref: str | int) -> int:
    """The task's number. Raises NotFound, or AmbiguousRef when a name fits several tasks.

    A number is not looked up here: the query that uses it finds out.
    """
    number = _as_number(tx, ref)
    if number is not None:
        if not 0 < number <= LARGEST_ID:
            raise unknown(ref)
        return number
    found = tx.all("tasks.find", name=str(ref))
    if not found:
        raise unknown(ref)
    if len(found) > 1:
        shown = ", ".join(tx.shown(id) for id, *_ in found)
        raise AmbiguousRef(f"{ref!r} names {shown}; use one of these numbers", field="task")
    return int(found[0][0])


def get_task(tx: Tx, ref: str | int) -> Task:
    """The task that a ref names."""
    row = tx.one("tasks.get", id=task_number(tx, ref))
    if row is None:
        raise unknown(ref)
    return tx.task(row)


def lock_task(tx: Tx, ref: str | int) -> Task:
    """The same, kept from other writers until the transaction ends."""
    row = tx.one("tasks.lock", id=task_number(tx, ref))
    if row is None:
        raise unknown(ref)
    return tx.task(row)


def unknown(ref: str | int) -> NotFound:
    """There is no such task."""
    named = ref if isinstance(ref, int) else veiled_name(ref)
    return NotFound(f"there is no task {named!r}; `shoal list` shows what there is", field="task")


def _as_number(tx: Tx, ref: str | int) -> int | None:
    if isinstance(ref, int):
        return ref
    digits = ref
    prefix = tx.identity.prefix
    if ref[: len(prefix)].lower() == prefix.lower():
        digits = ref[len(prefix) :]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
