"""Invariants of erasures: each one that crm-service sent is stored, and its ended orders have no personal data."""

from collections.abc import AsyncIterator
from datetime import datetime

from crossdock_chassis import AtRest, Check, CheckAtRest
from crossdock_events.customers import CustomerErased, CustomerEvent

LEFT = """
    SELECT format('%s of %s', id, orders.partner)
    FROM orders JOIN erasures ON erasures.partner = orders.partner AND external_id = customer_id
    WHERE placed_at <= erased_at AND scanned_to >= erased_at AND status IN ('rejected', 'cancelled')
      AND NOT EXISTS (SELECT FROM orders_to_redact WHERE order_id = id)
      AND (
          history @? '$[*].note ? (@ != null)'
          OR EXISTS (
              SELECT FROM jsonb_each(document)
              WHERE key IN ('ship_to', 'notes', 'metadata', 'payment_reference') AND value NOT IN ('""', '{}')
          )
      )
    ORDER BY id
"""


async def _not_the_erasures(at_rest: AtRest) -> AsyncIterator[str]:
    latest: dict[tuple[str, str], datetime] = {}
    stuck: set[tuple[str, str]] = set()
    for customer, events in at_rest.whole.events(CustomerEvent).items():
        for event in events:
            for each in event.data["ordered_as"] if event.type == CustomerErased.ce_type else ():
                pair, time = (each["partner"], each["external_id"]), datetime.fromisoformat(event.time)
                latest[pair] = max(time, latest.get(pair, time))
                stuck |= {pair} if customer in at_rest.stuck else set()
    rows = await at_rest.sql.fetch("SELECT partner, external_id, erased_at FROM erasures")
    stored = {(partner, external_id): erased_at for partner, external_id, erased_at in rows}
    for pair in sorted((latest.keys() | stored.keys()) - stuck):
        if latest.get(pair) != stored.get(pair):
            yield f"{' '.join(pair)}: erased at {stored.get(pair)}, the topic has {latest.get(pair)}"


LEFT_BEHIND = Check(5, "other", "ended orders of erased customers that still have personal data", LEFT)
NOT_THE_ERASURES = CheckAtRest(5, "other", "erasures that differ from the customers topic", _not_the_erasures)

CHECKS = (LEFT_BEHIND, NOT_THE_ERASURES)

UNSETTLED = (
    """
    SELECT format('%s erasures of order-service have not begun', count(*)) FROM erasures
    WHERE scanned_to = '-infinity' HAVING count(*) > 0
    """,
    """
    SELECT format('%s orders of order-service are to be redacted', count(*))
    FROM orders_to_redact JOIN orders ON id = order_id WHERE status IN ('rejected', 'cancelled') HAVING count(*) > 0
    """,
)
