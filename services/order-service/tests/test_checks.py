"""Each invariant check of order-service finds nothing in what the service does, and finds what an edit breaks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from crossdock_chassis.testing import Violations, envelope_of
from crossdock_events.items import ItemChanged
from crossdock_events.orders import OrderConfirmed
from order_service.checks import CHECKS
from order_service.known_items.checks import NOT_THE_ITEMS
from order_service.orders.checks import (
    ANOTHER,
    DECIDED_TWICE,
    IMPOSSIBLE,
    MISSING,
    NAMELESS,
    NOT_ITS_EVENTS,
    UNDECIDED,
    UNHEARD,
)

NOBODY = "00000000-0000-7000-8000-000000000000"


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
    made = Orders(shop, *[await shop.placed(f"PO-{n}") for n in range(1, 5)])
    await shop.hears(shop.reserved(made.confirmed), shop.backordered(made.backordered), shop.rejected(made.rejected))
    await shop.client.post(f"/v1/orders/{made.cancelled}:cancel")
    await shop.hears(shop.released(made.cancelled))
    return made


Edit = Callable[[Orders], str]
EDITS: dict[str, tuple[Edit, set[str]]] = {
    "another id": (
        lambda o: f"UPDATE orders SET id = '{NOBODY}' WHERE id = '{o.confirmed}'",
        {ANOTHER.title, NOT_ITS_EVENTS.title},
    ),
    "a deleted order": (
        lambda o: f"DELETE FROM orders WHERE id = '{o.confirmed}'",
        {MISSING.title, NOT_ITS_EVENTS.title},
    ),
    "a forgotten decision": (
        lambda o: f"UPDATE orders SET status = 'placed', decided_at = NULL WHERE id = '{o.confirmed}'",
        {UNDECIDED.title, NOT_ITS_EVENTS.title},
    ),
    "another status": (
        lambda o: f"UPDATE orders SET status = 'rejected' WHERE id = '{o.confirmed}'",
        {NOT_ITS_EVENTS.title},
    ),
    "no decided_at": (
        lambda o: f"UPDATE orders SET decided_at = NULL WHERE id = '{o.confirmed}'",
        {NAMELESS.title},
    ),
    "nothing to wait for": (
        lambda o: f"UPDATE orders SET waiting = jsonb_set(waiting, '{{lines}}', '[]') WHERE id = '{o.backordered}'",
        {NAMELESS.title, NOT_ITS_EVENTS.title},
    ),
    "no time since when it waits": (
        lambda o: f"UPDATE orders SET waiting = waiting - 'since' WHERE id = '{o.backordered}'",
        {NAMELESS.title},
    ),
    "a waiting line that lacks nothing": (
        lambda o: (
            f"UPDATE orders SET waiting = jsonb_set(waiting, '{{lines,0,backordered}}', '0') "
            f"WHERE id = '{o.backordered}'"
        ),
        {NAMELESS.title, NOT_ITS_EVENTS.title},
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
        {NAMELESS.title},
    ),
    "neither lines nor rows of an order that waits": (
        lambda o: (
            "WITH gone AS (DELETE FROM waiting_items) "
            f"UPDATE orders SET waiting = jsonb_set(waiting, '{{lines}}', '[]') WHERE id = '{o.backordered}'"
        ),
        {NAMELESS.title, NOT_ITS_EVENTS.title},
    ),
    "a shorter history": (
        lambda o: f"UPDATE orders SET history = history - 1 WHERE id = '{o.confirmed}'",
        {NOT_ITS_EVENTS.title},
    ),
    "an older version": (
        lambda o: f"UPDATE orders SET version = 1 WHERE id = '{o.confirmed}'",
        {NOT_ITS_EVENTS.title},
    ),
    "another quantity than was placed": (
        lambda o: (
            f"UPDATE orders SET document = jsonb_set(document, '{{lines,0,quantity}}', '7') WHERE id = '{o.confirmed}'"
        ),
        {NOT_ITS_EVENTS.title},
    ),
    "another partner than the one who placed it": (
        lambda o: f"UPDATE orders SET partner = 'globex' WHERE id = '{o.cancelled}'",
        {NOT_ITS_EVENTS.title, MISSING.title},
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


@pytest.mark.parametrize("edit", EDITS)
async def test_an_edited_row_is_found(orders: Orders, violations: Violations, edit: str) -> None:
    sql, expected = EDITS[edit]
    found = await violations(orders.shop.service, sql(orders), accepted=accepted(orders))
    assert found.keys() == expected, found


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
    assert {check.title for check in CHECKS} == seen
