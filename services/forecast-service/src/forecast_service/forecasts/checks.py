"""Invariants of published forecasts: each is stored, and each override in force is in it."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, Final
from uuid import UUID

from crossdock_chassis import GIVEN_IDS, AtRest, Check, CheckAtRest, Snapshot
from crossdock_events.forecasts import ForecastEvent, ForecastOverridden, ForecastOverrideEvent, ForecastUpdated
from forecast_service.demand.history import DIVISIBLE
from forecast_service.fitting.series import Fan
from forecast_service.forecasts.publish import rows_of
from forecast_service.overrides.events import event
from forecast_service.overrides.forget import KEPT
from forecast_service.overrides.model import InForce, apply, in_order
from forecast_service.overrides.store import in_force_of

CHUNK: Final = 500

UNSETTLED: Final = """
    SELECT format('%s series are to be published again because overrides have changed', count(DISTINCT series_id))
    FROM override_parts WHERE NOT published HAVING count(*) > 0
"""

# A series that is due, or whose override ends this moment, is published soon.
OVERRIDDEN: Final = """
    SELECT series.id, series.published_overrides, series.published_origin, unit.unit_of_measure,
           forecasts.mean, forecasts.quantiles, forecasts.cumulative, adjusted.overrides, adjusted.mean AS new_mean,
           adjusted.quantiles AS new_quantiles, adjusted.cumulative AS new_cumulative
    FROM series
    JOIN forecasts ON forecasts.series_id = series.id AND forecasts.origin = series.published_origin
                      AND forecasts.run_id = series.published_run
    LEFT JOIN demand_items AS unit USING (item_id)
    LEFT JOIN LATERAL (
        SELECT * FROM adjusted_forecasts AS adjusted
        WHERE adjusted.series_id = series.id AND adjusted.origin = series.published_origin
              AND adjusted.run_id = series.published_run
        ORDER BY made_at DESC LIMIT 1
    ) AS adjusted ON true
    WHERE (series.published_overrides <> '{}' OR EXISTS (SELECT FROM override_parts WHERE series_id = series.id))
          AND NOT EXISTS (
              SELECT FROM override_parts JOIN overrides ON overrides.id = override_id
              WHERE series_id = series.id AND (NOT published OR status = 'in_force' AND expires_at <= now())
          )
"""

PARTS: Final = """
    SELECT override_parts.series_id, override_parts.daily, overrides.*
    FROM override_parts JOIN overrides ON overrides.id = override_id
    WHERE status = 'in_force' AND series_id = ANY ($1::uuid[])
"""

SERIES: Final = f"""
    SELECT series.*, EXISTS (
        SELECT FROM forecasts WHERE series_id = series.id AND origin = published_origin AND run_id = published_run
    ) AS stored
    FROM series WHERE id IN {GIVEN_IDS}
"""


async def _without_override(snapshot: Snapshot) -> AsyncIterator[str]:
    cursor = await snapshot.sql.cursor(OVERRIDDEN)
    while rows := await cursor.fetch(CHUNK):
        parts: dict[UUID, list[InForce]] = defaultdict(list)
        for part in await snapshot.sql.fetch(PARTS, [row["id"] for row in rows]):
            parts[part["series_id"]].append(in_force_of(part))
        for row in rows:
            if difference := _difference(row, parts[row["id"]]):
                yield f"series {row['id']}: {difference}"


def _difference(row: Any, parts: Sequence[InForce]) -> str | None:
    model = Fan(row["mean"], rows_of(row["quantiles"]), rows_of(row["cumulative"]))
    applied = in_order(parts, row["published_origin"], len(model.mean))
    ids = [each.id for each in applied]
    if ids != row["published_overrides"] or ids != (row["overrides"] or []):
        return f"in force are {_names(ids)}, and {_names(row['published_overrides'])} are published"
    if not ids:
        return None
    fan = apply(model, row["published_origin"], applied, whole=row["unit_of_measure"] not in DIVISIBLE)
    published = Fan(row["new_mean"], rows_of(row["new_quantiles"]), rows_of(row["new_cumulative"]))
    return None if fan == published else f"its forecast is not the model's after {_names(ids)}"


def _names(ids: Sequence[UUID]) -> str:
    return ", ".join(map(str, ids)) or "no overrides"


NOT_IN_FORCE: Final = Check(5, "other", "published forecasts without an override that is in force", _without_override)


async def _not_stored(at_rest: AtRest) -> AsyncIterator[str]:
    events, seen = iter(at_rest.log.events(ForecastEvent).items()), set[str]()
    while part := dict(islice(events, CHUNK)):
        seen |= part.keys()
        rows = {str(row["id"]): row for row in await at_rest.sql.fetch(SERIES, list(part))}
        for key, of_series in part.items():
            last = next((each for each in reversed(of_series) if each.type == ForecastUpdated.ce_type), None)
            row = rows.get(key)
            if row is None:
                yield f"series {key} has events and is not stored"
            elif last is not None:
                said = ForecastUpdated.model_validate(last.data)
                stored = row["published_origin"], row["published_run"], tuple(row["published_overrides"])
                if stored != (said.origin, said.run_id, said.overrides or ()) or not row["stored"]:
                    yield f"series {key}: the forecast of its last event is not stored"
            if row is not None and row["version"] != of_series[-1].sequence:
                yield f"series {key}: version {row['version']}, the last event is {of_series[-1].sequence}"
    async for row in at_rest.sql.cursor("SELECT id FROM series WHERE version > 0", prefetch=CHUNK):
        if str(row["id"]) not in seen:
            yield f"series {row['id']} is published and has no event"


NOT_STORED: Final = CheckAtRest(5, "lost", "published forecasts that are not stored", _not_stored)


async def _not_their_events(at_rest: AtRest) -> AsyncIterator[str]:
    rows = {str(row["id"]): row async for row in at_rest.sql.cursor("SELECT * FROM overrides", prefetch=CHUNK)}
    forgotten = (await at_rest.sql.fetchval("SELECT current_date")) - KEPT + timedelta(days=1)
    for key, events in at_rest.log.events(ForecastOverrideEvent).items():
        row, said = rows.pop(key, None), ForecastOverridden.model_validate(events[-1].data)
        if row is None:
            if said.last_day >= forgotten:
                yield f"override {key} is not stored"
        elif (event(row), row["version"]) != (said, events[-1].sequence):
            yield f"override {key} differs from its last event"
    for key in rows:
        yield f"override {key} has no event"


NOT_THEIR_EVENTS: Final = CheckAtRest(5, "other", "overrides that differ from their events", _not_their_events)

CHECKS: Final = (NOT_IN_FORCE, NOT_STORED, NOT_THEIR_EVENTS)
