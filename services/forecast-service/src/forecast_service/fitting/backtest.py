"""Forecast the past from rolling origins, each from what was known then."""

from collections.abc import Sequence
from dataclasses import dataclass

from forecast_service.fitting.metrics import Array
from forecast_service.fitting.panel import Panel


@dataclass(frozen=True, slots=True)
class Origin:
    """One origin, `days` before that of the panel: what was known, what came, and the means of each model."""

    days: int
    past: Panel
    actual: Array
    means: dict[str, Array]


def origins(panel: Panel, count: int, step: int, least: int) -> Sequence[Origin]:
    """Return the latest origins, newest first, before which some series has at least so many days."""
    longest = int(panel.lengths.max(initial=0))
    days = [step * number for number in range(1, count + 1) if longest - step * number >= least]
    return [Origin(each, panel.cut(each), panel.since(each), {}) for each in days]
