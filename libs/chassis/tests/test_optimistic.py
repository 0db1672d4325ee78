"""Optimistic units on the real database: all or nothing in one statement, and an ordinary unit after any conflict."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import toy
from examples import cancelled, placed
from pydantic import BaseModel

from crossdock_chassis import Coalescer, Content, Moved, OutcomeUnknown, Service, Unavailable, Unit, on
from crossdock_chassis.commands import coalescer
from crossdock_chassis.commands.idempotency import IdempotentRequest
from crossdock_chassis.database.unit import Database
from crossdock_chassis.messaging import optimistic
from crossdock_chassis.messaging.aside import PARK, Record
from crossdock_chassis.messaging.inbox import Inbox
from crossdock_chassis.testing import envelope_of, published, scanned
from crossdock_events import Envelope, Event
from crossdock_events.orders import OrderCancelled, OrderPlaced

NEW = """
    CREATE FUNCTION mark_new(names text[]) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO mark (name, times) SELECT name, 1 FROM unnest(names) AS name;
    END $$
"""
WAITS_FOR_A_LOCK = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
NOWHERE: Sequence[Sequence[object]] = [[], [], [], []]


class Seen(BaseModel):
    name: str


class Refused(Exception):
    pass


@pytest.fixture(autouse=True)
async def functions(service: Service) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(NEW)


async def mark(unit: Unit, batch: Sequence[str]) -> list[Seen | Exception]:
    """Mark new names in an optimistic unit, and count names in an ordinary one. Refuse "no"."""
    names = [name for name in batch if name != "no"]
    if unit.optimistic:
        unit.call("mark_new", names)
    else:
        await unit.sql.execute(toy.MARK, names)
    for name in names:
        unit.publish(placed(name), sequence=1, cause=None)
    return [Refused(name) if name == "no" else Seen(name=name) for name in batch]


@pytest.fixture
def send(service: Service) -> Coalescer[str, Seen]:
    return Coalescer(service.database, mark, Seen, optimistic=True)


def request(key: str, body: str = "body") -> IdempotentRequest:
    content = Content.of(Seen(name=body))
    return IdempotentRequest("acme", "POST /v1/things", key, content.fingerprint, content)


async def names(service: Service) -> list[str]:
    return [row["key"].decode() for row in await published(service)]


async def test_calls_and_events_are_committed_together_or_not_at_all(service: Service) -> None:
    async with service.database.optimistic() as unit:
        await mark(unit, ["a", "b"])
    with pytest.raises(Moved):
        async with service.database.optimistic() as unit:
            await mark(unit, ["c", "a"])
    assert await toy.marks(service) == {"a": 1, "b": 1}
    assert len(await published(service)) == 2
    async with service.database.unit() as left:
        assert await left.sql.fetchval("SELECT sum(cardinality(ids)) FROM outbox_pending") == 2


async def test_argument_that_cannot_be_sent_is_no_lost_connection(service: Service) -> None:
    """Then an ordinary unit finds the command at fault. A lost connection would fail the whole batch."""
    with pytest.raises(Moved, match="DataError"):
        async with service.database.optimistic() as unit:
            unit.call("mark_new", ["\ud800"])
    async with service.database.optimistic() as unit:
        unit.call("mark_new", ["a"])
    assert await toy.marks(service) == {"a": 1}


async def test_block_that_raises_changes_nothing(service: Service) -> None:
    with pytest.raises(ValueError, match="out of order"):
        async with service.database.optimistic() as unit:
            await mark(unit, ["a"])
            raise ValueError("out of order")
    assert await toy.marks(service) == {}


async def test_repeated_key_has_its_first_answer(service: Service, send: Coalescer[str, Seen]) -> None:
    first = await send("a", request("k"))
    again = await send("b", request("k"))
    assert (first.replayed, again) == (False, (Seen(name="a"), True))
    assert await toy.marks(service) == {"a": 1}


async def test_key_sent_twice_at_once_is_handled_once(service: Service, send: Coalescer[str, Seen]) -> None:
    answers = await asyncio.gather(*(send("a", request("k")) for _ in range(5)))
    assert [each.result.name for each in answers] == ["a"] * 5
    assert sum(each.replayed for each in answers) == 4
    assert await toy.marks(service) == {"a": 1}


async def test_key_of_a_refused_command_can_be_used_again(service: Service, send: Coalescer[str, Seen]) -> None:
    with pytest.raises(Refused):
        await send("no", request("k"))
    assert not (await send("a", request("k"))).replayed


async def test_conflict_falls_back_to_an_ordinary_unit(service: Service, send: Coalescer[str, Seen]) -> None:
    await send("a")
    await send("a")
    assert await toy.marks(service) == {"a": 2}


@asynccontextmanager
async def blocked(
    service: Service, work: Coroutine[Any, Any, object]
) -> AsyncIterator[tuple[asyncio.Task[object], int]]:
    """Start work that marks "a", and yield it with its backend's pid while another transaction blocks it."""
    holder, watcher = await asyncpg.connect(service.database.dsn), await asyncpg.connect(service.database.dsn)
    await holder.execute("BEGIN; INSERT INTO mark VALUES ('a', 0)")
    waiting = asyncio.create_task(work)
    async with asyncio.timeout(30):
        while (pid := await watcher.fetchval(WAITS_FOR_A_LOCK)) is None:
            assert not waiting.done()
    yield waiting, pid
    for connection in (holder, watcher):
        await connection.close()


async def test_connection_lost_during_the_call_leaves_the_outcome_open(
    service: Service, send: Coalescer[str, Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is answered that it may have been done, and a retry with its key finds out."""
    monkeypatch.setattr(coalescer, "LOCK_SECONDS", 10.0)
    async with blocked(service, send("a", request("k"))) as (waiting, pid):
        async with service.database.unit() as unit:
            await unit.sql.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(waiting, 30)
    assert not (await send("a", request("k"))).replayed
    assert await toy.marks(service) == {"a": 1}


async def test_cancelled_call_does_not_return_its_connection(service: Service) -> None:
    async def place(name: str) -> None:
        async with service.database.optimistic() as unit:
            await mark(unit, [name])

    async with blocked(service, place("a")) as (waiting, _):
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 30)
    await place("b")
    assert (await toy.marks(service))["b"] == 1, "whether the cancelled call was done is unknown"


async def test_database_that_is_away_is_no_conflict(service: Service) -> None:
    gone = Database("postgresql://nobody:no@127.0.0.1:1/nowhere", source="x")
    with pytest.raises(Unavailable):
        await Coalescer(gone, mark, Seen, optimistic=True)("a")
    await gone.close()


def records(*envelopes: Envelope[Event]) -> list[Record]:
    return [Record(each.encode(), 0, offset, each.time.timestamp()) for offset, each in enumerate(envelopes)]


React = Callable[[Unit, Sequence[Envelope[Any]]], Awaitable[object]]


def inbox(service: Service, react: React, *, both: bool = False) -> Inbox:
    reactions = [on(OrderPlaced, react, optimistic=True), *([on(OrderCancelled, react, optimistic=True)] * both)]
    [subscription] = replace(service, reactions=reactions, projections=()).subscriptions()
    return Inbox(subscription)


async def marking(unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
    await mark(unit, [each.event.reference for each in batch])


async def take(service: Service, reacting: Inbox, batch: Sequence[Record]) -> bool:
    decoded = reacting.decode(batch)
    if not optimistic.suits(reacting, decoded):
        return False
    return await optimistic.take(service.database, reacting, decoded, NOWHERE) is not None


async def test_event_handled_before_needs_an_ordinary_unit(service: Service) -> None:
    first, second = envelope_of(placed("PO-1")), envelope_of(placed("PO-2"))
    reacting = inbox(service, marking)
    assert await take(service, reacting, records(first))
    assert not await take(service, reacting, records(first, second))
    assert not await take(service, reacting, records(second, second)), "a repeat within a batch"
    assert await toy.marks(service) == {"PO-1": 1}


async def test_event_of_a_parked_key_needs_an_ordinary_unit(service: Service) -> None:
    event = envelope_of(placed("PO-1"))
    reacting = inbox(service, marking)
    [record] = records(event)
    async with service.database.unit() as unit:
        await unit.sql.execute(PARK, reacting.subscription.group, record.message.topic, record.message.key)
    assert not await take(service, reacting, [record])
    assert await toy.marks(service) == {}


async def test_batch_that_another_member_has_handled_changes_nothing(service: Service) -> None:
    reacting = inbox(service, marking)
    decoded = reacting.decode(records(envelope_of(placed("PO-1"))))
    topic = OrderPlaced.topic.name
    async with service.database.unit() as unit:
        await unit.sql.execute(
            "INSERT INTO consumer_position (consumer_group, topic, partition, next) VALUES ($1, $2, 0, 7)",
            reacting.subscription.group,
            topic,
        )
    assert await optimistic.take(service.database, reacting, decoded, [[topic], [0], [6], [7]]) is None
    assert await toy.marks(service) == {}
    assert await optimistic.take(service.database, reacting, decoded, [[topic], [0], [7], [8]]) is not None
    assert await toy.marks(service) == {"PO-1": 1}


@pytest.mark.parametrize(("events", "attempts"), [(1, 2), (optimistic.SMALL + 1, 1)])
async def test_small_overtaken_batch_is_tried_again(service: Service, events: int, attempts: int) -> None:
    """Two workers whose orders share an item overtake each other often. The second attempt costs less than locks."""
    tried = 0

    async def overtaken_once(unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        nonlocal tried
        tried += 1
        await marking(unit, batch)
        async with service.database.unit() as other:
            await other.sql.execute("UPDATE consumer_position SET next = $1", 6 + tried)

    reacting = inbox(service, overtaken_once)
    decoded = reacting.decode(records(*(envelope_of(placed(f"PO-{n}")) for n in range(events))))
    topic = OrderPlaced.topic.name
    async with service.database.unit() as unit:
        await unit.sql.execute(
            "INSERT INTO consumer_position (consumer_group, topic, partition, next) VALUES ($1, $2, 0, 6)",
            reacting.subscription.group,
            topic,
        )
    done = await optimistic.take(service.database, reacting, decoded, [[topic], [0], [8], [9]])
    assert tried == attempts and (done is None) == (attempts == 1)
    assert len(await toy.marks(service)) == (events if done is not None else 0)


async def test_failing_reaction_needs_an_ordinary_unit(service: Service) -> None:
    async def fails(unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        await marking(unit, batch)
        raise ValueError("out of order")

    assert not await take(service, inbox(service, fails), records(envelope_of(placed("PO-1"))))
    assert await toy.marks(service) == {}


async def test_mixed_and_malformed_batches_need_an_ordinary_unit(service: Service) -> None:
    order = placed("PO-1")
    reacting = inbox(service, marking, both=True)
    assert not await take(service, reacting, records(envelope_of(order), envelope_of(cancelled(order))))
    [record] = records(envelope_of(order))
    broken = replace(record, message=replace(record.message, value=b"no event"), offset=1)
    assert not await take(service, reacting, [record, broken])


async def test_lost_connection_is_not_hidden_from_the_consumer(service: Service) -> None:
    async def loses(unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        await marking(unit, batch)
        unit.call("pg_terminate_backend", await unit.sql.fetchval("SELECT pg_backend_pid()"))

    with pytest.raises(OutcomeUnknown):
        await take(service, inbox(service, loses), records(envelope_of(placed("PO-1"))))
    assert await toy.marks(service) == {}


async def test_functions_planned_on_empty_tables_use_indexes(service: Service) -> None:
    id = UUID(int=1)
    calls: dict[str, list[object]] = {
        "consumer_take": ["g", [], [], [], [], ["t"], [b"k"], [id]],
        "idempotency_answer": [["acme"], ["POST /v1/things"], ["k"], [b"f"], [b"d"], ["{}"]],
        "outbox_append": [[id], ["t"], [b"k"], [b"v"], ["{}"], 500, ""],
    }
    for function, arguments in calls.items():
        assert await scanned(service.database, function, *arguments) == [], function
