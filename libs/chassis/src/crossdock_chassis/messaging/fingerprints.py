"""Dead letters by fingerprint: one row for each cause, however many events it stopped."""

from datetime import datetime
from typing import Annotated, Final

import asyncpg
from pydantic import BaseModel, Field
from pydantic_core import from_json

from crossdock_chassis.messaging.aside import MAX_KEY_BYTES
from crossdock_chassis.messaging.dead_letters import COUNT_LIMIT

PREVIEW_CHARACTERS: Final = 500

# The index finds the poison events of a fingerprint. Each step reads at most COUNT_LIMIT of them, so that the page
# costs the same with a million of one cause.
_CAUSES: Final = f"""
    WITH RECURSIVE each AS (
        (
            SELECT fingerprint FROM dead_letter WHERE state = 'poison' AND {{first}} $1 ORDER BY fingerprint LIMIT 1
        )
        UNION ALL
        SELECT (
            SELECT following.fingerprint FROM dead_letter AS following
            WHERE following.state = 'poison' AND following.fingerprint > each.fingerprint
            ORDER BY following.fingerprint LIMIT 1
        ) FROM each WHERE each.fingerprint IS NOT NULL
    )
    SELECT each.fingerprint, oldest.id AS first_id, oldest.created_at AS first_at, newest.id AS last_id,
           newest.created_at AS last_at, newest.reason, newest.consumer_group, newest.topic, newest.partition,
           newest."offset", newest.headers::text AS headers, newest.key,
           substr(newest.value, 1, {4 * PREVIEW_CHARACTERS}) AS value, counted.records, counted.keys
    FROM (SELECT fingerprint FROM each WHERE fingerprint IS NOT NULL LIMIT $2) AS each
    CROSS JOIN LATERAL (
        SELECT id, created_at FROM dead_letter WHERE state = 'poison' AND dead_letter.fingerprint = each.fingerprint
        ORDER BY id LIMIT 1
    ) AS oldest
    CROSS JOIN LATERAL (
        SELECT * FROM dead_letter WHERE state = 'poison' AND dead_letter.fingerprint = each.fingerprint
        ORDER BY id DESC LIMIT 1
    ) AS newest
    CROSS JOIN LATERAL (
        SELECT count(*) AS records, count(DISTINCT (consumer_group, topic, key)) FILTER (
            WHERE octet_length(key) <= {MAX_KEY_BYTES}
        ) AS keys
        FROM (
            SELECT consumer_group, topic, key FROM dead_letter
            WHERE state = 'poison' AND dead_letter.fingerprint = each.fingerprint LIMIT {COUNT_LIMIT}
        ) AS bounded
    ) AS counted
    ORDER BY each.fingerprint
"""

CAUSES: Final = _CAUSES.format(first="fingerprint >")
CAUSE: Final = _CAUSES.format(first="fingerprint =")


class FailureExample(BaseModel):
    """The newest dead letter of a cause. `value` is cut; `/v1/dead-letters/{id}` has the whole record."""

    id: int
    group: str
    topic: str
    partition: int
    offset: int
    type: str | None
    key: str | None
    value: str


class FailureCause(BaseModel):
    """The poison events with one fingerprint: of one type, with one exception at one line."""

    fingerprint: str
    reason: Annotated[str, Field(description="Why the newest of them failed")]
    records: Annotated[int, Field(description=f"Poison events, counted up to {COUNT_LIMIT}")]
    keys: Annotated[int, Field(description="Keys that they hold: later events of a key wait behind them")]
    first_id: int
    first_at: datetime
    last_id: int
    last_at: datetime
    example: FailureExample


async def find_causes(
    sql: asyncpg.Connection, *, after: str | None = None, limit: int = 1, only: str | None = None
) -> list[FailureCause]:
    """Return the causes in the order of their fingerprints, or the one cause with the fingerprint `only`."""
    statement, arguments = (CAUSES, (after or "", limit)) if only is None else (CAUSE, (only, 1))
    return [
        FailureCause(
            **{name: row[name] for name in set(FailureCause.model_fields) - {"example"}},
            example=FailureExample(
                id=row["last_id"],
                group=row["consumer_group"],
                topic=row["topic"],
                partition=row["partition"],
                offset=row["offset"],
                type=from_json(row["headers"]).get("ce_type"),
                key=None if row["key"] is None else row["key"].decode("utf-8", "backslashreplace"),
                value=row["value"].decode("utf-8", "backslashreplace")[:PREVIEW_CHARACTERS],
            ),
        )
        for row in await sql.fetch(statement, *arguments)
    ]
