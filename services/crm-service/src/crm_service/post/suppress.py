"""Addresses that get no mail: undeliverable ones get none at all, others no notices. Stored as keyed hashes."""

from typing import Final, Literal

import asyncpg

from crm_service.customers.model import match_of
from crm_service.post.address import Addresses
from crossdock_chassis import Unit

Scope = Literal["all", "notice"]

KEEP: Final = """
    INSERT INTO suppressions (address, scope, reason, at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (address, scope) DO NOTHING RETURNING true
"""
MARK: Final = """
    UPDATE channels SET undeliverable_at = $2, undeliverable_why = $3 WHERE match = $1 AND kind = 'email'
"""
UNMARK: Final = """
    UPDATE channels SET undeliverable_at = NULL, undeliverable_why = NULL
    WHERE match = $1 AND kind = 'email' AND undeliverable_at IS NOT NULL
"""
FIND: Final = """
    SELECT reason FROM suppressions WHERE address = $1 AND (scope = 'all' OR scope = $2) ORDER BY scope LIMIT 1
"""


async def suppress(unit: Unit, address: bytes, scope: Scope, reason: str) -> bool:
    """Send nothing of this scope to an address (`Addresses.digest`) any more. Return whether this is new."""
    return bool(await unit.sql.fetchval(KEEP, address, scope, reason, unit.now))


async def undeliverable(unit: Unit, addresses: Addresses, address: str, status: str) -> None:
    """Send nothing to an address any more, and show why with its customer."""
    await suppress(unit, addresses.digest(address), "all", f"undeliverable: {status}")
    await unit.sql.execute(MARK, match_of(address), unit.now, status)


async def lift(unit: Unit, addresses: Addresses, address: str) -> None:
    """Take an address as deliverable again: its owner has written."""
    await unit.sql.execute("DELETE FROM suppressions WHERE address = $1 AND scope = 'all'", addresses.digest(address))
    await unit.sql.execute(UNMARK, match_of(address))


async def suppressed(sql: asyncpg.Connection, addresses: Addresses, address: str, kind: str) -> str | None:
    """Return why the address gets no mail of this kind, or None."""
    reason: str | None = await sql.fetchval(FIND, addresses.digest(address), kind)
    return reason
