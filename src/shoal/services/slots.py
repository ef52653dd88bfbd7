"""When a schedule fires: its slots, by arithmetic alone. What a firing does: firing.py.

A slot is epoch milliseconds. Which slots there are depends on the schedule and its timezone, never on when one looks.
cronsim reads the cron fields; the walk over days is our own, because it has to go both ways and to agree with itself,
and because cronsim loses slots where clocks change by half an hour.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from shoal.clock import DAY_MS
from shoal.errors import BadInput
from shoal.model.job import CATCH_UP_LIMIT, CatchUp, Cause

if TYPE_CHECKING:
    from datetime import date, datetime

ALIASES = {
    "daily": "0 0 * * *",
    "weekly": "0 0 * * 0",
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
LONGEST_DAYS = 3660
YEARS = 50  # a schedule without a slot for so long has none
COUNTED_DAYS = 400  # slots of more days are not counted
LOOKED_AT = CATCH_UP_LIMIT + 2  # those that are made up for, one on time, and the last one that is given up
IDLE_MS = 3_600_000  # how often a job fires at most because nothing is active
_OCCASION = re.compile(r"on_commit|on_idle(?:\s+([0-9]{1,6})\s*([smhd]))?", re.IGNORECASE)
_EVERY = re.compile(r"every\s+([0-9]+)\s*([smhd])", re.IGNORECASE)


class Due(Struct, frozen=True):
    """The slots from one on until now: the newest of them, oldest first, and how many there are.

    `count` is None for very many; `next` is the first one later than now, None when there is none.
    """

    first: int
    slots: list[int]
    count: int | None
    next: int | None


class Missed(Struct, frozen=True):
    """Slots that are given up: how many (None for very many), from the first until the last one."""

    count: int | None
    first: int
    last: int


class Choice(Struct, frozen=True):
    """What becomes of the slots that are due."""

    on_time: int | None
    made_up: list[int]
    missed: Missed | None


class Timetable(Protocol):
    """The slots of one schedule."""

    def after(self, moment: int) -> int | None:
        """The first slot later than a moment; for a schedule of intervals, one interval later."""
        ...

    def due(self, first: int, now: int, limit: int = LOOKED_AT) -> Due:
        """The slots from `first`, which is one, until now: the newest `limit` of them."""
        ...


@lru_cache(maxsize=1024)
def timetable(schedule: str, timezone: str = "UTC") -> Timetable:
    """The slots of a schedule whose cron fields are meant in a timezone. Raises BadInput."""
    text = schedule.strip()
    zone = _Zone(timezone)
    if occasion(text) is not None:
        return Never()
    if every := _EVERY.fullmatch(text):
        interval = int(every[1]) * UNITS_MS[every[2].lower()]
        if interval == 0:
            raise BadInput(f"{schedule!r}: an interval is at least one second", field="schedule")
        if interval > LONGEST_DAYS * DAY_MS:
            raise BadInput(f"{schedule!r}: an interval is {LONGEST_DAYS} days at most", field="schedule")
        return Every(interval)
    fields = ALIASES.get(text.lower(), text)
    if len(fields.split()) != 5 or fields.lower().startswith(("@", "every")):
        raise BadInput(
            f"{schedule!r} is no schedule: write {', '.join(ALIASES)}, on_commit, on_idle, `every 2h` (s, m, h, d), or "
            "five cron fields: minute, hour, day, month, weekday",
            field="schedule",
        )
    return Cron(fields, zone)


def occasion(schedule: str) -> tuple[Cause, int] | None:
    """What a job without times waits for, and how many milliseconds lie between two runs; None for one with times."""
    found = _OCCASION.fullmatch(schedule.strip())
    if found is None:
        return None
    if found[0].lower() == "on_commit":
        return Cause.COMMIT, 0
    return Cause.IDLE, int(found[1]) * UNITS_MS[found[2].lower()] if found[1] else IDLE_MS


def first_slot(schedule: str, timezone: str, *, now: int, last_slot: int | None) -> int | None:
    """The slot at which a job begins, or begins anew: later than now and than any it has had. Raises BadInput.

    None for a job that does not go by the clock.
    """
    slot = timetable(schedule, timezone).after(max(now, last_slot or 0))
    if slot is None and occasion(schedule) is None:
        raise BadInput(f"{schedule!r} never comes", field="schedule")
    return slot


def choose(due: Due, *, now: int, catch_up: CatchUp, grace_ms: int) -> Choice:
    """Which of the slots that are due are run.

    The newest one is on time when it is at most `grace_ms` old; the others, and it when it is older, were missed.
    """
    newest = due.slots[-1]
    on_time = newest if now - newest <= grace_ms else None
    late = due.slots if on_time is None else due.slots[:-1]
    if catch_up is CatchUp.ALL:
        made_up = late[-CATCH_UP_LIMIT:]
    elif catch_up is CatchUp.LAST and on_time is None:
        made_up = [newest]
    else:
        made_up = []
    given_up = late[: len(late) - len(made_up)]
    if not given_up:
        return Choice(on_time, made_up, None)
    run = len(made_up) + (on_time is not None)
    return Choice(on_time, made_up, Missed(due.count and due.count - run, due.first, given_up[-1]))


class Never:
    """No slots: a job that fires on an occasion."""

    def after(self, moment: int) -> int | None:
        """None."""
        return None

    def due(self, first: int, now: int, limit: int = LOOKED_AT) -> Due:
        """The one that it was before it had no times."""
        return Due(first, [first], 1, None)


class Every:
    """A slot after each interval, reckoned from the slot before."""

    def __init__(self, interval_ms: int) -> None:
        self._interval = interval_ms

    def after(self, moment: int) -> int | None:
        """One interval later."""
        return moment + self._interval

    def due(self, first: int, now: int, limit: int = LOOKED_AT) -> Due:
        """The slots from `first` until now."""
        count = (now - first) // self._interval + 1
        slots = [first + number * self._interval for number in range(max(0, count - limit), count)]
        return Due(first, slots, count, first + count * self._interval)


class Cron:
    """Five cron fields in a timezone.

    Where clocks change it goes as in Debian's cron: a job of a fixed time runs once, at the first moment after a gap,
    and at the first of two equal times; one with a `*` in its minutes or hours goes by the clock as it is.
    """

    def __init__(self, fields: str, zone: _Zone) -> None:
        # Imported here: it brings `calendar` and `locale`, 15 ms that no other command needs.
        from datetime import datetime

        from cronsim import CronSim, CronSimError

        parts = fields.split()
        try:
            self._days = CronSim(fields, datetime(2000, 1, 1))  # noqa: DTZ001 - only its fields are used
        except CronSimError as error:
            raise BadInput(f"{fields!r}: {str(error).lower()}", field="schedule") from None
        self._zone = zone
        self._is_fixed = not parts[0].startswith("*") and not parts[1].startswith("*")
        minutes = sorted(hour * 60 + minute for hour in self._days.hours for minute in self._days.minutes)
        self._times = tuple(60_000 * minute for minute in minutes)
        self._seen: tuple[date, list[int]] | None = None

    def after(self, moment: int) -> int | None:
        """The first slot later than a moment."""
        day = self._zone.date_at(moment, -1)  # what a gap held up may belong to the day before
        last = day.year + YEARS
        try:
            while day.year <= last:
                start, times = self._day(day)
                place = bisect_right(times, moment - start)
                if place < len(times):
                    return start + times[place]
                day = self._later(day)
        except (OverflowError, ValueError):  # the end of the calendar
            pass
        return None

    def due(self, first: int, now: int, limit: int = LOOKED_AT) -> Due:
        """The slots from `first` until now."""
        slots: list[int] = []
        day, until = self._zone.date_at(now), self._zone.date_at(first, -1)
        while day >= until and len(slots) < limit:
            start, times = self._day(day)
            found = [start + time for time in times if first <= start + time <= now]
            slots += reversed(found[-limit:])
            day = self._earlier(day)
        # A slot that the timezone's rules have moved since is due nevertheless.
        slots = list(dict.fromkeys(slots))[:limit][::-1] or [first]
        return Due(first, slots, self._count(first, now) if len(slots) == limit else len(slots), self.after(now))

    def _count(self, first: int, now: int) -> int | None:
        if now - first > COUNTED_DAYS * DAY_MS:
            return None
        day, last, count, reached = self._zone.date_at(first, -1), self._zone.date_at(now), 0, first - 1
        while day <= last:
            start, times = self._day(day)
            count += max(0, bisect_right(times, now - start) - bisect_right(times, reached - start))
            if times:
                reached = max(reached, start + times[-1])
            day = self._later(day)
        return count

    def _day(self, day: date) -> tuple[int, Sequence[int]]:
        """The slots of a local date: when it begins, and the times since then, in order."""
        if day.month not in self._days.months or not self._days.match_day(day):
            return 0, ()
        start = self._zone.even_start(day)
        return (0, self._uneven(day)) if start is None else (start, self._times)

    def _uneven(self, day: date) -> list[int]:
        """The slots of a date on which clocks change; the last one asked for is remembered."""
        seen = self._seen
        if seen is not None and seen[0] == day:
            return seen[1]
        found = set()
        for time in self._times:
            if self._is_fixed:
                found.add(self._zone.first_moment(day, time))
            else:
                found.update(self._zone.moments(day, time))
        times = sorted(found)
        self._seen = (day, times)
        return times

    def _later(self, day: date) -> date:
        if day.month in self._days.months:
            return day.fromordinal(day.toordinal() + 1)
        return day.replace(year=day.year + day.month // 12, month=day.month % 12 + 1, day=1)

    def _earlier(self, day: date) -> date:
        if day.month in self._days.months:
            return day.fromordinal(day.toordinal() - 1)
        return day.fromordinal(day.replace(day=1).toordinal() - 1)


class _Zone:
    """What the clocks of a timezone show."""

    def __init__(self, name: str) -> None:
        from datetime import UTC, datetime, timedelta, tzinfo

        self._epoch = datetime(1970, 1, 1, tzinfo=UTC)
        self._millisecond = timedelta(milliseconds=1)
        self._zone: tzinfo = UTC
        if name != "UTC":
            from zoneinfo import ZoneInfo

            try:
                self._zone = ZoneInfo(name)
            except (KeyError, ValueError, OSError):
                raise BadInput(
                    f"{name!r} is not a timezone that this machine knows; use a name like Europe/Berlin",
                    field="timezone",
                ) from None

    def date_at(self, moment: int, days: int = 0) -> date:
        """The date there at a moment, or so many days from it."""
        from datetime import timedelta

        shown = (self._epoch + timedelta(milliseconds=moment)).astimezone(self._zone).date()
        return shown.fromordinal(shown.toordinal() + days)

    def even_start(self, day: date) -> int | None:
        """When a date begins there; None when clocks change on it."""
        start, end = self._clock(day, 0), self._clock(day, DAY_MS)
        return self._moment(start) if start.utcoffset() == end.utcoffset() else None

    def moments(self, day: date, time: int) -> list[int]:
        """When clocks there show a time of a date: once, never or twice."""
        shown = self._clock(day, time)
        return sorted({self._moment(one) for one in (shown, shown.replace(fold=1)) if self._exists(one)})

    def first_moment(self, day: date, time: int) -> int:
        """When clocks there show a time of a date first, or the first minute that they show after it."""
        shown = self._clock(day, time)
        while not self._exists(shown):
            time += 60_000
            shown = self._clock(day, time)
        return self._moment(shown)

    def _clock(self, day: date, time: int) -> datetime:
        from datetime import datetime, timedelta

        return datetime(day.year, day.month, day.day, tzinfo=self._zone) + timedelta(milliseconds=time)

    def _moment(self, shown: datetime) -> int:
        return (shown - self._epoch) // self._millisecond

    def _exists(self, shown: datetime) -> bool:
        again = shown.astimezone(self._epoch.tzinfo).astimezone(self._zone)
        return again.replace(tzinfo=None) == shown.replace(tzinfo=None)
