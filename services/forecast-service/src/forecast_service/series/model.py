"""A plot of a series as data: what is drawn, and its description."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

SUMMED_DAYS: Final = 28


@dataclass(frozen=True, slots=True)
class Line:
    """Values of consecutive days from `first` on."""

    first: date
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Plot:
    """`demand` begins before the origin and ends with the last day that is drawn of it.

    `fan` has the daily quantiles by level, and `expected` the quantiles of the sum of the first 28 days, or of all days
    of a shorter horizon. `without_overrides` is the mean of the model if planners have overridden it. `past` are
    earlier forecasts. `marks` are days by kind, such as `holiday`. Width and height are in pixels.
    """

    name: str
    unit: str
    model: str
    demand: Line
    mean: Line
    fan: Mapping[float, Sequence[float]]
    expected: Mapping[float, float]
    ordered: Mapping[date, float] = field(default_factory=dict)
    without_overrides: Line | None = None
    past: Sequence[Line] = ()
    marks: Mapping[str, Sequence[date]] = field(default_factory=dict)
    width: int = 960
    height: int = 420

    @property
    def title(self) -> str:
        return f"Demand and forecast of {printable(self.name)}"

    @property
    def description(self) -> str:
        """Return a description for people who cannot see the plot."""
        origin, days = self.mean.first, len(self.mean.values)
        before = self.demand.values[: (origin - self.demand.first).days]
        text = ""
        if before:
            usual = sum(before) / len(before)
            text = (
                f"From {self.demand.first} to {origin - timedelta(days=1)} demand was {number(usual)} a day on "
                f"average, and at most {number(max(before))} (unit: {self.unit}). "
            )
        summed = min(days, SUMMED_DAYS)
        by = f"the model {self.model}" if self.without_overrides is None else "the forecast with overrides"
        text += (
            f"From {origin} to {origin + timedelta(days=days - 1)} {by} expects "
            f"{number(sum(self.mean.values) / days)} a day. In the first {summed} days together, demand is at most "
            f"{number(self.expected[0.5])} with a probability of 50 %, and at most {number(self.expected[0.9])} with "
            "90 %."
        )
        if self.without_overrides is not None:
            text += f" Without overrides it would be {number(sum(self.without_overrides.values) / days)} a day."
        for kind, marked in self.marks.items():
            text += f" Days marked as {kind}: {', '.join(spans(marked))}."
        return text


def spans(days: Sequence[date]) -> list[str]:
    """Return ascending days as text: those that follow each other as `2026-03-01 to 2026-03-04`."""
    found: list[list[date]] = []
    for day in days:
        if found and day - found[-1][-1] == timedelta(days=1):
            found[-1][1:] = [day]
        else:
            found.append([day])
    return [" to ".join(map(str, each)) for each in found]


def printable(text: str) -> str:
    """Replace control characters, which XML cannot have."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
