"""The clocks of a case: a fold of its history over the opening times of a calendar. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

YEARS: Final = 3
"""A calendar is compiled from the year of the case on, for so many years."""
AT_RISK: Final = 0.8
"""A clock is at risk once this part of its time has passed."""
CLOCKS: Final = ("first_answer", "resolution", "next_answer")
RISK: Final = "risk"
BREACH: Final = "breach"
STEP: Final = "step-"
OVER: Final = ("resolved", "closed", "merged")
"""The statuses in which no clock runs."""


class NoOpenings(Exception):
    """A calendar that is never open."""

    def __init__(self) -> None:
        detail = "a calendar needs an opening on at least one day of the week"
        super().__init__(detail)
        self.errors = [{"pointer": "/openings", "detail": detail, "code": "never_open"}]


class Opening(NamedTuple):
    """Open on a weekday (0 is Monday) between two local minutes of the day. 1440 is the end of the day."""

    weekday: int
    begins: int
    ends: int


class SpecialDay(NamedTuple):
    """A day with its own openings, as minutes of the day. Without any it is closed."""

    day: date
    openings: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Calendar:
    """Opening times by weekday in a time zone, closed on the public holidays of a country such as CN or US-CA.

    Special days come before weekdays, holidays and days that are worked instead.
    """

    zone: str
    openings: tuple[Opening, ...]
    holidays: str | None = None
    special: tuple[SpecialDay, ...] = ()


@dataclass(frozen=True, slots=True)
class Openings:
    """Spans of UTC seconds in ascending order that do not touch, each with the open seconds before it."""

    begins: Sequence[float]
    ends: Sequence[float]
    before: Sequence[float]

    def elapsed(self, at: datetime) -> float:
        """Return the open seconds before a moment, from the first opening on."""
        second = at.timestamp()
        place = bisect_right(self.begins, second) - 1
        if place < 0:
            return 0.0
        return self.before[place] + min(second, self.ends[place]) - self.begins[place]

    def is_open(self, at: datetime) -> bool:
        second = at.timestamp()
        place = bisect_right(self.begins, second) - 1
        return place >= 0 and second < self.ends[place]

    def between(self, begin: datetime, end: datetime) -> float:
        return self.elapsed(end) - self.elapsed(begin)

    def due(self, begin: datetime, seconds: float) -> datetime | None:
        """Return the first moment at which so many open seconds have passed since `begin`. None if it is too far."""
        target = self.elapsed(begin) + seconds
        place = bisect_right(self.before, target) - 1
        # A clock that ends exactly with an opening is due then, not when the next one begins.
        if place > 0 and self.before[place] == target and seconds > 0:
            place -= 1
        if place < 0:
            return None
        second = self.begins[place] + target - self.before[place]
        return datetime.fromtimestamp(second, UTC) if second <= self.ends[place] else None


def compile_openings(spans: Iterable[tuple[float, float]]) -> Openings:
    """Merge spans of seconds. Raise NoOpenings if there is none."""
    merged: list[list[float]] = []
    for begin, end in sorted(each for each in spans if each[0] < each[1]):
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    if not merged:
        raise NoOpenings
    before, total = [], 0.0
    for begin, end in merged:
        before.append(total)
        total += end - begin
    return Openings([begin for begin, _ in merged], [end for _, end in merged], before)


@lru_cache(maxsize=64)
def openings_of(calendar: Calendar | None, year: int) -> Openings:
    """Return the openings from a year on. None is open always. Raise NoOpenings."""
    first, days = date(year, 1, 1), (date(year + YEARS, 1, 1) - date(year, 1, 1)).days
    if calendar is None:
        return compile_openings([(_second(first, 0, ZoneInfo("UTC")), _second(date(year + YEARS, 1, 1), 0, UTC))])
    closed, made_up = _holidays(calendar.holidays, year)
    special = {each.day: each.openings for each in calendar.special}
    zone, spans = ZoneInfo(calendar.zone), []
    for number in range(-1, days + 1):
        day = first + timedelta(days=number)
        weekday = day.weekday()
        if (own := special.get(day)) is not None:
            spans += [(_second(day, begins, zone), _second(day, ends, zone)) for begins, ends in own]
            continue
        if day in made_up:
            weekday = 0  # a make-up workday has the hours of a Monday
        elif day in closed:
            continue
        spans += [
            (_second(day, each.begins, zone), _second(day, each.ends, zone))
            for each in calendar.openings
            if each.weekday == weekday
        ]
    return compile_openings(spans)


def _second(day: date, minute: int, zone: ZoneInfo | object) -> float:
    """Return the UTC second of a local minute. A minute that the clock skips is as long after midnight as before it."""
    whole = day + timedelta(days=minute // 1440)
    local = datetime.combine(whole, time(minute % 1440 // 60, minute % 60), tzinfo=zone)  # type: ignore[arg-type]
    return local.timestamp()


def _holidays(country: str | None, year: int) -> tuple[frozenset[date], frozenset[date]]:
    """Return the public holidays of the compiled years, and the days off that are worked instead (调休)."""
    if country is None:
        return frozenset(), frozenset()
    import holidays  # noqa: PLC0415  (0.2 s, which most processes never need)

    code, _, region = country.partition("-")
    found = holidays.country_holidays(code, subdiv=region or None, years=range(year, year + YEARS))
    return frozenset(found), frozenset(getattr(found, "weekend_workdays", ()))


def is_country(name: str) -> bool:
    """Return whether the public holidays of a country, or of its region, are known."""
    try:
        _holidays(name, 2026)
    except NotImplementedError:  # the package raises it for a country or region that it does not have
        return False
    return True


def unknown_years(country: str | None, years: Sequence[int]) -> list[int]:
    """Return the years for which a country has not yet published which days are worked instead of a day off.

    The package has them as dates of a year, for countries such as CN. Until then a clock may be wrong by days.
    """
    if country is None:
        return []
    import holidays  # noqa: PLC0415

    found = getattr(holidays.country_holidays(country.partition("-")[0]), "special_public_holidays", {})
    published = [
        year
        for year, days in found.items()
        if isinstance(year, int) and any(len(each) == SUBSTITUTED for each in days if isinstance(each, tuple))
    ]
    return [each for each in years if published and each > max(published)]


SUBSTITUTED: Final = 4
"""The length of a day off that names the day that is worked instead: month and day of both."""


class Step(NamedTuple):
    """An entry of a case's history, as far as clocks need it."""

    at: datetime
    did: str
    status: str
    waiting_for: str | None


class Policy(NamedTuple):
    """The open seconds until the first answer, the resolution, and the answer to each later message of the customer.

    `steps` are the open seconds of the resolution after which the case is escalated to level 1, 2, …
    """

    first_answer: int
    resolution: int
    next_answer: int | None = None
    steps: tuple[int, ...] = ()


HOUR: Final = 3_600
DEFAULTS: Final[Mapping[str, Policy]] = {
    "critical": Policy(HOUR, 8 * HOUR, HOUR),
    "high": Policy(4 * HOUR, 24 * HOUR, 4 * HOUR),
    "normal": Policy(24 * HOUR, 72 * HOUR, 24 * HOUR),
    "low": Policy(48 * HOUR, 168 * HOUR, 48 * HOUR),
}
"""The policy of each severity, of all kinds, while none is stored."""


class Clock(NamedTuple):
    """A clock after a history. `due_at` is None unless it runs, and if the time lies beyond the compiled years.

    `stopped_at` is when it was met for good. `elapsed` counts open seconds until `stopped_at`, the pause, or the last
    start, which is `since`. `round` counts the messages that began the clock of the next answer.
    """

    name: str
    state: str
    target: int
    elapsed: float
    due_at: datetime | None
    risk_at: datetime | None
    stopped_at: datetime | None
    since: datetime | None = None
    round: int = 1
    steps: tuple[datetime | None, ...] = ()

    @property
    def moments(self) -> list[tuple[str, datetime]]:
        """Return the moments that are to be noticed: risk, breach, and the steps of escalation."""
        found = [(RISK, self.risk_at), (BREACH, self.due_at)]
        found += [(f"{STEP}{number}", at) for number, at in enumerate(self.steps, 1)]
        return [(name, at) for name, at in found if at is not None]


def clocks(history: Sequence[Step], policy: Policy, openings: Openings, now: datetime | None = None) -> list[Clock]:
    """Fold a history into its clocks. The first entry opens the case. A running clock has elapsed until `now`."""
    found = [_first_answer(history, policy.first_answer, openings), _resolution(history, policy, openings)]
    if policy.next_answer is not None and (later := _next_answer(history, policy.next_answer, openings)) is not None:
        found.append(later)
    if now is None:
        return found
    return [
        each if each.since is None else each._replace(elapsed=each.elapsed + openings.between(each.since, now))
        for each in found
    ]


def _answers(step: Step) -> bool:
    return step.did == "answered" or step.status in OVER


def _first_answer(history: Sequence[Step], target: int, openings: Openings) -> Clock:
    begin = history[0].at
    answered = next((each.at for each in history if _answers(each)), None)
    return _clock(CLOCKS[0], target, openings, 0.0, begin, answered, paused=False)


def _next_answer(history: Sequence[Step], target: int, openings: Openings) -> Clock | None:
    """Return the clock of the last message after the first answer. More messages meanwhile do not begin it anew."""
    answered, rounds = False, 0
    begin: datetime | None = None
    end: datetime | None = None
    for each in history:
        if _answers(each):
            answered = True
            if begin is not None and end is None:
                end = each.at
        elif each.did == "replied" and answered and (begin is None or end is not None):
            begin, end, rounds = each.at, None, rounds + 1
    if begin is None:
        return None
    return _clock(CLOCKS[2], target, openings, 0.0, begin, end, paused=False)._replace(round=rounds)


def _resolution(history: Sequence[Step], policy: Policy, openings: Openings) -> Clock:
    """Pause while the case waits for the customer or the partner, and stop while it is resolved or closed."""
    elapsed, since = 0.0, None
    stopped: datetime | None = None
    for each in history:
        runs = each.status not in OVER and each.waiting_for not in ("customer", "partner")
        if since is not None and not runs:
            elapsed, since = elapsed + openings.between(since, each.at), None
        elif since is None and runs:
            since = each.at
        if each.status not in OVER:
            stopped = None
        elif stopped is None:
            stopped = each.at
    clock = _clock(CLOCKS[1], policy.resolution, openings, elapsed, since, stopped, paused=since is None)
    if clock.since is None:
        return clock
    steps = tuple(openings.due(clock.since, max(0.0, each - elapsed)) for each in policy.steps)
    return clock._replace(steps=steps)


def _clock(
    name: str,
    target: int,
    openings: Openings,
    elapsed: float,
    since: datetime | None,
    stopped: datetime | None,
    *,
    paused: bool,
) -> Clock:
    if stopped is not None:
        if since is not None:
            elapsed += openings.between(since, stopped)
        return Clock(name, "met" if elapsed <= target else "missed", target, elapsed, None, None, stopped)
    if paused or since is None:
        return Clock(name, "paused", target, elapsed, None, None, None)
    due = openings.due(since, max(0.0, target - elapsed))
    risk = openings.due(since, max(0.0, target * AT_RISK - elapsed))
    return Clock(name, "running", target, elapsed, due, risk, None, since)
