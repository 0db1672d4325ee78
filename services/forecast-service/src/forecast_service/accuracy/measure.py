"""Measure the forecasts of each day once its demand is whole, and detect bias."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json

from crossdock_chassis import JobRun, Unit
from crossdock_events.forecasts import ForecastAccuracyMeasured, ForecastAtLag, ForecastBiasDetected
from forecast_service.accuracy.model import BIAS_DAYS, LAGS, NO_BIAS, direction, tracking_signal
from forecast_service.accuracy.pairs import forecast_of, same_weekday
from forecast_service.demand.censored import days_out_of_stock
from forecast_service.demand.history import DAYS
from forecast_service.places import Zones
from forecast_service.runs.request import latest_origin

CHUNK: Final = 500
MOST_DAYS: Final = 28
"""After a longer pause, only so many days are measured."""

PROGRESS: Final = "SELECT day, after FROM accuracy_progress"
STORE: Final = """
    INSERT INTO accuracy_progress (day, after) VALUES ($1, $2)
    ON CONFLICT (one) DO UPDATE SET day = excluded.day, after = excluded.after
"""
NEXT: Final = "SELECT id FROM series WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2"

FORECASTS: Final = f"""
    SELECT series.id, series.item_id, series.location_id, series.region, lag,
           coalesce(demand_items.unit_of_measure, 'each') AS unit_of_measure,
           last.mean[$2::date - last.origin + 1] AS model,
           (coalesce(adjusted.mean, last.mean))[$2::date - last.origin + 1] AS forecast,
           {same_weekday("$2::date")} AS same_weekday
    FROM series LEFT JOIN demand_items USING (item_id) CROSS JOIN unnest($3::int[]) AS lag
    {forecast_of("$2::date", "lag")}
    WHERE series.id = ANY ($1::uuid[])
    ORDER BY series.id, lag
"""

DEMAND: Final = f"""
    SELECT item_id, location_id, region, day, sum(quantity)::float8 AS quantity FROM ({DAYS}) AS days
    WHERE item_id = ANY ($1::text[]) AND day = ANY ($2::date[])
    GROUP BY item_id, location_id, region, day
"""

STATES: Final = "SELECT * FROM series_accuracy WHERE series_id = ANY ($1::uuid[])"

KEEP: Final = """
    INSERT INTO series_accuracy (series_id, version, direction, errors)
    SELECT * FROM json_to_recordset($1::json)
         AS new (series_id uuid, version bigint, direction text, errors double precision[])
    ON CONFLICT (series_id) DO UPDATE
    SET version = excluded.version, direction = excluded.direction, errors = excluded.errors
"""


@dataclass(frozen=True, slots=True)
class Measure:
    """The job. `zones` are those of the days of demand."""

    zones: Zones

    async def measure_accuracy(self, run: JobRun) -> dict[str, object] | None:
        """Measure each day that is whole, series by series. What is measured commits with the place of the next one."""
        measured = 0
        while True:
            async with run.unit() as unit:
                count = await self._step(unit)
            if count is None:
                return {"measured": measured} if measured else None
            measured += count

    async def _step(self, unit: Unit) -> int | None:
        """Measure the next series. Return the number of events, None if every whole day is measured."""
        origin = await latest_origin(unit.sql, self.zones)
        if origin is None:
            return None
        last, found = origin - timedelta(days=1), await unit.sql.fetchrow(PROGRESS)
        day, after = (last, None) if found is None else (found["day"], found["after"])
        if day > last:
            return None
        if day <= last - timedelta(days=MOST_DAYS):
            day, after = last - timedelta(days=MOST_DAYS - 1), None
        series = [row["id"] for row in await unit.sql.fetch(NEXT, after, CHUNK)]
        if not series:
            await unit.sql.execute(STORE, day + timedelta(days=1), None)
            return 0
        await unit.sql.execute(STORE, day, series[-1])
        return await measure(unit, day, series, self.zones)


async def measure(unit: Unit, day: date, series: Sequence[UUID], zones: Zones) -> int:
    """Publish what was forecast for a day beside its demand, and changes of bias. Return the number of series.

    An item that was out of stock is left out, because more may have been wanted than was asked for.
    """
    censored = await days_out_of_stock(unit.sql, zones, series, day, day)
    in_stock = [each for each in series if (each, day) not in censored]
    rows = await unit.sql.fetch(FORECASTS, in_stock, day, LAGS)
    items, days = sorted({row["item_id"] for row in rows}), {day, *(row["same_weekday"] for row in rows)}
    counted = await unit.sql.fetch(DEMAND, items, sorted(days))
    demand = {tuple(row)[:4]: row["quantity"] for row in counted}
    states = {row["series_id"]: row for row in await unit.sql.fetch(STATES, series)}
    kept = []
    for id, of_series in groupby(rows, key=lambda row: row["id"]):
        kept.append(_measured(unit, day, list(of_series), demand, states.get(id)))
    if kept:
        await unit.sql.execute(KEEP, to_json(kept).decode())
    return len(kept)


def _measured(
    unit: Unit, day: date, rows: Sequence[Any], demand: Mapping[tuple[Any, ...], float], state: Any
) -> dict[str, object]:
    """Publish the events of a series, and return its new state."""
    first = rows[0]
    place = first["item_id"], first["location_id"], first["region"]
    actual = demand.get((*place, day), 0.0)
    version, before, errors = 0, NO_BIAS, list[float]()
    if state is not None:
        version, before, errors = state["version"], state["direction"], state["errors"]
    common: dict[str, Any] = {
        "series_id": first["id"],
        "item_id": first["item_id"],
        "location_id": first["location_id"] or None,
        "region": first["region"] or None,
        "day": day,
    }
    lags = tuple(_at_lag(row, demand.get((*place, row["same_weekday"]), 0.0)) for row in rows)
    unit.publish(
        ForecastAccuracyMeasured(
            **common, unit_of_measure=first["unit_of_measure"], actual=max(0.0, actual), lags=lags
        ),
        sequence=version + 1,
        cause=None,
    )
    version += 1
    errors = [*errors, *_next_day(rows, actual)][-BIAS_DAYS:]
    now = direction(before, errors)
    if now != before:
        version += 1
        signal = tracking_signal(errors)
        event = ForecastBiasDetected(**common, direction=now, tracking_signal=signal, days=len(errors))
        unit.publish(event, sequence=version, cause=None)
    return {"series_id": first["id"], "version": version, "direction": now, "errors": errors}


def _at_lag(row: Any, naive: float) -> ForecastAtLag:
    return ForecastAtLag(lag=row["lag"], forecast=row["forecast"], model=row["model"], naive=max(0.0, naive))


def _next_day(rows: Iterable[Any], actual: float) -> list[float]:
    """Return the error one day ahead. A series without such a forecast has none."""
    return [row["forecast"] - actual for row in rows if row["lag"] == 1]
