"""Each invariant check of inventory-service finds nothing in what the service does, and finds what an edit breaks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from warehouse import Warehouse, cancelled, line, placed

from crossdock_chassis import new_id
from crossdock_chassis.testing import Clients, Deliver, Violations, envelope_of
from crossdock_events import Envelope, Event
from crossdock_events.items import ItemChanged
from crossdock_events.orders import OrderRejected
from crossdock_events.reservations import StockReleased
from inventory_service.checks import checks
from inventory_service.items.checks import NOT_THE_ITEM
from inventory_service.reservations.checks import (
    EFFECT,
    HELD,
    HOLDS_AFTER_END,
    LINES,
    NO_ORDER,
    NOT_ASKED,
    ORPHANS,
    RESERVED_TWICE,
    waits_in_vain,
)
from inventory_service.reservations.checks import NOT_SAID as RESERVATION_NOT_SAID
from inventory_service.service import Settings, build
from inventory_service.stock.checks import (
    DOCUMENT,
    LEDGER,
    NEGATIVE,
    NOT_SAID,
    OTHERS_KEY,
    OVERSOLD,
    SUMS,
    UNLISTED,
    UNREACHED,
)

WAITS_IN_VAIN = waits_in_vain(timedelta(days=1))
NOBODY = "00000000-0000-7000-8000-000000000000"


@dataclass
class Orders:
    """Of ten A and ten B: an open reservation (A 4, B 1), one that waits (A 2, B 50), one released, one rejected.

    `barred` was cancelled before it arrived.
    """

    warehouse: Warehouse
    open: UUID
    waiting: UUID
    released: UUID
    rejected: UUID
    barred: UUID


@pytest.fixture
async def orders(warehouse: Warehouse, clients: Clients, deliver: Deliver, delivered: list[Envelope[Event]]) -> Orders:
    await warehouse.open("A", "B")
    lines = [{"item_id": item, "quantity": 10} for item in ("A", "B")]
    receipt = {"reference": "GRN-1", "location_id": "north", "lines": lines}
    client, key = clients(warehouse.service, scopes=["stock:write"]), {"idempotency-key": "K-1"}
    answer = await client.post("/v1/receipts", json=receipt, headers=key)
    assert answer.status_code == 201, answer.text
    made = Orders(warehouse, *(new_id() for _ in range(5)))
    service = warehouse.service
    await deliver(service, placed(("A", 4), ("B", 1), order_id=made.open))
    await deliver(service, placed(("A", 2), ("B", 50), order_id=made.waiting))
    await deliver(service, placed(("A", 3), order_id=made.released))
    await deliver(service, cancelled(made.released))
    await deliver(service, placed(("gone", 1), order_id=made.rejected))
    await deliver(service, cancelled(made.barred))
    delivered.insert(len(delivered) - 1, envelope_of(placed(("A", 1), order_id=made.barred)))
    await warehouse.serve()
    await warehouse.settle()
    return made


def _move(item: str, location: str, on_hand: int, reserved: int, kind: str, reference: str, line: str = "NULL") -> str:
    return (
        "INSERT INTO movements (item_id, location_id, on_hand, reserved, kind, reference, line_id, cause, at) VALUES "
        f"('{item}', '{location}', {on_hand}, {reserved}, '{kind}', '{reference}', {line}, '{NOBODY}', now())"
    )


UNCHECKED = "ALTER TABLE levels DROP CONSTRAINT levels_reserved_is_there"

FOLDED = (
    "WITH mark AS (UPDATE ledger_mark SET folded_to = (SELECT max(id) FROM movements)) INSERT INTO ledger_sums "
    "SELECT item_id, location_id, sum(on_hand), sum(reserved) FROM movements GROUP BY 1, 2"
)


def _both(orders: Orders, change: str) -> str:
    """Change the open reservation and its lines alike."""
    of_order = f"SET {change} WHERE order_id = '{orders.open}'"
    return f"WITH line AS (UPDATE reservation_lines {of_order}) UPDATE reservations {of_order}"


Edits = Callable[[Orders], Sequence[str]]
EDITS: dict[str, tuple[Edits, set[str]]] = {
    "more reserved than is there": (
        lambda o: [UNCHECKED, "UPDATE levels SET reserved = on_hand + 1 WHERE item_id = 'A'"],
        {OVERSOLD.title, LEDGER.title, HELD.title, NOT_SAID.title},
    ),
    "a level below zero": (
        lambda o: [UNCHECKED, "UPDATE levels SET on_hand = -1, reserved = -2 WHERE item_id = 'A'"],
        {NEGATIVE.title, LEDGER.title, HELD.title, NOT_SAID.title},
    ),
    "a level that nothing moved": (
        lambda o: ["UPDATE levels SET on_hand = on_hand + 1 WHERE item_id = 'A'"],
        {LEDGER.title, NOT_SAID.title},
    ),
    "a deleted level": (
        lambda o: ["DELETE FROM levels WHERE item_id = 'A'"],
        {LEDGER.title, HELD.title, NOT_SAID.title},
    ),
    "a lost movement": (
        lambda o: ["DELETE FROM movements WHERE item_id = 'A' AND kind = 'receipt'"],
        {LEDGER.title, DOCUMENT.title},
    ),
    "a receipt counted twice": (
        lambda o: [
            "INSERT INTO movements (item_id, location_id, on_hand, reserved, kind, reference, cause, at) "
            "SELECT item_id, location_id, on_hand, reserved, kind, reference, cause, at FROM movements "
            "WHERE kind = 'receipt'",
            "UPDATE levels SET on_hand = on_hand + 10",
        ],
        {DOCUMENT.title, NOT_SAID.title},
    ),
    "an order reserved twice": (
        lambda o: [
            _move("A", "north", 0, 4, "reservation", str(o.open), "'1'"),
            "UPDATE levels SET reserved = reserved + 4 WHERE item_id = 'A'",
        ],
        {EFFECT.title, HELD.title, NOT_SAID.title},
    ),
    "a lost allocation": (
        lambda o: [f"DELETE FROM allocations WHERE order_id = '{o.open}' AND item_id = 'A'"],
        {HELD.title, LINES.title, EFFECT.title, NOT_ASKED.title, RESERVATION_NOT_SAID.title},
    ),
    "a lost line": (
        lambda o: [f"DELETE FROM reservation_lines WHERE order_id = '{o.open}' AND item_id = 'A'"],
        {ORPHANS.title, NOT_ASKED.title},
    ),
    "a line for more than was asked": (
        lambda o: [f"UPDATE reservation_lines SET requested = 9 WHERE order_id = '{o.open}' AND item_id = 'A'"],
        {LINES.title, NOT_ASKED.title},
    ),
    "an order that waits and lacks nothing": (
        lambda o: [f"UPDATE reservations SET status = 'waiting' WHERE order_id = '{o.open}'"],
        {LINES.title, RESERVATION_NOT_SAID.title},
    ),
    "an allocation of a released order": (
        lambda o: [f"UPDATE allocations SET order_id = '{o.released}' WHERE order_id = '{o.open}' AND item_id = 'A'"],
        {LINES.title, EFFECT.title, HOLDS_AFTER_END.title, NOT_ASKED.title, RESERVATION_NOT_SAID.title},
    ),
    "a reservation of no order": (
        lambda o: [
            "INSERT INTO reservations (order_id, status, sequence, partial, correlation_id, changed_at) "
            f"VALUES ('{NOBODY}', 'released', 1, false, '{NOBODY}', now())"
        ],
        {NO_ORDER.title, RESERVATION_NOT_SAID.title},
    ),
    "a lost reservation": (
        lambda o: [f"DELETE FROM reservations WHERE order_id = '{o.waiting}'"],
        {LINES.title, RESERVATION_NOT_SAID.title},
    ),
    "another sequence": (
        lambda o: [f"UPDATE reservations SET sequence = 7 WHERE order_id = '{o.rejected}'"],
        {RESERVATION_NOT_SAID.title},
    ),
    "an allocation at another location": (
        lambda o: [f"UPDATE allocations SET location_id = 'south' WHERE order_id = '{o.open}' AND item_id = 'A'"],
        {HELD.title, EFFECT.title, RESERVATION_NOT_SAID.title},
    ),
    "another priority": (
        lambda o: [_both(o, "priority = 9")],
        {NOT_ASKED.title},
    ),
    "another choice of partial": (
        lambda o: [_both(o, "partial = true")],
        {NOT_ASKED.title},
    ),
    "another time of the order": (
        lambda o: [_both(o, "placed_at = placed_at - interval '1 s'")],
        {NOT_ASKED.title},
    ),
    "another priority of the lines alone": (
        lambda o: [f"UPDATE reservation_lines SET priority = 9 WHERE order_id = '{o.open}'"],
        {LINES.title},
    ),
    "another time of the lines alone": (
        lambda o: [f"UPDATE reservation_lines SET placed_at = now() WHERE order_id = '{o.open}'"],
        {LINES.title},
    ),
    "another choice of partial of the lines alone": (
        lambda o: [f"UPDATE reservation_lines SET partial = true WHERE order_id = '{o.open}'"],
        {LINES.title},
    ),
    "another sequence of the lines": (
        lambda o: [f"UPDATE reservation_lines SET position = -position WHERE order_id = '{o.open}'"],
        {NOT_ASKED.title},
    ),
    "another request": (
        lambda o: [f"UPDATE reservations SET correlation_id = '{NOBODY}' WHERE order_id = '{o.open}'"],
        {NOT_ASKED.title},
    ),
    "another time of the change": (
        lambda o: [f"UPDATE reservations SET changed_at = now() WHERE order_id = '{o.open}'"],
        {RESERVATION_NOT_SAID.title},
    ),
    "a tombstone with a priority": (
        lambda o: [f"UPDATE reservations SET priority = 5 WHERE order_id = '{o.barred}'"],
        {NOT_ASKED.title},
    ),
    "an item of another category": (
        lambda o: ["UPDATE items SET category = 'toys' WHERE item_id = 'A'"],
        {NOT_THE_ITEM.title},
    ),
    "an item registered at another time": (
        lambda o: ["UPDATE items SET registered_at = now() WHERE item_id = 'A'"],
        {NOT_THE_ITEM.title},
    ),
    "an item changed at another time": (
        lambda o: ["UPDATE items SET changed_at = now() WHERE item_id = 'A'"],
        {NOT_THE_ITEM.title},
    ),
    "a document of another partner": (
        lambda o: ["UPDATE documents SET partner = 'globex'"],
        {DOCUMENT.title, OTHERS_KEY.title},
    ),
    "a document of another time": (
        lambda o: ["UPDATE documents SET recorded_at = recorded_at - interval '1 s'"],
        {DOCUMENT.title},
    ),
    "a movement of another partner": (
        lambda o: ["UPDATE movements SET partner = 'globex' WHERE kind = 'receipt'"],
        {DOCUMENT.title},
    ),
    "another sum of the ledger": (
        lambda o: [FOLDED, "UPDATE ledger_sums SET reserved = reserved + 1 WHERE item_id = 'A'"],
        {SUMS.title},
    ),
    "a mark of the ledger beyond all movements": (
        lambda o: [FOLDED, "UPDATE ledger_mark SET folded_to = folded_to + 1"],
        {SUMS.title},
    ),
    "a movement that no reader reaches": (
        lambda o: ["UPDATE movements SET changed_in = changed_in + 1000000 WHERE kind = 'receipt'"],
        {UNREACHED.title},
    ),
    "a key that names no document": (
        lambda o: [f"UPDATE idempotency_key SET answer = jsonb_set(answer::jsonb, '{{document,id}}', '\"{NOBODY}\"')"],
        {OTHERS_KEY.title},
    ),
    "a key that names no item": (
        lambda o: ["""UPDATE idempotency_key SET answer = '{"resource": {"item_id": "C"}}'"""],
        {OTHERS_KEY.title},
    ),
    "a key that names no location": (
        lambda o: ["""UPDATE idempotency_key SET answer = '{"resource": {"location_id": "west"}}'"""],
        {OTHERS_KEY.title},
    ),
    "free stock for a backorder": (
        lambda o: [
            _move("B", "south", 60, 0, "adjustment", "found"),
            "INSERT INTO levels (item_id, location_id, on_hand, reserved) VALUES ('B', 'south', 60, 0)",
        ],
        {WAITS_IN_VAIN.title, DOCUMENT.title, NOT_SAID.title},
    ),
    "levels to be published that the worker does not see": (
        lambda o: ["UPDATE stock_heads SET causes = '{receipt}', cause = 'x' WHERE item_id = 'B'"],
        {UNLISTED.title},
    ),
    "another head": (
        lambda o: ["UPDATE stock_heads SET sequence = sequence + 1 WHERE item_id = 'B'"],
        {NOT_SAID.title},
    ),
    "an item with another base unit": (
        lambda o: ["UPDATE items SET unit_of_measure = 'g' WHERE item_id = 'A'"],
        {NOT_THE_ITEM.title},
    ),
    "an item with other units": (
        lambda o: ["""UPDATE items SET units = '{"case": 12}' WHERE item_id = 'A'"""],
        {NOT_THE_ITEM.title},
    ),
    "an item that changed without an event": (
        lambda o: ["UPDATE items SET status = 'discontinued' WHERE item_id = 'A'"],
        {NOT_THE_ITEM.title},
    ),
}


async def test_orders_in_every_status_violate_nothing(orders: Orders, violations: Violations) -> None:
    assert await violations(orders.warehouse.service) == {}


async def test_an_edited_row_is_found(orders: Orders, violations: Violations) -> None:
    seen = {edit: await violations(orders.warehouse.service, *sql(orders)) for edit, (sql, _) in EDITS.items()}
    wrong = {edit: found for edit, found in seen.items() if found.keys() != EDITS[edit][1]}
    assert not wrong, "\n".join(f"{edit}: {found}, expected {EDITS[edit][1]}" for edit, found in wrong.items())


async def test_a_rejected_order_that_holds_stock_is_found(
    orders: Orders, violations: Violations, delivered: list[Envelope[Event]]
) -> None:
    """Rejected by order-service, although the reservation is open."""
    event = OrderRejected(order_id=orders.open, partner="acme", reference="PO-1", reason="unknown_item", lines=())
    delivered.append(envelope_of(event, sequence=2))
    found = await violations(orders.warehouse.service)
    assert found == {
        HOLDS_AFTER_END.title: [f"{orders.open} is rejected and holds 4 for line 1 at north, 1 for line 2 at north"]
    }


async def test_an_event_after_the_release_is_found(
    orders: Orders, violations: Violations, delivered: list[Envelope[Event]]
) -> None:
    event = StockReleased(order_id=orders.released, reason="cancelled", lines=())
    delivered.append(envelope_of(event, sequence=3))
    found = await violations(orders.warehouse.service)
    assert found.keys() == {RESERVED_TWICE.title, RESERVATION_NOT_SAID.title}


async def test_an_event_without_its_row_is_found(
    orders: Orders, violations: Violations, delivered: list[Envelope[Event]]
) -> None:
    delivered.append(envelope_of(ItemChanged(item_id="C", unit_of_measure="each", status="active")))
    delivered.append(envelope_of(StockReleased(order_id=UUID(NOBODY), reason="cancelled", lines=())))
    found = await violations(orders.warehouse.service)
    assert found.keys() == {NOT_THE_ITEM.title, RESERVATION_NOT_SAID.title}


async def test_backorders_are_looked_at_in_their_turn(orders: Orders, deliver: Deliver, violations: Violations) -> None:
    """Nine B are free and the release job has not run: either order could be served, but not both."""
    older, younger = new_id(), new_id()
    await deliver(orders.warehouse.service, placed(("B", 6), order_id=older))
    await deliver(orders.warehouse.service, placed(("B", 5), order_id=younger))
    found = await violations(orders.warehouse.service)
    assert found == {WAITS_IN_VAIN.title: [f"{older}: {{'B': 6}} is free"]}
    found = await violations(
        orders.warehouse.service, f"UPDATE reservations SET priority = 6 WHERE order_id = '{younger}'"
    )
    assert found[WAITS_IN_VAIN.title] == [f"{younger}: {{'B': 5}} is free"]


async def test_a_partial_backorder_waits_in_vain_for_any_unit(
    orders: Orders, deliver: Deliver, violations: Violations
) -> None:
    order_id = new_id()
    await deliver(orders.warehouse.service, placed(("B", 60), order_id=order_id, partial=True))
    found = await violations(orders.warehouse.service)
    assert found == {WAITS_IN_VAIN.title: [f"{order_id}: {{'B': 9}} is free"]}


async def test_withdrawn_reservations_violate_nothing(
    orders: Orders, client: httpx.AsyncClient, deliver: Deliver, violations: Violations
) -> None:
    warehouse = orders.warehouse
    await deliver(warehouse.service, placed(("A", 6), partial=True))
    lost = {"reference": "ADJ-1", "location_id": "north", "reason": "loss", "lines": [line("A", -9)]}
    assert (await client.post("/v1/adjustments", json=lost)).status_code == 201
    await warehouse.drain()
    await warehouse.settle()
    assert (await warehouse.held(orders.open)).status == "waiting"
    assert await violations(warehouse.service) == {}


async def test_an_earmark_as_old_as_the_setting_bars_later_orders(
    orders: Orders, deliver: Deliver, violations: Violations
) -> None:
    service, order_id = orders.warehouse.service, new_id()
    await deliver(service, placed(("B", 5), order_id=order_id))
    old = f"UPDATE reservations SET placed_at = now() - interval '2 days' WHERE order_id = '{orders.waiting}'"
    assert (await violations(service)).keys() == {WAITS_IN_VAIN.title}
    assert (await violations(service, old)).keys() == {LINES.title, NOT_ASKED.title}
    assert isinstance(service.settings, Settings)
    patient = build(service.settings.model_copy(update={"backorder_earmark_after": timedelta(days=3)}))
    assert WAITS_IN_VAIN.title in await violations(patient, old)


async def test_a_backorder_of_a_discontinued_item_may_wait(
    orders: Orders, deliver: Deliver, violations: Violations
) -> None:
    await deliver(orders.warehouse.service, placed(("B", 5)))
    gone = "UPDATE items SET status = 'discontinued' WHERE item_id = 'B'"
    assert WAITS_IN_VAIN.title in await violations(orders.warehouse.service)
    assert WAITS_IN_VAIN.title not in await violations(orders.warehouse.service, gone)


@pytest.mark.parametrize(
    ("edit", "title"),
    [
        ("a line for more than was asked", NOT_ASKED.title),
        ("an allocation of a released order", HOLDS_AFTER_END.title),
        ("a reservation of no order", NO_ORDER.title),
    ],
)
async def test_a_stuck_order_is_left_out(orders: Orders, violations: Violations, edit: str, title: str) -> None:
    stuck = {str(orders.open), str(orders.released), NOBODY}
    assert title not in await violations(orders.warehouse.service, *EDITS[edit][0](orders), stuck=stuck)


async def test_unfinished_releases_are_unsettled(orders: Orders) -> None:
    query, *_ = orders.warehouse.service.unsettled
    assert not await orders.warehouse.fetch(query)
    async with orders.warehouse.database.unit() as unit:
        await unit.sql.execute("INSERT INTO release_queue (item_id, queued_at) VALUES ('A', now()), ('B', now())")
    ((unsettled,),) = await orders.warehouse.fetch(query)
    assert unsettled == "2 items of inventory-service are to be released to those who wait"


def test_every_check_is_seen_to_fail_here() -> None:
    seen = {title for _, titles in EDITS.values() for title in titles} | {RESERVED_TWICE.title}
    assert {check.title for check in checks(timedelta(days=1))} == seen
