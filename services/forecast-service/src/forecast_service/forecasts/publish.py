"""Store the forecasts of a run, and publish those that have moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json

from crossdock_chassis import Unit, columns
from crossdock_events.forecasts import ForecastQuantile, ForecastUpdated, ModelChanged
from forecast_service.demand.history import DIVISIBLE
from forecast_service.fitting.series import QUANTILES, Fan, Outcome
from forecast_service.forecasts import choices
from forecast_service.forecasts.choices import Replaced
from forecast_service.forecasts.model import Believed, moved
from forecast_service.overrides.model import apply, in_order
from forecast_service.overrides.store import done, in_force

LOCK: Final = """
    SELECT series.id, series.item_id, series.location_id, series.region, series.version, series.published_origin,
           series.published_overrides,
           coalesce((SELECT unit_of_measure FROM demand_items WHERE demand_items.item_id = series.item_id), 'each')
               AS unit_of_measure,
           coalesce(
               (SELECT cumulative FROM adjusted_forecasts AS adjusted WHERE adjusted.series_id = series.id
                AND adjusted.origin = series.published_origin AND adjusted.run_id = series.published_run
                ORDER BY made_at DESC LIMIT 1),
               (SELECT cumulative FROM forecasts WHERE forecasts.series_id = series.id
                AND forecasts.origin = series.published_origin AND forecasts.run_id = series.published_run)
           ) AS cumulative
    FROM series WHERE series.id = ANY ($1::uuid[]) ORDER BY series.id FOR UPDATE OF series
"""

# PostgreSQL reads arrays of numbers much faster than numbers in JSON.
KEEP: Final = """
    INSERT INTO forecasts (series_id, origin, run_id, made_at, model, demand_class, why, scores, version, mean,
                           quantiles, cumulative)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9, $10, $11, $12)
    ON CONFLICT (series_id, origin, run_id) DO UPDATE
    SET made_at = excluded.made_at, model = excluded.model, demand_class = excluded.demand_class, why = excluded.why,
        scores = excluded.scores, mean = excluded.mean, quantiles = excluded.quantiles,
        cumulative = excluded.cumulative, version = coalesce(excluded.version, forecasts.version)
"""

ADJUSTED: Final = """
    SELECT DISTINCT series_id FROM adjusted_forecasts
    JOIN unnest($1::uuid[], $2::date[], $3::uuid[]) AS made (series_id, origin, run_id)
         USING (series_id, origin, run_id)
"""

KEEP_ADJUSTED: Final = """
    INSERT INTO adjusted_forecasts (series_id, origin, run_id, made_at, overrides, mean, quantiles, cumulative)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

PUBLISHED: Final = """
    UPDATE series AS old
    SET version = new.version, published_origin = new.origin, published_run = new.run_id,
        published_overrides = new.overrides
    FROM json_to_recordset($1::json) AS new (series_id uuid, version bigint, origin date, run_id uuid, overrides uuid[])
    WHERE old.id = new.series_id
"""

NEWEST: Final = """
    SELECT forecasts.*
    FROM unnest($1::uuid[]) AS wanted (id) CROSS JOIN LATERAL (
        SELECT * FROM forecasts WHERE series_id = wanted.id ORDER BY made_at DESC, origin DESC LIMIT 1
    ) AS forecasts
"""

NUMBER: Final = """
    UPDATE forecasts SET version = new.version
    FROM json_to_recordset($1::json) AS new (series_id uuid, version bigint, origin date, run_id uuid)
    WHERE forecasts.series_id = new.series_id AND forecasts.origin = new.origin AND forecasts.run_id = new.run_id
"""


@dataclass(frozen=True, slots=True)
class Made:
    """A forecast as a run made it."""

    run: UUID
    origin: date
    outcome: Outcome


async def publish(unit: Unit, run: UUID, origin: date, outcomes: Sequence[Outcome]) -> None:
    """Store the forecasts that a run made of some series, and publish `ForecastUpdated` where they have moved.

    New choices are stored too. `ModelChanged` comes before the forecast of a model that replaces another.

    A run that makes a forecast twice, first with a cheap model, replaces the first one.
    """
    made = {UUID(outcome.series): Made(run, origin, outcome) for outcome in outcomes}
    versions = await _send(unit, made, await choices.keep(unit, run, origin, outcomes))
    rows = [(*_key(id, each), unit.now, *_facts(each.outcome, versions.get(id))) for id, each in made.items()]
    if rows:
        await unit.sql.executemany(KEEP, rows)


async def republish(unit: Unit, series: Sequence[UUID]) -> int:
    """Publish the newest forecasts of some series whose overrides have changed. Return the number of events."""
    rows = await unit.sql.fetch(NEWEST, series)
    made = {row["series_id"]: Made(row["run_id"], row["origin"], outcome_of(row)) for row in rows}
    versions = await _send(unit, made, {})
    await done(unit, series)  # also a series without a forecast
    numbers = [
        {"series_id": id, "version": version, "origin": made[id].origin, "run_id": made[id].run}
        for id, version in versions.items()
    ]
    if numbers:
        await unit.sql.execute(NUMBER, to_json(numbers).decode())
    return len(versions)


async def _send(unit: Unit, made: Mapping[UUID, Made], replaced: Mapping[UUID, Replaced]) -> dict[UUID, int]:
    """Apply overrides, and publish the forecasts that have moved. Return the versions of the events by series."""
    overrides = await in_force(unit, list(made))
    rows = await unit.sql.fetch(LOCK, sorted(made))
    # A forecast that once had overrides gets a row without them: its numbers are the model's again.
    keys = [_key(id, each) for id, each in made.items()]
    once = {row["series_id"] for row in await unit.sql.fetch(ADJUSTED, *columns(keys))} if keys else set()
    adjusted: list[Sequence[Any]] = []
    published: list[dict[str, Any]] = []
    for row in rows:
        each = made[row["id"]]
        model = each.outcome.fan
        applied = in_order(overrides.get(row["id"], ()), each.origin, len(model.mean))
        fan = apply(model, each.origin, applied, whole=row["unit_of_measure"] not in DIVISIBLE)
        ids = [override.id for override in applied]
        if ids or row["id"] in once:
            adjusted.append((*_key(row["id"], each), unit.now, ids, *flat(fan)))
        earlier, changed = replaced.get(row["id"]), ids != row["published_overrides"]
        if earlier is not None or changed or moved(_believed(row), each.origin, fan.cumulative):
            version = row["version"] + 1
            if earlier is not None:
                unit.publish(_changed(row, each.run, each.origin, each.outcome, earlier), sequence=version, cause=None)
                version += 1
            unit.publish(_event(row, each, fan, ids), sequence=version, cause=None)
            sent = {"series_id": row["id"], "origin": each.origin, "run_id": each.run, "overrides": ids}
            published.append({**sent, "version": version})
    if adjusted:
        await unit.sql.executemany(KEEP_ADJUSTED, adjusted)
    if published:
        await unit.sql.execute(PUBLISHED, to_json(published).decode())
    await done(unit, list(made))
    return {each["series_id"]: each["version"] for each in published}


def _believed(row: Any) -> Believed | None:
    if row["cumulative"] is None:
        return None
    return Believed(row["published_origin"], rows_of(row["cumulative"]))


def outcome_of(row: Any) -> Outcome:
    """Return a forecast as it is stored. Its scores are not read."""
    return Outcome(
        str(row["series_id"]),
        row["model"],
        row["demand_class"],
        Fan(row["mean"], rows_of(row["quantiles"]), rows_of(row["cumulative"])),
        why=row["why"],
    )


def rows_of(flat: Sequence[float]) -> list[Sequence[float]]:
    """Return the array of each quantile from the arrays one after another."""
    days = len(flat) // len(QUANTILES)
    return [flat[n * days : (n + 1) * days] for n in range(len(QUANTILES))]


def flat(fan: Fan) -> tuple[list[float], list[float], list[float]]:
    """Return mean, quantiles and sums as they are stored, with the array of each quantile one after another."""
    return list(fan.mean), [*chain.from_iterable(fan.quantiles)], [*chain.from_iterable(fan.cumulative)]


def _key(id: UUID, made: Made) -> tuple[UUID, date, UUID]:
    return id, made.origin, made.run


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


def _event(row: Any, made: Made, fan: Fan, overrides: Sequence[UUID]) -> ForecastUpdated:
    outcome = made.outcome
    model, combined = _parts(outcome.model)
    return ForecastUpdated(
        series_id=row["id"],
        item_id=row["item_id"],
        location_id=row["location_id"] or None,
        region=row["region"] or None,
        unit_of_measure=row["unit_of_measure"],
        origin=made.origin,
        mean=tuple(fan.mean),
        quantiles=tuple(
            ForecastQuantile(level=level, daily=tuple(daily), cumulative=tuple(cumulative))
            for level, daily, cumulative in zip(QUANTILES, fan.quantiles, fan.cumulative, strict=True)
        ),
        model=model,
        combined=combined,
        demand_class=outcome.demand_class,
        run_id=made.run,
        overrides=tuple(overrides) or None,
        model_mean=tuple(outcome.fan.mean) if overrides else None,
    )


def _facts(outcome: Outcome, version: int | None) -> Sequence[Any]:
    """Return the columns of a forecast from its model on."""
    scores = to_json(dict(outcome.scores)).decode()
    return outcome.model, outcome.demand_class, outcome.why, scores, version, *flat(outcome.fan)
