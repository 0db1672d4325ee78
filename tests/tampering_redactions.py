"""Edits by hand of what order-service knows of erased customers, each with the checks that report it."""

from tampering import Case, Tamper

from crossdock_cli.verify import Violation
from order_service.orders import checks as orders
from order_service.orders import erasure_checks as erasures

ERASURE = "INSERT INTO erasures (partner, external_id, erased_at, scanned_to) VALUES ('acme', 'x', now(), now())"


async def _kept_note(case: Case) -> None:
    await case.orders(ERASURE)
    note = """history = jsonb_set(history, '{0,note}', '"x"')"""
    await case.orders(f"UPDATE orders SET customer_id = 'x', {note} WHERE id = $1", case.cancelled)


async def _never_sent(case: Case) -> None:
    await case.orders(ERASURE)


REDACTION_TAMPERINGS: dict[str, tuple[Tamper, set[Violation]]] = {
    "an erasure was never sent": (_never_sent, {erasures.NOT_THE_ERASURES}),
    "an order of an erased customer kept its note": (
        _kept_note,
        {erasures.LEFT_BEHIND, erasures.NOT_THE_ERASURES, orders.NOT_ITS_HISTORY, orders.NOT_ITS_EVENTS},
    ),
}
