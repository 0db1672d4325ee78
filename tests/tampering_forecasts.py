"""Edits by hand of the database of forecast-service, each with the checks of `crossdock verify` that report it."""

from tampering import ORPHAN, Case, Tamper

from crossdock_cli.verify import Violation
from forecast_service.demand.checks import not_the_orders
from forecast_service.forecasts import checks as forecasts
from forecast_service.places import Zones
from forecast_service.runs import checks as runs

NOT_THE_DEMAND = not_the_orders(Zones())
RUN = """
    INSERT INTO runs (id, origin, horizon, scope, state, requested_by, requested_at, open)
    VALUES ($1, '2026-03-11', 28, 'x', $2, 'x', now(), $3)
"""
SERIES = """
    INSERT INTO series (id, item_id, location_id, region, version, published_origin, published_run)
    VALUES ($1, 'x', '', '', $2, '2026-03-11', $1)
"""
MODEL = """
    INSERT INTO forecasts (series_id, origin, run_id, made_at, model, demand_class, scores, mean, quantiles, cumulative)
    VALUES ($1, '2026-03-11', $1, now(), 'x', 'none', '{}', '{1}', '{1,1,1,1,1}', '{1,1,1,1,1}')
"""
OVERRIDE = """
    INSERT INTO overrides (id, level, item_id, kind, value, first_day, last_day, why, requested_by, requested_at,
                           series, forecast, version)
    VALUES ($1, 'item', 'x', 'percent', 50, '2026-03-11', '2026-03-11', 'x', 'x', now(), 1, 1, 1)
"""
PART = "INSERT INTO override_parts (override_id, series_id, published) VALUES ($1, $1, true)"


async def _no_forecast(case: Case) -> None:
    await case.forecast(RUN, ORPHAN, "done", 0)
    await case.forecast(
        "INSERT INTO run_chunks (run_id, number, level, series, state, attempts, ended_at) "
        "VALUES ($1, 0, 'full', ARRAY[$1::uuid], 'done', 1, now())",
        ORPHAN,
    )


async def _not_applied(case: Case) -> None:
    await case.forecast(SERIES, ORPHAN, 0)
    for statement in (MODEL, OVERRIDE, PART):
        await case.forecast(statement, ORPHAN)


TAMPERINGS: dict[str, tuple[Tamper, set[Violation]]] = {
    "a day of demand has another quantity": (
        lambda c: c.forecast("UPDATE demand_days SET quantity = quantity + 1 WHERE item_id = $1", c.items[0]),
        {NOT_THE_DEMAND},
    ),
    "a run counts a chunk that it has not": (lambda c: c.forecast(RUN, ORPHAN, "running", 1), {runs.COUNTED}),
    "a finished chunk has no forecast": (_no_forecast, {runs.FORECAST}),
    "a published forecast has no event": (lambda c: c.forecast(SERIES, ORPHAN, 1), {forecasts.NOT_STORED}),
    "an override has no event": (lambda c: c.forecast(OVERRIDE, ORPHAN), {forecasts.NOT_THEIR_EVENTS}),
    "an override is not applied": (_not_applied, {forecasts.NOT_IN_FORCE, forecasts.NOT_THEIR_EVENTS}),
}
