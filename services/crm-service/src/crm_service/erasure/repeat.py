"""Repeat erasures after a restore: the service reads its own events again from the position of the restored database.

Each event erases the customer that it names and nobody else. Outside a restore it finds its customer erased, and
nothing happens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crm_service.customers import store as customers
from crm_service.customers.merge import TAKE
from crm_service.customers.model import namespace_of
from crm_service.erasure import store
from crossdock_chassis import Unit, columns
from crossdock_events import Envelope
from crossdock_events.customers import CustomerErased, CustomersUnmerged

BY: Final = "crm-service"

KNOWN: Final = "SELECT true FROM customers WHERE id = $1 AND erased_at IS NULL"
PART: Final = """
    UPDATE customers SET merged_into = NULL, merged_at = NULL, version = $3
    WHERE id = $1 AND merged_into = $2 AND version < $3 RETURNING true
"""
LINKS: Final = """
    INSERT INTO erased_links (namespace, external_id, erased_at) SELECT DISTINCT namespace, external_id, $3::timestamptz
    FROM unnest($1::text[], $2::text[]) AS new (namespace, external_id)
    ON CONFLICT (namespace, external_id) DO UPDATE SET erased_at = greatest(erased_links.erased_at, excluded.erased_at)
"""
MET_AGAIN: Final = """
    SELECT DISTINCT links.customer_id AS id FROM unnest($1::text[], $2::text[]) AS wanted (namespace, external_id)
    JOIN customer_links AS links USING (namespace, external_id) JOIN customers ON customers.id = links.customer_id
    WHERE links.since < $3 AND erased_at IS NULL
"""
"""The customers that old orders have registered again: their links lead to orders from before the erasure."""


@dataclass(frozen=True, slots=True)
class Repeat:
    shared_namespaces: Mapping[str, str]

    async def repeat_erasures(self, unit: Unit, batch: Sequence[Envelope[CustomerErased]]) -> None:
        for each in batch:
            event = each.event
            if await unit.sql.fetchval(KNOWN, event.customer_id):
                await store.ask(unit, event.customer_id, store.RESTORED, BY, each.sequence)
            if not event.ordered_as:
                continue
            names = {name.partner: namespace_of(name.partner, self.shared_namespaces) for name in event.ordered_as}
            partners = await customers.keep_partners(unit, names)
            links = columns([(partners[name.partner].namespace, name.external_id) for name in event.ordered_as])
            await unit.sql.execute(LINKS, *links, each.time)
            for row in await unit.sql.fetch(MET_AGAIN, *links, each.time):
                if row["id"] != event.customer_id:
                    await store.ask(unit, row["id"], store.RESTORED, BY)


async def repeat_unmerges(unit: Unit, batch: Sequence[Envelope[CustomersUnmerged]]) -> None:
    """Part what the backup has merged, so that a customer is not left with one that was erased alone."""
    for each in batch:
        id = each.event.customer_id
        if await unit.sql.fetchval(PART, id, each.event.out_of, each.sequence):
            await unit.sql.execute(TAKE, id)
