"""Outbox partitions, retention of rows, and gauges."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from math import inf

import asyncpg
import pytest
from examples import placed

from crossdock_chassis import Service, Unit
from crossdock_chassis.housekeeping import gauges, partitions, retention
from crossdock_chassis.housekeeping.gauges import look_at_dead_letters, look_at_outbox
from crossdock_chassis.housekeeping.partitions import NoPartition, Units, keep_partitions
from crossdock_chassis.housekeeping.retention import CHUNK, purge
from crossdock_chassis.messaging.relay import _Batch, _LowWater
from crossdock_chassis.observability.metrics import exposition
from crossdock_chassis.testing import published


async def attached(service: Service) -> dict[str, str]:
    """Return the bounds of each partition, in UTC."""
    async with service.database.unit() as unit:
        rows = await unit.sql.fetch(
            "SELECT relname, pg_get_expr(relpartbound, oid) AS bounds FROM pg_inherits JOIN pg_class ON oid = inhrelid "
            "WHERE inhparent = 'outbox'::regclass"
        )
    return {row["relname"]: row["bounds"] for row in rows}


def units(service: Service, *, days: float = 0, zone: str = "UTC") -> Units:
    """Open units some days from now, in sessions of some time zone."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Unit]:
        async with service.database.unit() as unit:
            unit.now += timedelta(days=days)
            await unit.sql.execute(f"SET LOCAL TIME ZONE '{zone}'")
            yield unit

    return opened


def name(days: int) -> str:
    return f"outbox_{datetime.now(UTC) + timedelta(days=days):%Y%m%d}"


async def publish(service: Service) -> None:
    async with service.database.unit(lock_timeout=0.25) as unit:
        unit.publish(placed(), sequence=1, cause=None)


async def test_old_outbox_partition_is_dropped_only_when_published(service: Service) -> None:
    async with service.database.unit() as unit:
        for day in ("2020-01-01", "2020-01-02"):
            await unit.sql.execute(
                f"CREATE TABLE outbox_{day.replace('-', '')} PARTITION OF outbox "
                f"FOR VALUES FROM ('{day}') TO (date '{day}' + 1)"
            )
            await unit.sql.execute(
                "INSERT INTO outbox (created_at, event_id, topic, value, headers) "
                f"VALUES ('{day} 12:00', gen_random_uuid(), 't', '', '{{}}')"
            )
        await unit.sql.execute(
            "INSERT INTO outbox_pending (created_at, ids) "
            "SELECT created_at, ARRAY[id] FROM outbox WHERE created_at >= '2020-01-02'"
        )
    assert await keep_partitions(service.database.unit) == {"made": [], "dropped": ["outbox_20200101"]}
    assert (await attached(service)).keys() == {"outbox_rest", "outbox_20200102", *map(name, range(4))}


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
async def test_partitions_begin_at_midnight_utc_in_any_time_zone(service: Service, zone: str) -> None:
    for days in (1, 2):
        made = await keep_partitions(units(service, days=days, zone=zone))
        assert made == {"made": [name(days + 3)], "dropped": []}
    found = await attached(service)
    for days in range(6):
        first, end = (f"{datetime.now(UTC) + timedelta(days=days + each):%Y-%m-%d} 00:00:00+00" for each in (0, 1))
        assert found[name(days)] == f"FOR VALUES FROM ('{first}') TO ('{end}')"
    assert (await keep_partitions(units(service, days=7, zone=zone)))["dropped"] == [name(0), name(1), name(2), name(3)]


async def test_sessions_of_the_service_are_in_utc(service: Service) -> None:
    admin = await asyncpg.connect(service.database.dsn)
    try:
        database = await admin.fetchval("SELECT current_database()")
        await admin.execute(f"ALTER DATABASE \"{database}\" SET timezone = 'Pacific/Auckland'")
    finally:
        await admin.close()
    await service.database.close()
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval("SHOW timezone") == "UTC"


async def test_message_goes_to_the_rest_if_no_partition_was_made(service: Service) -> None:
    async with service.database.unit() as unit:
        for partition in map(name, range(4)):
            await unit.sql.execute(f"DROP TABLE {partition}")
    await publish(service)
    made = await keep_partitions(service.database.unit)  # none may be made over the rows of today
    assert made["made"] == [name(1), name(2), name(3)]
    assert len(await published(service)) == 1
    assert name(0) not in await attached(service)


async def test_publishing_goes_on_beside_a_dump_and_a_late_partition(service: Service) -> None:
    """`pg_dump` locks each table until it ends. The partitions are due all that time."""
    async with service.database.unit() as unit:
        await unit.sql.execute(f"DROP TABLE {name(2)}")
        await unit.sql.execute(
            "CREATE TABLE outbox_20200101 PARTITION OF outbox FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')"
        )
    dump = await asyncpg.connect(service.database.dsn)
    try:
        await dump.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await dump.execute(f"LOCK TABLE {', '.join(['outbox', *await attached(service)])} IN ACCESS SHARE MODE")
        for _ in range(2):
            assert await keep_partitions(service.database.unit) == {"made": [], "dropped": []}
            await publish(service)
        with pytest.raises(NoPartition, match=f"{name(4)} could not be made"):
            await keep_partitions(units(service, days=3))
        await dump.execute("COMMIT")
    finally:
        await dump.close()
    assert await keep_partitions(service.database.unit) == {"made": [name(2)], "dropped": ["outbox_20200101"]}
    await publish(service)
    assert len(await published(service)) == 3


async def test_publishers_do_not_wait_for_a_partition_that_waits(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of a partition is requested and not granted. Only a drop queues publishers, and only for a moment."""
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT_MS", 20_000)
    async with service.database.unit() as unit:
        await unit.sql.execute(f"DROP TABLE {name(2)}")
    dump, waiting = await asyncpg.connect(service.database.dsn), await asyncpg.connect(service.database.dsn)
    try:
        await dump.execute("BEGIN; LOCK TABLE outbox, outbox_rest IN ACCESS SHARE MODE")
        making = asyncio.create_task(keep_partitions(service.database.unit))
        async with asyncio.timeout(20):
            while not await waiting.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.01)
        await publish(service)
        assert not making.done()
        await dump.execute("COMMIT")
        assert (await making)["made"] == [name(2)]
    finally:
        await dump.close()
        await waiting.close()


async def test_purge_deletes_all_old_rows_in_small_units(service: Service) -> None:
    """50,000 rows an hour was the limit once: with more than 14 events per second the inbox grew for ever."""
    async with service.database.unit() as unit:
        await unit.sql.execute(
            "INSERT INTO inbox SELECT gen_random_uuid(), now() - make_interval(hours => 97, secs => n) "
            "FROM generate_series(1, 60000) AS n"
        )
        await unit.sql.execute(
            "INSERT INTO idempotency_key (partner, route, key, fingerprint, created_at) "
            "SELECT 'a', 'r', n::text, '', now() - interval '73 hours' FROM generate_series(1, 30000) AS n"
        )
        await unit.sql.execute("INSERT INTO inbox SELECT gen_random_uuid() FROM generate_series(1, 10)")
    opened = 0

    @asynccontextmanager
    async def counted() -> AsyncIterator[Unit]:
        nonlocal opened
        opened += 1
        async with service.database.unit() as unit:
            yield unit

    assert await purge(counted) == {"inbox": 60_000, "idempotency_key": 30_000}
    assert opened == 90_000 / CHUNK + len(retention.RETENTIONS)
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval("SELECT count(*) FROM inbox") == 10
    assert await purge(service.database.unit) == {}


async def test_purge_reads_by_index_however_large_the_table(service: Service) -> None:
    async with service.database.unit() as unit:
        for each in retention.RETENTIONS:
            await unit.sql.execute(retention.BY_INDEX)
            statement = (
                retention.DELETE.format(table=each.table, at=each.at, condition=each.condition, chunk=CHUNK)
                .replace("$1", "now()")
                .replace("$2", "now()")
            )
            plan = "\n".join(row[0] for row in await unit.sql.fetch(f"EXPLAIN {statement}"))
            assert f"Index Scan using {each.table}" in plan and "Tid Scan" in plan, plan


OLD_ROWS = {
    "inbox": "INSERT INTO inbox VALUES (gen_random_uuid(), $1)",
    "idempotency_key": "INSERT INTO idempotency_key (partner, route, key, fingerprint, created_at) "
    "VALUES ('a', 'r', $1::timestamptz::text, '', $1)",
    "outbox_rest": "INSERT INTO outbox (created_at, event_id, topic, value, headers) "
    "VALUES ($1, gen_random_uuid(), 't', '', '{}')",
    "effect": "INSERT INTO effect (id, kind, target, payload, state, finished_at) "
    "VALUES (gen_random_uuid(), 'k', 't', '{}', 'done', $1)",
    "dead_letter": "INSERT INTO dead_letter "
    '(consumer_group, topic, partition, "offset", value, headers, state, reason, fingerprint, resolved_at) '
    "SELECT 'g', 't', 0, count(*), '', '{}', 'redriven', 'r', 'f', $1 FROM dead_letter",
    "dead_letter_result": "INSERT INTO dead_letter_result (job, letter, outcome, at) "
    "SELECT gen_random_uuid(), 1, 'applied', $1",
    "consumer_stop": "INSERT INTO consumer_stop (consumer_group, kind, reason, outcome, ended_at) "
    "VALUES ('g', 'breaker', 'r', 'done', $1)",
    "operator_action": "INSERT INTO operator_action (at, who, client, action, target) "
    "VALUES ($1, 'ann', 'console', 'job:stop', '/v1/jobs/1')",
    "job": "INSERT INTO job (id, kind, requested_by, status, finished_at) "
    "VALUES (gen_random_uuid(), 'load', 'ada', 'failed', $1)",
}


@pytest.mark.parametrize("each", retention.RETENTIONS, ids=lambda each: each.table)
async def test_rows_are_kept_for_their_time_and_then_deleted(service: Service, each: retention.Retention) -> None:
    now = datetime.now(UTC)
    async with service.database.unit() as unit:
        for age in (each.kept + timedelta(minutes=1), each.kept - timedelta(minutes=1)):
            await unit.sql.execute(OLD_ROWS[each.table], now - age)
    assert await purge(service.database.unit) == {each.table: 1}
    async with service.database.unit() as unit:
        (left,) = await unit.sql.fetch(f"SELECT {each.at} FROM {each.table}")
    assert now - left[each.at] < each.kept


async def test_unfinished_rows_are_kept_however_old(service: Service) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(OLD_ROWS["outbox_rest"], datetime(2020, 1, 2, tzinfo=UTC))
        # a message and its pending row have the time of one transaction; the row at the end is of a later one
        await unit.sql.execute(
            "INSERT INTO outbox_pending (created_at, ids) VALUES ('2020-01-02+00', '{1}'), (now(), '{2}')"
        )
        await unit.sql.execute(OLD_ROWS["dead_letter"], None)
        await unit.sql.execute(
            "UPDATE dead_letter SET state = 'poison', created_at = '2020-01-01', resolved_at = '2020-01-01'"
        )
        await unit.sql.execute(
            "INSERT INTO job (id, kind, requested_by, due_at) VALUES (gen_random_uuid(), 'l', 'a', $1)",
            datetime(2020, 1, 1, tzinfo=UTC),
        )
    assert await purge(service.database.unit) == {}


async def test_a_table_that_cannot_be_purged_does_not_stop_the_others(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute("DROP TABLE inbox")
        await unit.sql.execute(OLD_ROWS["idempotency_key"], datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(asyncpg.UndefinedTableError):
        await purge(service.database.unit)
    assert "cannot purge inbox" in caplog.text
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval("SELECT count(*) FROM idempotency_key") == 0


async def test_the_gauges_say_what_the_tables_hold(service: Service) -> None:
    async with service.database.unit() as unit:
        for n in range(3):
            unit.publish(placed(f"PO-{n}"), sequence=1, cause=None)
    await look_at_outbox(service.database)
    assert service.database.pressure.outbox_depth == 3
    async with service.database.unit() as unit:
        await unit.sql.execute(
            'INSERT INTO dead_letter (consumer_group, topic, partition, "offset", value, headers, state, reason, '
            "fingerprint) VALUES ('toy-gauge', 't', 0, 0, '', '{}', 'poison', 'r', 'f')"
        )
        await look_at_dead_letters(unit)
    text = exposition().decode()
    assert "crossdock_outbox_depth 3.0" in text
    assert 'crossdock_dead_letters{group="toy-gauge",state="poison"} 1.0' in text


async def test_dead_letters_are_counted_up_to_a_limit(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "COUNT_LIMIT", 3)
    letters = """
        INSERT INTO dead_letter (consumer_group, topic, partition, "offset", key, value, headers, state, reason,
                                 fingerprint)
        SELECT $1, 't', 0, n + $3, n::text::bytea, '', '{}', $2, 'r', 'f' FROM generate_series(1, $4::int) AS n
    """

    async def counted() -> dict[str, str]:
        await look_at_dead_letters(unit)
        lines = [line.rpartition(" ") for line in exposition().decode().splitlines()]
        return {name: value for name, _, value in lines if re.search('group="toy-[ab]"', name)}

    async with service.database.unit() as unit:
        await unit.sql.execute(letters, "toy-a", "poison", 0, 5)
        await unit.sql.execute(letters, "toy-a", "parked", 10, 2)
        await unit.sql.execute(letters, "toy-b", "discarded", 0, 1)
        await unit.sql.execute(
            "INSERT INTO parked_key SELECT 'toy-a', 't', n::text::bytea FROM generate_series(1, 9) n"
        )
        assert await counted() == {
            'crossdock_dead_letters{group="toy-a",state="poison"}': "3.0",
            'crossdock_dead_letters{group="toy-a",state="parked"}': "2.0",
            'crossdock_dead_letters{group="toy-b",state="discarded"}': "1.0",
            'crossdock_parked_keys{group="toy-a"}': "3.0",
            'crossdock_parked_keys{group="toy-b"}': "0.0",
        }
        await unit.sql.execute("DELETE FROM dead_letter WHERE consumer_group = 'toy-a'")
        assert (await counted()).keys() == {
            'crossdock_dead_letters{group="toy-b",state="discarded"}',
            'crossdock_parked_keys{group="toy-b"}',
        }


def test_the_low_water_mark_stays_behind_what_still_runs() -> None:
    low = _LowWater()
    assert low.start(100.0) == 0
    low.advance(_Batch(50, xmin=7, xmax=9, seen=inf))
    assert low.start(101.0) == 0
    low.advance(_Batch(60, xmin=8, xmax=12, seen=inf))
    assert low.start(102.0) == 0, "transaction 8 may have drawn a lower id and commit later"
    low.advance(_Batch(70, xmin=9, xmax=13, seen=inf))
    assert low.start(103.0) == 50
    low.advance(_Batch(0, xmin=20, xmax=20, seen=55))
    assert low.start(104.0) == 50, "a read that ended at row 55 has not seen what is below 60"
    low.advance(_Batch(80, xmin=20, xmax=20, seen=inf))
    assert low.start(104.5) == 70
    assert low.start(105.5) == 0, "it is ignored now and then"
