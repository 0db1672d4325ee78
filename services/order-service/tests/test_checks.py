"""Each invariant check of order-service finds nothing in what the service does, and finds what an edit breaks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from shop import body

from crossdock_chassis.commands.idempotency import UNANSWERED_KEY
from crossdock_chassis.testing import Violations, envelope_of
from crossdock_events.items import ItemChanged, ItemUnit
from crossdock_events.orders import OrderConfirmed
from order_service.checks import CHECKS
from order_service.known_items.checks import NOT_THE_ITEMS
from order_service.orders import erasure_checks
from order_service.orders.checks import (
    ANOTHER,
    DECIDED_TWICE,
    IMPOSSIBLE,
    MISSING,
    NAMELESS,
    NEVER_SWEPT,
    NOT_FED,
    NOT_ITS_EVENTS,
    NOT_ITS_HISTORY,
    OTHERS_KEY,
    UNDECIDED,
    UNHEARD,
)

NOBODY = "00000000-0000-7000-8000-000000000000"
LAST = "ffffffff-ffff-7fff-bfff-ffffffffffff"


@dataclass
class Orders:
    """An order in each status. `placed` has no answer yet."""

    shop: Any
    confirmed: UUID
    backordered: UUID
    rejected: UUID
    cancelled: UUID


@pytest.fixture
async def orders(shop: Any) -> Orders:
    await shop.hears(ItemChanged(item_id="SKU-3", unit_of_measure="each", status="active", units=(CASE,)))
    first = await shop.client.post("/v1/orders", json=EVERYTHING, headers={"idempotency-key": "K-1"})
    made = Orders(shop, UUID(first.json()["id"]), *[await shop.placed(f"PO-{n}") for n in range(2, 5)])
    await shop.hears(shop.reserved(made.confirmed), shop.backordered(made.backordered), shop.rejected(made.rejected))
    await shop.client.post(f"/v1/orders/{made.cancelled}:cancel")
    await shop.hears(shop.released(made.cancelled))
    return made


CASE = ItemUnit(unit="case", factor=12)
EVERYTHING = body(
    "PO-1",
    customer_id="C-1",
    priority=3,
    requested_date="2026-12-24",
    ship_to={"country": "GB", "city": "London", "postcode": "SW1A 1AA"},
    lines=[
        {"line_id": "1", "item_id": "SKU-1", "quantity": 3, "unit_price": "9.99", "net_amount": "30.00"},
        {"line_id": "2", "item_id": "SKU-2", "quantity": 3, "amount": "7.00"},
        {"line_id": "3", "item_id": "SKU-3", "quantity": 2.5, "unit": "case", "unit_price": "1.2"},
    ],
    discounts=[{"code": "spring", "amount": "1.00"}],
    shipping="4.50",
    total="43.50",
    notes="ring twice",
    metadata={"b": "2", "a": "1"},
)


def _document(orders: Orders, path: str, value: str) -> str:
    return f"UPDATE orders SET document = jsonb_set(document, '{path}', '{value}') WHERE id = '{orders.confirmed}'"


def _history(order_id: UUID, path: str, value: str) -> str:
    return f"UPDATE orders SET history = jsonb_set(history, '{path}', '{value}') WHERE id = '{order_id}'"


Edit = Callable[[Orders], str]
EDITS: dict[str, tuple[Edit, set[str]]] = {
    "another id": (
        lambda o: f"UPDATE orders SET id = '{NOBODY}' WHERE id = '{o.confirmed}'",
        {ANOTHER.title, NOT_ITS_EVENTS.title, OTHERS_KEY.title, NOT_FED.title},
    ),
    "a deleted order": (
        lambda o: f"DELETE FROM orders WHERE id = '{o.confirmed}'",
        {MISSING.title, NOT_ITS_EVENTS.title, OTHERS_KEY.title, NOT_FED.title},
    ),
    "a forgotten decision": (
        lambda o: f"UPDATE orders SET status = 'placed', decided_at = NULL WHERE id = '{o.confirmed}'",
        {UNDECIDED.title, NOT_ITS_HISTORY.title},
    ),
    "another status": (
        lambda o: f"UPDATE orders SET status = 'rejected' WHERE id = '{o.confirmed}'",
        {NOT_ITS_HISTORY.title},
    ),
    "no decided_at": (
        lambda o: f"UPDATE orders SET decided_at = NULL WHERE id = '{o.confirmed}'",
        {NAMELESS.title, NOT_ITS_HISTORY.title},
    ),
    "nothing to wait for": (
        lambda o: f"UPDATE orders SET waiting = jsonb_set(waiting, '{{lines}}', '[]') WHERE id = '{o.backordered}'",
        {NAMELESS.title, NOT_ITS_HISTORY.title},
    ),
    "no time since when it waits": (
        lambda o: f"UPDATE orders SET waiting = waiting - 'since' WHERE id = '{o.backordered}'",
        {NAMELESS.title, NOT_ITS_HISTORY.title},
    ),
    "a waiting line that lacks nothing": (
        lambda o: (
            f"UPDATE orders SET waiting = jsonb_set(waiting, '{{lines,0,backordered}}', '0') "
            f"WHERE id = '{o.backordered}'"
        ),
        {NAMELESS.title, NOT_ITS_HISTORY.title},
    ),
    "no row by its item": (
        lambda o: f"DELETE FROM waiting_items WHERE order_id = '{o.backordered}'",
        {NAMELESS.title},
    ),
    "a row by item of an order that does not wait": (
        lambda o: f"INSERT INTO waiting_items SELECT '{o.confirmed}', item_id, partner, since FROM waiting_items",
        {NAMELESS.title},
    ),
    "lines of an order that does not wait": (
        lambda o: (
            f"UPDATE orders SET waiting = (SELECT waiting FROM orders WHERE id = '{o.backordered}') "
            f"WHERE id = '{o.confirmed}'"
        ),
        {NAMELESS.title, NOT_ITS_HISTORY.title},
    ),
    "neither lines nor rows of an order that waits": (
        lambda o: (
            "WITH gone AS (DELETE FROM waiting_items) "
            f"UPDATE orders SET waiting = jsonb_set(waiting, '{{lines}}', '[]') WHERE id = '{o.backordered}'"
        ),
        {NAMELESS.title, NOT_ITS_HISTORY.title},
    ),
    "a shorter history": (
        lambda o: f"UPDATE orders SET history = history - 1 WHERE id = '{o.confirmed}'",
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title, NOT_FED.title},
    ),
    "an older version": (
        lambda o: f"UPDATE orders SET version = 1 WHERE id = '{o.confirmed}'",
        {NOT_ITS_HISTORY.title},
    ),
    "another quantity than was placed": (
        lambda o: (
            f"UPDATE orders SET document = jsonb_set(document, '{{lines,0,quantity}}', '7') WHERE id = '{o.confirmed}'"
        ),
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title},
    ),
    "another partner than the one who placed it": (
        lambda o: f"UPDATE orders SET partner = 'globex' WHERE id = '{o.cancelled}'",
        {NOT_ITS_EVENTS.title, MISSING.title, NOT_FED.title},
    ),
    "another partner in the row and the feed": (
        lambda o: (
            f"WITH feed AS (UPDATE order_changes SET partner = 'globex' WHERE order_id = '{o.confirmed}') "
            f"UPDATE orders SET partner = 'globex' WHERE id = '{o.confirmed}'"
        ),
        {NOT_ITS_EVENTS.title, MISSING.title, OTHERS_KEY.title},
    ),
    "another currency": (
        lambda o: _document(o, "{currency}", '"EUR"'),
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title, OTHERS_KEY.title},
    ),
    "another priority": (
        lambda o: _document(o, "{priority}", "9"),
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title},
    ),
    "another choice of partial": (
        lambda o: _document(o, "{partial}", "true"),
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title},
    ),
    "another total": (
        lambda o: _document(o, "{total}", '"59.95"'),
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title, OTHERS_KEY.title},
    ),
    "another unit price": (
        lambda o: _document(o, "{lines,0,unit_price}", '"9.98"'),
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title},
    ),
    "another ordered unit": (
        lambda o: _document(o, "{lines,2,unit}", '"pallet"'),
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title},
    ),
    "another quantity in base units": (
        lambda o: f"""UPDATE orders SET base_quantities = '{{"3": 25}}' WHERE id = '{o.confirmed}'""",
        {NOT_ITS_EVENTS.title},
    ),
    "another place to ship to": (
        lambda o: _document(o, "{ship_to,country}", '"NL"'),
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title},
    ),
    "another note, which no event has": (
        lambda o: _document(o, "{notes}", '"leave it"'),
        {NOT_ITS_HISTORY.title},
    ),
    "another fingerprint": (
        lambda o: f"UPDATE orders SET fingerprint = 'x' WHERE id = '{o.confirmed}'",
        {NOT_ITS_HISTORY.title},
    ),
    "another customer": (
        lambda o: f"UPDATE orders SET customer_id = 'C-2' WHERE id = '{o.confirmed}'",
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title},
    ),
    "another time of placing": (
        lambda o: f"UPDATE orders SET placed_at = placed_at - interval '1 s' WHERE id = '{o.confirmed}'",
        {NOT_ITS_HISTORY.title, OTHERS_KEY.title},
    ),
    "another time of the decision": (
        lambda o: f"UPDATE orders SET decided_at = decided_at + interval '1 s' WHERE id = '{o.rejected}'",
        {NOT_ITS_HISTORY.title},
    ),
    "another time since when it waits": (
        lambda o: (
            f"WITH row AS (UPDATE waiting_items SET since = '2026-01-01Z' WHERE order_id = '{o.backordered}') "
            f"UPDATE orders SET waiting = jsonb_set(waiting, '{{since}}', '\"2026-01-01T00:00:00Z\"') "
            f"WHERE id = '{o.backordered}'"
        ),
        {NOT_ITS_HISTORY.title},
    ),
    "a waiting item of another time": (
        lambda o: "UPDATE waiting_items SET since = now() - interval '40 days'",
        {NAMELESS.title},
    ),
    "a waiting item of another partner": (
        lambda o: "UPDATE waiting_items SET partner = 'globex'",
        {NAMELESS.title},
    ),
    "another time in both row and history": (
        lambda o: (
            "UPDATE orders SET placed_at = '2026-01-01Z', history = jsonb_set(history, '{0,time}', "
            f"'\"2026-01-01T00:00:00+00:00\"') WHERE id = '{o.confirmed}'"
        ),
        {NOT_ITS_EVENTS.title, OTHERS_KEY.title},
    ),
    "another type in the history": (
        lambda o: _history(o.cancelled, "{1,type}", '"crossdock.OrderConfirmed.v1"'),
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title},
    ),
    "another sequence in the history": (
        lambda o: _history(o.confirmed, "{1,sequence}", "3"),
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title},
    ),
    "another reason in the history": (
        lambda o: _history(o.cancelled, "{1,reason}", '"too_slow"'),
        {NOT_ITS_EVENTS.title},
    ),
    "another request in the history": (
        lambda o: _history(o.cancelled, "{1,because,id}", f'"{NOBODY}"'),
        {NOT_ITS_EVENTS.title},
    ),
    "another kind of cause in the history": (
        lambda o: _history(o.cancelled, "{1,because}", '{"kind": "clock"}'),
        {NOT_ITS_EVENTS.title},
    ),
    "another time of the answer in the history": (
        lambda o: _history(o.confirmed, "{1,because,time}", '"2026-01-01T00:00:00+00:00"'),
        {NOT_ITS_EVENTS.title},
    ),
    "other missing lines in the history": (
        lambda o: _history(o.backordered, "{1,lines,0,reserved}", "1"),
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title},
    ),
    "a history of another form": (
        lambda o: f"UPDATE orders SET history = '{{\"a\": 1}}' WHERE id = '{o.confirmed}'",
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title, NOT_FED.title},
    ),
    "a history with a time that is none": (
        lambda o: _history(o.confirmed, "{1,time}", '"soon"'),
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title},
    ),
    "a document without lines": (
        lambda o: f"UPDATE orders SET document = document - 'lines' WHERE id = '{o.confirmed}'",
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title},
    ),
    "a document with an amount that is none": (
        lambda o: _document(o, "{lines,0,amount}", '"much"'),
        {NOT_ITS_EVENTS.title, NOT_ITS_HISTORY.title},
    ),
    "a time to wait that is none": (
        lambda o: f"""UPDATE orders SET waiting = '{{"since": "soon", "lines": []}}' WHERE id = '{o.backordered}'""",
        {NAMELESS.title, NOT_ITS_HISTORY.title},
    ),
    "an order without its change in the feed": (
        lambda o: (
            "DELETE FROM order_changes WHERE (order_id, changed_in) = "
            f"(SELECT order_id, max(changed_in) FROM order_changes WHERE order_id = '{o.confirmed}' GROUP BY 1)"
        ),
        {NOT_FED.title},
    ),
    "a change of no order": (
        lambda o: f"INSERT INTO order_changes (partner, order_id) VALUES ('acme', '{NOBODY}')",
        {NOT_FED.title},
    ),
    "a change that no reader reaches": (
        lambda o: f"UPDATE order_changes SET changed_in = changed_in + 1000000 WHERE order_id = '{o.cancelled}'",
        {NOT_FED.title},
    ),
    "a sweep mark beyond all orders": (
        lambda o: f"INSERT INTO sweeps VALUES ('unanswered', '{LAST}')",
        {NEVER_SWEPT.title},
    ),
    "a sweep mark beyond an order without a decision": (
        lambda o: (
            f"WITH mark AS (INSERT INTO sweeps VALUES ('unanswered', '{o.cancelled}')) "
            "UPDATE orders SET status = 'placed', decided_at = NULL, version = 1, history = history - 1 "
            f"WHERE id = '{o.confirmed}'"
        ),
        {NEVER_SWEPT.title, UNDECIDED.title, NOT_ITS_EVENTS.title, NOT_FED.title},
    ),
    "a key that names no order": (
        lambda o: f"UPDATE idempotency_key SET answer = jsonb_set(answer::jsonb, '{{order_id}}', '\"{NOBODY}\"')",
        {OTHERS_KEY.title},
    ),
    "a key with a time that is none": (
        lambda o: """UPDATE idempotency_key SET answer = jsonb_set(answer::jsonb, '{placed_at}', '"soon"')""",
        {OTHERS_KEY.title},
    ),
    "a key of another partner": (
        lambda o: "UPDATE idempotency_key SET partner = 'globex'",
        {OTHERS_KEY.title},
    ),
    "a key without an answer": (
        lambda o: "UPDATE idempotency_key SET answer = NULL",
        {UNANSWERED_KEY.title},
    ),
    "an answer that was not heard": (
        lambda o: f"UPDATE orders SET reservation_sequence = 0 WHERE id = '{o.rejected}'",
        {UNHEARD.title},
    ),
    "an answer that was never given": (
        lambda o: f"UPDATE orders SET reservation_sequence = 9 WHERE id = '{o.rejected}'",
        {NOT_ITS_EVENTS.title},
    ),
    "a forgotten item": (
        lambda o: "DELETE FROM known_items WHERE item_id = 'SKU-1'",
        {NOT_THE_ITEMS.title},
    ),
    "an item with other units": (
        lambda o: """UPDATE known_items SET units = '{"case": 12}' WHERE item_id = 'SKU-1'""",
        {NOT_THE_ITEMS.title},
    ),
    "an item with another status": (
        lambda o: "UPDATE known_items SET status = 'discontinued' WHERE item_id = 'SKU-1'",
        {NOT_THE_ITEMS.title},
    ),
}


def accepted(orders: Orders) -> dict[tuple[str, str], str | None]:
    ids = (orders.confirmed, orders.backordered, orders.rejected, orders.cancelled)
    return {("acme", f"PO-{n}"): str(order_id) for n, order_id in enumerate(ids, 1)}


async def test_orders_in_every_status_violate_nothing(orders: Orders, violations: Violations) -> None:
    assert await violations(orders.shop.service, accepted=accepted(orders)) == {}


async def test_key_of_a_redrive_needs_no_order(orders: Orders, violations: Violations) -> None:
    redriven = """
        INSERT INTO idempotency_key (partner, route, key, fingerprint, answer)
        VALUES ('operator ann', 'POST /v1/dead-letters:resolve', 'k', '', '{"kind": "resolve-dead-letters"}')
    """
    assert await violations(orders.shop.service, redriven, accepted=accepted(orders)) == {}


async def test_an_edited_row_is_found(orders: Orders, violations: Violations) -> None:
    seen = {
        edit: await violations(orders.shop.service, sql(orders), accepted=accepted(orders))
        for edit, (sql, _) in EDITS.items()
    }
    wrong = {edit: found for edit, found in seen.items() if found.keys() != EDITS[edit][1]}
    assert not wrong, "\n".join(f"{edit}: {found}, expected {EDITS[edit][1]}" for edit, found in wrong.items())


async def test_an_unanswered_order_is_found_unless_it_is_stuck(shop: Any, violations: Violations) -> None:
    order_id = await shop.placed("PO-9")
    assert await violations(shop.service) == {UNDECIDED.title: [f"{order_id} (acme PO-9)"]}
    assert await violations(shop.service, stuck={str(order_id)}) == {}


async def test_an_answer_that_a_stuck_order_did_not_hear_is_left_out(orders: Orders, violations: Violations) -> None:
    edit = f"UPDATE orders SET reservation_sequence = 0 WHERE id = '{orders.rejected}'"
    assert await violations(orders.shop.service, edit, stuck={str(orders.rejected)}) == {}


async def test_a_lost_acceptance_is_found(orders: Orders, violations: Violations) -> None:
    told: dict[tuple[str, str], str | None] = {("acme", "PO-1"): None, ("acme", "PO-77"): None}
    assert await violations(orders.shop.service, accepted=told) == {MISSING.title: ["acme PO-77"]}


@pytest.mark.parametrize(
    ("order", "title"),
    [("confirmed", DECIDED_TWICE.title), ("cancelled", IMPOSSIBLE.title), ("unknown", IMPOSSIBLE.title)],
)
async def test_an_impossible_event_is_found(
    orders: Orders, violations: Violations, delivered: list[Any], order: str, title: str
) -> None:
    order_id: UUID = getattr(orders, order, UUID(NOBODY))
    event = OrderConfirmed(order_id=order_id, partner="acme", reference="PO-1")
    delivered.append(envelope_of(event, sequence=9))
    found = await violations(orders.shop.service)
    assert found.keys() == {title, NOT_ITS_EVENTS.title}


async def test_a_projection_behind_the_log_is_found(shop: Any, violations: Violations, delivered: list[Any]) -> None:
    event = ItemChanged(item_id="SKU-1", unit_of_measure="each", status="discontinued")
    delivered.append(envelope_of(event, sequence=2))
    assert (await violations(shop.service)).keys() == {NOT_THE_ITEMS.title}
    assert await violations(shop.service, stuck={"SKU-1"}) == {}


def test_every_check_is_seen_to_fail_here() -> None:
    seen = {title for _, titles in EDITS.values() for title in titles} | {DECIDED_TWICE.title, IMPOSSIBLE.title}
    elsewhere = {check.title for check in erasure_checks.CHECKS}  # in test_redact.py
    assert {check.title for check in (*CHECKS, UNANSWERED_KEY)} - elsewhere == seen
