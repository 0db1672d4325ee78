"""Every check of `crossdock verify` is seen to fail: exactly the expected checks report each tampering.

Databases are changed in a transaction that is rolled back. Records on Kafka remain, so the harness passes their places
to the checker in all other tests.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from harness import INVENTORY, ORDERS, Body, Harness, order

import inventory_service.checks
import order_service.checks
from crossdock_chassis.testing import envelope_of
from crossdock_cli.verify import Known, Report, Subject, Violation, agreement, delivery, examine
from crossdock_cli.verify.books import Books
from crossdock_cli.verify.log import Entry, Log
from crossdock_events.items import ItemEvent
from crossdock_events.orders import OrderConfirmed, OrderEvent
from crossdock_events.reservations import ReservationEvent, StockRejected
from crossdock_local.servers.postgres import database_in
from inventory_service.items.checks import NOT_THE_ITEM
from inventory_service.reservations import checks as held
from inventory_service.stock import checks as stock
from order_service.known_items.checks import NOT_THE_ITEMS
from order_service.orders import checks as orders

WAITS_IN_VAIN = held.waits_in_vain(timedelta(days=1))


@dataclass
class Case:
    """A stack at rest with an order of each kind, and an open transaction on each database."""

    harness: Harness
    subject: Subject
    log: Log
    sql: dict[str, asyncpg.Connection]
    items: Sequence[str]
    confirmed: UUID
    backordered: UUID
    cancelled: UUID

    async def books(self) -> list[Books]:
        books = [Books(source, self.sql[source.name]) for source in self.subject.sources]
        for each in books:
            await each.look_at_positions()
        return books

    async def examine(self, known: Known | None = None, log: Log | None = None) -> Report:
        return await examine(await self.books(), log or self.log, known or self.harness.known())

    async def orders(self, statement: str, *values: object) -> None:
        await self.sql[ORDERS].execute(statement, *values)

    async def inventory(self, statement: str, *values: object) -> None:
        await self.sql[INVENTORY].execute(statement, *values)


Made = tuple[Sequence[str], Body, Body, Body]


@pytest.fixture(scope="module")
def made() -> list[Made]:
    """Return a list that contains the orders after the first test has placed them."""
    return []


async def make(harness: Harness) -> Made:
    items = await harness.items(2, on_hand=10)
    async with harness.client() as client:
        confirmed = await harness.post(client, order(f"PO-{uuid4().hex}", (items[0], 2), (items[1], 1)))
        backordered = await harness.post(client, order(f"PO-{uuid4().hex}", (items[0], 1), (items[1], 50)))
        cancelled = await harness.post(client, order(f"PO-{uuid4().hex}", (items[0], 3)))
        await harness.until(client, confirmed["id"], "confirmed")
        await harness.until(client, backordered["id"], "backordered")
        await harness.until(client, cancelled["id"], "confirmed")
        await client.post(f"/v1/orders/{cancelled['id']}:cancel")
    await harness.adds_up()
    return items, confirmed, backordered, cancelled


@pytest.fixture
async def case(harness: Harness, made: list[Made]) -> AsyncIterator[Case]:
    if not made:
        made.append(await make(harness))
    items, *placed = made[0]
    subject = await asyncio.to_thread(Subject.of, harness.stack)
    async with AsyncExitStack() as exits:
        sql = {}
        for source in subject.sources:
            database = source.dsn.rpartition("/")[2]
            admin = await asyncpg.connect(database_in(harness.stack.servers.databases.admin_dsn, database))
            exits.push_async_callback(admin.close)
            await admin.execute("BEGIN; SET LOCAL session_replication_role = replica")  # without triggers, foreign keys
            sql[source.name] = admin
        ids = [UUID(each["id"]) for each in placed]
        yield Case(harness, subject, await harness.log(*subject.topics), sql, items, *ids)


Tamper = Callable[[Case], Awaitable[object]]
ORPHAN = "00000000-0000-7000-8000-000000000000"


async def _unchecked(case: Case, statement: str, *values: object) -> None:
    await case.inventory("ALTER TABLE levels DROP CONSTRAINT levels_reserved_is_there")
    await case.inventory(statement, *values)


TAMPERINGS: dict[str, tuple[Tamper, set[Violation]]] = {
    "an order is deleted": (
        lambda c: c.orders("DELETE FROM orders WHERE id = $1", c.confirmed),
        {orders.MISSING, orders.NOT_ITS_EVENTS},
    ),
    "an order has another id": (
        lambda c: c.orders("UPDATE orders SET id = $2::uuid WHERE id = $1", c.confirmed, ORPHAN),
        {orders.ANOTHER, orders.NOT_ITS_EVENTS},
    ),
    "a decision is forgotten": (
        lambda c: c.orders(
            "UPDATE orders SET status = 'placed', decided_at = NULL, version = 1, history = history - 1 WHERE id = $1",
            c.confirmed,
        ),
        {orders.UNDECIDED, orders.NOT_ITS_EVENTS},
    ),
    "a backorder no longer says what for": (
        lambda c: c.orders("UPDATE orders SET waiting = NULL WHERE id = $1", c.backordered),
        {orders.NAMELESS, orders.NOT_ITS_EVENTS},
    ),
    "a backorder is not found by its item": (
        lambda c: c.orders("DELETE FROM waiting_items WHERE order_id = $1", c.backordered),
        {orders.NAMELESS},
    ),
    "a confirmed order says that it waits": (
        lambda c: c.orders(
            "UPDATE orders SET waiting = (SELECT waiting FROM orders WHERE id = $2) WHERE id = $1",
            c.confirmed,
            c.backordered,
        ),
        {orders.NAMELESS},
    ),
    "a backorder waits for other lines than it said": (
        lambda c: c.orders(
            "UPDATE orders SET waiting = jsonb_set(waiting, '{lines,0,requested}', '77') WHERE id = $1", c.backordered
        ),
        {orders.NOT_ITS_EVENTS},
    ),
    "a history lacks an event": (
        lambda c: c.orders("UPDATE orders SET history = history - 1 WHERE id = $1", c.confirmed),
        {orders.NOT_ITS_EVENTS},
    ),
    "an answer was not heard": (
        lambda c: c.orders("UPDATE orders SET reservation_sequence = 0 WHERE id = $1", c.confirmed),
        {orders.UNHEARD},
    ),
    "an answer was heard that nobody gave": (
        lambda c: c.orders("UPDATE orders SET reservation_sequence = 9 WHERE id = $1", c.confirmed),
        {orders.NOT_ITS_EVENTS},
    ),
    "an item is forgotten": (
        lambda c: c.orders("DELETE FROM known_items WHERE item_id = $1", c.items[0]),
        {NOT_THE_ITEMS},
    ),
    "a projection is behind": (
        lambda c: c.orders("UPDATE projection_head SET sequence = 0 WHERE key = $1", c.items[0]),
        {delivery.PROJECTION_BEHIND},
    ),
    "a movement is deleted": (
        lambda c: c.inventory("DELETE FROM movements WHERE item_id = $1 AND kind = 'receipt'", c.items[0]),
        {stock.LEDGER, stock.DOCUMENT},
    ),
    "a receipt is counted twice": (
        lambda c: c.inventory(
            "INSERT INTO movements (item_id, location_id, on_hand, reserved, kind, reference, cause, at) "
            "SELECT item_id, location_id, on_hand, reserved, kind, reference, cause, at FROM movements "
            "WHERE item_id = $1 AND kind = 'receipt'",
            c.items[0],
        ),
        {stock.LEDGER, stock.DOCUMENT},
    ),
    "a level is bumped": (
        lambda c: c.inventory("UPDATE levels SET on_hand = on_hand + 1 WHERE item_id = $1", c.items[0]),
        {stock.LEDGER, stock.NOT_SAID},
    ),
    "reserved is bumped": (
        lambda c: c.inventory("UPDATE levels SET reserved = reserved + 1 WHERE item_id = $1", c.items[0]),
        {stock.LEDGER, held.HELD, stock.NOT_SAID},
    ),
    "more is promised than is there": (
        lambda c: _unchecked(c, "UPDATE levels SET reserved = on_hand + 1 WHERE item_id = $1", c.items[0]),
        {stock.OVERSOLD, stock.LEDGER, held.HELD, stock.NOT_SAID},
    ),
    "a level is below zero": (
        lambda c: _unchecked(c, "UPDATE levels SET on_hand = -1, reserved = -2 WHERE item_id = $1", c.items[0]),
        {stock.NEGATIVE, stock.LEDGER, held.HELD, stock.NOT_SAID},
    ),
    "an order is reserved twice": (
        lambda c: c.inventory(
            "WITH again AS (UPDATE levels SET reserved = reserved + 2 WHERE item_id = $1) "
            "INSERT INTO movements (item_id, location_id, on_hand, reserved, kind, reference, line_id, cause, at) "
            "SELECT item_id, location_id, on_hand, reserved, kind, reference, line_id, cause, at FROM movements "
            "WHERE item_id = $1 AND reference = $2::text AND kind = 'reservation'",
            c.items[0],
            str(c.confirmed),
        ),
        {held.EFFECT, held.HELD, stock.NOT_SAID},
    ),
    "an allocation is lost": (
        lambda c: c.inventory("DELETE FROM allocations WHERE order_id = $1 AND item_id = $2", c.confirmed, c.items[0]),
        {held.HELD, held.LINES, held.EFFECT, held.NOT_ASKED, held.NOT_SAID},
    ),
    "a line is lost": (
        lambda c: c.inventory(
            "DELETE FROM reservation_lines WHERE order_id = $1 AND item_id = $2", c.confirmed, c.items[0]
        ),
        {held.ORPHANS, held.NOT_ASKED},
    ),
    "a line asks for more than its order": (
        lambda c: c.inventory("UPDATE reservation_lines SET requested = 9 WHERE order_id = $1", c.confirmed),
        {held.LINES, held.NOT_ASKED},
    ),
    "a reservation outlives its order": (
        lambda c: c.inventory(
            "WITH moved AS ("
            "    UPDATE allocations SET order_id = $2 WHERE order_id = $1 AND item_id = $3"
            ") UPDATE reservation_lines SET reserved = 0 WHERE order_id = $1 AND item_id = $3",
            c.confirmed,
            c.cancelled,
            c.items[0],
        ),
        {held.LINES, held.EFFECT, held.HOLDS_AFTER_END, held.NOT_ASKED, held.NOT_SAID},
    ),
    "a reservation is of no order": (
        lambda c: c.inventory(
            "INSERT INTO reservations (order_id, status, sequence, partial, correlation_id, changed_at) "
            "VALUES ($1::uuid, 'released', 1, false, $1::uuid, now())",
            ORPHAN,
        ),
        {held.NO_ORDER, held.NOT_SAID},
    ),
    "a reservation is gone": (
        lambda c: c.inventory("DELETE FROM reservations WHERE order_id = $1", c.backordered),
        {held.NOT_SAID, held.LINES},
    ),
    "an open reservation waits": (
        lambda c: c.inventory("UPDATE reservations SET status = 'waiting' WHERE order_id = $1", c.confirmed),
        {held.NOT_SAID, held.LINES},
    ),
    "stock lies free beside who waits for it": (
        lambda c: c.inventory(
            "WITH more AS ("
            "    INSERT INTO movements (item_id, location_id, on_hand, reserved, kind, reference, cause, at)"
            "    SELECT $1::text, 'EAST', 100, 0, 'adjustment', 'found', $2::uuid, now()"
            ") UPDATE levels SET on_hand = on_hand + 100 WHERE item_id = $1::text",
            c.items[1],
            ORPHAN,
        ),
        {WAITS_IN_VAIN, stock.DOCUMENT, stock.NOT_SAID},
    ),
    "an item has another status than was said": (
        lambda c: c.inventory("UPDATE items SET sequence = 5 WHERE item_id = $1", c.items[0]),
        {NOT_THE_ITEM},
    ),
    "an event is still to be sent": (
        lambda c: c.orders(
            "INSERT INTO outbox_pending (ids) SELECT array_agg(id) FROM outbox WHERE key = $1",
            str(c.confirmed).encode(),
        ),
        {delivery.LOST},
    ),
    "an event was marked and never sent": (
        lambda c: c.orders(
            "INSERT INTO outbox (event_id, topic, key, value, headers) "
            "SELECT $2::uuid, topic, key, value, headers FROM outbox WHERE key = $1 ORDER BY id LIMIT 1",
            str(c.confirmed).encode(),
            ORPHAN,
        ),
        {delivery.LOST},
    ),
    "an event was committed twice": (
        lambda c: c.orders(
            "INSERT INTO outbox (event_id, topic, key, value, headers) "
            "SELECT event_id, topic, key, value, headers FROM outbox WHERE key = $1 ORDER BY id LIMIT 1",
            str(c.confirmed).encode(),
        ),
        {delivery.COMMITTED_TWICE},
    ),
    "an event is on Kafka as something else": (
        lambda c: c.orders("UPDATE outbox SET value = '{}' WHERE key = $1", str(c.confirmed).encode()),
        {delivery.ALTERED},
    ),
    "an outbox row is dropped": (
        lambda c: c.orders(
            "DELETE FROM outbox WHERE id = (SELECT max(id) FROM outbox WHERE key = $1)", str(c.confirmed).encode()
        ),
        {delivery.NEVER_COMMITTED},
    ),
    "an event was passed over": (
        lambda c: c.inventory(
            "DELETE FROM inbox WHERE event_id = $1", c.log.by_key(OrderEvent.topic.name)[str(c.confirmed)][0].id
        ),
        {delivery.PASSED_OVER},
    ),
    "an event was handled that is not there": (
        lambda c: c.inventory("INSERT INTO inbox (event_id) VALUES ($1::uuid)", ORPHAN),
        {delivery.HANDLED_NOT_THERE},
    ),
    "a position is beyond the end": (
        lambda c: c.inventory("UPDATE consumer_position SET next = next + 1000 WHERE partition = 3"),
        {delivery.BEYOND_END},
    ),
    "a key is parked for nothing": (
        lambda c: c.inventory(
            "INSERT INTO parked_key (consumer_group, topic, key) VALUES ('inventory-service', $1, 'k')",
            OrderEvent.topic.name,
        ),
        {delivery.PARKED_APART},
    ),
    "a dead letter is of no record": (
        lambda c: c.inventory(
            'INSERT INTO dead_letter (consumer_group, topic, partition, "offset", value, headers, state, reason, '
            "fingerprint) VALUES ('inventory-service', $1, 0, 1000000, 'x', '{}', 'poison', 'x', 'x')",
            OrderEvent.topic.name,
        ),
        {delivery.NO_SUCH_RECORD, delivery.NO_MIRROR, delivery.NOT_THE_POISON},
    ),
}


@pytest.mark.parametrize("what", TAMPERINGS)
async def test_tampering_with_a_database_is_seen(case: Case, what: str) -> None:
    tamper, expected = TAMPERINGS[what]
    await tamper(case)
    report = await case.examine()
    assert report.checks == expected, str(report)
    assert not report.clean


async def test_poison_that_is_not_accounted_for_is_seen(case: Case) -> None:
    """Insert a dead letter and its parked key, and vary each part of them."""
    harness, key = case.harness, str(case.confirmed).encode()
    entry = case.log.by_key(OrderEvent.topic.name)[str(case.confirmed)][0]
    insert = (
        'INSERT INTO dead_letter (consumer_group, topic, partition, "offset", key, value, headers, state, reason, '
        "fingerprint) VALUES ('inventory-service', $1, $2, $3, $4, $5, '{}', $6, 'x', 'x')"
    )
    place = entry.topic, entry.partition, entry.offset
    park = "INSERT INTO parked_key (consumer_group, topic, key) VALUES ('inventory-service', $1, $2)"
    await case.inventory(insert, *place, key, entry.value, "parked")
    await case.inventory(park, entry.topic, key)
    assert (await case.examine()).checks == {delivery.PARKED_FIRST, delivery.NO_MIRROR}
    await case.inventory("UPDATE dead_letter SET state = 'poison' WHERE key = $1", key)
    assert (await case.examine()).checks == {delivery.NO_MIRROR, delivery.NOT_THE_POISON}
    known = replace(harness.known(), poison=[*harness.poison, entry.place])
    assert (await case.examine(known)).checks == {delivery.NO_MIRROR}
    known = replace(harness.known(), poison=[*harness.poison, ("crossdock.orders.v1", 0, 10**9), entry.place])
    assert (await case.examine(known)).checks == {delivery.NO_MIRROR, delivery.NOT_THE_POISON}
    await case.inventory("DELETE FROM parked_key WHERE key = $1", key)
    assert delivery.PARKED_APART in (await case.examine()).checks


async def test_a_parked_event_that_is_missing_is_seen(case: Case) -> None:
    """The first event of a cancelled order is a dead letter, but its OrderCancelled is not parked behind it."""
    key = str(case.cancelled).encode()
    entry = case.log.by_key(OrderEvent.topic.name)[str(case.cancelled)][0]
    await case.inventory(
        'INSERT INTO dead_letter (consumer_group, topic, partition, "offset", key, value, headers, state, reason, '
        "fingerprint) VALUES ('inventory-service', $1, $2, $3, $4, $5, '{}', 'poison', 'x', 'x')",
        *entry.place,
        key,
        entry.value,
    )
    await case.inventory(
        "INSERT INTO parked_key (consumer_group, topic, key) VALUES ('inventory-service', $1, $2)", entry.topic, key
    )
    report = await case.examine(replace(case.harness.known(), poison=None))
    assert report.checks == {delivery.NOT_PARKED, delivery.NO_MIRROR}, str(report)


LOG_TAMPERINGS: dict[str, tuple[Sequence[int], set[Violation]]] = {
    "a gap": ([4], {delivery.GAP, orders.DECIDED_TWICE}),
    "a sequence that was there": ([2], {delivery.SAME_SEQUENCE, orders.DECIDED_TWICE}),
    "an inverted pair": ([4, 3], {delivery.DISORDER, orders.DECIDED_TWICE}),
}


@pytest.mark.parametrize("what", LOG_TAMPERINGS)
async def test_tampering_with_the_log_is_seen(case: Case, what: str) -> None:
    """Write confirmations to Kafka that order-service never committed. No service reacts to them."""
    harness = case.harness
    sequences, expected = LOG_TAMPERINGS[what]
    async with harness.client() as client:
        placed = await harness.post(client, order(f"PO-{uuid4().hex}", (case.items[0], 1)))
        await harness.until(client, placed["id"], "confirmed")
    event = OrderConfirmed(order_id=UUID(placed["id"]), partner="acme", reference=placed["reference"])
    envelopes = [envelope_of(event, sequence=sequence, source=ORDERS) for sequence in sequences]
    places = [await harness.inject(envelope.encode()) for envelope in envelopes]
    await harness.adds_up()
    log = await harness.log(*case.subject.topics)
    report = await case.examine(replace(harness.known(), injected=harness.injected.difference(places)), log)
    assert report.checks == expected | {delivery.NEVER_COMMITTED, orders.NOT_ITS_EVENTS}, str(report)


async def test_an_event_out_of_the_blue_is_seen(case: Case) -> None:
    harness, unknown = case.harness, uuid4()
    event = OrderConfirmed(order_id=unknown, partner="acme", reference="x")
    place = await harness.inject(envelope_of(event, source=ORDERS).encode())
    log = await harness.log(*case.subject.topics)
    report = await case.examine(replace(harness.known(), injected=harness.injected - {place}), log)
    expected = {delivery.NEVER_COMMITTED, orders.NOT_ITS_EVENTS, orders.IMPOSSIBLE, agreement.NOT_AGREED}
    assert report.checks == expected, str(report)


async def test_an_impossible_turn_is_seen(case: Case) -> None:
    """No event may follow a cancellation."""
    harness = case.harness
    cancelled = str(case.cancelled)
    reference = next(name for (_, name), id in harness.accepted.items() if id == cancelled)
    event = OrderConfirmed(order_id=case.cancelled, partner="acme", reference=reference)
    place = await harness.inject(envelope_of(event, sequence=4, source=ORDERS).encode())
    log = await harness.log(*case.subject.topics)
    report = await case.examine(replace(harness.known(), injected=harness.injected - {place}), log)
    expected = {delivery.NEVER_COMMITTED, orders.NOT_ITS_EVENTS, orders.IMPOSSIBLE, agreement.NOT_AGREED}
    assert report.checks == expected, str(report)


def entries(log: Log) -> Iterator[Entry]:
    return (entry for topic in log.topics for entry in log.records(topic))


async def test_an_unread_item_is_seen(case: Case) -> None:
    """An event on Kafka would change a projection, but neither database contains it."""
    before = case.log.by_key(ItemEvent.topic.name)[case.items[0]][0]
    headers = dict(before.headers) | {"ce_id": str(uuid4()).encode(), "ce_sequence": b"2".zfill(20)}
    entry = before._replace(id=headers["ce_id"].decode(), sequence=2, offset=10**6, headers=tuple(headers.items()))
    report = await case.examine(log=Log([*entries(case.log), entry]))
    assert report.checks == {delivery.NEVER_COMMITTED, NOT_THE_ITEM, NOT_THE_ITEMS}, str(report)


async def test_a_reservation_after_the_end_is_seen(case: Case) -> None:
    before = case.log.by_key(ReservationEvent.topic.name)[str(case.cancelled)][-1]
    entry = before._replace(id=str(uuid4()), sequence=3, offset=10**6)
    report = await case.examine(log=Log([*entries(case.log), entry]))
    expected = {held.RESERVED_TWICE, held.NOT_SAID, delivery.NEVER_COMMITTED, orders.UNHEARD}
    assert report.checks == expected, str(report)


async def test_topics_that_do_not_agree_are_seen(case: Case) -> None:
    """The topic has StockRejected for a confirmed order, while the tables have a reservation."""
    (before,) = case.log.by_key(ReservationEvent.topic.name)[str(case.confirmed)]
    rejected = before._replace(type=StockRejected.ce_type)
    report = await case.examine(log=Log(rejected if each == before else each for each in entries(case.log)))
    assert report.checks == {agreement.NOT_AGREED, held.NOT_SAID}, str(report)


async def test_tables_are_checked_without_a_log(case: Case) -> None:
    await case.orders("DELETE FROM orders WHERE id = $1", case.confirmed)
    await case.inventory("UPDATE levels SET on_hand = on_hand + 1 WHERE item_id = $1", case.items[0])
    report = await examine(await case.books(), None, case.harness.known())
    assert report.checks == {orders.MISSING, stock.LEDGER}


async def test_a_stack_that_does_not_come_to_rest_is_said_to(harness: Harness) -> None:
    worker = harness.stack.process("inventory-service.worker")
    (item,) = await harness.items(on_hand=10)
    await harness.adds_up()
    worker.stop()
    try:
        async with harness.client() as client:
            placed = await harness.post(client, order(f"PO-{uuid4().hex}", (item, 1)))
        async with harness.database(INVENTORY) as stopped:
            await stopped.execute("INSERT INTO release_queue (item_id, queued_at) VALUES ($1, now())", item)
        report = await harness.verify(seconds=2)
        assert not report.clean and not report.by_check
        assert report.unsettled == (
            f"inventory-service is 1 messages behind on {OrderEvent.topic.name}",
            "1 items of inventory-service are to be released to those who wait",
        )
        assert "not settled" in str(report)
    finally:
        worker.start()
    await asyncio.to_thread(worker.wait_ready)
    async with harness.client() as client:
        await harness.until(client, placed["id"], "confirmed")
    await harness.adds_up()


def test_every_check_is_seen_to_fail_here() -> None:
    own = {each for module in (delivery, agreement) for each in vars(module).values() if isinstance(each, Violation)}
    made = own.union(order_service.checks.CHECKS, inventory_service.checks.checks(timedelta(days=1)))
    seen = {check for _, checks in [*TAMPERINGS.values(), *LOG_TAMPERINGS.values()] for check in checks}
    seen |= {delivery.PARKED_FIRST, delivery.NOT_PARKED, orders.IMPOSSIBLE, held.RESERVED_TWICE, agreement.NOT_AGREED}
    assert made == seen
