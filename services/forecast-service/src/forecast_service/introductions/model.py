"""What is expected of a new item: the history that it takes over, and how its demand begins."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import accumulate
from math import fsum, isfinite, sqrt
from typing import Final

from forecast_service.fitting.series import Fan, History, Outcome

MOST_LIKE: Final = 10
MOST_BEHIND: Final = 50
"""Items behind an item, through those that it is like or continues."""
LONGEST_RAMP: Final = 366
TOLERANCE: Final = 1e-6
SPREAD_DAYS: Final = 91
SEASON: Final = 7
WIDEST: Final = 5.0
NEW: Final = 4 * SEASON
"""Days of history from which on an item is forecast like any other."""
SHAPE_DAYS: Final = 8 * SEASON
SURE: Final = 700.0
"""Units from which on the weekdays of a category count more than none."""
FLAT: Final = frozenset(("average", "fallback"))
"""Models that forecast the same for each day."""


@dataclass(frozen=True, slots=True)
class Base:
    """An item whose history another one takes over, times `weight`."""

    item_id: str
    weight: float


@dataclass(frozen=True, slots=True)
class Introduction:
    """A new item continues one item (`successor`), or is like some whose weights add up to one.

    Its demand begins on `start`, else on its first day with demand. It grows evenly for `ramp_days`. At the end of the
    ramp it is `scale` times that of its bases.
    """

    item_id: str
    bases: tuple[Base, ...]
    successor: bool
    scale: float = 1.0
    start: date | None = None
    ramp_days: int = 0

    def own_share(self, day: date, first: date) -> float:
        """Return the part of its full demand, 0…1, that the item itself has on a day if it begins on `first`."""
        return min(1.0, max(0.0, ((day - first).days + 1) / max(1, self.ramp_days)))


class NoSuchItem(Exception):
    def __init__(self, item_id: str) -> None:
        super().__init__(f"There is no item {item_id} yet: register it first")


class NoSuchIntroduction(Exception):
    def __init__(self, item_id: str) -> None:
        super().__init__(f"Nothing is stated about the introduction of {item_id}")


class InvalidIntroduction(Exception):
    """An introduction that contradicts itself, or other items. `errors` point at each reason."""

    def __init__(self, errors: Sequence[Mapping[str, str]]) -> None:
        super().__init__("; ".join(each["detail"] for each in errors))
        self.errors = errors


def check(new: Introduction, known: Mapping[str, Introduction], items: Collection[str]) -> None:
    """Raise InvalidIntroduction. `known` has the introductions behind its bases, and `items` the bases that exist."""
    errors = list(_errors(new, items)) or list(_behind(new, known))
    if errors:
        raise InvalidIntroduction(errors)


def _errors(new: Introduction, items: Collection[str]) -> Iterator[dict[str, str]]:
    seen: set[str] = set()
    for place, base in enumerate(new.bases):
        pointer = _pointer(new, place)
        if base.item_id == new.item_id:
            yield {"pointer": pointer, "detail": "an item cannot take over its own history", "code": "self"}
        elif base.item_id in seen:
            yield {"pointer": pointer, "detail": f"{base.item_id} is listed twice", "code": "duplicate"}
        elif base.item_id not in items:
            yield {"pointer": pointer, "detail": f"there is no item {base.item_id}", "code": "unknown"}
        seen.add(base.item_id)
    if abs(total := fsum(base.weight for base in new.bases) - 1) > TOLERANCE:
        yield {"pointer": "/like", "detail": f"the weights add up to {total + 1:g} and not to 1", "code": "sum"}
    if new.ramp_days and new.start is None:
        yield {"pointer": "/start", "detail": "a ramp needs the day on which it starts", "code": "missing"}


def _behind(new: Introduction, known: Mapping[str, Introduction]) -> Iterator[dict[str, str]]:
    """Yield an error for each base that leads back to the item, and one if too many items are behind it."""
    reached: set[str] = set()
    for place, base in enumerate(new.bases):
        paths: list[tuple[str, tuple[str, ...]]] = [(base.item_id, (new.item_id, base.item_id))]
        visited: set[str] = set()
        while paths:
            item, path = paths.pop()
            if item == new.item_id:
                detail = f"the items would take over from each other in a circle: {' → '.join(path)}"
                yield {"pointer": _pointer(new, place), "detail": detail, "code": "circle"}
                break
            if item not in visited and item in known:
                paths += [(each.item_id, (*path, each.item_id)) for each in known[item].bases]
            visited.add(item)
        reached |= visited
    if len(reached) > MOST_BEHIND:
        detail = f"{len(reached)} items are behind it: at most {MOST_BEHIND} can be"
        yield {"pointer": _pointer(new, 0), "detail": detail, "code": "too_many"}


def _pointer(new: Introduction, place: int) -> str:
    return "/successor_of" if new.successor else f"/like/{place}/item_id"


def weights(known: Mapping[str, Introduction]) -> dict[str, dict[str, float]]:
    """Return, for each introduced item, all items behind it and their weights."""
    found: dict[str, dict[str, float]] = {}

    def of(item: str) -> Mapping[str, float]:
        if item not in found and item in known:
            found[item] = mine = dict[str, float]()
            for base in known[item].bases:
                share = base.weight * known[item].scale
                for each, weight in {base.item_id: 1.0, **of(base.item_id)}.items():
                    mine[each] = mine.get(each, 0.0) + share * weight
        return found.get(item, {})

    for item in known:
        of(item)
    return found


@dataclass(frozen=True, slots=True)
class Carried:
    """A history with what it takes over, and how its forecast is shaped.

    `factors` multiply each day of the horizon. `wider` multiplies the distance of quantiles from the mean.
    """

    history: History
    factors: Sequence[float] = ()
    wider: float = 1.0
    flat_only: bool = False


def carry(own: History, stated: Introduction, bases: Sequence[History], origin: date, horizon: int) -> Carried:
    """Add the histories of the bases before the item's first day, and in its ramp the part that it does not have yet.

    The mean of several items varies less than each of them. So the forecast is as wide as theirs are.
    """
    first = stated.start or (own.start if own.values else origin)
    begin = min([own.start, *(each.start for each in bases if each.values)], default=own.start)
    table = [[0.0] * max(0, (each.start - begin).days) + list(each.values) for each in (own, *bases)]
    shares = [stated.own_share(begin + timedelta(days=n), first) for n in range((origin - begin).days)]
    mixed = [
        fsum(base.weight * row[n] for base, row in zip(stated.bases, table[1:], strict=True))
        for n in range(len(shares))
    ]
    values = [
        own_value if share == 1 else own_value + (1 - share) * stated.scale * mix
        for own_value, share, mix in zip(table[0], shares, mixed, strict=True)
    ]
    recent = shares[-SPREAD_DAYS:]
    from_bases = 1 - fsum(recent) / len(recent) if recent else 0.0
    single = fsum(base.weight * _variance(row) for base, row in zip(stated.bases, table[1:], strict=True))
    ratio = min(WIDEST, max(1.0, sqrt(single / variance))) if (variance := _variance(mixed)) > 0 else 1.0
    factors = [stated.own_share(origin + timedelta(days=n), first) for n in range(horizon)]
    return Carried(replace(own, start=begin, values=values), factors, 1 + (ratio - 1) * from_bases)


def _variance(row: Sequence[float]) -> float:
    """Return the variance of recent days around their weekday: half the mean square of their weekly differences."""
    recent = row[-SPREAD_DAYS - SEASON :]
    pairs = [(new - old) ** 2 for old, new in zip(recent, recent[SEASON:], strict=False) if new == new and old == old]
    return fsum(pairs) / (2 * len(pairs)) if pairs else 0.0


@dataclass(frozen=True, slots=True)
class Category:
    """What a category sold at a place in SHAPE_DAYS, by weekday from Monday on, and how many items it has sold ever."""

    sold: Sequence[float]
    items: int


def like_category(own: History, category: Category, origin: date, horizon: int) -> Carried:
    """Shape the flat forecast of a new item as the weekdays of its category, at the level of its own days.

    The first day does not count: it is known because the item sold, so each new item sold on it. In its place counts a
    day of the mean item of the category.
    """
    units, known = fsum(category.sold), [n for n, value in enumerate(own.values) if isfinite(value)]
    mean = fsum(own.values[n] for n in known) / max(1, len(known))
    if units <= 0 or mean <= 0:
        return Carried(own)
    sure = units / (units + SURE)
    shape = [1 + (SEASON * each / units - 1) * sure for each in category.sold]
    days = [shape[(own.start + timedelta(days=n)).weekday()] for n in known]
    rest = fsum(own.values[n] for n in known[1:]) + units / SHAPE_DAYS / category.items
    level = rest / (fsum(days[1:]) + 1)
    factors = [shape[(origin + timedelta(days=n)).weekday()] * level / mean for n in range(horizon)]
    return Carried(own, factors, flat_only=True)


def shaped(outcome: Outcome, carried: Carried) -> Outcome:
    """Multiply the days of a forecast by factors.

    The variance of a day grows with its mean. That of a sum is shared by its days in proportion to their means.
    """
    factors, wider = carried.factors, carried.wider
    if not factors or (carried.flat_only and outcome.model not in FLAT):
        return outcome
    if wider == 1 and all(each == 1 for each in factors):
        return outcome
    old, mean = outcome.fan.mean, [each * factor for each, factor in zip(outcome.fan.mean, factors, strict=True)]
    totals = list(zip(accumulate(old), accumulate(mean), strict=True))
    daily = [
        [new + (value - m) * wider * sqrt(f) for value, m, new, f in zip(row, old, mean, factors, strict=True)]
        for row in outcome.fan.quantiles
    ]
    cumulative = [
        [
            new + (value - was) * wider * sqrt(new / was if was else 0.0)
            for value, (was, new) in zip(row, totals, strict=True)
        ]
        for row in outcome.fan.cumulative
    ]
    whole = carried.history.whole
    fan = Fan(mean, _levels(daily, whole), [list(accumulate(row, max)) for row in _levels(cumulative, whole)])
    return replace(outcome, fan=fan)


def _levels(rows: Sequence[Sequence[float]], whole: bool) -> list[list[float]]:
    """Return quantiles that are neither negative nor out of order."""
    above = [list(column) for column in zip(*(accumulate(day, max) for day in zip(*rows, strict=True)), strict=True)]
    return [[float(round(max(0.0, value))) if whole else max(0.0, value) for value in row] for row in above]
