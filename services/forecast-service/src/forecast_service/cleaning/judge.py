"""Undo or pin a decision, or leave it to the runs again. The next run learns accordingly."""

from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from crossdock_chassis import Actor, Unit, record_action
from forecast_service.cleaning.model import NoSuchDecision, NoSuchSeries, NotPinnable, Verdict
from forecast_service.cleaning.views import DecisionView, decision

LOCK_SERIES: Final = "SELECT id FROM series WHERE id = $1 FOR UPDATE"
COLUMNS: Final = "day, rule, reason, before, after, run_id, verdict, verdict_by, verdict_at"
FIND: Final = f"SELECT {COLUMNS} FROM cleaning_decisions WHERE series_id = $1 AND day = $2"
JUDGE: Final = f"""
    UPDATE cleaning_decisions
    SET verdict = $3::text, verdict_by = CASE WHEN $3::text IS NOT NULL THEN $4 END,
        verdict_at = CASE WHEN $3::text IS NOT NULL THEN $5::timestamptz END
    WHERE series_id = $1 AND day = $2 RETURNING {COLUMNS}
"""


@dataclass(frozen=True, slots=True)
class Judge:
    """`verdict` None leaves the day to the runs again."""

    series_id: UUID
    day: date
    verdict: Verdict | None
    by: Actor


async def judge_decision(unit: Unit, command: Judge) -> DecisionView:
    """Return the decision. Raise NoSuchSeries, NoSuchDecision or NotPinnable."""
    key = command.series_id, command.day
    if await unit.sql.fetchval(LOCK_SERIES, command.series_id) is None:  # a run that stores decisions holds this lock
        raise NoSuchSeries(command.series_id)
    if (found := await unit.sql.fetchrow(FIND, *key)) is None:
        raise NoSuchDecision(command.day)
    if found["rule"] == "ended" and command.verdict == "pinned":
        raise NotPinnable
    if found["verdict"] != command.verdict:
        before = {"verdict": found["verdict"], "after": found["after"]}
        found = await unit.sql.fetchrow(JUDGE, *key, command.verdict, command.by.who, unit.now)
        action = {"undone": "undo", "pinned": "pin", None: "reset"}[command.verdict]
        target = f"/v1/series/{command.series_id}/cleaning/{command.day}"
        after = {"verdict": command.verdict, "after": found["after"]}
        await record_action(unit, command.by, f"cleaning:{action}", target, before=before, after=after)
    return decision(found)
