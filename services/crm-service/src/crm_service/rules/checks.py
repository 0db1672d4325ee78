"""Invariants of rules: one case per rule and order, and troubles as the topic of orders has them."""

from collections.abc import AsyncIterator
from typing import Final

from crm_service.orders.follow import STATUS
from crm_service.rules.store import BACKORDERED
from crossdock_chassis import AtRest, Check, CheckAtRest
from crossdock_events.orders import OrderEvent

ONCE: Final = Check(
    5,
    "duplicated",
    "rules that did not open one case per order",
    "SELECT format('the case %s is of no rule', id) FROM cases WHERE channel = 'rule' "
    "AND NOT EXISTS (SELECT FROM rule_cases WHERE case_id = cases.id) UNION ALL "
    "SELECT format('rule %s and order %s have no case', rule, order_id) FROM rule_cases WHERE NOT EXISTS ("
    "    SELECT FROM case_ties JOIN cases ON cases.id = case_ties.case_id "
    "    WHERE cases.id = rule_cases.case_id AND channel = 'rule' AND case_ties.order_id = rule_cases.order_id"
    ") UNION ALL "
    "SELECT format('rule %s watches order %s again', rule, order_id) FROM rule_watches "
    "WHERE EXISTS (SELECT FROM rule_cases AS done WHERE (done.rule, done.order_id) = (rule_watches.rule, "
    "rule_watches.order_id))",
)


async def _not_the_troubles(at_rest: AtRest) -> AsyncIterator[str]:
    """Yield the orders that wait for stock since another time than their events state."""
    rows = await at_rest.sql.fetch("SELECT order_id::text, since FROM order_troubles WHERE trouble = $1", BACKORDERED)
    stored = {row["order_id"]: row["since"].isoformat() for row in rows}
    for order_id, events in at_rest.whole.events(OrderEvent).items():
        if order_id in at_rest.stuck:
            stored.pop(order_id, None)
            continue
        since = None
        for event in events:
            if (status := STATUS.get(event.type)) is not None:
                since = None if status != BACKORDERED else since or event.time
        if (found := stored.pop(order_id, None)) != since:
            yield f"{order_id}: waits since {found}, not {since}"
    for order_id in stored:
        yield f"{order_id}: has no event"


UNSETTLED: Final = (
    "SELECT format('rules of crm-service are to open %s cases', count(*)) FROM rule_watches "
    "WHERE due_at <= now() HAVING count(*) > 0",
)
NOT_THE_TROUBLES: Final = CheckAtRest(5, "other", "troubles of orders that differ from their events", _not_the_troubles)
CHECKS: Final = (ONCE, NOT_THE_TROUBLES)
