"""How long the rows of every database's tables are kept. Old rows are deleted in small units, until none is left."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from crossdock_chassis.commands import idempotency
from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.housekeeping.partitions import KEPT, Units
from crossdock_chassis.jobs.run import JobInterrupted, JobRun

log = logging.getLogger(__name__)

CHUNK: Final = 5_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Retention:
    """Rows of `table` are deleted once `at` is `kept` ago. An index on `at`, with the condition, must exist."""

    table: str
    at: str
    kept: timedelta
    condition: str = "true"


RETENTIONS: Final = (
    # longer than the outbox, because events can be published again for as long as the outbox keeps them
    Retention("inbox", "received_at", timedelta(hours=96)),
    Retention("idempotency_key", "created_at", timedelta(hours=idempotency.KEPT_HOURS)),
    Retention(
        "outbox_rest",
        "created_at",
        KEPT,
        "created_at < coalesce((SELECT min(created_at) FROM outbox_pending), 'infinity')",
    ),
    # an effect that is given up and a dead letter that is poison stay until a person resolves them
    Retention("effect", "finished_at", timedelta(days=30), "state IN ('done', 'discarded')"),
    Retention("dead_letter", "resolved_at", timedelta(days=30), "state IN ('redriven', 'discarded')"),
    Retention("dead_letter_result", "at", timedelta(days=30)),
    Retention("consumer_stop", "ended_at", timedelta(days=30), "ended_at IS NOT NULL"),
    Retention("operator_action", "at", timedelta(days=400)),
    Retention("job", "finished_at", timedelta(days=30), "status IN ('done', 'failed', 'stopped')"),
)

# PostgreSQL keeps a plan, also one that was made while the table was empty. Rows are found in the order of their age,
# so that a run does not read deleted index entries again.
BY_INDEX: Final = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"

DELETE: Final = """
    WITH old AS MATERIALIZED (
        SELECT ctid AS place, {at} AS at FROM {table} WHERE {condition} AND {at} < $1 AND {at} >= $2
        ORDER BY {at} LIMIT {chunk}
    ), gone AS (
        DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT place FROM old))
    )
    SELECT count(*) AS found, max(at) AS last FROM old
"""


async def run_purge(run: JobRun) -> Mapping[str, object]:
    return await purge(run.unit)


async def purge(units: Units) -> dict[str, int]:
    """Delete all old rows. Return the number of rows by table. A failure of one table does not stop the others."""
    purged: dict[str, int] = {}
    failure: Exception | None = None
    for retention in RETENTIONS:
        try:
            if count := await _purge(units, retention):
                purged[retention.table] = count
        except Exception as error:
            if isinstance(error, JobInterrupted) or is_transient(error):
                raise
            log.exception("cannot purge %s", retention.table)
            failure = failure or error
    if failure is not None:
        raise failure
    return purged


async def _purge(units: Units, retention: Retention) -> int:
    statement = DELETE.format(table=retention.table, at=retention.at, condition=retention.condition, chunk=CHUNK)
    purged, found, last = 0, CHUNK, EPOCH
    while found == CHUNK:
        async with units() as unit:
            await unit.sql.execute(BY_INDEX)
            row = await unit.sql.fetchrow(statement, unit.now - retention.kept, last)
        found, last = row["found"], row["last"]
        purged += found
    return purged
