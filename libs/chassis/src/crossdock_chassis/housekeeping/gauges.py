"""Gauges of the tables that every database has. Each process measures its own."""

from crossdock_chassis.database import commit_order, outbox
from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.messaging.operations import COUNT_LIMIT, DEAD_LETTERS, PARKED_KEYS
from crossdock_chassis.observability import metrics

OUTBOX = f"SELECT depth, age, EXISTS ({commit_order.CHANGED}) AS restored FROM ({outbox.MEASURE}) AS waiting"


async def look_at_outbox(database: Database) -> None:
    """Measure the outbox, and renew the commit order if the database was restored: one statement for both.

    Count up to one above the limit, because the API sheds at any depth above the limit.
    """
    database.pressure.published.clear()
    (row,) = await database.fetch(OUTBOX, database.pressure.outbox_limit + 1)
    database.pressure.outbox_depth = row["depth"]
    metrics.OUTBOX_DEPTH.set(row["depth"])
    metrics.OUTBOX_AGE.set(row["age"])
    if row["restored"]:
        await commit_order.renew(database)


async def look_at_dead_letters(unit: Unit) -> None:
    """Count dead letters by group and state, and parked keys by group, each up to `COUNT_LIMIT`."""
    letters = await unit.sql.fetch(DEAD_LETTERS, COUNT_LIMIT)
    parked = await unit.sql.fetch(PARKED_KEYS, sorted({row["consumer_group"] for row in letters}), COUNT_LIMIT)
    for gauge in (metrics.DEAD_LETTERS, metrics.PARKED_KEYS):
        gauge.clear()
    for row in letters:
        metrics.DEAD_LETTERS.labels(row["consumer_group"], row["state"]).set(row["count"])
    for row in parked:
        metrics.PARKED_KEYS.labels(row["consumer_group"]).set(row["count"])


JOBS_WAITING = """
    SELECT kind, count(*) FILTER (WHERE status = 'queued' AND every_seconds IS NULL) AS waiting,
           greatest(0, extract(epoch FROM now() - min(due_at)))::float AS overdue, max(failures) AS failures
    FROM (SELECT * FROM job WHERE status IN ('queued', 'running') ORDER BY kind, due_at LIMIT $1) AS open GROUP BY kind
"""


async def look_at_jobs(unit: Unit) -> None:
    """Count queued jobs and failures by kind. Include jobs that no worker declares: they are overdue for ever."""
    found = await unit.sql.fetch(JOBS_WAITING, COUNT_LIMIT)
    for gauge in (metrics.JOBS_WAITING, metrics.JOB_OVERDUE, metrics.JOB_FAILURES):
        gauge.clear()
    for row in found:
        metrics.JOBS_WAITING.labels(row["kind"]).set(row["waiting"])
        metrics.JOB_OVERDUE.labels(row["kind"]).set(row["overdue"])
        metrics.JOB_FAILURES.labels(row["kind"]).set(row["failures"])


EFFECTS_WAITING = """
    WITH RECURSIVE each AS (
        (SELECT kind, pending_since FROM effect WHERE state = 'pending' ORDER BY kind, pending_since LIMIT 1)
        UNION ALL
        SELECT following.kind, following.pending_since FROM each CROSS JOIN LATERAL (
            SELECT kind, pending_since FROM effect WHERE state = 'pending' AND kind > each.kind
            ORDER BY kind, pending_since LIMIT 1
        ) AS following
    )
    SELECT kind, extract(epoch FROM now() - pending_since)::float AS age, (
        SELECT count(*) FROM (SELECT FROM effect WHERE state = 'pending' AND kind = each.kind LIMIT $1) AS counted
    ) AS depth
    FROM each
"""

EFFECTS_GIVEN_UP = """
    SELECT kind, count(*) FROM (SELECT kind FROM effect WHERE state = 'given_up' LIMIT $1) AS counted GROUP BY kind
"""


async def look_at_effects(unit: Unit) -> None:
    """Count pending and given-up effects by kind. Include kinds without a performer: they wait for a newer worker."""
    waiting = await unit.sql.fetch(EFFECTS_WAITING, COUNT_LIMIT)
    given_up = await unit.sql.fetch(EFFECTS_GIVEN_UP, COUNT_LIMIT)
    for gauge in (metrics.EFFECTS_DEPTH, metrics.EFFECTS_AGE, metrics.EFFECTS_GIVEN_UP):
        gauge.clear()
    for row in waiting:
        metrics.EFFECTS_DEPTH.labels(row["kind"]).set(row["depth"])
        metrics.EFFECTS_AGE.labels(row["kind"]).set(row["age"])
    for row in given_up:
        metrics.EFFECTS_GIVEN_UP.labels(row["kind"]).set(row["count"])
