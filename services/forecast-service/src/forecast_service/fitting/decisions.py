"""Describe what was cleaned, day by day, so that a person can judge it."""

from datetime import date
from typing import Final

import numpy as np

from forecast_service.fitting.panel import Panel
from forecast_service.fitting.series import Decision, History

MOST: Final = 200
"""The newest decisions of a series that are kept."""


def decisions(panel: Panel, index: int, history: History) -> list[Decision]:
    """Return what differs between the demand of a series and what models learn from, the newest day first."""
    first, cleaned = panel.origin - panel.days, panel.cleaned
    values, after = panel.values[index], panel.filled[index]
    pinned = np.zeros(panel.days, dtype=bool) if panel.marks is None else np.isfinite(panel.marks.pinned[index])
    found = []
    changed = cleaned.outlier[index] | cleaned.censored[index] | (pinned & np.isfinite(values))
    for place in np.flatnonzero(changed).tolist():
        day, before, now = date.fromordinal(first + place), float(values[place]), float(after[place])
        if cleaned.censored[index, place]:
            reason = f"The item was out of stock, so at least {_number(before)} {_was(before)} wanted."
            found.append(Decision(day, "out_of_stock", f"{reason} Comparable days: {_number(now)}.", before, now))
        else:
            side = "above" if before > now else "below"
            reason = f"Far {side} {_number(now)}, which is usual for this weekday. Nothing planned explains it."
            found.append(Decision(day, "outlier", reason, before, now))
    for day, rule in history.missing.items():
        place = day.toordinal() - first
        if panel.first[index] <= place < panel.days and not panel.closed[place]:
            found.append(Decision(day, rule, WHY_MISSING[rule], None, float(after[place])))
    if cleaned.ended[index]:
        last = int(np.flatnonzero(values > 0)[-1])
        reason = f"No demand in the {panel.days - 1 - last} days since, much longer than ever before: it has ended."
        found.append(Decision(date.fromordinal(first + last + 1), "ended", reason, 0.0, 0.0))
    return sorted(found, key=lambda each: each.day, reverse=True)[:MOST]


WHY_MISSING: Final = {
    "feed_down": "No item had any demand on this day, and on each of the 28 days before many had: data is missing.",
    "row_missing": "The imported rows of the item state days without demand, but this day has no row.",
}


def _was(count: float) -> str:
    return "was" if count == 1 else "were"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
