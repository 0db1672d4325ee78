"""Reconcile the forecasts of a run at one place: those of its items, of their categories and of all items together."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from math import fsum
from typing import Any, Final, TypeAlias

from crossdock_chassis import ChildFailed, ChildLost, Database
from forecast_service.calendar.model import Calendar
from forecast_service.calendar.store import read as read_calendar
from forecast_service.drivers.store import plans
from forecast_service.fitting.series import History, Outcome, Plan, Task
from forecast_service.hierarchy import model, store
from forecast_service.hierarchy.model import MOST_RECONCILED, TOTAL, ItemForecast, Reconciled
from forecast_service.runs.model import MAX_ATTEMPTS, usable
from forecast_service.runs.store import Claimed

Ask: TypeAlias = Callable[..., AsyncIterator[Any]]
"""Has a task or a structure computed, as `Child.call` does."""

SECONDS: Final = 120.0
"""The longest time for the reconciliation itself. Its library takes seconds to import."""
SERIES_AT_ONCE: Final = 10
"""The sums may take as long as this part of them would take alone."""
MOST_PLANS: Final = 100_000
"""Plans of items that sums have at most, because each has those of all its items."""
MISSING: Final = "No module named 'hierarchicalforecast"


async def reconcile(database: Database, ask: Ask, claimed: Claimed, series_seconds: float) -> Reconciled:
    """Forecast the sums and reconcile them with the items. What cannot be reconciled is summed, with the reason."""
    async with database.unit() as unit:
        category = await unit.sql.fetchval("SELECT category FROM runs WHERE id = $1", claimed.run)
        items = await store.items(unit.sql, claimed.run, claimed.series)
        place = await store.place_of(unit.sql, claimed.series)
        sold = await store.demand(unit.sql, place, category, claimed.origin - timedelta(days=1))
        calendar = await read_calendar(unit.sql)
        last = claimed.origin + timedelta(days=claimed.horizon - 1)
        known = claimed.origin, last, claimed.requested_at
        planned = await plans(unit.sql, claimed.series, *known, calendar.closed())
    names = [*([TOTAL] if category is None else []), *sorted({each.category for each in items if each.category})]
    base: dict[str, Outcome] = {}
    why: str | None = f"{MAX_ATTEMPTS} runners ended while they reconciled it."
    coherent = None
    if claimed.attempts <= MAX_ATTEMPTS:
        histories = with_plans(_histories(names, sold, claimed.origin), items, planned)
        base, why = await _forecast(ask, claimed, histories, calendar, series_seconds)
        if why is None:
            coherent, why = await _coherent(ask, names, items, base)
    if coherent is None:
        return Reconciled(*place, claimed.origin, model.summed(names, items, base, "bottom_up", why))
    nodes = model.summed(names, coherent, base, "min_trace", None)
    return Reconciled(*place, claimed.origin, nodes, [(each.series, each.mean) for each in coherent])


def _histories(names: list[str], sold: dict[str, dict[date, float]], origin: date) -> list[History]:
    """Return the demand of the sums with these names that have any."""
    total: dict[date, float] = {}
    for days in sold.values():
        for day, quantity in days.items():
            total[day] = total.get(day, 0.0) + quantity
    found = []
    for name in names:
        if days := total if name == TOTAL else sold.get(name, {}):
            first = min(days)
            values = [days.get(first + timedelta(days=n), 0.0) for n in range((origin - first).days)]
            found.append(History(name, first, values, whole=False))
    return found


def with_plans(
    sums: Sequence[History], items: Sequence[ItemForecast], planned: Mapping[str, Sequence[Plan]]
) -> list[History]:
    """Return the sums with the plans of their items, each with the item's share of the forecast.

    Only plans of drivers that are zero on other days, such as promotions, add up. Too many are left out.
    """
    if sum(map(len, planned.values())) > MOST_PLANS:
        return [*sums]
    found = []
    for each in sums:
        parts = [item for item in items if each.series in (TOTAL, item.category)]
        total = fsum(fsum(item.mean) for item in parts)
        found.append(
            replace(
                each,
                plans=[
                    replace(plan, part=number, share=fsum(item.mean) / total)
                    for number, item in enumerate(parts)
                    for plan in planned.get(str(item.series), ())
                    if plan.elsewhere == "zero" and total > 0
                ],
            )
        )
    return found


async def _forecast(
    ask: Ask, claimed: Claimed, histories: list[History], calendar: Calendar, series_seconds: float
) -> tuple[dict[str, Outcome], str | None]:
    """Return the forecasts of the sums, by name, and the reason if they are missing."""
    last = claimed.origin + timedelta(days=claimed.horizon - 1)
    known = [replace(each, drivers=calendar.drivers(each.start, last)) for each in histories]
    task = Task(claimed.origin, claimed.horizon, known, "full", calendar.closed())
    try:
        limit = series_seconds * (1 + len(known) / SERIES_AT_ONCE)
        made = [each async for each in ask(task, seconds=limit)]
    except (ChildLost, ChildFailed) as error:
        return {}, f"The sums could not be forecast: {error}."
    return {each.series: each for each in made if usable(each, claimed.horizon)}, None


async def _coherent(
    ask: Ask, names: list[str], items: list[ItemForecast], base: dict[str, Outcome]
) -> tuple[list[ItemForecast] | None, str | None]:
    """Return the items with their new means, or the reason why there are none."""
    if not base:
        return None, "The sums could not be forecast."
    if len(items) > MOST_RECONCILED:
        return None, f"{len(items)} items are too many to reconcile: at most {MOST_RECONCILED} are."
    try:
        (found,) = [each async for each in ask(model.structure(names, items, base), seconds=SECONDS)]
    except ChildLost as error:
        return None, f"The reconciliation was given up: {error}."
    except ChildFailed as error:
        missing = MISSING in str(error)
        return None, "Reconciliation is not installed here." if missing else f"The reconciliation failed: {error}."
    if not model.usable(found, items):
        return None, "The reconciliation is not made of usable numbers."
    return [
        ItemForecast(item.series, item.category, mean, item.spread)
        for item, mean in zip(items, found.item_means, strict=True)
    ], None
