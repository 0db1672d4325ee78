"""The SQL of erasures and holds."""

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from crm_service.customers.model import NoSuchCustomer
from crm_service.erasure.model import CASE_ENDS, IMPORT_ENDS, ORDER_ENDS, Hold, NoSuchHold, end_of, in_force
from crm_service.orders.look import ordered_as
from crm_service.tables import ACTIVE
from crossdock_chassis import Unit, new_id

ROOT: Final = "SELECT root FROM customers WHERE id = $1"
LOCK: Final = "SELECT FROM customers WHERE id = $1 FOR UPDATE"
MEMBERS: Final = "SELECT id FROM customers WHERE root = $1 ORDER BY id"
ASK: Final = """
    INSERT INTO erasures (id, customer_id, reason, who, asked_at, looked_at, sequence)
    VALUES ($1, $2, $3, $4, $5, $5, $6) ON CONFLICT (customer_id) WHERE done_at IS NULL DO NOTHING
"""
PENDING: Final = "SELECT id FROM erasures WHERE customer_id = $1 AND done_at IS NULL"
KNOWN: Final = """
    SELECT erasures.id FROM customers AS asked JOIN customers AS own ON own.root = asked.root
    JOIN erasures ON erasures.customer_id = own.id
    WHERE asked.id = $1 AND (done_at IS NULL AND reason <> 'restored' OR asked.erased_at IS NOT NULL)
    ORDER BY own.id = $1 DESC, erasures.id DESC LIMIT 1
"""
ORDERS: Final = f"""
    SELECT order_id, status, placed_at
    FROM customer_orders AS orders JOIN ({ordered_as("customers.id = ANY ($1)")}) AS known USING (partner, external_id)
    WHERE placed_at >= known.since AND status IN ('placed', 'backordered')
"""
CASES: Final = f"SELECT id, kind, opened_at FROM cases WHERE customer_id = ANY ($1) AND {ACTIVE}"
LEGAL: Final = "SELECT id, reason, until FROM holds WHERE customer_id = ANY ($1) AND lifted_at IS NULL"
IMPORTS: Final = """
    SELECT id, file.kind, requested_at FROM import_file AS file JOIN job USING (id)
    WHERE status IN ('queued', 'running')
"""
HOLD: Final = "INSERT INTO holds (id, customer_id, reason, until, who, placed_at) VALUES ($1, $2, $3, $4, $5, $6)"
LIFT: Final = """
    UPDATE holds SET lifted_at = $3 FROM customers
    WHERE holds.id = $2 AND customers.id = holds.customer_id AND customers.root = $1 AND lifted_at IS NULL
"""
ORDERED_AS: Final = """
    SELECT met.partner, met.external_id FROM customer_links AS links
    JOIN customer_meetings AS met USING (namespace, external_id) WHERE customer_id = $1 ORDER BY 1, 2
"""
UNLINK: Final = """
    WITH gone AS (
        DELETE FROM customer_links WHERE customer_id = ANY ($1) RETURNING namespace, external_id
    ), unmet AS (
        DELETE FROM customer_meetings AS met USING gone
        WHERE met.namespace = gone.namespace AND met.external_id = gone.external_id
    )
    INSERT INTO erased_links (namespace, external_id, erased_at) SELECT namespace, external_id, $2 FROM gone
    ON CONFLICT (namespace, external_id) DO UPDATE SET erased_at = greatest(erased_links.erased_at, excluded.erased_at)
"""
MARK: Final = "UPDATE customers SET erased_at = $2 WHERE id = ANY ($1) AND erased_at IS NULL"
DONE: Final = "UPDATE erasures SET done_at = $2, erased = erased + $3 WHERE id = $1"

RESTORED: Final = "restored"
"""The reason of an erasure that was done before the database was restored."""


class Pending(NamedTuple):
    id: UUID
    customer_id: UUID
    reason: str
    sequence: int | None


async def ask(unit: Unit, customer_id: UUID, reason: str, who: str, sequence: int | None = None) -> UUID:
    """Ask for an erasure, and return its id: that of the one that is pending, if there is one."""
    await unit.sql.execute(ASK, new_id(), customer_id, reason, who, unit.now, sequence)
    id: UUID = await unit.sql.fetchval(PENDING, customer_id)
    return id


async def root_of(sql: asyncpg.Connection, id: UUID) -> UUID:
    """Return the customer that this one is merged into, or itself. Raise NoSuchCustomer."""
    root: UUID | None = await sql.fetchval(ROOT, id)
    if root is None:
        raise NoSuchCustomer(f"No customer has the id {id}")
    return root


async def lock_root(unit: Unit, id: UUID) -> UUID:
    """Lock the customer that this one is merged into, or itself, and return its id. Raise NoSuchCustomer."""
    locked = None
    while (root := await root_of(unit.sql, id)) != locked:  # the lock may have waited for a merge
        locked = root
        await unit.sql.execute(LOCK, root)
    return root


async def known(unit: Unit, customer_id: UUID) -> UUID | None:
    """Return the erasure that is pending for the customer or has erased it."""
    found: UUID | None = await unit.sql.fetchval(KNOWN, customer_id)
    return found


async def taken(sql: asyncpg.Connection, customer_id: UUID, reason: str) -> list[UUID]:
    """Return whom an erasure takes: all that were merged into the customer, too.

    After a restore it takes exactly the customer that the topic names, because the backup may have older merges.
    """
    return [customer_id] if reason == RESTORED else await members(sql, customer_id)


async def members(sql: asyncpg.Connection, root: UUID) -> list[UUID]:
    """Return the customer and all that were merged into it."""
    return [row["id"] for row in await sql.fetch(MEMBERS, root)]


async def held(unit: Unit, pending: Pending, ids: Sequence[UUID]) -> bool:
    """Return whether something holds the erasure back now. Only an import that runs holds a repeated one back."""
    found = in_force(await holds(unit.sql, ids), unit.now)
    return any(each.kind == "import" or pending.reason != RESTORED for each in found)


async def holds(sql: asyncpg.Connection, ids: Sequence[UUID]) -> list[Hold]:
    """Return all holds of the customers, also those that have ended by themselves."""
    found = [
        Hold("order", row["order_id"], row["status"], row["placed_at"] + ORDER_ENDS)
        for row in await sql.fetch(ORDERS, ids)
    ]
    found += [Hold("case", row["id"], row["kind"], row["opened_at"] + CASE_ENDS) for row in await sql.fetch(CASES, ids)]
    found += [
        Hold("import", row["id"], row["kind"], row["requested_at"] + IMPORT_ENDS) for row in await sql.fetch(IMPORTS)
    ]
    found += [Hold("legal", row["id"], row["reason"], end_of(row["until"])) for row in await sql.fetch(LEGAL, ids)]
    return found


async def hold(unit: Unit, customer_id: UUID, reason: str, until: date, who: str) -> UUID:
    id = new_id()
    await unit.sql.execute(HOLD, id, customer_id, reason, until, who, unit.now)
    return id


async def lift(unit: Unit, root: UUID, id: UUID) -> None:
    """End a hold that staff placed. Raise NoSuchHold."""
    if await unit.sql.execute(LIFT, root, id, unit.now) == "UPDATE 0":
        raise NoSuchHold(f"The customer has no hold {id} that staff placed")
