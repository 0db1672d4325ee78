"""End the forecasts of discontinued items: nothing more will be asked for, and subscribers must learn it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from crossdock_chassis import JobRun, new_id
from forecast_service.fitting.series import QUANTILES, Fan, Outcome
from forecast_service.forecasts.publish import publish
from forecast_service.places import Zones

DISCONTINUED: Final = "discontinued"
"""The model of a forecast that ends a series."""
CHUNK: Final = 100

OPEN: Final = f"""
    SELECT series.id, series.published_origin AS origin, cardinality(forecasts.mean) AS horizon
    FROM demand_items JOIN series USING (item_id)
    JOIN forecasts ON forecasts.series_id = series.id AND forecasts.origin = series.published_origin
                  AND forecasts.run_id = series.published_run
    WHERE demand_items.status = 'discontinued' AND forecasts.model <> '{DISCONTINUED}'
    ORDER BY series.id LIMIT $1
"""

# A forecast without a published one before it is published, however little it differs.
FORGET: Final = "UPDATE series SET published_origin = NULL, published_run = NULL WHERE id = ANY ($1::uuid[])"


@dataclass(frozen=True, slots=True)
class End:
    """The job. `zones` are those of the days of demand."""

    zones: Zones

    async def end_forecasts(self, run: JobRun) -> dict[str, object]:
        """Publish zero for each day, from the first day that has not ended. An item that comes back is forecast again.

        No run made these forecasts: they share an id of their own.
        """
        ended = 0
        while True:
            async with run.unit() as unit:
                rows = await unit.sql.fetch(OPEN, CHUNK)
                settled = await unit.sql.fetchval("SELECT at FROM settled")
                days = [row["origin"] for row in rows]
                if settled is not None:
                    days.append(self.zones.last_whole_day(settled) + timedelta(days=1))
                if rows:
                    await unit.sql.execute(FORGET, [row["id"] for row in rows])
                    outcomes = [_nothing(str(row["id"]), row["horizon"]) for row in rows]
                    await publish(unit, new_id(), max(days), outcomes)
            ended += len(rows)
            if len(rows) < CHUNK:
                return {"ended": ended}


def _nothing(series: str, horizon: int) -> Outcome:
    zeros = [0.0] * horizon
    levels = [zeros] * len(QUANTILES)
    return Outcome(series, DISCONTINUED, "none", Fan(zeros, levels, levels), why="The item is discontinued.")
