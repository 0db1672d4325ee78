"""Records are kept whole, at positions that no reader can miss."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import ORDERS, at_next_offset, confirmed, garbage, keep, record, rows

from analytics_service.log import keep as keep_module
from analytics_service.log.model import Facts, facts_of
from analytics_service.log.retain import KEPT
from crossdock_chassis import Service, headers_of
from crossdock_chassis.testing import envelope_of
from crossdock_events import Message

DAY = timedelta(days=1).total_seconds()


async def test_record_is_kept_whole_with_its_attributes(service: Service) -> None:
    event = confirmed("globex")
    sent = record(event, sequence=7)
    await keep(service, sent)
    (row,) = await rows(service)
    message = sent.message
    assert (row["topic"], row["partition"], row["offset"]) == (ORDERS, *sent.at)
    assert (row["key"], row["value"], headers_of(row["headers"])) == (message.key, message.value, message.headers)
    assert abs(row["kafka_time"].timestamp() - sent.time) < 0.001
    assert (row["type"], row["source"], row["sequence"]) == ("crossdock.OrderConfirmed.v1", "order-service", 7)
    assert (row["order_id"], row["partner"], row["repeat"]) == (event.order_id, "globex", False)
    assert str(row["event_id"]) == message.headers["ce_id"].decode()


async def test_structured_event_has_the_same_attributes() -> None:
    envelope = envelope_of(confirmed(), sequence=3)
    assert facts_of(envelope.encode_structured()) == facts_of(envelope.encode()) != Facts()


GARBAGE = {
    "no bytes": garbage(b""),
    "no JSON": garbage(b"{"),
    "binary headers": garbage(
        headers={"ce_type": b"\xff", "ce_id": b"\0", "ce_sequence": b"\xb2", "x": bytes(range(256))}
    ),
    "huge numbers": garbage(b"{}", {"ce_type": b"a", "ce_sequence": b"9" * 20, "ce_id": b"1"}),
    "more digits": garbage(b"{}", {"ce_type": b"a", "ce_sequence": b"9" * 5_000}),
    "nul in data": garbage(b'{"partner": "a\\u0000b", "order_id": 7}', {"ce_type": b"a\0b"}),
    "lone surrogate": garbage(b'{"partner": "\\ud800"}', {"ce_type": b"a"}),
    "other shapes": garbage(b'{"partner": ["x"], "order_id": {"a": 1}}', {"ce_type": b"a"}),
    "long partner": garbage(b'{"partner": "' + b"x" * 100_000 + b'"}', {"ce_type": b"a"}),
    "deep": garbage(b"[" * 100_000, {"ce_type": b"a"}),
    "key of zeros": garbage(key=bytes(3_000)),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_any_bytes_are_kept(service: Service, name: str) -> None:
    sent = GARBAGE[name]
    await keep(service, sent)
    (row,) = await rows(service)
    assert (row["key"], row["value"]) == (sent.message.key, sent.message.value)
    assert headers_of(row["headers"]) == sent.message.headers
    assert row["partner"] is None


@given(st.binary(max_size=40), st.dictionaries(st.sampled_from(["ce_type", "ce_id", "ce_sequence", "x"]), st.binary()))
def test_reading_attributes_never_raises(value: bytes, headers: dict[str, bytes]) -> None:
    facts_of(Message(ORDERS, None, value, headers))


@pytest.mark.parametrize("at", [-1.0, 0.0, 1e15, 9e18])
async def test_odd_time_of_kafka_is_no_error(service: Service, at: float) -> None:
    """A record of 1970 is older than the retention. One of the far future is kept in the default partition."""
    await keep(service, at_next_offset(record().message, at=at))
    assert len(await rows(service)) == (1 if at > time.time() else 0)


async def test_repeat_of_a_relay_is_kept_and_marked(service: Service) -> None:
    first = record()
    again = at_next_offset(first.message)
    elsewhere = at_next_offset(Message(f"{ORDERS}.x.dlq", first.message.key, b"", first.message.headers))
    await keep(service, first, again, elsewhere)
    await keep(service, at_next_offset(first.message), record())
    assert [row["repeat"] for row in await rows(service)] == [False, True, False, True, False]


async def test_repeat_with_an_id_of_another_version_is_marked(service: Service) -> None:
    headers = dict(record().message.headers) | {"ce_id": b"6ba7b810-9dad-41d1-80b4-00c04fd430c8"}
    for _ in range(2):
        await keep(service, record(headers=headers))
    assert [row["repeat"] for row in await rows(service)] == [False, True]


async def test_each_day_of_kafka_has_its_own_partition(service: Service) -> None:
    now = time.time()
    await keep(service, *(record(at=now - days * DAY) for days in (20, 3, 0, 3)))
    async with service.database.unit() as unit:
        found = await unit.sql.fetch("SELECT tableoid::regclass::text AS name FROM log ORDER BY position")
    expected = [f"log_{datetime.fromtimestamp(now - days * DAY, UTC):%Y%m%d}" for days in (20, 3, 0, 3)]
    assert [row["name"] for row in found] == expected


async def test_record_older_than_the_retention_is_passed_over(service: Service) -> None:
    await keep(service, record(at=time.time() - KEPT.total_seconds() - 60), record())
    assert [row["position"] for row in await rows(service)] == [1]


async def test_second_attempt_leaves_out_stored_records(service: Service) -> None:
    first, second = record(), record()
    await keep(service, first)
    with pytest.raises(asyncpg.UniqueViolationError):
        await keep(service, first, second)
    await keep(service, first, second, again=True)
    assert [row["offset"] for row in await rows(service)] == [first.offset, second.offset]


async def test_reader_misses_no_late_commit(service: Service) -> None:
    """Two workers append. The first has written and stalls before its commit. Without the lock, the second would commit
    first, and a reader that has seen its position would never look below it."""
    assert service.log is not None
    written, go_on = asyncio.Event(), asyncio.Event()

    async def stalled() -> None:
        assert service.log is not None
        async with service.database.unit() as unit:
            await service.log(unit, [record(), record()], again=False)
            written.set()
            await go_on.wait()

    async def read(after: int) -> list[int]:
        async with service.database.unit() as unit:
            found = await unit.sql.fetch("SELECT position FROM log WHERE position > $1 ORDER BY position", after)
        return [row["position"] for row in found]

    slow = asyncio.create_task(stalled())
    await written.wait()
    other = keep_module.Keeper(service.database)

    async def quick() -> None:
        async with service.database.unit(lock_timeout=20) as unit:
            await other(unit, [record(partition=1)], again=False)

    second = asyncio.create_task(quick())
    await _waits_or_ends(service, second)
    seen = await read(0)
    go_on.set()
    await asyncio.gather(slow, second)
    seen += await read(max(seen, default=0))
    assert seen == [1, 2, 3]


async def _waits_or_ends(service: Service, task: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(60):
        while not task.done():
            if await service.database.fetch("SELECT FROM pg_locks WHERE NOT granted"):
                return
            await asyncio.sleep(0.01)
