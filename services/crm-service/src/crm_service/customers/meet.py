"""Register customers by their first order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crm_service.customers import store
from crm_service.customers.model import namespace_of
from crm_service.customers.store import Link
from crossdock_chassis import Unit, new_id
from crossdock_events import Envelope
from crossdock_events.customers import CustomerRegistered
from crossdock_events.orders import OrderPlaced


@dataclass(frozen=True, slots=True)
class Meet:
    shared_namespaces: Mapping[str, str]

    async def meet_customers(self, unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        """Register each customer that is not known yet, and the account of a partner that named none.

        An order of a customer that was erased since leads to nobody. Rows are written in the order of their keys, so
        that two workers with the same customers do not deadlock.
        """
        names = {each.event.partner: namespace_of(each.event.partner, self.shared_namespaces) for each in batch}
        partners = await store.keep_partners(unit, names)
        named = {
            (partners[each.event.partner].namespace, each.event.customer_id)
            for each in batch
            if each.event.customer_id is not None
        }
        erased = await store.erased(unit, named)
        first: dict[Link, Envelope[OrderPlaced]] = {}
        meetings: set[tuple[str, str, str]] = set()
        nameless: dict[str, Envelope[OrderPlaced]] = {}
        for each in batch:
            order = each.event
            if order.customer_id is not None:
                link = partners[order.partner].namespace, order.customer_id
                if link not in erased or each.time >= erased[link]:
                    first.setdefault(link, each)
                    meetings.add((*link, order.partner))
            elif partners[order.partner].account_id is None:
                nameless.setdefault(order.partner, each)
        accounts = await store.open_accounts(unit, {partner: new_id() for partner in sorted(nameless)})
        links = await store.link(unit, {each: new_id() for each in sorted(first)})
        new = [(id, "account", nameless[partner]) for partner, id in accounts.items()]
        new += [(id, "person", first[link]) for link, id in links.items()]
        await store.register(unit, [(id, kind, each.event.partner, each.event.customer_id) for id, kind, each in new])
        for id, kind, each in new:
            met = each.event
            unit.publish(
                CustomerRegistered(
                    customer_id=id, kind=kind, origin="order", partner=met.partner, external_id=met.customer_id
                ),
                sequence=1,
                cause=each.as_cause(),
            )
        await store.note_meetings(unit, sorted(meetings))
