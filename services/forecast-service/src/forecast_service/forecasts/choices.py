"""Keep how each series is forecast, so that a nightly run only fits the chosen models again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

import asyncpg
from pydantic_core import from_json, to_json

from crossdock_chassis import Unit
from forecast_service.demand.censored import days_out_of_stock
from forecast_service.demand.history import DAYS
from forecast_service.fitting.series import QUANTILES, Change, Choice, Outcome
from forecast_service.forecasts.model import OLDEST_CHOICE, drifted, due
from forecast_service.places import Zones

Reason: TypeAlias = Literal["weekly", "drift", "requested"]

READ: Final = "SELECT *, scores::text AS scored FROM choices WHERE series_id = ANY ($1::uuid[]) AND origin <= $2"

LOCK: Final = f"{READ} ORDER BY series_id FOR UPDATE"

FITTING: Final = """
    SELECT series_id, origin FROM choices WHERE series_id = ANY ($1::uuid[]) AND horizon >= $3 AND origin <= $2
"""

# The forecast of a day is the last one that was made before it. Days on which the item was out of stock do not count.
RECENT: Final = f"""
    WITH days AS MATERIALIZED (
        SELECT item_id, location_id, region, day, sum(quantity)::float8 AS quantity FROM ({DAYS}) AS counted
        WHERE day >= $2::date - {OLDEST_CHOICE} AND day < $2::date GROUP BY item_id, location_id, region, day
    )
    SELECT choices.series_id, choices.error AS expected, count(*) AS days,
           sum(abs(last.mean[each.day::date - last.origin + 1] - coalesce(actual.quantity, 0))) AS error
    FROM choices JOIN series ON series.id = choices.series_id
    CROSS JOIN generate_series(choices.origin, $2::date - 1, interval '1 day') AS each (day)
    CROSS JOIN LATERAL (
        SELECT origin, mean FROM forecasts
        WHERE forecasts.series_id = choices.series_id AND origin <= each.day
              AND origin + cardinality(mean) > each.day::date
        ORDER BY origin DESC, made_at DESC LIMIT 1
    ) AS last
    LEFT JOIN days AS actual ON (actual.item_id, actual.location_id, actual.region, actual.day)
                              = (series.item_id, series.location_id, series.region, each.day::date)
    WHERE choices.series_id = ANY ($1::uuid[]) AND NOT EXISTS (
        SELECT FROM unnest($3::uuid[], $4::date[]) AS out (series_id, day)
        WHERE out.series_id = choices.series_id AND out.day = each.day::date
    )
    GROUP BY choices.series_id
"""

# `since` stays while the models do. A run of an earlier origin does not replace what later days have taught.
KEEP: Final = """
    INSERT INTO choices (series_id, origin, run_id, since, horizon, kind, models, weights, daily, sums, error, scores)
    SELECT series_id, $1, $2, $3, horizon, kind, models, weights, daily, sums, error, scores
    FROM json_to_recordset($4::json) AS new (series_id uuid, horizon bigint, kind text, models text[],
         weights double precision[], daily double precision[], sums double precision[], error double precision,
         scores jsonb)
    ON CONFLICT (series_id) DO UPDATE
    SET origin = excluded.origin, run_id = excluded.run_id, horizon = excluded.horizon, kind = excluded.kind,
        since = CASE WHEN choices.models = excluded.models AND choices.kind = excluded.kind THEN choices.since
                     ELSE excluded.since END,
        models = excluded.models, weights = excluded.weights, daily = excluded.daily, sums = excluded.sums,
        error = excluded.error, scores = excluded.scores
    WHERE choices.origin <= excluded.origin
"""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A choice that another one replaces, and why there was a new choice."""

    model: str
    reason: Reason
    change: Change


async def read(sql: asyncpg.Connection, series: Sequence[UUID], origin: date) -> dict[str, Choice]:
    """Return the choices that were made by the origin, by series."""
    return {str(row["series_id"]): _choice(row) for row in await sql.fetch(READ, series, origin)}


async def fitting(
    sql: asyncpg.Connection, zones: Zones, series: Sequence[UUID], origin: date, horizon: int
) -> set[UUID]:
    """Return the series whose choices are fit for a run: recent, long enough, and without drift."""
    rows = await sql.fetch(FITTING, series, origin, horizon)
    found = {row["series_id"] for row in rows if not due(row["series_id"], row["origin"], origin)}
    if found:
        first, last = origin - timedelta(days=OLDEST_CHOICE), origin - timedelta(days=1)
        censored = await days_out_of_stock(sql, zones, list(found), first, last)
        left_out = [id for id, _ in censored], [day for _, day in censored]
        for row in await sql.fetch(RECENT, list(found), origin, *left_out):
            if drifted(row["error"], row["days"], row["expected"]):
                found.remove(row["series_id"])
    return found


async def keep(unit: Unit, run: UUID, origin: date, outcomes: Sequence[Outcome]) -> dict[UUID, Replaced]:
    """Store new choices. Return what they replace, by series."""
    made = {UUID(each.series): each for each in outcomes if each.choice is not None}
    if not made:
        return {}
    rows = {row["series_id"]: row for row in await unit.sql.fetch(LOCK, list(made), origin)}
    requested = await unit.sql.fetchval("SELECT reselect FROM runs WHERE id = $1", run)
    documents = [_document(id, each.choice) for id, each in sorted(made.items()) if each.choice is not None]
    await unit.sql.execute(KEEP, origin, run, unit.now, to_json(documents).decode())
    return {
        id: Replaced(_choice(row).name, _reason(row, origin, bool(requested)), change)
        for id, row in rows.items()
        if (change := made[id].change) is not None
    }


def _reason(row: Any, origin: date, requested: bool) -> Reason:
    if requested:
        return "requested"
    return "weekly" if due(row["series_id"], row["origin"], origin) else "drift"


def _choice(row: Any) -> Choice:
    scores: Mapping[str, float] = from_json(row["scored"])
    weights = dict(zip(row["models"], row["weights"], strict=True))
    return Choice(row["kind"], weights, _rows(row["daily"]), _rows(row["sums"]), row["error"], scores)


def _rows(flat: Sequence[float]) -> list[Sequence[float]]:
    length = len(flat) // len(QUANTILES)
    return [flat[n * length : (n + 1) * length] for n in range(len(QUANTILES))]


def _document(id: UUID, choice: Choice) -> dict[str, Any]:
    return {
        "series_id": id,
        "horizon": len(choice.sums[0]),
        "kind": choice.kind,
        "models": list(choice.weights),
        "weights": list(choice.weights.values()),
        "daily": [value for each in choice.daily for value in each],
        "sums": [value for each in choice.sums for value in each],
        "error": choice.error,
        "scores": choice.scores,
    }
