"""Every check of `crossdock verify` is seen to fail: exactly the expected checks report each tampering.

Databases are changed in a transaction that is rolled back. Records on Kafka remain, so the harness passes their places
to the checker in all other tests.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
import tampering
import tampering_forecasts
from harness import INVENTORY, ORDERS, Body, Harness, order
from tampering import Case
from tampering_analytics import ANALYTICS_TAMPERINGS
from tampering_customers import CUSTOMER_TAMPERINGS
from tampering_deliveries import DELIVERY_TAMPERINGS
from tampering_forecasts import NOT_THE_DEMAND
from tampering_redactions import REDACTION_TAMPERINGS

import analytics_service.checks
import crm_service.checks
import forecast_service.checks
import inventory_service.checks
import order_service.checks
from analytics_service.levels import checks as shown
from analytics_service.log.checks import NOT_THE_RECORDS
from crossdock_chassis.service import OWN_CHECKS
from crossdock_chassis.testing import envelope_of
from crossdock_cli.verify import Subject, Violation, agreement, delivery, examine
from crossdock_cli.verify.log import Entry, Log
from crossdock_events.items import ItemEvent
from crossdock_events.orders import OrderConfirmed, OrderEvent
from crossdock_events.reservations import ReservationEvent, StockRejected
from crossdock_local.servers.postgres import database_in
from forecast_service.places import Zones
from inventory_service.items.checks import NOT_THE_ITEM
from inventory_service.reservations import checks as held
from inventory_service.stock import checks as stock
from order_service.known_items.checks import NOT_THE_ITEMS
from order_service.orders import checks as orders

TAMPERINGS = tampering.TAMPERINGS | DELIVERY_TAMPERINGS | ANALYTICS_TAMPERINGS | REDACTION_TAMPERINGS
TAMPERINGS |= tampering_forecasts.TAMPERINGS
WAITS_IN_VAIN = held.waits_in_vain(timedelta(days=1))


Made = tuple[Sequence[str], Body, Body, Body]


@pytest.fixture(scope="module")
def made() -> list[Made]:
    """Return a list that contains the orders after the first test has placed them."""
    return []


async def make(harness: Harness) -> Made:
    items = await harness.items(2, on_hand=10)
    async with harness.client() as client:
        body, key = order(f"PO-{uuid4().hex}", (items[0], 2), (items[1], 1)), {"idempotency-key": uuid4().hex}
        confirmed = await harness.post(client, body, **key)
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
            transaction = admin.transaction()
            await transaction.start()
            exits.push_async_callback(transaction.rollback)
            await admin.execute("SET LOCAL session_replication_role = replica")  # without triggers and foreign keys
            sql[source.name] = admin
        ids = [UUID(each["id"]) for each in placed]
        yield Case(harness, subject, await harness.log(*subject.topics), sql, items, *ids)


async def test_tampering_with_a_database_is_seen(case: Case) -> None:
    wrong = []
    for what, (tamper, expected) in (TAMPERINGS | CUSTOMER_TAMPERINGS).items():
        case.touched = set()
        async with case.rolled_back():
            await tamper(case)
            report = await case.examine()
        if report.checks != expected or report.clean:
            wrong.append(f"{what}: {report}, expected {sorted(each.title for each in expected)}")
    assert not wrong, "\n".join(wrong)


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


OF_ITEMS = (NOT_THE_ITEM, NOT_THE_ITEMS, shown.NOT_THE_ITEMS, NOT_THE_RECORDS)


def entries(log: Log) -> Iterator[Entry]:
    return (entry for topic in log.topics for entry in log.records(topic))


async def test_an_unread_item_is_seen(case: Case) -> None:
    """An event on Kafka would change a projection, but neither database contains it."""
    before = case.log.by_key(ItemEvent.topic.name)[case.items[0]][0]
    headers = dict(before.headers) | {"ce_id": str(uuid4()).encode(), "ce_sequence": b"2".zfill(20)}
    entry = before._replace(id=headers["ce_id"].decode(), sequence=2, offset=10**6, headers=tuple(headers.items()))
    report = await case.examine(log=Log([*entries(case.log), entry]))
    assert report.checks == {delivery.NEVER_COMMITTED, *OF_ITEMS}, str(report)


async def test_an_event_that_cannot_be_read_is_a_difference(case: Case) -> None:
    """The checks of items end at it. All other checks run to their ends."""
    before = case.log.by_key(ItemEvent.topic.name)[case.items[0]][0]
    garbage = before._replace(value=b"nonsense")
    report = await case.examine(log=Log(garbage if each == before else each for each in entries(case.log)))
    assert report.checks == {delivery.ALTERED, *OF_ITEMS}, str(report)


async def test_a_reservation_after_the_end_is_seen(case: Case) -> None:
    before = case.log.by_key(ReservationEvent.topic.name)[str(case.cancelled)][-1]
    entry = before._replace(id=str(uuid4()), sequence=3, offset=10**6)
    report = await case.examine(log=Log([*entries(case.log), entry]))
    expected = {held.RESERVED_TWICE, held.NOT_SAID, delivery.NEVER_COMMITTED, orders.UNHEARD, NOT_THE_RECORDS}
    assert report.checks == expected, str(report)


async def test_topics_that_do_not_agree_are_seen(case: Case) -> None:
    """The topic has StockRejected for a confirmed order, while the tables have a reservation."""
    (before,) = case.log.by_key(ReservationEvent.topic.name)[str(case.confirmed)]
    rejected = before._replace(type=StockRejected.ce_type)
    report = await case.examine(log=Log(rejected if each == before else each for each in entries(case.log)))
    expected = {agreement.NOT_AGREED, held.NOT_SAID, orders.NOT_ITS_EVENTS, NOT_THE_DEMAND}
    assert report.checks == expected, str(report)


async def test_tables_are_checked_without_a_log(case: Case) -> None:
    await case.orders("DELETE FROM orders WHERE id = $1", case.confirmed)
    await case.inventory("UPDATE levels SET on_hand = on_hand + 1 WHERE item_id = $1", case.items[0])
    report = await examine(await case.books(), None, case.harness.known())
    assert report.checks == {orders.MISSING, orders.NOT_FED, orders.OTHERS_KEY, stock.LEDGER}


async def test_a_stack_that_does_not_come_to_rest_is_said_to(harness: Harness) -> None:
    worker = harness.stack.process("inventory-service.worker")
    (item,) = await harness.items(on_hand=10)
    await harness.adds_up()
    worker.stop()
    try:
        async with harness.client() as client:
            placed = await harness.post(client, order(f"PO-{uuid4().hex}", (item, 1)))
        await harness.receive({item: 5})
        async with harness.database(INVENTORY) as stopped:
            await stopped.execute("INSERT INTO release_queue (item_id, queued_at) VALUES ($1, now())", item)
        report = await harness.verify(seconds=2)
        assert not report.clean and not report.by_check
        assert report.unsettled == (
            f"inventory-service is 1 messages behind on {OrderEvent.topic.name}",
            "1 items of inventory-service are to be released to those who wait",
            "the levels of 1 items of inventory-service are to be published",
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
    made = own.union(OWN_CHECKS, order_service.checks.CHECKS, inventory_service.checks.checks(timedelta(days=1)))
    made |= {*analytics_service.checks.CHECKS, *forecast_service.checks.checks(Zones()), *crm_service.checks.CHECKS}
    tampered = [*TAMPERINGS.values(), *CUSTOMER_TAMPERINGS.values(), *LOG_TAMPERINGS.values()]
    seen = {check for _, checks in tampered for check in checks}
    seen |= {delivery.PARKED_FIRST, delivery.NOT_PARKED, orders.IMPOSSIBLE, held.RESERVED_TWICE, agreement.NOT_AGREED}
    assert made == seen
