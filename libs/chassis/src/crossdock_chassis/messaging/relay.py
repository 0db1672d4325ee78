"""Publish committed outbox rows to Kafka in order, at least once. One process at a time is the relay."""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from typing import Any, NamedTuple

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from pydantic_core import from_json

from crossdock_chassis.database import outbox
from crossdock_chassis.database.unit import CONNECTION_LOST, SERVER_STOPPING
from crossdock_chassis.deadlines import Interrupted, foreign_cancellation_is_an_error, within
from crossdock_chassis.messaging import clients
from crossdock_chassis.messaging.linger import linger
from crossdock_chassis.observability import metrics

log = logging.getLogger(__name__)

READ_LIMIT = 2_000
POLL_SECONDS = 1.0
RESCAN_SECONDS = 5.0
LEASE_SECONDS = 2.0
SEND_SECONDS = 10.0
RETRY_SECONDS = (0.1, 0.5, 1.0, 2.0)

LEASE = "SELECT pg_try_advisory_lock(hashtextextended('crossdock.relay', 0))"

# Take the oldest rows of `outbox_pending` until they name about $2 messages. If two units lock the row of a key, the
# second one appends after the first one. So the order of ids is the order of each key.
PENDING = """
    WITH taken AS (
        SELECT id, created_at, ids FROM (
            SELECT id, created_at, ids, sum(cardinality(ids)) OVER (ORDER BY id) - cardinality(ids) AS before
            FROM (SELECT * FROM outbox_pending WHERE id > $1 ORDER BY id LIMIT $2) AS oldest
        ) AS counted WHERE before < $2
    )
    SELECT taken.id AS pending, message.id, topic, key, value, headers,
           pg_snapshot_xmin(snapshot)::text::bigint AS xmin, pg_snapshot_xmax(snapshot)::text::bigint AS xmax
    FROM taken JOIN outbox AS message ON message.created_at = taken.created_at AND message.id = ANY (taken.ids),
         pg_current_snapshot() AS snapshot
    ORDER BY taken.id, message.id
"""

PUBLISHED = "DELETE FROM outbox_pending WHERE id = ANY($1::bigint[])"

STILL_PENDING = "UPDATE outbox_pending SET ids = $2 WHERE id = $1"

BY_INDEX = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
"""PostgreSQL keeps a plan. If it is made while the outbox is empty, it is still used with millions of rows."""


class SendFailed(Exception):
    """A send failed. The producer may no longer keep the order, so it is replaced."""


class _Batch(NamedTuple):
    """A batch that was read and sent: its last fully published pending row (0 for none), and its snapshot.

    At the read, all transactions below `xmin` had ended, and none from `xmax` on had begun. `seen` is the last pending
    row of the read, infinity if it read all rows.
    """

    published: int
    xmin: int
    xmax: int
    seen: float


class _LowWater:
    """The id after which the relay reads.

    It skips dead index entries. They cost tens of milliseconds a poll while another session has an old snapshot.

    A transaction draws its ids at its flush, and they become visible at its commit. So the mark passes an id only after
    a later read has seen the end of every transaction that could have a lower id. Without this rule only the rescan
    would find a late commit, after the next event of its key was sent.
    """

    def __init__(self) -> None:
        self.id = 0
        self._waiting: deque[_Batch] = deque()
        self._rescanned = 0.0

    def start(self, now: float) -> int:
        if now - self._rescanned >= RESCAN_SECONDS:
            self._rescanned = now
            return 0
        return self.id

    def advance(self, batch: _Batch) -> None:
        while self._waiting and self._waiting[0].xmax <= batch.xmin and self._waiting[0].published <= batch.seen:
            self.id = max(self.id, self._waiting.popleft().published)
        self._waiting.append(batch)


class Relay:
    """The relay of a database. Only the worker with the lease sends, and reads and marks on the lease's connection."""

    def __init__(self, dsn: str, kafka: str, name: str) -> None:
        self._dsn, self._kafka, self._name = dsn, kafka, name
        self.progressed = time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        failures = 0
        while not stopping.is_set():
            try:
                with foreign_cancellation_is_an_error():
                    await self._lead(stopping)
                failures = 0
            except (*CONNECTION_LOST, *SERVER_STOPPING, KafkaError, Interrupted, SendFailed) as error:
                log.warning("relay interrupted: %s: %s", type(error).__name__, error)
                metrics.RELAY_RESTARTS.inc()
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                self.progressed = time.monotonic()  # the retry is progress; readiness and the depth show the failure
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), pause)

    async def _lead(self, stopping: asyncio.Event) -> None:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=5,
            command_timeout=10,
            server_settings={"application_name": f"{self._name}-relay", "tcp_keepalives_idle": "5"} | BY_INDEX,
        )
        producer: AIOKafkaProducer | None = None
        try:
            while not await connection.fetchval(LEASE):
                self.progressed = time.monotonic()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), POLL_SECONDS)
                if stopping.is_set():
                    return
            wake = asyncio.Event()
            await connection.add_listener(outbox.CHANNEL, lambda *_: wake.set())
            producer = await clients.start_producer(self._kafka, f"{self._name}-relay")
            # A separate task, so that a late connection-lost callback, during the cleanup, does not end the relay.
            publishing = asyncio.create_task(self._publish(connection, producer, wake, stopping))
            connection.add_termination_listener(lambda _: publishing.cancel())
            await publishing
        finally:
            if producer is not None:
                await clients.discard(producer)
            with suppress(Exception):
                await connection.close(timeout=2)

    async def _publish(
        self, connection: asyncpg.Connection, producer: AIOKafkaProducer, wake: asyncio.Event, stopping: asyncio.Event
    ) -> None:
        low = _LowWater()
        while True:
            wake.clear()
            verified = time.monotonic()
            start = low.start(verified)
            rows = await connection.fetch(PENDING, start, READ_LIMIT)
            self.progressed = time.monotonic()
            if not rows:
                if stopping.is_set():
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), POLL_SECONDS)
                continue
            if time.monotonic() - verified > LEASE_SECONDS:
                continue  # stalled since the read, so the lease may be lost: read again before sending
            sent, failure = await _send(producer, rows)
            if sent:
                published = await _mark(connection, rows, sent)
                seen = inf if len(rows) < READ_LIMIT else rows[-1]["pending"]
                low.advance(_Batch(published, rows[0]["xmin"], rows[0]["xmax"], seen))
                metrics.RELAY_SENT.inc(len(sent))
            if failure is not None:
                raise SendFailed(f"{type(failure).__name__}: {failure}") from failure
            if len(rows) < READ_LIMIT and not stopping.is_set():
                await linger(verified, len(rows))


async def _mark(connection: asyncpg.Connection, rows: Sequence[asyncpg.Record], sent: Sequence[int]) -> int:
    """Delete acknowledged messages from the pending rows. Return the last fully published row, 0 for none."""
    left: dict[int, list[int]] = {row["pending"]: [] for row in rows}
    if len(sent) < len(rows):
        acknowledged = set(sent)
        for row in rows:
            if row["id"] not in acknowledged:
                left[row["pending"]].append(row["id"])
        for pending, ids in left.items():
            if ids:
                await connection.execute(STILL_PENDING, pending, ids)
    published = [pending for pending, ids in left.items() if not ids]
    await connection.execute(PUBLISHED, published)
    return max(published, default=0)


async def _send(producer: AIOKafkaProducer, rows: Sequence[asyncpg.Record]) -> tuple[list[int], BaseException | None]:
    """Send rows. Return the acknowledged ids, a prefix for each partition and so for each key, and the first error."""
    partitions = {
        topic: len(await within(SEND_SECONDS, producer.partitions_for(topic)))
        for topic in {row["topic"] for row in rows}
    }
    lanes: dict[tuple[str, int], list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        topic, key = row["topic"], row["key"]
        lanes[topic, 0 if key is None else clients.partition_of(key, partitions[topic])].append(row)
    outcomes = await asyncio.gather(
        *(_send_lane(producer, topic, partition, lane) for (topic, partition), lane in lanes.items())
    )
    acknowledged = [id for ids, _ in outcomes for id in ids]
    return acknowledged, next((failure for _, failure in outcomes if failure is not None), None)


async def _send_lane(
    producer: AIOKafkaProducer, topic: str, partition: int, lane: Sequence[asyncpg.Record]
) -> tuple[list[int], BaseException | None]:
    acknowledged: list[int] = []
    position = 0
    while position < len(lane):
        batch, ids = producer.create_batch(), []
        while position < len(lane):
            row = lane[position]
            headers = [(name, value.encode()) for name, value in from_json(row["headers"]).items()]
            if batch.append(key=row["key"], value=row["value"], timestamp=None, headers=headers) is None:
                break
            ids.append(row["id"])
            position += 1
        batch.close()
        try:
            await within(SEND_SECONDS, _acknowledged(producer, batch, topic, partition))
        except (KafkaError, TimeoutError) as error:
            return acknowledged, error
        acknowledged += ids
    return acknowledged, None


async def _acknowledged(producer: AIOKafkaProducer, batch: Any, topic: str, partition: int) -> None:
    await (await producer.send_batch(batch, topic, partition=partition))
