"""What is still to be sent, between a unit and the relay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

import asyncpg
import toy
from examples import placed

from crossdock_chassis import Service, Unit
from crossdock_chassis.database.outbox import PENDING_LIMIT
from crossdock_chassis.messaging.relay import BY_INDEX, PENDING, READ_LIMIT, _mark_partly
from crossdock_chassis.testing import Fresh

DEPTH = "SELECT coalesce(sum(cardinality(ids)), 0) FROM outbox_pending"


def publish(unit: Unit, count: int) -> None:
    for _ in range(count):
        unit.publish(placed(), sequence=1, cause=None)


@asynccontextmanager
async def relay(service: Service) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(service.database.dsn, server_settings=BY_INDEX)
    try:
        yield connection
    finally:
        await connection.close()


async def test_units_are_read_in_order_and_in_bounded_batches(service: Service) -> None:
    counts = [3, 2 * PENDING_LIMIT + 1, 1, 2]
    for count in counts:
        async with service.database.unit() as unit:
            publish(unit, count)
    async with relay(service) as connection:
        everything = await connection.fetch(PENDING, 0, READ_LIMIT, [], [])
        assert [row["id"] for row in everything] == sorted(row["id"] for row in everything)
        assert len(everything) == sum(counts)
        sizes: dict[int, int] = {}
        for row in everything:
            sizes[row["pending"]] = sizes.get(row["pending"], 0) + 1
        assert list(sizes.values()) == [3, PENDING_LIMIT, PENDING_LIMIT, 1, 1, 2]
        assert [row["id"] for row in await connection.fetch(PENDING, 0, 4, [], [])] == [
            row["id"] for row in everything[: 3 + PENDING_LIMIT]
        ]
        second = list(sizes)[1]
        assert (await connection.fetch(PENDING, second, READ_LIMIT, [], []))[0]["id"] == everything[3 + PENDING_LIMIT][
            "id"
        ]


async def test_schema_is_named_by_its_address_if_one_is_set(fresh: Fresh) -> None:
    for url, expected in (
        (None, "urn:crossdock:schema:crossdock.OrderPlaced.v1"),
        ("https://events.example/v1/schemas/", "https://events.example/v1/schemas/crossdock.OrderPlaced.v1"),
    ):
        service = await fresh(toy.build, toy.Settings, schemas_url=url)
        async with service.database.unit() as unit:
            publish(unit, 1)
        async with service.database.optimistic() as unit:
            publish(unit, 1)
        found = await service.database.fetch("SELECT headers::jsonb ->> 'ce_dataschema' AS schema FROM outbox")
        assert [row["schema"] for row in found] == [expected, expected]


async def test_what_was_not_acknowledged_stays_pending(service: Service) -> None:
    for count in (3, 2, 1):
        async with service.database.unit() as unit:
            publish(unit, count)
    async with relay(service) as connection:
        rows = await connection.fetch(PENDING, 0, READ_LIMIT, [], [])
        first, second, third = dict.fromkeys(row["pending"] for row in rows)
        unsent = rows[1]["id"]
        await _mark_partly(connection, [first, second, third], [row["id"] for row in rows[:5] if row["id"] != unsent])
        left = await connection.fetch(PENDING, 0, READ_LIMIT, [], [])
        assert [(row["pending"], row["id"]) for row in left] == [(first, unsent), (third, rows[5]["id"])]
        assert second not in {row["pending"] for row in left}
        assert await connection.fetch(PENDING, 0, READ_LIMIT, [first], []) == left[1:], (
            "a row that is held back is skipped"
        )
        assert await connection.fetch(PENDING, 0, READ_LIMIT, [first, third], [first, third]) == []
        assert await connection.fetchval(DEPTH) == 0


async def test_a_unit_that_fails_leaves_nothing_to_send(service: Service) -> None:
    class Failed(Exception):
        pass

    try:
        async with service.database.unit() as unit:
            publish(unit, 2)
            await unit.flush()
            raise Failed
    except Failed:
        pass
    async with relay(service) as connection:
        assert await connection.fetchval(DEPTH) == 0
        assert not await connection.fetch("SELECT FROM outbox")


async def test_relay_plan_made_on_an_empty_outbox_uses_the_index(service: Service) -> None:
    async with relay(service) as connection:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE made_early (bigint, bigint, bigint[], bigint[]) AS {PENDING}")
        plan = [row[0] for row in await connection.fetch("EXPLAIN (COSTS OFF) EXECUTE made_early(0, 1, '{}', '{}')")]
    assert any("Index" in line for line in plan)
    assert not any("Seq Scan" in line for line in plan), plan


async def test_messages_are_in_order_whatever_the_plan(service: Service) -> None:
    """An update moves the first message and the first pending row behind the others, and no index is used."""
    for _ in range(3):
        async with service.database.unit() as unit:
            publish(unit, 2)
    async with relay(service) as connection:
        ids = [row["id"] for row in await connection.fetch("SELECT id FROM outbox ORDER BY id")]
        await connection.execute("UPDATE outbox SET topic = topic WHERE id = $1", ids[0])
        await connection.execute("UPDATE outbox_pending SET ids = ids WHERE $1 = ANY (ids)", ids[0])
        for kind, on in {
            "seqscan": "on",
            "hashjoin": "on",
            "nestloop": "off",
            "indexscan": "off",
            "bitmapscan": "off",
        }.items():
            await connection.execute(f"SET enable_{kind} = {on}")
        assert [row["id"] for row in await connection.fetch(PENDING, 0, READ_LIMIT, [], [])] == ids
        assert [row["id"] for row in await connection.fetch(PENDING, 0, 1, [], [])] == ids[:2]


async def test_what_an_older_version_had_not_sent_is_still_sent(service: Service) -> None:
    """The migration, on the tables as they were before it."""
    async with service.database.unit() as unit:
        publish(unit, PENDING_LIMIT + 2)
    async with service.database.unit() as unit:
        await unit.sql.execute("DROP TABLE outbox_pending")
        await unit.sql.execute("DROP INDEX outbox_id")
        await unit.sql.execute("ALTER TABLE outbox ADD COLUMN published_at timestamptz")
        await unit.sql.execute("CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL")
        await unit.sql.execute("UPDATE outbox SET published_at = now() WHERE id = (SELECT min(id) FROM outbox)")
        for statement in import_module("crossdock_chassis.migrations.0002_pending").STATEMENTS:
            await unit.sql.execute(statement)
    async with relay(service) as connection:
        rows = await connection.fetch(PENDING, 0, READ_LIMIT, [], [])
        ids = [row["id"] for row in await connection.fetch("SELECT id FROM outbox ORDER BY id")]
    assert [row["id"] for row in rows] == ids[1:]
