"""A what-if: what would be asked for with other prices, promotions, calendar days, or the past of another item."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final, Literal

from forecast_service.calendar.model import Calendar, Kind, OwnDay
from forecast_service.drivers.model import Driver, elsewhere
from forecast_service.fitting.series import PRICE, Choice, History, Outcome, Plan, Task

CHANGED: Final = "changed"
"""The name of the series with the change, beside the one as it is."""


class WhatIfError(Exception):
    """A what-if that cannot be answered.

    - UnknownItem: it is not registered
    - NothingChanges: no change is in the horizon
    - NoAnswer: no runner has answered in time
    - NotComputed: a runner could not forecast it
    """


class UnknownItem(WhatIfError):
    def __init__(self, pointer: str, item_id: str) -> None:
        super().__init__(f"The item {item_id} is not registered")
        self.errors = [{"pointer": pointer, "detail": f"no item {item_id} is registered", "code": "unknown"}]


class NothingChanges(WhatIfError):
    def __init__(self, origin: date, last: date) -> None:
        super().__init__(f"No change is in the forecast, which is of {origin} to {last}")
        self.errors = [{"pointer": "/changes", "detail": "must name a day of the forecast", "code": "no_effect"}]


class NoAnswer(WhatIfError):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"No runner has answered within {seconds:g} s")


class NotComputed(WhatIfError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"The forecast failed: {reason}")


@dataclass(frozen=True, slots=True)
class LikeItem:
    """The item sells `weight` times as much as another item did, before its own first sale."""

    item_id: str
    weight: float


@dataclass(frozen=True, slots=True)
class Question:
    """A series, and what changes from the origin on. The scope of `drivers` is ignored: they are of this series."""

    item_id: str
    location_id: str
    region: str
    origin: date
    horizon: int
    drivers: tuple[Driver, ...] = ()
    days: tuple[OwnDay, ...] = ()
    like: LikeItem | None = None

    @property
    def last(self) -> date:
        return self.origin + timedelta(days=self.horizon - 1)

    @property
    def effective(self) -> bool:
        """Return whether a change is in the horizon."""
        drivers = any(
            each.first_day <= self.last and (each.last_day is None or each.last_day >= self.origin)
            for each in self.drivers
        )
        return drivers or any(self.origin <= each.day <= self.last for each in self.days) or self.like is not None

    def document(self) -> dict[str, Any]:
        """Return the question as JSON values."""
        return {
            "series": [self.item_id, self.location_id, self.region],
            "origin": self.origin.isoformat(),
            "horizon": self.horizon,
            "drivers": [
                [each.name, each.first_day.isoformat(), each.last_day and each.last_day.isoformat(), each.value]
                for each in self.drivers
            ],
            "days": [[each.day.isoformat(), each.name, each.kind] for each in self.days],
            "like": self.like and [self.like.item_id, self.like.weight],
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Question":
        drivers = (
            Driver(name, "", "", "", date.fromisoformat(first), last and date.fromisoformat(last), value, None)
            for name, first, last, value in document["drivers"]
        )
        days = (OwnDay(date.fromisoformat(day), name, kind) for day, name, kind in document["days"])
        like = document["like"] and LikeItem(*document["like"])
        origin = date.fromisoformat(document["origin"])
        item, location, region = document["series"]
        return cls(item, location, region, origin, document["horizon"], tuple(drivers), tuple(days), like)


def own_day(day: date, kind: Kind) -> OwnDay:
    return OwnDay(day, "what if", kind)


def changed_calendar(question: Question, calendar: Calendar) -> Calendar:
    """Return the calendar with the days of the question. Days before the origin stay as they were."""
    ahead = {each.day: each for each in question.days if each.day >= question.origin}
    return replace(calendar, own=(*(each for each in calendar.own if each.day not in ahead), *ahead.values()))


def with_change(question: Question, history: History, like: History | None, calendar: Calendar) -> History:
    """Return the series with the change, which is known at the origin."""
    if like is not None and question.like is not None:
        history = _like(history, like, question.like.weight)
    origin = question.origin.toordinal()
    plans = [
        Plan(
            each.name,
            max(each.first_day.toordinal(), origin),
            None if each.last_day is None else each.last_day.toordinal(),
            each.value,
            origin,
            None,
            elsewhere(each),
        )
        for each in question.drivers
    ]
    drivers = changed_calendar(question, calendar).drivers(history.start, question.last)
    return replace(history, series=CHANGED, drivers=drivers, plans=[*history.plans, *plans])


def _like(history: History, like: History, weight: float) -> History:
    """Put the demand of another item, times a weight, before the first sale of this one, with its drivers and marks."""
    first = history.start
    theirs = like.values[: max(0, (first - like.start).days)]
    if not theirs:
        return history
    return replace(
        history,
        start=like.start,
        values=[*(value * weight for value in theirs), *history.values],
        censored=frozenset(
            {day for day in like.censored if day < first} | {day for day in history.censored if day >= first}
        ),
        missing={day: rule for day, rule in like.missing.items() if day < first} | dict(history.missing),
        kept=frozenset({day for day in like.kept if day < first} | history.kept),
        pinned={day: value * weight for day, value in like.pinned.items() if day < first} | dict(history.pinned),
        plans=[*_until(first.toordinal(), like.plans, history.plans), *_since(first.toordinal(), history.plans)],
    )


def _until(first: int, theirs: Sequence[Plan], own: Sequence[Plan]) -> Iterator[Plan]:
    """Yield the plans of another item on the days before `first`, because its demand there followed them.

    Its prices become those of this item, so that they rose and fell by as many percent: the last one becomes the first
    one here. Without prices of its own, this item has those of the other one also from `first` on.
    """
    before = [each for each in theirs if each.first < first]
    prices = [each.value for each in before if each.name == PRICE and (each.last is None or each.last >= first - 1)]
    here = min((each for each in own if each.name == PRICE), key=lambda each: each.first, default=None)
    scale = 1.0 if here is None or not prices else here.value / prices[-1]
    for each in before:
        if each.name == PRICE and here is None:
            yield each
        else:
            last = first - 1 if each.last is None else min(each.last, first - 1)
            yield replace(each, last=last, value=each.value * (scale if each.name == PRICE else 1.0))


def _since(first: int, own: Sequence[Plan]) -> Iterator[Plan]:
    for each in own:
        if each.last is None or each.last >= first:
            yield replace(each, first=max(each.first, first))


def tasks(
    question: Question,
    calendar: Calendar,
    as_is: History,
    changed: History,
    peers: Sequence[History],
    choices: Mapping[str, Choice],
) -> list[Task]:
    """Return one task with both, or two if other days are closed. The peers lend their effects to both.

    The models that were chosen for the series are fitted again. Without a choice, or with another past, there is a new
    choice, which takes longer.
    """
    level: Literal["refit", "full"] = "full"
    if as_is.series in choices and question.like is None:
        level, choices = "refit", {**choices, CHANGED: choices[as_is.series]}
        peers = [each for each in peers if each.series in choices]
    closed, other = calendar.closed(), changed_calendar(question, calendar).closed()
    rows = [([as_is, changed], closed)] if closed == other else [([as_is], closed), ([changed], other)]
    return [Task(question.origin, question.horizon, [*own, *peers], level, days, choices) for own, days in rows]


def warnings(
    question: Question, changed: History, peers: Sequence[History], made: Mapping[str, Outcome]
) -> Iterator[str]:
    """Yield why the difference between both forecasts may not be that of the change."""
    origin = question.origin.toordinal()
    for name in dict.fromkeys(each.name for each in question.drivers):
        if not _moved(changed, name, origin):
            lent = any(_moved(each, name, origin) for each in peers)
            instead = "Its effect is that on other items." if lent else "The forecast does not know its effect."
            yield f"{name} of this item never changed before {question.origin}. {instead}"
    holidays = [each for each in question.days if each.kind == "holiday"]
    if holidays and not any(value for row in changed.drivers.values() for value in row[: len(changed.values)]):
        yield f"There was no holiday before {question.origin}: the forecast does not know the effect of one."
    before, after = (each.fan for each in made.values())
    if (question.drivers or holidays) and before.mean == after.mean:
        yield "The models that forecast this item best do not use drivers, so both forecasts are equal."


def _moved(history: History, name: str, origin: int) -> bool:
    """Return whether a driver had different values on the days of a history."""
    first = history.start.toordinal()
    days: dict[int, float] = {}
    zero = False
    for plan in history.plans:
        if plan.name == name and plan.known <= origin and (plan.ended is None or plan.ended > origin):
            last = origin - 1 if plan.last is None else min(plan.last, origin - 1)
            days.update(dict.fromkeys(range(max(plan.first, first), last + 1), plan.value))
            zero = plan.elsewhere == "zero"
    values = set(days.values())
    if zero and days and len(days) < origin - first:
        values.add(0.0)
    return len(values) > 1


def document(question: Question, made: Mapping[str, Outcome], found: Sequence[str]) -> dict[str, Any]:
    """Return the answer as JSON values."""
    return {
        name: {
            "model": outcome.model,
            "why": outcome.why,
            "days": [
                {
                    "day": (question.origin + timedelta(days=n)).isoformat(),
                    "mean": mean,
                    "quantiles": [each[n] for each in outcome.fan.quantiles],
                    "cumulative": [each[n] for each in outcome.fan.cumulative],
                }
                for n, mean in enumerate(outcome.fan.mean)
            ],
        }
        for name, outcome in zip(("as_is", "changed"), made.values(), strict=True)
    } | {"warnings": list(found)}
