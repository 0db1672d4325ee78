"""Erase what was asked for, once nothing holds it back, a chunk of rows per unit.

A killed run goes on where it was, because what is erased is gone. The last unit of an erasure ends the ways in, which
are the channels and the customer ids, erases what came meanwhile, and publishes the event.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final
from uuid import UUID

import asyncpg

from crm_service.customers.consents import Said, in_force
from crm_service.erasure import store
from crm_service.erasure.store import RESTORED, Pending
from crm_service.erasure.stores import erase_some, left
from crm_service.mail.named import addresses_in
from crm_service.post.address import Addresses
from crm_service.post.suppress import suppress
from crossdock_chassis import JobRun, Unit
from crossdock_events.customers import CustomerErased, OrderedAs

LOOKS: Final = 100
"""The erasures that one run looks at, those first that no run has looked at for the longest."""
AGAIN: Final = timedelta(hours=1)
"""For so long after an erasure, a run also erases what units wrote that had begun before it."""
MOST_IDS: Final = 1_000
"""The customer ids that an event can name. A customer has one for each partner."""

LOOK: Final = f"""
    SELECT erasures.id, CASE reason WHEN '{RESTORED}' THEN customer_id ELSE root END AS customer_id, reason, sequence
    FROM erasures JOIN customers ON customers.id = customer_id
    WHERE done_at IS NULL ORDER BY looked_at LIMIT {LOOKS}
"""
"""A merge that a job's request for an erasure did not wait for leads to the customer that is left."""
LOOKED: Final = "UPDATE erasures SET looked_at = $2 WHERE id = ANY ($1)"
RECENT: Final = "SELECT id FROM customers WHERE erased_at > now() - $1::interval"
LOCK: Final = "SELECT root FROM customers WHERE id = $1 FOR UPDATE"
LOCK_ALL: Final = "SELECT FROM customers WHERE id = ANY ($1) ORDER BY id FOR UPDATE"
COUNT: Final = "UPDATE erasures SET erased = erased + $2 WHERE id = $1"
REFUSING: Final = """
    SELECT match, kind, undeliverable_at IS NOT NULL AS undeliverable FROM channels WHERE customer_id = ANY ($1)
"""
SAID: Final = """
    SELECT customer_id, version, purpose, channel, state, source, at FROM consents WHERE customer_id = ANY ($1)
"""
ADVANCE: Final = """
    UPDATE customers SET version = greatest(version + 1, coalesce($2, 0)) WHERE id = $1 RETURNING version
"""
NAMELESS: Final = """
    SELECT id, raw FROM mails WHERE state = 'unreadable' AND named IS NULL ORDER BY id LIMIT 1 FOR UPDATE
"""
NAME: Final = "UPDATE mails SET named = $2 WHERE id = $1"


async def name_mail(unit: Unit) -> bool:
    """Note the addresses in a mail that cannot be read. Return whether there was one. 36 MiB take seconds."""
    row = await unit.sql.fetchrow(NAMELESS)
    if row is not None:
        await unit.sql.execute(NAME, row["id"], await asyncio.to_thread(addresses_in, row["raw"]))
    return row is not None


@dataclass(frozen=True, slots=True)
class Erasing:
    addresses: Addresses

    async def erase_customers(self, run: JobRun) -> Mapping[str, object]:
        """Erase each customer that nothing holds back any more."""
        erased = 0
        while await self._name_mails(run):
            pass
        pending = [Pending(**dict(row)) for row in await run.fetch(LOOK)]
        for each in pending:
            erased += await self._erase(run, each)
        if pending:
            async with run.unit() as unit:
                await unit.sql.execute(LOOKED, [each.id for each in pending], unit.now)
        if recent := [row["id"] for row in await run.fetch(RECENT, AGAIN)]:
            await self._sweep(run, recent)
        return {"erased": erased, "pending": len(pending) - erased}

    async def _name_mails(self, run: JobRun) -> bool:
        async with run.unit() as unit:
            return await name_mail(unit)

    async def _erase(self, run: JobRun, pending: Pending) -> bool:
        while True:
            async with run.unit() as unit:
                ids = await store.taken(unit.sql, pending.customer_id, pending.reason)
                if await store.held(unit, pending, ids):
                    return False
                count = await erase_some(unit.sql, ids)
                await unit.sql.execute(COUNT, pending.id, count)
            if not count:
                break
        async with run.unit() as unit:
            return await self._finish(unit, pending)

    async def _finish(self, unit: Unit, pending: Pending) -> bool:
        """End the ways in, erase what came meanwhile, and publish. Return False if a hold or a merge came meanwhile.

        The root is locked first: a merge that this waits for adds members, which only a later statement sees.
        """
        root = await unit.sql.fetchval(LOCK, pending.customer_id)
        if root != pending.customer_id and pending.reason != RESTORED:
            return False
        ids = await store.taken(unit.sql, pending.customer_id, pending.reason)
        await unit.sql.execute(LOCK_ALL, ids)
        if await store.held(unit, pending, ids):
            return False
        while await name_mail(unit):
            pass
        await self._keep_opt_outs(unit, ids)
        count = await self._rest(unit.sql, ids)
        for id in ids:
            await self._publish(unit, id, pending)
        await unit.sql.execute(store.UNLINK, ids, unit.now)
        await unit.sql.execute(store.MARK, ids, unit.now)
        await unit.sql.execute(store.DONE, pending.id, unit.now, count)
        return True

    async def _publish(self, unit: Unit, id: UUID, pending: Pending) -> None:
        again = pending.sequence if id == pending.customer_id else None
        version = await unit.sql.fetchval(ADVANCE, id, again)
        if again is None:
            names = islice(await unit.sql.fetch(store.ORDERED_AS, id), MOST_IDS)
            ordered_as = tuple(OrderedAs(partner=partner, external_id=external_id) for partner, external_id in names)
            unit.publish(CustomerErased(customer_id=id, ordered_as=ordered_as), sequence=version, cause=None)

    async def _keep_opt_outs(self, unit: Unit, ids: Sequence[UUID]) -> None:
        """Keep which addresses get no mail, as keyed hashes, in case the customer is registered or imported again."""
        said = [Said(**dict(row)) for row in await unit.sql.fetch(SAID, ids)]
        withdrawn = {each.channel for each in in_force(said, ids[0]).values() if each.state == "withdrawn"}
        for match, kind, undeliverable in await unit.sql.fetch(REFUSING, ids):
            if undeliverable:
                await suppress(unit, self.addresses.digest(match), "all", "undeliverable")
            if kind in withdrawn or (kind == "phone" and "sms" in withdrawn):
                await suppress(unit, self.addresses.digest(match), "notice", "opted_out")

    @staticmethod
    async def _rest(sql: asyncpg.Connection, ids: Sequence[UUID]) -> int:
        """Erase everything that is left, with the channels."""
        total = 0
        while count := await erase_some(sql, ids):
            total += count
        return total + len(await sql.fetch("DELETE FROM channels WHERE customer_id = ANY ($1) RETURNING 1", ids))

    async def _sweep(self, run: JobRun, ids: Sequence[UUID]) -> None:
        async with run.unit() as unit:
            if await left(unit.sql, ids):
                await self._rest(unit.sql, ids)
