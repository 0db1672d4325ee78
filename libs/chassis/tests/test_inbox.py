"""What a consumer does with a batch, on the real database, without Kafka."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import toy
from examples import cancelled, placed
from uuid_utils.compat import uuid7

from crossdock_chassis import Service, Unit, on
from crossdock_chassis.messaging.aside import Record
from crossdock_chassis.messaging.inbox import Inbox, VersionUnknown
from crossdock_chassis.testing import Deliver, envelope_of, published
from crossdock_events import Envelope, Event, Message
from crossdock_events.items import ItemChanged, ItemRegistered
from crossdock_events.orders import OrderPlaced


def records(*envelopes: Envelope[Event]) -> list[Record]:
    return [Record(e.encode(), 0, offset, e.time.timestamp()) for offset, e in enumerate(envelopes)]


async def take(service: Service, batch: Sequence[Record], kind: str = "reaction", *, careful: bool = False) -> None:
    subscription = next(each for each in await service.live() if each.kind == kind)
    async with service.database.unit() as unit:
        await Inbox(subscription).take(unit, batch, careful=careful)


async def letters(service: Service) -> list[tuple[int, str]]:
    async with service.database.unit() as unit:
        rows = await unit.sql.fetch('SELECT "offset", state FROM dead_letter ORDER BY "offset"')
    return [(row["offset"], row["state"]) for row in rows]


async def test_an_event_has_its_effect_once_however_often_it_comes(service: Service) -> None:
    event = envelope_of(placed("PO-1"))
    await take(service, [*records(event), *records(event)])  # both copies in one fetch
    await take(service, records(event))  # and once more later
    assert await toy.marks(service) == {"PO-1": 1}
    assert len(await published(service)) == 1


async def test_reaction_locks_precede_mixed_batches_and_halving(service: Service) -> None:
    held: list[list[str]] = []

    async def lock(unit: Unit, batch: Sequence[Envelope[Any]]) -> None:
        assert not unit.published, "before the first reaction"
        held.append([type(envelope.event).__name__ for envelope in batch])

    locking = replace(service, reaction_locks=lock)
    first, second = placed("PO-1"), placed("PO-2")
    await take(locking, records(envelope_of(first), envelope_of(second)))
    assert held == [], "a reaction locks what a batch of one type needs"
    mixed = records(envelope_of(placed("PO-3")), envelope_of(cancelled(first)))
    await take(locking, [*mixed, *mixed])
    assert held.pop() == ["OrderPlaced", "OrderCancelled"]
    await take(locking, mixed)
    assert held == [], "what was handled before needs none"
    await take(locking, records(envelope_of(placed("PO-4")), envelope_of(placed("PO-5"))), careful=True)
    assert held == [["OrderPlaced", "OrderPlaced"]]


async def test_poison_event_parks_only_later_events_of_its_key(service: Service) -> None:
    poison = placed("poison-1")
    batch = records(
        envelope_of(placed("PO-1")),
        envelope_of(poison),
        envelope_of(placed("PO-2")),
        envelope_of(cancelled(poison), sequence=2),
        envelope_of(placed("PO-3")),
    )
    await take(service, batch, careful=True)
    assert await toy.marks(service) == {"PO-1": 1, "PO-2": 1, "PO-3": 1}
    assert await letters(service) == [(1, "poison"), (3, "parked")]
    later = Record(envelope_of(cancelled(poison), sequence=3).encode(), 0, 9, 0.0)
    await take(service, [later])
    assert await letters(service) == [(1, "poison"), (3, "parked"), (9, "parked")]
    mirrors = [row["topic"] for row in await published(service) if row["topic"].endswith(".dlq")]
    assert mirrors == ["crossdock.orders.v1.toy-service.dlq"] * 3


async def test_what_came_before_the_poison_on_its_key_stands(service: Service) -> None:
    order = placed("PO-1")
    again = placed("poison-late", order.order_id)
    batch = records(envelope_of(order), envelope_of(again, sequence=2), envelope_of(cancelled(order), sequence=3))
    await take(service, batch, careful=True)
    assert await toy.marks(service) == {"PO-1": 1}
    assert await letters(service) == [(1, "poison"), (2, "parked")]


async def test_bytes_that_are_no_event_are_set_aside(service: Service) -> None:
    good = envelope_of(placed("PO-1"))
    order = placed("PO-2")
    broken = envelope_of(order).encode()
    batch = [
        *records(good),
        Record(Message(broken.topic, None, b"\xff\x00", {}), 0, 1, 0.0),
        Record(Message(broken.topic, broken.key, broken.value[:-9], broken.headers), 0, 2, 0.0),
        Record(envelope_of(cancelled(order), sequence=2).encode(), 0, 3, 0.0),
    ]
    await take(service, batch)
    assert await toy.marks(service) == {"PO-1": 1}
    assert await letters(service) == [(1, "poison"), (2, "poison"), (3, "parked")]


async def test_types_that_nobody_here_subscribes_to_are_skipped(service: Service) -> None:
    other = envelope_of(placed()).encode()
    unknown = Message(other.topic, other.key, b"{}", {**other.headers, "ce_type": b"crossdock.OrderTeleported.v1"})
    await take(service, [Record(unknown, 0, 0, 0.0)])
    assert await toy.marks(service) == {} and await letters(service) == []


async def test_a_newer_version_of_a_subscribed_type_is_never_skipped(service: Service) -> None:
    inbox = Inbox(service.subscriptions()[0])
    message = envelope_of(placed()).encode()
    newer = Message(
        message.topic, message.key, message.value, {**message.headers, "ce_type": b"crossdock.OrderPlaced.v9"}
    )
    assert isinstance(inbox.refuses(Record(newer, 0, 0, 0.0)), VersionUnknown)
    assert inbox.refuses(Record(message, 0, 0, 0.0)) is None
    await take(service, [Record(newer, 0, 0, 0.0), Record(envelope_of(placed("PO-1")).encode(), 0, 1, 0.0)])
    assert await toy.marks(service) == {"PO-1": 1} and await letters(service) == [(0, "poison")]
    async with service.database.unit() as unit:
        assert [each.state for each in await inbox.again(unit, [Record(newer, 0, 0, 0.0)])] == ["poison"]


async def test_projection_applies_each_sequence_once_and_in_order(service: Service) -> None:
    registered = ItemRegistered(item_id="A", unit_of_measure="each", category=None, status="active")
    changed = ItemChanged(item_id="A", unit_of_measure="each", category=None, status="discontinued")
    first, second = envelope_of(registered, sequence=1), envelope_of(changed, sequence=2)
    await take(service, records(first, second, first), "projection")
    await take(service, records(first), "projection")
    assert await toy.marks(service) == {"item A active": 1, "item A discontinued": 1}


async def test_one_type_after_another_on_one_key_keeps_its_order(service: Service, deliver: Deliver) -> None:
    orders = [placed(f"PO-{n}", UUID(int=n + 1)) for n in range(20)]
    events: list[Event] = []
    for order in orders:
        events += [order, cancelled(order)]
    answers = await deliver(service, *events)
    assert len(answers) == 20
    assert set((await toy.marks(service)).values()) == {1}


def test_ids_sort_by_time() -> None:
    assert sorted(ids := [uuid7() for _ in range(1000)]) == ids


async def test_record_with_an_empty_type_is_poison(service: Service) -> None:
    message = Message("crossdock.orders.v1", b"k", b"{", {"ce_specversion": b"1.0", "ce_type": b""})
    await take(service, [Record(message, 0, 5, 0.0)])
    assert await letters(service) == [(5, "poison")]


MAX_RECORD_BYTES = 1_048_000
"""About what Kafka takes in one record by default."""

ODD: dict[str, Message] = {
    "large value": Message("crossdock.orders.v1", b"k", b"x" * MAX_RECORD_BYTES, {}),
    "value larger than the outbox takes": Message("crossdock.orders.v1", b"k", b"x" * 900_001, {}),
    "large key": Message("crossdock.orders.v1", bytes(range(256)) * 4_000, b"", {}),
    "key too long for an index": Message("crossdock.orders.v1", bytes(range(1, 256)) * 12, b"{", {}),
    "large headers": Message("crossdock.orders.v1", b"k", b"", {f"h{n}": b"\xff" * 100_000 for n in range(10)}),
    "nothing at all": Message("crossdock.orders.v1", None, b"", {}),
    "empty key": Message("crossdock.orders.v1", b"", b"{}", {"": b""}),
    "NUL everywhere": Message("crossdock.orders.v1", b"\0", b"\0", {"a\0": b"\0"}),
    "version of 100,000 digits": Message(
        "crossdock.orders.v1", b"k", b"{}", {"ce_type": b"crossdock.OrderPlaced.v" + b"9" * 100_000}
    ),
    "surrogates": Message("crossdock.orders.v1", b"\xed\xa0\x80", b'"\\ud800"', {"content-type": b"\xed\xa0\x80"}),
}


@pytest.mark.parametrize("name", ODD)
async def test_odd_record_is_a_dead_letter_and_stops_nothing(name: str, service: Service) -> None:
    good = envelope_of(placed("PO-1"))
    assert Inbox(service.subscriptions()[0]).refuses(Record(ODD[name], 0, 0, 0.0)) is None, "its partition goes on"
    await take(service, [Record(ODD[name], 0, 0, 0.0), Record(good.encode(), 0, 1, 0.0)])
    assert await toy.marks(service) == {"PO-1": 1}
    assert await letters(service) == [(0, "poison")]
    [mirror] = [row for row in await published(service) if row["topic"].endswith(".dlq")]
    assert len(mirror["value"]) + len(mirror["key"] or b"") + len(mirror["headers"]) < 1_000_000
    async with service.database.unit() as unit:
        row = await unit.sql.fetchrow("SELECT key, value FROM dead_letter")
    assert (row["key"], row["value"]) == (ODD[name].key, ODD[name].value)


async def test_error_with_text_that_cannot_be_stored_is_still_poison(service: Service) -> None:
    await take(service, records(envelope_of(placed("poison-unprintable"))), careful=True)
    assert await letters(service) == [(0, "poison")]


async def too_large(unit: Unit, order: OrderPlaced) -> None:
    unit.publish(order.model_copy(update={"lines": order.lines * 12_000}), sequence=1, cause=None)


async def lone_surrogate(unit: Unit, order: OrderPlaced) -> None:
    unit.publish(order.model_copy(update={"reference": "\ud800"}), sequence=1, cause=None)


async def no_sequence(unit: Unit, order: OrderPlaced) -> None:
    unit.publish(order, sequence=0, cause=None)


async def lone_surrogate_in_an_effect(unit: Unit, order: OrderPlaced) -> None:
    unit.effect("mail", target="smtp", payload={"text": "\ud800"})


async def orm_row_that_breaks_a_rule(unit: Unit, order: OrderPlaced) -> None:
    unit.session.add(toy.MarkRow(name=order.reference, times=None))


async def deferred_constraint(unit: Unit, order: OrderPlaced) -> None:
    await unit.sql.execute("INSERT INTO pair VALUES (1), (1)")


async def deferred_trigger(unit: Unit, order: OrderPlaced) -> None:
    await unit.sql.execute("INSERT INTO refused VALUES (1)")


async def swallowed_error(unit: Unit, order: OrderPlaced) -> None:
    with suppress(asyncpg.UndefinedTableError):
        await unit.sql.execute("SELECT FROM nowhere")


LATE: Sequence[Callable[[Unit, OrderPlaced], Awaitable[None]]] = [
    too_large,
    lone_surrogate,
    no_sequence,
    lone_surrogate_in_an_effect,
    orm_row_that_breaks_a_rule,
    deferred_constraint,
    deferred_trigger,
    swallowed_error,
]


@pytest.mark.parametrize("fail", LATE)
async def test_fault_seen_only_at_the_end_of_a_unit_is_set_aside(
    service: Service, fail: Callable[[Unit, OrderPlaced], Awaitable[None]]
) -> None:
    """What the flush or the commit of a unit refuses would end the consumer again and again."""
    async with service.database.unit() as unit:
        await unit.sql.execute(
            """
            CREATE TABLE pair (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);
            CREATE TABLE refused (id int);
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
            CREATE CONSTRAINT TRIGGER refuses AFTER INSERT ON refused DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION refuse();
            """
        )
    service.database.effect_kinds = ["mail"]

    async def react(unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        await unit.sql.execute(toy.MARK, [each.event.reference for each in batch])
        for each in batch:
            if each.event.reference == "PO-bad":
                await fail(unit, each.event)

    failing = replace(service, reactions=[on(OrderPlaced, react)], effects=())
    batch = records(*(envelope_of(placed(name)) for name in ("PO-1", "PO-bad", "PO-2")))
    await take(failing, batch, careful=True)
    assert await toy.marks(service) == {"PO-1": 1, "PO-2": 1}
    assert await letters(service) == [(1, "poison")]
