"""Addresses that get no mail: undeliverable ones get none at all, others no notices. Stored as keyed hashes."""

from collections.abc import Collection, Mapping, Sequence
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
    WHERE match = ANY ($1::text[]) AND kind = 'email' AND undeliverable_at IS NOT NULL
"""
LIFT: Final = "DELETE FROM suppressions WHERE address = ANY ($1::bytea[]) AND scope = 'all'"
FIND: Final = """
    SELECT DISTINCT ON (address) address, reason FROM suppressions
    WHERE address = ANY ($1::bytea[]) AND (scope = 'all' OR scope = $2) ORDER BY address, scope
"""


async def suppress(unit: Unit, address: bytes, scope: Scope, reason: str) -> bool:
    """Send nothing of this scope to an address (`Addresses.digest`) any more. Return whether this is new."""
    return bool(await unit.sql.fetchval(KEEP, address, scope, reason, unit.now))


async def undeliverable(unit: Unit, addresses: Addresses, address: str, status: str) -> None:
    """Send nothing to an address any more, and show why with its customer."""
    await suppress(unit, addresses.digest(address), "all", f"undeliverable: {status}")
    await unit.sql.execute(MARK, match_of(address), unit.now, status)


async def lift(unit: Unit, addresses: Addresses, senders: Sequence[str]) -> None:
    """Take addresses as deliverable again: their owners have written."""
    if senders:
        await unit.sql.execute(LIFT, [addresses.digest(each) for each in senders])
        await unit.sql.execute(UNMARK, [match_of(each) for each in senders])


async def suppressed(
    sql: asyncpg.Connection, addresses: Addresses, to: Collection[str], kind: str
) -> Mapping[str, str]:
    """Return the addresses that get no mail of this kind, with the reason."""
    digests = {each: addresses.digest(each) for each in to}
    reasons = dict(await sql.fetch(FIND, list(digests.values()), kind))
    return {each: reasons[digest] for each, digest in digests.items() if digest in reasons}
