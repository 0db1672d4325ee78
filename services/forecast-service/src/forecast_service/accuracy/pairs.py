"""Past forecasts beside what was asked for: the queries that pair them."""

from typing import Final

from forecast_service.demand.history import DAYS
from forecast_service.fitting.series import QUANTILES

P90: Final = QUANTILES.index(0.9)


def forecast_of(day: str, lag: str) -> str:
    """Return SQL that joins to `series` its forecast `last` of a day, and the same after overrides, `adjusted`.

    The forecast of a day is the last one that was made for it at least `lag` days ahead. An override counts if it was
    in the forecast then, or when the forecast was made.
    """
    return f"""
        CROSS JOIN LATERAL (
            SELECT origin, run_id, made_at, mean, quantiles FROM forecasts
            WHERE forecasts.series_id = series.id AND origin <= {day} - {lag} + 1
                  AND origin + cardinality(mean) > {day}
            ORDER BY origin DESC, made_at DESC LIMIT 1
        ) AS last
        LEFT JOIN LATERAL (
            SELECT overrides, mean FROM adjusted_forecasts AS after
            WHERE after.series_id = series.id AND after.origin = last.origin AND after.run_id = last.run_id
                  AND after.made_at <= greatest(last.made_at, ({day} - {lag} + 1)::timestamptz)
            ORDER BY after.made_at DESC LIMIT 1
        ) AS adjusted ON true
    """


def same_weekday(day: str) -> str:
    """Return SQL for the day that seasonal naive repeats: the last one with this weekday before the origin."""
    return f"({day} - 7 * (({day} - last.origin) / 7 + 1))::date"


PAIRS: Final = f"""
    WITH paired AS (
        SELECT series.id, series.item_id, series.location_id, series.region, day::date AS day, last.origin,
               last.mean[day::date - last.origin + 1] AS mean,
               (coalesce(adjusted.mean, last.mean))[day::date - last.origin + 1] AS published,
               coalesce(adjusted.overrides, '{{}}') <> '{{}}' AS overridden,
               last.quantiles[{P90} * cardinality(last.mean) + (day::date - last.origin) + 1] AS p90,
               {same_weekday("day::date")} AS same_weekday
        FROM series
        CROSS JOIN generate_series($1::date, $2::date, interval '1 day') AS day
        {forecast_of("day::date", "$3::int")}
        WHERE ($4::text IS NULL OR series.item_id = $4) AND series.location_id = $5 AND series.region = $6
    ), days AS MATERIALIZED (
        SELECT item_id, location_id, region, day, sum(quantity)::bigint AS quantity FROM ({DAYS}) AS counted
        WHERE day BETWEEN $1::date - 372 AND $2::date AND location_id = $5 AND region = $6
              AND ($4::text IS NULL OR item_id = $4)
        GROUP BY item_id, location_id, region, day
    )
    SELECT paired.item_id, paired.day, paired.mean, paired.published, paired.overridden, paired.p90,
           coalesce(actual.quantity, 0) AS actual, coalesce(naive.quantity, 0) AS naive
    FROM paired
    LEFT JOIN days AS actual USING (item_id, location_id, region, day)
    LEFT JOIN days AS naive ON (naive.item_id, naive.location_id, naive.region, naive.day)
                             = (paired.item_id, paired.location_id, paired.region, paired.same_weekday)
"""
