"""Slots against a model that looks at every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInput
from shoal.model.job import CATCH_UP_LIMIT, CatchUp
from shoal.services.slots import choose, first_slot, timetable

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]
# Around changes of clocks of these zones, by half an hour, at midnight, by a day.
MOMENTS = [
    datetime(2026, 3, 8, tzinfo=UTC),
    datetime(2026, 3, 29, tzinfo=UTC),
    datetime(2026, 4, 4, tzinfo=UTC),
    datetime(2026, 10, 3, tzinfo=UTC),
    datetime(2026, 10, 25, tzinfo=UTC),
    datetime(2026, 11, 1, tzinfo=UTC),
    datetime(2018, 11, 4, tzinfo=UTC),
    datetime(2011, 12, 29, tzinfo=UTC),
    datetime(2026, 1, 31, tzinfo=UTC),
]
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

field = st.one_of(st.just("*"), st.sampled_from(["*/7", "*/15", "*/30", "*/2"]))
minutes = st.one_of(field, st.sampled_from(["0", "30", "0,30", "5-10", "59"]))
hours = st.one_of(field, st.sampled_from(["0", "1", "2", "3", "0,2", "1-3", "23", "2,14"]))
days = st.sampled_from(["*", "1", "29,30,31", "L", "*/2"])
weekdays = st.sampled_from(["*", "0", "MON-FRI", "SUN#1"])
schedules = st.builds(lambda *parts: " ".join(parts), minutes, hours, days, st.just("*"), weekdays)
starts = st.builds(
    lambda at, minute: int(at.timestamp() * 1000) + minute * MINUTE,
    st.sampled_from(MOMENTS),
    st.integers(-2 * 1440, 3 * 1440),
)


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def moment(text: str) -> int:
    return ms(datetime.fromisoformat(text))


def model(schedule: str, zone: str, first: int, last: int) -> list[int]:
    """Every minute looked at; a fixed time that clocks pass over is put off to the first minute that they show."""
    parts = schedule.split()
    days = CronSim(schedule, datetime(2000, 1, 1, tzinfo=UTC))
    fixed = not parts[0].startswith("*") and not parts[1].startswith("*")

    def wanted(shown: datetime) -> bool:
        at = shown.hour in days.hours and shown.minute in days.minutes
        return at and shown.month in days.months and days.match_day(shown.date())

    found: set[int] = set()
    shown_before: datetime | None = None
    latest: datetime | None = None
    for at in range(first - first % MINUTE - DAY, last + 1, MINUTE):
        shown = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        if not fixed:
            if wanted(shown):
                found.add(at)
        elif latest is None or shown > latest:
            passed = shown if shown_before is None else shown_before + timedelta(minutes=1)
            while passed <= shown:
                if wanted(passed):
                    found.add(at)
                passed += timedelta(minutes=1)
            latest = shown
        shown_before = max(shown, latest or shown)
    return sorted(at for at in found if first <= at <= last)


@settings(max_examples=60, deadline=None)
@given(schedules, st.sampled_from(ZONES), starts)
def test_slots_are_those_of_the_clock_on_the_wall(schedule: str, zone: str, start: int) -> None:
    try:
        plan = timetable(schedule, zone)
    except BadInput:
        return
    end = start + 2 * DAY
    walked, at = [], start - 1
    while (slot := plan.after(at)) is not None and slot <= end:
        assert slot > at
        walked.append(slot)
        at = slot
    assert walked == model(schedule, zone, start, end)


@settings(max_examples=60, deadline=None)
@given(schedules, st.sampled_from(ZONES), starts, st.integers(0, 1440), st.integers(1, 70))
def test_newest_slots_are_the_end_of_all_of_them(schedule: str, zone: str, start: int, span: int, limit: int) -> None:
    try:
        plan = timetable(schedule, zone)
    except BadInput:
        return
    first = plan.after(start)
    assert first is not None
    now = first + span * MINUTE
    every, slot = [], first
    while slot is not None and slot <= now:
        every.append(slot)
        slot = plan.after(slot)
    due = plan.due(first, now, limit)
    assert (due.slots, due.count, due.next) == (every[-limit:], len(every), slot)


@given(st.integers(1, 90), st.integers(0, 10**12), st.integers(0, 10**7), st.integers(1, 70))
def test_intervals_are_reckoned_from_the_slot_before(seconds: int, first: int, span: int, limit: int) -> None:
    due = timetable(f"every {seconds}s").due(first, first + span, limit)
    every = list(range(first, first + span + 1, 1000 * seconds))
    assert (due.slots, due.count, due.next) == (every[-limit:], len(every), every[-1] + 1000 * seconds)


@settings(max_examples=100, deadline=None)
@given(schedules, st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]), starts)
def test_it_agrees_with_cronsim_where_clocks_change_by_an_hour(schedule: str, zone: str, start: int) -> None:
    if schedule.endswith("SUN#1"):
        return
    shown = datetime.fromtimestamp(start / 1000, UTC).astimezone(ZoneInfo(zone))
    theirs = CronSim(schedule, shown)
    slot = ms(next(theirs))
    while slot <= start:  # it goes back at the second of two equal times
        slot = ms(next(theirs))
    assert timetable(schedule, zone).after(start) == slot


def test_fixed_time_in_a_gap_comes_after_it_and_one_that_is_twice_comes_once() -> None:
    plan = timetable("30 2 * * *", "Europe/Berlin")
    assert plan.after(moment("2026-03-28T12:00+01:00")) == moment("2026-03-29T03:00+02:00")
    assert plan.after(moment("2026-10-24T12:00+02:00")) == moment("2026-10-25T02:30+02:00")
    assert plan.after(moment("2026-10-25T02:30+02:00")) == moment("2026-10-26T02:30+01:00")


def test_half_hour_change_loses_no_slot() -> None:
    plan = timetable("*/15 2 * * *", "Australia/Lord_Howe")
    assert plan.after(moment("2026-04-04T12:00+11:00")) == moment("2026-04-05T02:00+10:30")


@settings(deadline=None)
@given(
    st.integers(0, 200),
    st.sampled_from(list(CatchUp)),
    st.integers(0, 600),
    st.integers(0, 120),
    st.sampled_from([1, 7, 60]),
)
def test_each_due_slot_is_run_or_missed_by_its_policy(
    count: int, catch_up: CatchUp, late: int, grace: int, seconds: int
) -> None:
    first = 1_800_000_000_000
    now = first + (count * seconds + late) * 1000
    due = timetable(f"every {seconds}s").due(first, now)
    choice = choose(due, now=now, catch_up=catch_up, grace_ms=grace * 1000)

    run = [*choice.made_up, *([] if choice.on_time is None else [choice.on_time])]
    missed = choice.missed
    given_up = [] if missed is None else list(range(missed.first, missed.last + 1, seconds * 1000))
    assert sorted(run + given_up) == list(range(first, now + 1, seconds * 1000))
    assert missed is None or missed.count == len(given_up)
    is_late = now - due.slots[-1] > grace * 1000
    assert (choice.on_time is None) == is_late
    assert len(choice.made_up) <= {CatchUp.NONE: 0, CatchUp.LAST: int(is_late), CatchUp.ALL: CATCH_UP_LIMIT}[catch_up]


def test_years_of_missed_minutes_cost_little_and_are_not_counted() -> None:
    first = moment("2000-01-01T00:00+00:00")
    due = timetable("* * * * *").due(first, moment("2026-01-01T00:00+00:00"))
    assert (len(due.slots), due.count, due.slots[-1]) == (CATCH_UP_LIMIT + 2, None, moment("2026-01-01T00:00+00:00"))


def test_first_slot_is_later_than_any_before() -> None:
    assert first_slot("every 90s", "UTC", now=1000, last_slot=None) == 91_000
    assert first_slot("every 90s", "UTC", now=1000, last_slot=50_000) == 140_000
    assert first_slot("@hourly", "UTC", now=0, last_slot=5 * HOUR) == 6 * HOUR


def test_rare_days_are_found_and_days_that_never_come_are_refused() -> None:
    assert timetable("0 0 29 2 *").after(moment("2026-01-01T00:00+00:00")) == moment("2028-02-29T00:00+00:00")
    with pytest.raises(BadInput):
        first_slot("0 0 30 2 *", "UTC", now=0, last_slot=None)


@pytest.mark.parametrize(
    ("schedule", "zone", "reason"),
    [
        ("* * * *", "UTC", "no schedule: write daily, weekly, .*, on_commit, on_idle, `every 2h` .* five cron fields"),
        ("0 * * * * *", "UTC", "no schedule"),
        ("61 * * * *", "UTC", "bad minute"),
        ("* * * * *", "Mars/Olympus", "timezone"),
        ("* * * * *", "../etc/passwd", "timezone"),
        ("every 0s", "UTC", "one second"),
        ("every 99999999d", "UTC", "3660 days at most"),
        ("every 9 weeks", "UTC", "every 2h"),
        ("@often", "UTC", "@hourly"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(schedule: str, zone: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        timetable(schedule, zone)
