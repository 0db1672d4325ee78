"""Store the forecasts of a run, and publish those that have moved."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json

from crossdock_chassis import Unit, columns
from crossdock_events.forecasts import ForecastQuantile, ForecastUpdated, ModelChanged
from forecast_service.fitting.series import QUANTILES, Outcome
from forecast_service.forecasts import choices
from forecast_service.forecasts.choices import Replaced
from forecast_service.forecasts.model import Believed, moved

LOCK: Final = """
    SELECT series.id, series.item_id, series.location_id, series.region, series.version, series.published_origin,
           coalesce((SELECT unit_of_measure FROM demand_items WHERE demand_items.item_id = series.item_id), 'each')
               AS unit_of_measure,
           (SELECT cumulative FROM forecasts WHERE forecasts.series_id = series.id
            AND forecasts.origin = series.published_origin AND forecasts.run_id = series.published_run) AS cumulative
    FROM series WHERE series.id = ANY ($1::uuid[]) ORDER BY series.id FOR UPDATE OF series
"""

# An array of arrays cannot be unnested row by row, so each forecast is a JSON document.
KEEP: Final = """
    INSERT INTO forecasts (series_id, origin, run_id, made_at, model, demand_class, why, scores, mean, quantiles,
                           cumulative, version)
    SELECT series_id, $1, $2, $3, model, demand_class, why, scores, mean, quantiles, cumulative, version
    FROM json_to_recordset($4::json) AS new (series_id uuid, model text, demand_class text, why text, scores jsonb,
         mean double precision[], quantiles double precision[], cumulative double precision[], version bigint)
    ON CONFLICT (series_id, origin, run_id) DO UPDATE
    SET made_at = excluded.made_at, model = excluded.model, demand_class = excluded.demand_class, why = excluded.why,
        scores = excluded.scores, mean = excluded.mean, quantiles = excluded.quantiles,
        cumulative = excluded.cumulative, version = coalesce(excluded.version, forecasts.version)
"""

PUBLISHED: Final = """
    UPDATE series AS old SET version = new.version, published_origin = $2, published_run = $3
    FROM unnest($1::uuid[], $4::bigint[]) AS new (id, version) WHERE old.id = new.id
"""


async def publish(unit: Unit, run: UUID, origin: date, outcomes: Sequence[Outcome]) -> None:
    """Store the forecasts that a run made of some series, and publish `ForecastUpdated` where they have moved.

    New choices are stored too. `ModelChanged` comes before the forecast of a model that replaces another.

    A run that makes a forecast twice, first with a cheap model, replaces the first one.
    """
    made = {UUID(outcome.series): outcome for outcome in outcomes}
    replaced = await choices.keep(unit, run, origin, outcomes)
    documents: list[dict[str, Any]] = []
    versions: list[tuple[UUID, int]] = []
    for row in await unit.sql.fetch(LOCK, sorted(made)):
        outcome, version = made[row["id"]], None
        before, earlier = _believed(row), replaced.get(row["id"])
        if earlier is not None or moved(before, origin, outcome.fan.cumulative):
            version = row["version"] + 1
            if earlier is not None:
                unit.publish(_changed(row, run, origin, outcome, earlier), sequence=version, cause=None)
                version += 1
            unit.publish(_event(row, run, origin, outcome), sequence=version, cause=None)
            versions.append((row["id"], version))
        documents.append(_document(outcome, version))
    if documents:
        await unit.sql.execute(KEEP, origin, run, unit.now, to_json(documents).decode())
    if versions:
        ids, numbers = columns(versions)
        await unit.sql.execute(PUBLISHED, ids, origin, run, numbers)


def _believed(row: Any) -> Believed | None:
    if row["cumulative"] is None:
        return None
    return Believed(row["published_origin"], rows_of(row["cumulative"]))


def rows_of(flat: Sequence[float]) -> list[Sequence[float]]:
    """Return the array of each quantile from the arrays one after another."""
    days = len(flat) // len(QUANTILES)
    return [flat[n * days : (n + 1) * days] for n in range(len(QUANTILES))]


def _changed(row: Any, run: UUID, origin: date, outcome: Outcome, earlier: Replaced) -> ModelChanged:
    (model, combined), (earlier_model, earlier_combined) = _parts(outcome.model), _parts(earlier.model)
    return ModelChanged(
        series_id=row["id"],
        item_id=row["item_id"],
        location_id=row["location_id"] or None,
        region=row["region"] or None,
        origin=origin,
        run_id=run,
        model=model,
        combined=combined,
        earlier_model=earlier_model,
        earlier_combined=earlier_combined,
        reason=earlier.reason,
        error=earlier.change.after,
        earlier_error=earlier.change.before,
    )


def _parts(name: str) -> tuple[str, tuple[str, ...] | None]:
    """Return the model, and the best models of a combination."""
    model, _, combined = name.partition(": ")
    return model, tuple(combined.split(", ")) if combined else None


def _event(row: Any, run: UUID, origin: date, outcome: Outcome) -> ForecastUpdated:
    fan, (model, combined) = outcome.fan, _parts(outcome.model)
    return ForecastUpdated(
        series_id=row["id"],
        item_id=row["item_id"],
        location_id=row["location_id"] or None,
        region=row["region"] or None,
        unit_of_measure=row["unit_of_measure"],
        origin=origin,
        mean=tuple(fan.mean),
        quantiles=tuple(
            ForecastQuantile(level=level, daily=tuple(daily), cumulative=tuple(cumulative))
            for level, daily, cumulative in zip(QUANTILES, fan.quantiles, fan.cumulative, strict=True)
        ),
        model=model,
        combined=combined,
        demand_class=outcome.demand_class,
        run_id=run,
    )


def _document(outcome: Outcome, version: int | None) -> dict[str, Any]:
    fan = outcome.fan
    return {
        "series_id": outcome.series,
        "model": outcome.model,
        "demand_class": outcome.demand_class,
        "why": outcome.why,
        "scores": dict(outcome.scores),
        "mean": list(fan.mean),
        "quantiles": [value for each in fan.quantiles for value in each],
        "cumulative": [value for each in fan.cumulative for value in each],
        "version": version,
    }
