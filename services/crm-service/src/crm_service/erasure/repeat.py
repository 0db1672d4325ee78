"""Repeat erasures after a restore: the service reads its own events again from the position of the restored database.

Outside a restore each event finds its customer erased, and nothing happens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crm_service.customers import store as customers
from crm_service.customers.model import namespace_of
from crm_service.erasure import store
from crossdock_chassis import Unit, columns
from crossdock_events import Envelope
from crossdock_events.customers import CustomerErased

BY: Final = "crm-service"

KNOWN: Final = "SELECT root FROM customers WHERE id = $1 AND erased_at IS NULL"
LINKS: Final = """
    INSERT INTO erased_links (namespace, external_id, erased_at) SELECT DISTINCT namespace, external_id, $3::timestamptz
    FROM unnest($1::text[], $2::text[]) AS new (namespace, external_id)
    ON CONFLICT (namespace, external_id) DO UPDATE SET erased_at = greatest(erased_links.erased_at, excluded.erased_at)
"""
MET_AGAIN: Final = """
    SELECT DISTINCT root FROM unnest($1::text[], $2::text[]) AS wanted (namespace, external_id)
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
            root = await unit.sql.fetchval(KNOWN, event.customer_id)
            if root is not None:
                sequence = each.sequence if root == event.customer_id else None
                await store.ask(unit, root, store.RESTORED, BY, sequence)
            if not event.ordered_as:
                continue
            names = {name.partner: namespace_of(name.partner, self.shared_namespaces) for name in event.ordered_as}
            partners = await customers.keep_partners(unit, names)
            links = columns([(partners[name.partner].namespace, name.external_id) for name in event.ordered_as])
            await unit.sql.execute(LINKS, *links, each.time)
            for row in await unit.sql.fetch(MET_AGAIN, *links, each.time):
                if row["root"] != root:
                    await store.ask(unit, row["root"], store.RESTORED, BY)
