"""Clocks by a walk: look at the wall in each minute, and count the minutes that are open."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import holidays
from hypothesis import assume
from hypothesis import strategies as st

from crm_service.clocks.model import Calendar, Opening, Policy, SpecialDay, Step, clocks, openings_of

MINUTE = timedelta(minutes=1)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Shanghai")
BEGIN, END = date(2026, 1, 3), date(2026, 11, 20)
CHANGES = [date(2026, month, day) for month, day in ((3, 8), (3, 29), (4, 5), (10, 4), (10, 25), (11, 1))]
MADE_UP = [date(2026, month, day) for month, day in ((2, 14), (2, 28), (9, 20), (10, 10))]
CLOSED = [date(2026, month, day) for month, day in ((2, 17), (5, 1), (10, 1), (10, 6))]
"""Days on which clocks change in one of the zones, days that are worked in China instead of others, and days off."""

minutes = st.integers(0, 1440)
spans = st.tuples(minutes, minutes).map(sorted).filter(lambda each: each[0] < each[1])
openings = st.builds(lambda weekday, span: Opening(weekday, *span), st.integers(0, 6), spans)
always = tuple(Opening(day, 0, 1440) for day in range(7))
office = tuple(Opening(day, begins, ends) for day in range(5) for begins, ends in ((540, 720), (780, 1080)))
anchors = st.sampled_from(CHANGES) | st.sampled_from([*MADE_UP, *CLOSED]) | st.dates(BEGIN, END)


@st.composite
def places(draw: st.DrawFn) -> tuple[Calendar, datetime]:
    """Draw a calendar and a minute (UTC), near a day on which something is special: a change of clocks, or its own."""
    anchor = draw(anchors)
    offsets = draw(st.dictionaries(st.integers(-1, 2), st.lists(spans, max_size=2), max_size=2))
    special = tuple(
        SpecialDay(anchor + timedelta(days=offset), tuple((a, b) for a, b in own))
        for offset, own in sorted(offsets.items())
    )
    week = draw(st.sampled_from([always, office]) | st.lists(openings, min_size=1, max_size=6).map(tuple))
    country = "CN" if anchor in (*MADE_UP, *CLOSED) else draw(st.sampled_from([None, "CN", "US"]))
    calendar = Calendar(draw(st.sampled_from(ZONES)), week, country, special)
    return calendar, datetime.combine(anchor, time(), UTC) + draw(st.integers(-1440, 1440)) * MINUTE


policies = st.builds(
    lambda first, resolution, later, steps: Policy(first * 60, resolution * 60, later * 60, tuple(sorted(steps))),
    st.integers(1, 600),
    st.integers(1, 3_000),
    st.integers(1, 600),
    st.sets(st.integers(1, 3_000).map(lambda each: each * 60), max_size=3),
)
ACTS = (
    ("answered", "open", None),
    ("replied", "open", None),
    ("waited", "waiting", "customer"),
    ("waited", "waiting", "partner"),
    ("waited", "waiting", "inside"),
    ("noted", "open", None),
    ("resolved", "resolved", None),
    ("replied", "reopened", None),
)
histories = st.lists(st.tuples(st.integers(0, 500), st.sampled_from(ACTS)), max_size=10)


class Wall:
    """The openings of a calendar, as a clock on the wall and a list of days have them."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar, self._zone = calendar, ZoneInfo(calendar.zone)
        found: Any = holidays.country_holidays(calendar.holidays, years=2026) if calendar.holidays else {}
        self._closed, self._made_up = set(found), set(getattr(found, "weekend_workdays", ()))
        self._special = {each.day: each.openings for each in calendar.special}

    def of(self, day: date) -> list[tuple[int, int]]:
        if (own := self._special.get(day)) is not None:
            return list(own)
        weekday = 0 if day in self._made_up else day.weekday()
        if day in self._closed and day not in self._made_up:
            return []
        return [(each.begins, each.ends) for each in self._calendar.openings if each.weekday == weekday]

    def is_open(self, at: datetime) -> bool:
        local = at.astimezone(self._zone)
        minute = local.hour * 60 + local.minute
        return any(begins <= minute < ends for begins, ends in self.of(local.date()))

    def is_plain(self, begin: datetime, end: datetime) -> bool:
        """Return False if an opening begins or ends in an hour that the clock skips or has twice.

        The wall then has no such minute, or two of them.
        """
        day, last = begin.astimezone(self._zone).date(), end.astimezone(self._zone).date()
        while day <= last:
            for minute in {each for span in self.of(day) for each in span}:
                whole = day + timedelta(days=minute // 1440)
                local = datetime.combine(whole, time(minute % 1440 // 60, minute % 60), self._zone)
                if local.utcoffset() != local.replace(fold=1).utcoffset():
                    return False
            day += timedelta(days=1)
        return True


def walked(begin: datetime, end: datetime) -> Iterator[datetime]:
    while begin < end:
        yield begin
        begin += MINUTE


def check_span(calendar: Calendar, begin: datetime, minutes: int) -> None:
    """Compare the open time between two moments with a walk."""
    wall, end = Wall(calendar), begin + MINUTE * minutes
    assume(wall.is_plain(begin, end))
    count = sum(wall.is_open(each) for each in walked(begin, end))
    assert openings_of(calendar, 2026).between(begin, end) == count * 60


def check_history(
    calendar: Calendar, policy: Policy, begin: datetime, then: Sequence[tuple[int, tuple[str, str, str | None]]]
) -> None:
    """Compare each clock of a random history with a walk through its minutes, and each due time with a longer walk."""
    history = [Step(begin, "opened", "new", None)]
    for pause, act in then:
        history.append(Step(history[-1].at + MINUTE * pause, *act))
    now = history[-1].at + MINUTE * 90
    wall, ahead = Wall(calendar), now + timedelta(days=3)
    assume(wall.is_plain(begin, ahead))
    found = {each.name: each for each in clocks(history, policy, openings_of(calendar, 2026), now)}
    spent = dict.fromkeys(("first_answer", "resolution", "next_answer"), 0)
    asked = answered = False
    reached: dict[tuple[str, int], datetime] = {}
    targets: dict[str, list[int | None]] = {
        "first_answer": [policy.first_answer],
        "resolution": [policy.resolution, *policy.steps],
        "next_answer": [policy.next_answer],
    }
    place = 0
    for minute in walked(begin, ahead):
        while place < len(history) and history[place].at <= minute:
            step, place = history[place], place + 1
            if step.did == "answered" or step.status == "resolved":
                answered, asked = True, False
            elif step.did == "replied" and answered and not asked:
                asked, spent["next_answer"] = True, 0
                reached = {key: at for key, at in reached.items() if key[0] != "next_answer"}
        if minute == now:
            for name, clock in found.items():
                assert clock.elapsed == spent[name] * 60, name
        if wall.is_open(minute):
            stands = step.status == "resolved" or step.waiting_for in ("customer", "partner")
            for name, runs in (("first_answer", not answered), ("resolution", not stands), ("next_answer", asked)):
                spent[name] += runs
                for target in targets[name]:
                    if runs and spent[name] * 60 == target:
                        reached[name, target] = minute + MINUTE
    for name, clock in found.items():
        if clock.state != "running":
            continue
        dues = [(targets[name][0], clock.due_at), *zip(policy.steps, clock.steps, strict=False)]
        for target, due in dues:
            at = reached.get((name, int(target or 0)))
            # A clock that had run out before its last start is due at that start.
            if at is not None and due is not None and (clock.since is None or at > clock.since):
                assert due == at, (name, target)
            elif at is None:
                assert due is None or due >= ahead, (name, target)
