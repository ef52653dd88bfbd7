"""Tells a tracker of accepted items: first of those that it lacks, then how far those are that it has.

One at a time, and each is kept right after it was done. What a killed push has made is found again by its marker.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from enum import StrEnum

from msgspec import Struct

from shoal.adapters.screens.secrets import redacted
from shoal.adapters.trackers.clickup import ClickUp
from shoal.adapters.trackers.tracker import NewTicket, Ticket, Tracker
from shoal.errors import BadInput, NotConfigured, Refused, TrackerError, TrackerUnreachable
from shoal.ledger import Ledger
from shoal.model.item_sync import ToTell
from shoal.model.lock import Lock
from shoal.settings import Settings, TrackerSettings

LOCK_SECONDS = 300  # longer than one request takes with its waits
PAGE = 100


class PushAction(StrEnum):
    """What was done for an item. `found` was made by a push that did not live to tell."""

    CREATED = "created"
    FOUND = "found"
    STATUS = "status"
    GONE = "gone"
    REFUSED = "refused"


class Pushed(Struct, frozen=True, kw_only=True):
    """What was done for an item; in a dry run, what would be."""

    item: str
    name: str
    action: PushAction
    external_id: str | None = None
    url: str | None = None
    status: str | None = None
    reason: str | None = None


class Push(Struct, frozen=True, kw_only=True):
    """What came of a push; `stopped` says why it ended before its end."""

    tracker: str
    dry_run: bool
    done: list[Pushed]
    stopped: str | None


def run(
    ledger: Ledger,
    settings: Settings,
    name: str,
    *,
    dry_run: bool = False,
    tell: Callable[[Pushed], None] | None = None,
) -> Push:
    """Push to [trackers.NAME], and `tell` of each that is done. A dry run asks the tracker nothing.

    Raises BadInput for an unknown name, NotConfigured without a token, Refused while another push to it is under way.
    """
    given = settings.trackers.get(name)
    if given is None:
        known = ", ".join(sorted(settings.trackers)) or "none"
        raise BadInput(f"there is no [trackers.{name}] in shoal.toml; there are: {known}", field="tracker")
    if dry_run:
        return Push(tracker=name, dry_run=True, done=list(_planned(ledger, name, given)), stopped=None)
    tracker = _opened(name, given)
    done: list[Pushed] = []
    stopped = None
    try:
        with _Alone(ledger, name) as alone:
            push = _Pushing(ledger, name, given, tracker, alone)
            try:
                for one in push.all():
                    done.append(one)
                    if tell is not None:
                        tell(one)
            except TrackerUnreachable as error:
                stopped = error.message
    finally:
        tracker.close()
    return Push(tracker=name, dry_run=False, done=done, stopped=stopped)


def _opened(name: str, given: TrackerSettings) -> Tracker:
    token = os.environ.get(given.token_variable, "").strip()
    if not token:
        raise NotConfigured(f"${given.token_variable} is not set: it holds the token of [trackers.{name}]")
    return ClickUp(given.url, token, given.list)


class _Alone:
    """The lock of a tracker: two that look at once would both make what it lacks."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger = ledger
        self._name = f"tracker {name}"[:200]
        self._owner = f"push-{secrets.token_hex(8)}"
        self._lock: Lock | None = None

    def __enter__(self) -> Callable[[], None]:
        came = self._ledger.locks.acquire(self._name, owner=self._owner, ttl_seconds=LOCK_SECONDS, quiet=True)
        if not came.acquired:
            seconds = (came.retry_after_ms or 0) // 1000
            raise Refused(
                f"another push has the lock {self._name!r}, for {seconds} s yet; wait for it", field="tracker"
            )
        self._lock = came.lock
        return self._renew

    def __exit__(self, *error: object) -> None:
        assert self._lock is not None  # noqa: S101 - it was entered
        self._ledger.locks.release(self._name, owner=self._owner, fence=self._lock.fence, quiet=True)

    def _renew(self) -> None:
        assert self._lock is not None  # noqa: S101 - it was entered
        self._ledger.locks.renew(self._name, owner=self._owner, fence=self._lock.fence, ttl_seconds=LOCK_SECONDS)


class _Pushing:
    def __init__(
        self, ledger: Ledger, name: str, given: TrackerSettings, tracker: Tracker, renew: Callable[[], None]
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._given = given
        self._statuses: dict[str, str] = {str(key): word for key, word in given.statuses.items()}
        self._tracker = tracker
        self._renew = renew

    def all(self) -> Iterator[Pushed]:
        """Do it, one after the other."""
        known = None
        for one in _to_tell(self._ledger, self._name, self._given, known=False):
            if known is None:
                known = self._tracker.known()
            self._renew()
            yield self._create(one, known.get(one.marker))
        for one in _to_tell(self._ledger, self._name, self._given, known=True):
            if (word := self._statuses.get(one.item.status.value)) is not None:
                self._renew()
                yield from self._say(one, word)

    def _create(self, one: ToTell, found: Ticket | None) -> Pushed:
        item = one.item
        if found is not None:
            self._ledger.items.synced(item.id, tracker=self._name, external_id=found.id, url=found.url)
            return _pushed(one, PushAction.FOUND, external_id=found.id, url=found.url)
        status = self._statuses.get(item.status.value)
        text = "\n\n".join(filter(None, [item.text, item.summary]))
        new = NewTicket(
            title=" ".join(redacted(item.name).split()) or item.item_id,
            text=f"{redacted(text, item.source_file or '')}\n\n{item.item_id} of {item.project}",
            marker=one.marker,
            priority=item.priority,
            due_at=item.due_at,
            status=status,
        )
        try:
            made = self._tracker.create(new)
        except TrackerUnreachable:
            raise
        except TrackerError as error:
            return _pushed(one, PushAction.REFUSED, reason=error.message)
        self._ledger.items.synced(item.id, tracker=self._name, external_id=made.id, url=made.url, status=item.status)
        return _pushed(one, PushAction.CREATED, external_id=made.id, url=made.url, status=status)

    def _say(self, one: ToTell, word: str) -> Iterator[Pushed]:
        assert one.external_id is not None  # noqa: S101 - the tracker knows it
        told = None if one.told is None else self._statuses.get(one.told.value)
        action, reason = PushAction.STATUS, None
        if word != told:
            try:
                if not self._tracker.set_status(one.external_id, word):
                    action, reason = PushAction.GONE, f"{self._name} has it no more; it is not told of it again"
            except TrackerUnreachable:
                raise
            except TrackerError as error:
                yield _pushed(one, PushAction.REFUSED, external_id=one.external_id, reason=error.message)
                return
        self._ledger.items.synced(
            one.item.id,
            tracker=self._name,
            external_id=one.external_id,
            status=one.item.status,
            gone=action is PushAction.GONE,
        )
        if word != told:
            yield _pushed(one, action, external_id=one.external_id, status=word, reason=reason)


def _planned(ledger: Ledger, name: str, given: TrackerSettings) -> Iterator[Pushed]:
    statuses: dict[str, str] = {str(key): word for key, word in given.statuses.items()}
    for one in _to_tell(ledger, name, given, known=False):
        yield _pushed(one, PushAction.CREATED, status=statuses.get(one.item.status.value))
    for one in _to_tell(ledger, name, given, known=True):
        word = statuses.get(one.item.status.value)
        if word is not None and (one.told is None or statuses.get(one.told.value) != word):
            yield _pushed(one, PushAction.STATUS, external_id=one.external_id, status=word)


def _to_tell(ledger: Ledger, name: str, given: TrackerSettings, *, known: bool) -> Iterator[ToTell]:
    """The items that a tracker is to be told of, a page at a time."""
    for project in given.projects or [None]:  # type: ignore[list-item]
        after = None
        while page := ledger.items.unsynced(tracker=name, known=known, project=project, after=after, limit=PAGE):
            yield from page
            after = page[-1].item.id


def _pushed(
    one: ToTell,
    action: PushAction,
    *,
    external_id: str | None = None,
    url: str | None = None,
    status: str | None = None,
    reason: str | None = None,
) -> Pushed:
    return Pushed(
        item=one.item.item_id,
        name=one.item.name,
        action=action,
        external_id=external_id,
        url=url,
        status=status,
        reason=reason,
    )
