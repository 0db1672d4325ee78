"""Store the rows and send the events of orders, and do nothing else: `python -m bench.bare`, one job per line.

The steps of an order are those of the services: placed, reserved, confirmed. A step stores its rows with one statement
that commits, then sends its events and fetches them. Nothing is checked, decided, encoded or claimed, and one process
takes all steps. So its processor time, with that of PostgreSQL and Kafka, is a floor for services with these rows.

`{"prepare": …}` copies the rows of earlier orders, and `{"run": …}` takes a part of them through the steps.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from pydantic_core import from_json

from bench.helper import serve
from bench.multiply import COLUMNS, TABLES
from crossdock_chassis import Broker
from crossdock_chassis.messaging import clients

OF_AN_ORDER: Final[Mapping[str, str]] = {"order_service": "orders", "inventory_service": "reservations"}
"""The table with one row for each order, by database."""
CONFIRM: Final = "UPDATE orders SET version = version + 1 WHERE id = ANY ($1::uuid[])"
SECONDS: Final = 30.0


class Event(NamedTuple):
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Share(NamedTuple):
    """A part of all rows, from `begin` to `end`, between 0 and 1."""

    begin: float
    end: float

    def of(self, rows: Sequence[Any]) -> Sequence[Any]:
        return rows[round(self.begin * len(rows)) : round(self.end * len(rows))]

    def part(self, number: int, parts: int) -> "Share":
        width = (self.end - self.begin) / parts
        return Share(self.begin + number * width, self.begin + (number + 1) * width)


ALL: Final = Share(0, 1)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a table, with the types of its columns."""

    table: str
    types: Mapping[str, str]
    rows: Sequence[asyncpg.Record]

    def half(self, number: int) -> "Rows":
        return Rows(self.table, self.types, ALL.part(number, 2).of(self.rows))


@dataclass(frozen=True, slots=True)
class Step:
    """What a step stores and sends for all orders. `confirms` are the ids of the orders that it changes."""

    database: str
    stored: Sequence[Rows]
    events: Sequence[Event]
    confirms: Sequence[object] = ()

    @property
    def statement(self) -> str:
        parts = [CONFIRM] if self.confirms else []
        place = 1 + len(parts)
        for each in self.stored:
            values = ", ".join(f"${place + n}::{kind}[]" for n, kind in enumerate(each.types.values()))
            parts.append(f"INSERT INTO {each.table} ({', '.join(each.types)}) SELECT * FROM unnest({values})")
            place += len(each.types)
        return f"WITH {', '.join(f'part{n} AS ({part})' for n, part in enumerate(parts))} SELECT 1"

    def arguments(self, share: Share) -> list[list[object]]:
        found: list[list[object]] = [[*share.of(self.confirms)]] if self.confirms else []
        for each in self.stored:
            rows = share.of(each.rows)
            found += [[row[name] for row in rows] for name in each.types]
        return found


async def rows_of(dsn: str, database: str, skip: int, count: int) -> dict[str, Rows]:
    """Return the rows of about `count` orders by table, behind those of the first `skip` orders."""
    sql = await asyncpg.connect(dsn)
    try:
        orders = await sql.fetchval(f"SELECT count(*) FROM {OF_AN_ORDER[database]}")
        found: dict[str, Rows] = {}
        for table, ours in TABLES[database].items():
            types = {row["name"]: row["type"] for row in await sql.fetch(COLUMNS, table)}
            each = await sql.fetchval(f"SELECT count(*) FROM {table} WHERE {ours}") / orders
            query = f"SELECT {', '.join(types)} FROM {table} WHERE {ours} ORDER BY ctid OFFSET $1 LIMIT $2"
            begin, end = round(skip * each), round((skip + count) * each)  # no row comes twice in two calls
            found[table] = Rows(table, types, await sql.fetch(query, begin, end - begin))
        return found
    finally:
        await sql.close()


def steps_of(ours: Mapping[str, Rows], theirs: Mapping[str, Rows]) -> list[Step]:
    """Return the three steps. The events of order-service, and what grows with them, are split among its two steps."""
    halves = [[ours[name].half(number) for name in ("outbox", "order_changes")] for number in (0, 1)]
    ids = [row["id"] for row in ours["orders"].rows]
    return [
        Step("order_service", [ours["orders"], ours["idempotency_key"], *halves[0]], events_of(halves[0][0])),
        Step("inventory_service", [*theirs.values()], events_of(theirs["outbox"])),
        Step("order_service", [ours["inbox"], *halves[1]], events_of(halves[1][0]), ids),
    ]


def events_of(outbox: Rows) -> list[Event]:
    return [
        Event(
            row["key"] or b"",
            row["value"],
            [(name, str(text).encode()) for name, text in from_json(row["headers"]).items()],
        )
        for row in outbox.rows
    ]


@dataclass
class Bare:
    """The connections of the helper, and the orders that it has prepared."""

    _databases: dict[str, asyncpg.Connection] = field(default_factory=dict)
    _producer: AIOKafkaProducer | None = None
    _consumer: AIOKafkaConsumer | None = None
    _steps: Sequence[Step] = ()

    async def handle(self, job: dict[str, Any]) -> dict[str, Any]:
        if "prepare" in job:
            await self._prepare(**job["prepare"])
            return {}
        return {"latencies": await self._run(**job["run"])}

    async def close(self) -> None:
        if self._producer is not None:
            await self._producer.stop()
        if self._consumer is not None:
            await self._consumer.stop()

    async def _prepare(
        self,
        origins: Mapping[str, str],
        targets: Mapping[str, str],
        kafka: str,
        topic: str,
        skip: int,
        count: int,
    ) -> None:
        """Read the rows of `count` orders from the databases `origins`, and connect to `targets` and the topic."""
        if not self._databases:
            self._databases = {database: await asyncpg.connect(dsn) for database, dsn in targets.items()}
            self._producer = await clients.start_producer(Broker(kafka), "bench-bare")
            self._consumer = await clients.start_consumer(Broker(kafka), None, client_id="bench-bare")
            partitions = await clients.partitions_of(self._consumer, topic)
            self._consumer.assign([TopicPartition(topic, each) for each in partitions])
            await self._consumer.seek_to_end()
        rows = {database: await rows_of(dsn, database, skip, count) for database, dsn in origins.items()}
        self._steps = steps_of(rows["order_service"], rows["inventory_service"])

    async def _run(self, topic: str, begin: float, end: float, groups: int, seconds: float) -> list[float]:
        """Take a part of the orders through all steps, one group after the other, at most one in `seconds`.

        Return the seconds of each group from its first commit to its last event.
        """
        share, statements, began = Share(begin, end), [step.statement for step in self._steps], time.monotonic()
        latencies = []
        for number in range(groups):
            await asyncio.sleep(began + number * seconds - time.monotonic())
            group, accepted = share.part(number, groups), 0.0
            for step, statement in zip(self._steps, statements, strict=True):
                await self._databases[step.database].fetch(statement, *step.arguments(group))
                accepted = accepted or time.monotonic()
                await self._send(topic, group.of(step.events))
            latencies.append(time.monotonic() - accepted)
        return latencies

    async def _send(self, topic: str, events: Sequence[Event]) -> None:
        """Send the events in one batch for each partition, and fetch as many."""
        producer, consumer = self._producer, self._consumer
        assert producer is not None
        assert consumer is not None
        count = len(await producer.partitions_for(topic))
        lanes: dict[int, Any] = defaultdict(producer.create_batch)
        for key, value, headers in events:
            added = lanes[clients.partition_of(key, count)].append(
                key=key, value=value, timestamp=None, headers=headers
            )
            assert added is not None, "a batch of Kafka is full: make the groups smaller"
        sent = [await producer.send_batch(batch, topic, partition=lane) for lane, batch in lanes.items()]
        await asyncio.gather(*sent)
        fetched = 0
        async with asyncio.timeout(SECONDS):
            while fetched < len(events):
                fetched += sum(map(len, (await consumer.getmany(timeout_ms=1_000)).values()))


if __name__ == "__main__":
    bare = Bare()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            serve(lambda job: runner.run(bare.handle(job)))
        finally:
            runner.run(bare.close())
