from math import inf

from examples import placed

from crossdock_chassis import Service
from crossdock_chassis.housekeeping import look_at_dead_letters, look_at_outbox, run_housekeeping
from crossdock_chassis.messaging.relay import _Batch, _LowWater
from crossdock_chassis.observability.metrics import exposition
from crossdock_chassis.testing import published


async def partitions(service: Service) -> set[str]:
    async with service.database.unit() as unit:
        rows = await unit.sql.fetch(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'outbox'::regclass"
        )
    return {row["name"] for row in rows}


async def test_old_outbox_partition_is_dropped_only_when_published(service: Service) -> None:
    async with service.database.unit() as unit:
        for day in ("2020-01-01", "2020-01-02"):
            name = f"outbox_{day.replace('-', '')}"
            await unit.sql.execute(
                f"CREATE TABLE {name} PARTITION OF outbox FOR VALUES FROM ('{day}') TO (date '{day}' + 1)"
            )
            await unit.sql.execute(
                "INSERT INTO outbox (created_at, event_id, topic, value, headers) "
                f"VALUES ('{day} 12:00', gen_random_uuid(), 't', '', '{{}}')"
            )
        await unit.sql.execute(
            "INSERT INTO outbox_pending (created_at, ids) "
            "SELECT created_at, ARRAY[id] FROM outbox WHERE created_at >= '2020-01-02'"
        )
    async with service.database.unit() as unit:
        await run_housekeeping(unit)
    left = await partitions(service)
    assert "outbox_20200101" not in left and "outbox_20200102" in left
    assert len([name for name in left if name.startswith("outbox_20") and name > "outbox_2025"]) == 4


async def test_an_event_finds_a_place_also_when_no_partition_was_made(service: Service) -> None:
    async with service.database.unit() as unit:
        for name in await partitions(service):
            if name != "outbox_rest":
                await unit.sql.execute(f"DROP TABLE {name}")
    async with service.database.unit() as unit:
        unit.publish(placed(), sequence=1, cause=None)
    async with service.database.unit() as unit:
        await run_housekeeping(unit)  # today's rows lie in the rest: no partition may be made over them
    assert len(await published(service)) == 1
    assert "outbox_rest" in await partitions(service)


async def test_keys_and_inbox_are_kept_for_days_and_then_forgotten(service: Service) -> None:
    async with service.database.unit() as unit:
        for age in (1, 200):
            await unit.sql.execute(
                "INSERT INTO inbox VALUES (gen_random_uuid(), now() - make_interval(hours => $1))", age
            )
            await unit.sql.execute(
                "INSERT INTO idempotency_key (partner, route, key, fingerprint, created_at) "
                "VALUES ('a', 'r', $1::int::text, '', now() - make_interval(hours => $1))",
                age,
            )
    async with service.database.unit() as unit:
        await run_housekeeping(unit)
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval("SELECT count(*) FROM inbox") == 1
        assert await unit.sql.fetchval("SELECT array_agg(key) FROM idempotency_key") == ["1"]


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
