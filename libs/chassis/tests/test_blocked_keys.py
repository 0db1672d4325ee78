"""Keys whose reaction waits for a locked row: set aside, retried, in order, while the other keys go on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import toy
from examples import cancelled, placed
from on_kafka import eventually, from_now_on, mine, publish, relay, running
from test_inbox import letters, records, take

from crossdock_chassis import Database, Service, Unit, on
from crossdock_chassis.messaging import inbox as inbox_module
from crossdock_chassis.messaging import retries as retries_module
from crossdock_chassis.messaging.aside import Record
from crossdock_chassis.messaging.inbox import ISOLATE_LOCK_SECONDS, Blocked, Inbox
from crossdock_chassis.messaging.retries import KEYS_AT_ONCE, Retries, retry_due
from crossdock_chassis.testing import OPS, Clients, envelope_of, published
from crossdock_events import Envelope
from crossdock_events.items import ItemRegistered
from crossdock_events.orders import OrderPlaced


@asynccontextmanager
async def locked(service: Service, *names: str) -> AsyncIterator[None]:
    """Hold the rows of these marks in a transaction of somebody else."""
    connection = await asyncpg.connect(service.database.dsn)
    try:
        await connection.execute("BEGIN")
        for name in names:
            await connection.execute("INSERT INTO mark (name, times) VALUES ($1, 0)", name)
        yield
        await connection.execute("ROLLBACK")
    finally:
        await connection.close()


def inbox(service: Service) -> Inbox:
    return service.inboxes()[service.name]


async def isolate(service: Service, *batch: Record) -> None:
    async with service.database.unit(lock_timeout=ISOLATE_LOCK_SECONDS) as unit:
        await inbox(service).take(unit, batch, careful=True)


async def retry(service: Service, group: Inbox | None = None) -> bool:
    """Retry the blocked keys as if all were due."""
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE parked_key SET due_at = now() - interval '1 s' WHERE due_at IS NOT NULL")
    async with service.database.unit(lock_timeout=ISOLATE_LOCK_SECONDS) as unit:
        return await retry_due(unit, group or inbox(service))


async def parked(service: Service) -> list[bool]:
    """Whether each parked key is retried."""
    async with service.database.unit() as unit:
        rows = await unit.sql.fetch("SELECT due_at IS NOT NULL AS retried FROM parked_key ORDER BY key")
    return [row["retried"] for row in rows]


PAUSE = "SELECT round(extract(epoch FROM due_at - now())) FROM parked_key"


async def mirrored(service: Service) -> int:
    return sum(row["topic"].endswith(".dlq") for row in await published(service))


async def test_locked_row_does_not_delay_the_other_keys(kafka_service: Service) -> None:
    """The keys with the locked row are retried by themselves once it is free, each in its order."""
    service, tag = kafka_service, uuid4().hex[:8]
    consumer = await from_now_on(service)
    retries = Retries(service.database, [consumer.inbox])
    stuck = [placed(f"{tag}-stuck-{n}") for n in range(3)]
    others = [placed(f"{tag}-{n}") for n in range(40)]

    async def handled(count: int) -> bool:
        return len(await mine(service, tag)) == count

    async with running(relay(service), consumer, retries):
        async with locked(service, *(order.reference for order in stuck)):
            await publish(service, *((order, 1) for order in stuck))
            await publish(service, *((order, 1) for order in others))
            await eventually(lambda: handled(40))
            await publish(service, *((cancelled(order), 2) for order in stuck))
            await publish(service, *((cancelled(order), 2) for order in others))
            await eventually(lambda: handled(80))
            assert await parked(service) == [True] * 3
        await eventually(lambda: handled(86))

        async def released() -> bool:
            return not await parked(service) and not await letters(service)

        await eventually(released)
    assert set((await mine(service, tag)).values()) == {1}


async def test_blocked_event_is_no_dead_letter_and_keeps_its_order(service: Service) -> None:
    order = placed("stuck")
    first, second, third = records(
        envelope_of(order), envelope_of(cancelled(order), sequence=2), envelope_of(placed("PO-1"))
    )
    async with locked(service, "stuck"):
        await isolate(service, first, second, third)
        later = Record(envelope_of(placed("late", order.order_id), sequence=3).encode(), 0, 7, 0.0)
        await take(service, [later])
        assert await toy.marks(service) == {"PO-1": 1}
        assert await letters(service) == [(0, "blocked"), (1, "blocked"), (7, "blocked")]
        assert await retry(service), "still locked"
        assert await letters(service) == [(0, "blocked"), (1, "blocked"), (7, "blocked")]
    assert await retry(service)
    assert await toy.marks(service) == {"PO-1": 1, "stuck": 1, "cancelled stuck": 1, "late": 1}
    assert (await letters(service), await parked(service), await mirrored(service)) == ([], [], 0)
    assert not await retry(service)
    await take(service, [first, second, later])
    assert set((await toy.marks(service)).values()) == {1}, "each was handled once"


async def test_one_worker_at_a_time_retries_a_group(service: Service) -> None:
    async with locked(service, "stuck"):
        await isolate(service, *records(envelope_of(placed("stuck"))))
    async with service.database.unit() as first:
        assert await retry_due(first, inbox(service))
        async with service.database.unit(lock_timeout=0.1) as second:
            assert not await retry_due(second, inbox(service))
    assert await toy.marks(service) == {"stuck": 1}


async def test_key_that_fails_is_retried_later_and_later(service: Service) -> None:
    async with locked(service, "stuck"):
        await isolate(service, *records(envelope_of(placed("stuck"))))
        pauses = []
        for _ in range(8):
            await retry(service)
            async with service.database.unit() as unit:
                pauses.append(await unit.sql.fetchval(PAUSE))
    assert pauses[0] <= 1 and pauses == sorted(pauses) and 10 < pauses[-1] <= 15


async def test_blocked_event_that_turns_out_poison_waits_for_a_person(service: Service, clients: Clients) -> None:
    order = placed("poison-and-stuck")
    batch = records(envelope_of(order), envelope_of(cancelled(order), sequence=2))
    async with locked(service, "poison-and-stuck"):
        await isolate(service, *batch)
        assert await letters(service) == [(0, "blocked"), (1, "blocked")]
        refused = await clients(service, None, OPS, subject="ops").post(
            "/v1/dead-letters/1:discard", json={"reason": "r"}
        )
        assert refused.status_code == 409 and "blocked" in refused.json()["detail"]
    await retry(service)
    assert await letters(service) == [(0, "poison"), (1, "parked")]
    assert (await parked(service), await mirrored(service)) == ([False], 2)
    assert not await retry(service)


async def test_malformed_event_behind_a_blocked_one_becomes_poison(service: Service) -> None:
    order = placed("stuck")
    message = envelope_of(order, sequence=2).encode()
    broken = Record(replace(message, value=message.value[:-9]), 0, 1, 0.0)
    first, _, last = records(envelope_of(order), envelope_of(order), envelope_of(cancelled(order), sequence=3))
    for batches in ([[first, broken, last]], [[first], [broken], [last]]):
        async with locked(service, "stuck"):
            for batch in batches:
                await isolate(service, *batch)
        while await retry(service):
            pass
        assert await toy.marks(service) == {"stuck": 1}
        assert (await letters(service), await parked(service)) == ([(1, "poison"), (2, "parked")], [False])
        assert await mirrored(service) == 2
        async with service.database.unit() as unit:
            await unit.sql.execute("TRUNCATE dead_letter, parked_key, inbox, mark, outbox, outbox_pending")


async def test_event_that_arrives_during_a_retry_is_not_passed_by(service: Service) -> None:
    """The consumer holds the parked key while the retry ends: the key stays parked for the event that is added."""
    order = placed("stuck")
    first, second, third = records(
        envelope_of(order), envelope_of(cancelled(order), sequence=2), envelope_of(placed("last", order.order_id))
    )
    async with locked(service, "stuck"):
        await isolate(service, first)
    async with service.database.unit() as unit:
        await inbox(service).take(unit, [second], careful=False)
        assert await retry(service)
        assert await toy.marks(service) == {"stuck": 1}
    await take(service, [third])
    assert await toy.marks(service) == {"stuck": 1}, "the key is still parked"
    while await retry(service):
        pass
    assert await toy.marks(service) == {"stuck": 1, "cancelled stuck": 1, "last": 1}
    assert await parked(service) == []


@pytest.fixture
async def redriving(service: Service, clients: Clients) -> Callable[[], Awaitable[httpx.Response]]:
    """Return a redrive of dead letter 1, for a build in which the bug is gone."""
    assert isinstance(service.settings, toy.Settings)
    settings = service.settings.model_copy(update={"poison": "nothing is"})
    client = clients(replace(toy.build(settings), database=service.database), None, OPS, subject="ops")
    return lambda: client.post("/v1/dead-letters/1:redrive", json={"reason": "mended"})


async def test_redrive_at_work_does_not_delay_the_consumer(
    service: Service, redriving: Callable[[], Awaitable[httpx.Response]]
) -> None:
    """The event that the consumer adds meanwhile is applied with the redrive."""
    poison = placed("poison-1")
    first, second = records(envelope_of(poison), envelope_of(cancelled(poison), sequence=2))
    await take(service, [first], careful=True)
    async with locked(service, "poison-1"):
        redrive = asyncio.ensure_future(redriving())
        await eventually(lambda: waits(service))
        async with service.database.unit(lock_timeout=0.1) as unit:
            await inbox(service).take(unit, [second], careful=False)
    assert (await redrive).json()["applied"] == 2
    assert await toy.marks(service) == {"cancelled poison-1": 1, "poison-1": 1}
    assert await parked(service) == []


async def test_redrive_waits_for_an_event_that_is_being_added(
    service: Service, redriving: Callable[[], Awaitable[httpx.Response]]
) -> None:
    poison = placed("poison-1")
    first, second = records(envelope_of(poison), envelope_of(cancelled(poison), sequence=2))
    await take(service, [first], careful=True)
    async with service.database.unit() as unit:
        await inbox(service).take(unit, [second], careful=False)
        redrive = asyncio.ensure_future(redriving())

        async def waiting() -> bool:
            return redrive.done() or await waits(service)

        await eventually(waiting)
    assert (await redrive).json()["applied"] == 2
    assert await toy.marks(service) == {"cancelled poison-1": 1, "poison-1": 1}
    assert await parked(service) == []


async def test_bad_event_added_during_a_redrive_keeps_the_key_parked(
    service: Service, redriving: Callable[[], Awaitable[httpx.Response]]
) -> None:
    poison = placed("poison-1")
    first, second, third = records(*(envelope_of(poison, sequence=n) for n in (1, 2, 3)))
    await take(service, [first], careful=True)
    async with locked(service, "poison-1"):
        redrive = asyncio.ensure_future(redriving())
        await eventually(lambda: waits(service))
        await take(service, [replace(second, message=replace(second.message, value=b"{"))])
    assert ((await redrive).json()["applied"], (await redrive).json()["left"]) == (1, 1)
    await take(service, [third], careful=True)
    assert await letters(service) == [(0, "redriven"), (1, "poison"), (2, "parked")]


async def waits(service: Service) -> bool:
    """Whether somebody waits for a lock."""
    async with service.database.unit() as unit:
        return bool(await unit.sql.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def test_reaction_that_times_out_blocks_only_its_key(service: Service) -> None:
    """A TimeoutError of the reaction itself is no loss of the connection."""
    slow = ["slow"]

    async def mark(unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        await unit.sql.execute(toy.MARK, [each.event.reference for each in batch])
        if any(each.event.reference in slow for each in batch):
            raise TimeoutError("the other system does not answer")

    timing_out = replace(service, reactions=[on(OrderPlaced, mark)])
    batch = records(*(envelope_of(placed(name)) for name in ("PO-1", "slow", "PO-2")))
    with pytest.raises(Blocked, match="does not answer"):
        async with service.database.unit() as unit:
            await inbox(timing_out).take(unit, batch, careful=False)
    await isolate(timing_out, *batch)
    assert await toy.marks(service) == {"PO-1": 1, "PO-2": 1}
    slow.clear()
    await retry(timing_out)
    assert await toy.marks(service) == {"PO-1": 1, "PO-2": 1, "slow": 1}


async def test_projection_blocks_and_retries_its_key_in_order(service: Service) -> None:
    def item(id: str, sequence: int) -> Envelope[Any]:
        registered = ItemRegistered(item_id=id, unit_of_measure="each", category=None, status="active")
        return envelope_of(registered, sequence=sequence)

    projection = service.inboxes()["toy-service.items_marked.1"]
    async with locked(service, "item A active"):
        async with service.database.unit(lock_timeout=ISOLATE_LOCK_SECONDS) as unit:
            await projection.take(unit, records(item("A", 1), item("B", 1), item("A", 2)), careful=True)
        assert await toy.marks(service) == {"item B active": 1}
    await retry(service, projection)
    assert await toy.marks(service) == {"item A active": 2, "item B active": 1}
    assert await letters(service) == []


async def test_blocked_keys_are_limited_and_then_the_batch_waits(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "BLOCKED_KEYS_LIMIT", 2)
    names = [f"stuck-{n}" for n in range(3)]
    batch = records(*(envelope_of(placed(name)) for name in names))
    async with locked(service, *names):
        await isolate(service, *batch[:2])
        with pytest.raises(Blocked, match="2 blocked keys"):
            await isolate(service, *batch[1:])
    assert await letters(service) == [(0, "blocked"), (1, "blocked")]


async def test_many_records_of_many_keys_are_retried_in_chunks(service: Service) -> None:
    orders = [placed(f"stuck-{n}", UUID(int=n + 1)) for n in range(KEYS_AT_ONCE + 5)]
    batch: list[Record] = []
    for sequence in range(1, 13):
        for order in orders:
            again = placed(f"{order.reference}", order.order_id)
            batch.append(Record(envelope_of(again, sequence=sequence).encode(), 0, len(batch), 0.0))
    async with service.database.unit() as unit:
        for record in batch[: len(orders)]:
            await inbox(service).take(unit, [record], careful=True, untried=TimeoutError("stuck"))
    await take(service, batch[len(orders) :])
    assert await toy.marks(service) == {} and len(await letters(service)) == len(batch)
    while await retry(service):
        pass
    assert set((await toy.marks(service)).values()) == {12} and await letters(service) == []
    assert await parked(service) == []


async def test_retries_look_at_once_if_their_own_inbox_blocks_a_key(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unit that blocks the key commits after the first look for it."""
    monkeypatch.setattr(retries_module, "REST_SECONDS", 3_600.0)
    monkeypatch.setattr(retries_module, "IDLE_SECONDS", 0.01)
    mine, fetch, looks = inbox(service), Database.fetch, 0

    async def counted(self: Database, statement: str, *values: object) -> list[asyncpg.Record]:
        nonlocal looks
        looks += 1
        return await fetch(self, statement, *values)

    monkeypatch.setattr(Database, "fetch", counted)

    async def looked(times: int) -> bool:
        return looks >= times

    async def handled() -> bool:
        return bool(await toy.marks(service)) and not await letters(service)

    async with running(Retries(service.database, [mine])):
        await eventually(partial(looked, 1))
        async with service.database.unit() as unit:
            await mine.take(unit, records(envelope_of(placed())), careful=True, untried=TimeoutError("stuck"))
            await eventually(partial(looked, 3))
        await eventually(handled)


async def test_key_that_ends_the_unit_does_not_stop_other_retries(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reaction that loses the connection each time is isolated by smaller and smaller units."""
    monkeypatch.setattr(retries_module, "IDLE_SECONDS", 3_600.0)  # no pause of a part that has blocked keys
    healthy = [False]

    async def mark(unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        if not healthy[0] and any(each.event.reference == "fatal" for each in batch):
            await unit.sql.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        await unit.sql.execute(toy.MARK, [each.event.reference for each in batch])

    fatal = replace(service, reactions=[on(OrderPlaced, mark)])
    names = ["fatal", *(f"PO-{n}" for n in range(5))]
    for name, record in zip(names, records(*(envelope_of(placed(name)) for name in names)), strict=True):
        async with service.database.unit() as unit:
            await inbox(fatal).take(unit, [record], careful=True, untried=TimeoutError(name))

    async def others() -> bool:
        return len(await toy.marks(service)) >= 5

    async with running(Retries(service.database, [inbox(fatal)])):
        await eventually(others)
        assert "fatal" not in await toy.marks(service)
        healthy[0] = True

        async def everything() -> bool:
            return len(await toy.marks(service)) == 6

        await eventually(everything)
    assert set((await toy.marks(service)).values()) == {1}
