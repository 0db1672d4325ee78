"""Read and write rules, the troubles of orders, and the cases that rules have opened."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from crossdock_chassis import Unit, columns

BACKORDERED: Final = "backordered"

FIELDS: Final = "name, trouble, after_seconds, kind, severity, category, subject, notice, made_at"
KEEP: Final = f"""
    INSERT INTO case_rules ({FIELDS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET after_seconds = excluded.after_seconds, kind = excluded.kind,
        severity = excluded.severity, category = excluded.category, subject = excluded.subject,
        notice = excluded.notice
"""
POSTPONE: Final = "UPDATE rule_watches SET due_at = since + $2 * interval '1 second' WHERE rule = $1"
BEGIN: Final = """
    INSERT INTO order_troubles (order_id, trouble, since)
    SELECT order_id, $3, since FROM unnest($1::uuid[], $2::timestamptz[]) AS new (order_id, since) ORDER BY order_id
    ON CONFLICT DO NOTHING RETURNING order_id, since
"""
WATCH: Final = """
    INSERT INTO rule_watches (rule, order_id, since, due_at)
    SELECT name, order_id, since, since + after_seconds * interval '1 second'
    FROM unnest($1::uuid[], $2::timestamptz[]) AS new (order_id, since) JOIN case_rules ON trouble = $3
    WHERE since >= made_at AND NOT EXISTS (
        SELECT FROM rule_cases WHERE (rule, rule_cases.order_id) = (name, new.order_id)
    )
    ORDER BY name, order_id
"""
END: Final = "DELETE FROM order_troubles WHERE order_id = ANY ($1::uuid[]) AND trouble = $2"
UNWATCH: Final = """
    DELETE FROM rule_watches USING case_rules WHERE name = rule AND trouble = $2 AND order_id = ANY ($1::uuid[])
"""
DUE: Final = """
    SELECT rule, order_id, since FROM rule_watches WHERE due_at <= $1 ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""


class Rule(NamedTuple):
    """A rule: how long a trouble must last, and the case that it then opens. `notice` is mailed to the customer."""

    name: str
    trouble: str
    after_seconds: int
    kind: str
    severity: str
    category: str | None
    subject: str
    notice: str


class Watch(NamedTuple):
    rule: str
    order_id: UUID
    since: datetime


async def find(sql: asyncpg.Connection) -> dict[str, Rule]:
    rows = await sql.fetch(f"SELECT {FIELDS} FROM case_rules ORDER BY name")
    return {row["name"]: Rule(*(row[name] for name in Rule._fields)) for row in rows}


async def lock_rules(unit: Unit) -> None:
    """Wait for the reactions that read rules, so that each of them has seen all rules older than its events."""
    await unit.sql.execute("LOCK TABLE case_rules IN EXCLUSIVE MODE")


async def keep(unit: Unit, rule: Rule) -> None:
    """Store a rule. A changed one keeps its age, and what it watches becomes due by the new time."""
    await unit.sql.execute(KEEP, *rule)
    await unit.sql.execute(POSTPONE, rule.name, rule.after_seconds)


async def forget(unit: Unit, name: str) -> bool:
    """Delete a rule and what it watches. Return whether there was one. Its cases stay."""
    await unit.sql.execute("DELETE FROM rule_watches WHERE rule = $1", name)
    return bool(await unit.sql.fetchval("DELETE FROM case_rules WHERE name = $1 RETURNING true", name))


async def begin(unit: Unit, trouble: str, since: Sequence[tuple[UUID, datetime]]) -> None:
    """Note orders that are in trouble. Each rule that is older watches those for which this is new."""
    new = [tuple(row) for row in await unit.sql.fetch(BEGIN, *columns(since), trouble)]
    if new:
        # A rule is stored under the opposite lock: one that is missed here is younger than these events.
        await unit.sql.execute("LOCK TABLE case_rules IN ROW SHARE MODE")
        await unit.sql.execute(WATCH, *columns(new), trouble)


async def end(unit: Unit, trouble: str, order_ids: Collection[UUID]) -> None:
    ids = sorted(order_ids)
    await unit.sql.execute(END, ids, trouble)
    await unit.sql.execute(UNWATCH, ids, trouble)


async def due(unit: Unit, limit: int) -> list[Watch]:
    """Lock watches whose time has come, the oldest first."""
    return [Watch(*row) for row in await unit.sql.fetch(DUE, unit.now, limit)]


async def put_off(unit: Unit, watch: Watch, by: timedelta) -> None:
    await unit.sql.execute(
        "UPDATE rule_watches SET due_at = $3 WHERE (rule, order_id) = ($1, $2)",
        watch.rule,
        watch.order_id,
        unit.now + by,
    )


async def note_case(unit: Unit, watch: Watch, case_id: UUID, suppressed: str | None) -> None:
    """End a watch by its case. The key of the row allows one case per rule and order."""
    await unit.sql.execute("DELETE FROM rule_watches WHERE (rule, order_id) = ($1, $2)", watch.rule, watch.order_id)
    await unit.sql.execute(
        "INSERT INTO rule_cases (rule, order_id, case_id, suppressed, opened_at) VALUES ($1, $2, $3, $4, $5)",
        watch.rule,
        watch.order_id,
        case_id,
        suppressed,
        unit.now,
    )
