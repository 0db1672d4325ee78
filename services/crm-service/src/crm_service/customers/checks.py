"""Invariants of customers: each order leads to one, and each equals its events."""

from collections.abc import AsyncIterator
from itertools import islice
from typing import Final

from crossdock_chassis import AtRest, Check, CheckAtRest
from crossdock_events.customers import CustomerEvent
from crossdock_events.orders import OrderEvent

CHUNK: Final = 1_000

LEADS: Final = """
    SELECT wanted.partner, wanted.external_id
    FROM unnest($1::text[], $2::text[]) AS wanted (partner, external_id)
    LEFT JOIN partners ON partners.name = wanted.partner
    LEFT JOIN customer_links AS links
         ON links.namespace = partners.namespace AND links.external_id = wanted.external_id
    LEFT JOIN customer_meetings AS met
         ON met.namespace = links.namespace AND met.external_id = links.external_id AND met.partner = wanted.partner
    LEFT JOIN erased_links AS erased
         ON erased.namespace = partners.namespace AND erased.external_id = wanted.external_id
    LEFT JOIN customers
         ON customers.id = CASE wanted.external_id WHEN '' THEN partners.account_id ELSE links.customer_id END
    WHERE erased.namespace IS NULL
          AND (customers.id IS NULL OR (wanted.external_id <> '' AND met.partner IS NULL))
"""
ROWS: Final = """
    SELECT id::text, kind, origin, met_by, met_as, version, merged_into::text FROM customers
    WHERE id = ANY ($1::uuid[])
"""
MERGES: Final = {"crossdock.CustomersMerged.v1", "crossdock.CustomersUnmerged.v1"}

CONSENTS: Final = """
    SELECT customer_id::text, version, purpose, channel, state, source FROM consents
    WHERE customer_id = ANY ($1::uuid[]) ORDER BY customer_id, version
"""


async def _without_customer(at_rest: AtRest) -> AsyncIterator[str]:
    """Yield the customer ids of orders that lead to no customer. Orders that wait behind a dead letter do not count."""
    wanted = {
        (event.data["partner"], event.data.get("customer_id", ""))
        for id, events in at_rest.log.events(OrderEvent).items()
        if id not in at_rest.stuck
        for event in events
        if event.type == "crossdock.OrderPlaced.v1"
    }
    pairs = iter(sorted(wanted))
    while part := list(islice(pairs, CHUNK)):
        for partner, external_id in await at_rest.sql.fetch(LEADS, [p for p, _ in part], [e for _, e in part]):
            yield f"{partner} has ordered for {external_id or 'no customer'}, which leads to no customer"


async def _not_the_customers(at_rest: AtRest) -> AsyncIterator[str]:
    events = iter(at_rest.log.events(CustomerEvent).items())
    seen = 0
    while part := dict(islice(events, CHUNK)):
        rows = {row["id"]: dict(row) for row in await at_rest.sql.fetch(ROWS, list(part))}
        seen += len(rows)
        for id, own in part.items():
            first = own[0].data
            expected = {"id": id, "kind": first.get("kind"), "origin": first.get("origin")}
            expected |= {"met_by": first.get("partner"), "met_as": first.get("external_id")}
            merges = [each.data.get("into") for each in own if each.type in MERGES]
            expected |= {"version": own[-1].sequence, "merged_into": merges[-1] if merges else None}
            if rows.get(id) != expected:
                yield f"{id}: stored is {rows.get(id)}, the topic has {expected}"
    if (count := await at_rest.sql.fetchval("SELECT count(*) FROM customers")) != seen:
        yield f"{count - seen} customers have no event"


async def _not_the_consents(at_rest: AtRest) -> AsyncIterator[str]:
    events = iter(at_rest.log.events(CustomerEvent).items())
    seen = 0
    while part := dict(islice(events, CHUNK)):
        stored: dict[str, list[tuple[object, ...]]] = {id: [] for id in part}
        for id, *said in await at_rest.sql.fetch(CONSENTS, list(part)):
            stored[id].append(tuple(said))
        seen += sum(map(len, stored.values()))
        for id, own in part.items():
            expected = [
                (each.sequence, *(each.data[name] for name in ("purpose", "channel", "state", "source")))
                for each in own
                if each.type == "crossdock.ConsentChanged.v1"
            ]
            if stored[id] != expected:
                yield f"{id}: stored is {stored[id]}, the topic has {expected}"
    if (count := await at_rest.sql.fetchval("SELECT count(*) FROM consents")) != seen:
        yield f"{count - seen} consents are of no customer"


WITHOUT_CUSTOMER: Final = CheckAtRest(5, "lost", "orders that lead to no customer", _without_customer)
NOT_THE_CUSTOMERS: Final = CheckAtRest(4, "other", "customers that differ from their topic", _not_the_customers)
LEADS_NOWHERE: Final = Check(
    5,
    "other",
    "links, accounts and addresses that lead to no customer",
    "SELECT format('%s of %s', external_id, namespace) FROM customer_links AS links "
    "WHERE NOT EXISTS (SELECT FROM customers WHERE id = links.customer_id) "
    "UNION ALL SELECT format('the account of %s', name) FROM partners "
    "WHERE account_id IS NOT NULL AND NOT EXISTS (SELECT FROM customers WHERE id = account_id) "
    "UNION ALL SELECT format('an address of %s', customer_id) FROM ("
    "    SELECT customer_id FROM channels UNION ALL SELECT customer_id FROM customer_addresses"
    ") AS owned WHERE NOT EXISTS (SELECT FROM customers WHERE id = owned.customer_id)",
)
NOT_THE_CONSENTS: Final = CheckAtRest(4, "other", "consents that differ from their topic", _not_the_consents)
NOT_THE_ROOT: Final = Check(
    5,
    "other",
    "customers whose root is not the end of their merges",
    "SELECT format('%s has the root %s', customers.id, customers.root) FROM customers "
    "LEFT JOIN customers AS above ON above.id = customers.merged_into "
    "WHERE customers.root IS DISTINCT FROM "
    "CASE WHEN customers.merged_into IS NULL THEN customers.id ELSE above.root END",
)
CHECKS: Final = (WITHOUT_CUSTOMER, NOT_THE_CUSTOMERS, NOT_THE_CONSENTS, LEADS_NOWHERE, NOT_THE_ROOT)
