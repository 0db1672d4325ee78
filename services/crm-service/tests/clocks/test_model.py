"""Clocks against a walk, minute by minute, through local time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_service.clocks.model import (
    Calendar,
    Clock,
    NoOpenings,
    Opening,
    Openings,
    Policy,
    Step,
    clocks,
    is_country,
    openings_of,
)

MINUTE = timedelta(minutes=1)
HOURS = 3600
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Shanghai")
OFFICE = tuple(Opening(day, begins, ends) for day in range(5) for begins, ends in ((540, 720), (780, 1080)))

openings = st.builds(
    lambda weekday, one, other: Opening(weekday, min(one, other), max(one, other)),
    st.integers(0, 6),
    st.integers(0, 1440),
    st.integers(0, 1440),
).filter(lambda each: each.begins < each.ends)
calendars = st.builds(Calendar, st.sampled_from(ZONES), st.lists(openings, min_size=1, max_size=6).map(tuple))
moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 20)).map(
    lambda each: each.replace(second=0, microsecond=0, tzinfo=UTC)
)


def is_open(calendar: Calendar, at: datetime) -> bool:
    """Return whether a UTC minute is open: a clock on the wall and the table of openings."""
    local = at.astimezone(ZoneInfo(calendar.zone))
    minute = local.hour * 60 + local.minute
    return any(each.weekday == local.weekday() and each.begins <= minute < each.ends for each in calendar.openings)


def changes_clock(calendar: Calendar, at: datetime) -> bool:
    """Return whether the local day of a minute is 23, 23.5, 24.5 or 25 hours long."""
    zone = ZoneInfo(calendar.zone)
    day = at.astimezone(zone).date()
    ends = [datetime.combine(day + timedelta(days=n), datetime.min.time(), zone).utcoffset() for n in (0, 1)]
    return ends[0] != ends[1]


@settings(max_examples=40, deadline=None)
@given(calendars, moments, st.integers(0, 3 * 1440))
def test_open_time_equals_a_walk_through_the_minutes(calendar: Calendar, begin: datetime, minutes: int) -> None:
    walked = [begin + MINUTE * n for n in range(minutes)]
    if any(changes_clock(calendar, each) for each in walked):
        return  # the next test has the days on which clocks change
    expected = sum(is_open(calendar, each) for each in walked) * 60
    assert openings_of(calendar, 2026).between(begin, begin + MINUTE * minutes) == expected


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29), 23),
        ("Europe/Berlin", datetime(2026, 10, 25), 25),
        ("America/New_York", datetime(2026, 3, 8), 23),
        ("Australia/Lord_Howe", datetime(2026, 4, 5), 24.5),
    ],
)
def test_whole_day_has_the_length_of_the_clock_change(zone: str, day: datetime, hours: float) -> None:
    whole = Calendar(zone, tuple(Opening(each, 0, 1440) for each in range(7)))
    begin, end = [each.replace(tzinfo=ZoneInfo(zone)) for each in (day, day + timedelta(days=1))]
    assert openings_of(whole, 2026).between(begin, end) == hours * HOURS


@settings(max_examples=60, deadline=None)
@given(calendars | st.none(), moments, st.integers(1, 40 * HOURS))
def test_due_time_is_when_the_open_time_has_passed(calendar: Calendar | None, begin: datetime, seconds: int) -> None:
    own = openings_of(calendar, 2026)
    due = own.due(begin, seconds)
    assert due is not None
    assert own.between(begin, due) == pytest.approx(seconds, abs=1e-3)
    assert own.between(begin, due - timedelta(seconds=1)) < seconds


def test_clock_that_ends_with_an_opening_is_due_then() -> None:
    friday = datetime(2026, 11, 27, 8, tzinfo=UTC)
    office = Calendar("UTC", OFFICE)
    assert openings_of(office, 2026).due(friday, 8 * HOURS) == datetime(2026, 11, 27, 18, tzinfo=UTC)
    assert openings_of(office, 2026).due(friday, 8 * HOURS + 1) == datetime(2026, 11, 30, 9, 0, 1, tzinfo=UTC)


def test_holidays_are_closed_and_make_up_days_are_open() -> None:
    office = openings_of(Calendar("Asia/Shanghai", OFFICE, "CN"), 2026)
    zone = ZoneInfo("Asia/Shanghai")

    def hours(day: datetime) -> float:
        begin = day.replace(tzinfo=zone)
        return office.between(begin, begin + timedelta(days=1)) / HOURS

    assert hours(datetime(2026, 10, 1)) == 0, "National Day"
    assert hours(datetime(2026, 10, 10)) == 8, "a Saturday that is worked for it"
    assert hours(datetime(2026, 10, 17)) == 0, "an ordinary Saturday"
    assert not is_country("XX") and not is_country("US-XX") and is_country("US-CA")


def test_calendar_without_openings_is_refused() -> None:
    with pytest.raises(NoOpenings):
        openings_of(Calendar("UTC", ()), 2026)


T0 = datetime(2026, 11, 27, 12, tzinfo=UTC)
ALWAYS_OPEN = openings_of(None, 2026)
POLICY = Policy(first_answer=HOURS, resolution=8 * HOURS)


def at(hours: float, did: str, status: str, waiting_for: str | None = None) -> Step:
    return Step(T0 + timedelta(hours=hours), did, status, waiting_for)


def fold(*history: Step) -> tuple[Clock, Clock]:
    first, second = clocks(history, POLICY, ALWAYS_OPEN)
    return first, second


def test_both_clocks_run_from_the_opening() -> None:
    first, resolution = fold(at(0, "opened", "new"))
    assert (first.due_at, resolution.due_at) == (T0 + timedelta(hours=1), T0 + timedelta(hours=8))
    assert resolution.risk_at == T0 + timedelta(hours=6.4)


def test_wait_for_the_customer_moves_the_due_time_by_the_wait() -> None:
    opened, waits = at(0, "opened", "new"), at(2, "waited", "waiting", "customer")
    assert fold(opened, waits)[1].state == "paused"
    back = fold(opened, waits, at(7, "replied", "open"))[1]
    assert (back.state, back.due_at) == ("running", T0 + timedelta(hours=13))


def test_wait_inside_moves_nothing() -> None:
    clock = fold(at(0, "opened", "new"), at(2, "waited", "waiting", "inside"))[1]
    assert clock.due_at == T0 + timedelta(hours=8)


def test_resolved_case_stops_and_a_reopened_one_goes_on() -> None:
    history = [at(0, "opened", "new"), at(3, "resolved", "resolved")]
    first, resolution = fold(*history)
    assert (first.state, resolution.state, resolution.elapsed) == ("missed", "met", 3 * HOURS)
    again = fold(*history, at(10, "replied", "reopened"))[1]
    assert (again.state, again.due_at) == ("running", T0 + timedelta(hours=15))


steps = st.lists(
    st.tuples(
        st.integers(1, 600),
        st.sampled_from(
            [
                ("answered", "open", None),
                ("waited", "waiting", "customer"),
                ("waited", "waiting", "inside"),
                ("resolved", "resolved", None),
                ("replied", "reopened", None),
            ]
        ),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(calendars, moments, steps)
def test_resolution_equals_a_walk_through_the_history(
    calendar: Calendar, begin: datetime, then: list[tuple[int, tuple[str, str, str | None]]]
) -> None:
    """Count the open seconds of each span in which the clock runs, span by span."""
    history = [Step(begin, "opened", "new", None)]
    for minutes, (did, status, waits) in then:
        history.append(Step(history[-1].at + MINUTE * minutes, did, status, waits))
    own: Openings = openings_of(calendar, 2026)
    clock = clocks(history, POLICY, own)[1]
    walked = sum(
        own.between(one.at, other.at)
        for one, other in pairwise(history)
        if one.status != "resolved" and one.waiting_for != "customer"
    )
    if clock.state == "running" and clock.due_at is not None and walked < clock.target:
        assert own.between(history[-1].at, clock.due_at) == pytest.approx(clock.target - walked, abs=1e-3)
    elif clock.state != "running":
        assert clock.elapsed == pytest.approx(walked)
