"""Store what runs cleaned, and announce outliers."""

from collections.abc import Sequence
from datetime import date
from typing import Final
from uuid import UUID

from pydantic_core import to_json

from crossdock_chassis import Unit, columns
from crossdock_events.forecasts import DemandOutlierDetected
from forecast_service.cleaning.model import RECENT
from forecast_service.fitting.series import Outcome

FORGET: Final = "DELETE FROM cleaning_decisions WHERE series_id = ANY ($1::uuid[]) AND verdict IS NULL"

KEEP: Final = """
    INSERT INTO cleaning_decisions AS old (series_id, day, rule, reason, before, after, run_id)
    SELECT series_id, day, rule, reason, before, after, $1
    FROM json_to_recordset($2::json) AS new (series_id uuid, day date, rule text, reason text,
                                             before double precision, after double precision)
    ON CONFLICT (series_id, day) DO UPDATE
    SET rule = excluded.rule, reason = excluded.reason, before = excluded.before, after = excluded.after,
        run_id = excluded.run_id
    WHERE old.verdict IS DISTINCT FROM 'undone'
"""

ANNOUNCE: Final = """
    INSERT INTO demand_outliers (series_id, day)
    SELECT * FROM unnest($1::uuid[], $2::date[]) AS new (series_id, day) ORDER BY series_id, day
    ON CONFLICT DO NOTHING
    RETURNING series_id, day
"""

VERSIONS: Final = """
    UPDATE series AS old SET version = version + new.count
    FROM unnest($1::uuid[], $2::bigint[]) AS new (id, count) WHERE old.id = new.id
    RETURNING old.id, old.item_id, old.location_id, old.region, old.version - new.count AS version,
              coalesce((SELECT unit_of_measure FROM demand_items WHERE demand_items.item_id = old.item_id), 'each')
                  AS unit_of_measure
"""


async def record(unit: Unit, run: UUID, origin: date, outcomes: Sequence[Outcome]) -> None:
    """Store the decisions of a run in place of those of earlier runs. What a person has judged stays.

    An outlier of the last days is announced once. The caller has locked the series.
    """
    await unit.sql.execute(FORGET, [UUID(each.series) for each in outcomes])
    documents = [
        {
            "series_id": outcome.series,
            "day": each.day,
            "rule": each.rule,
            "reason": each.reason,
            "before": each.before,
            "after": each.after,
        }
        for outcome in outcomes
        for each in outcome.decisions
    ]
    if documents:
        await unit.sql.execute(KEEP, run, to_json(documents).decode())
    recent = {
        (UUID(outcome.series), each.day): each
        for outcome in outcomes
        for each in outcome.decisions
        if each.rule == "outlier" and each.day >= origin - RECENT
    }
    if recent:
        new = sorted(tuple(row) for row in await unit.sql.fetch(ANNOUNCE, *columns(list(recent))))
        counts = {id: sum(1 for other, _ in new if other == id) for id, _ in new}
        for row in await unit.sql.fetch(VERSIONS, list(counts), list(counts.values())):
            days = [day for id, day in new if id == row["id"]]
            for sequence, day in enumerate(days, start=row["version"] + 1):
                decision = recent[row["id"], day]
                event = DemandOutlierDetected(
                    series_id=row["id"],
                    item_id=row["item_id"],
                    location_id=row["location_id"] or None,
                    region=row["region"] or None,
                    unit_of_measure=row["unit_of_measure"],
                    day=day,
                    demand=decision.before or 0.0,
                    usual=decision.after,
                    run_id=run,
                )
                unit.publish(event, sequence=sequence, cause=None)
