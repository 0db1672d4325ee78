"""Publish committed outbox rows to Kafka in order, at least once. One process at a time is the relay."""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Any, NamedTuple

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from pydantic_core import from_json

from crossdock_chassis.broker import Broker
from crossdock_chassis.database import outbox
from crossdock_chassis.database.errors import CONNECTION_LOST, SERVER_STOPPING
from crossdock_chassis.deadlines import Interrupted, abandon, foreign_cancellation_is_an_error, within
from crossdock_chassis.messaging import clients
from crossdock_chassis.messaging.lanes import Lane, Lanes
from crossdock_chassis.observability import metrics

log = logging.getLogger(__name__)

READ_LIMIT = 2_000
POLL_SECONDS = 1.0
"""How often a worker without the lease tries to take it."""
IDLE_SECONDS = 5.0
"""A NOTIFY on the lease's own connection wakes the relay, so it is lost only with the lease."""
MARK_SECONDS = 0.05
"""Sent messages are marked with the next read. If no message comes, this is the longest wait for that read."""
RESCAN_SECONDS = 5.0
LEASE_SECONDS = 2.0
SEND_SECONDS = 10.0
METADATA_SECONDS = 2.0
RETRY_SECONDS = (0.1, 0.5, 1.0, 2.0)

LEASE = "SELECT pg_try_advisory_lock(hashtextextended('crossdock.relay', 0))"
LEASED = """
    SELECT EXISTS (
        SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND datname = current_database()
          AND (classid::bigint << 32 | objid::bigint) = hashtextextended('crossdock.relay', 0)
    )
"""

MESSAGES = """
    SELECT taken.id AS pending, message.id, topic, key, value, headers,
           pg_snapshot_xmin(snapshot)::text::bigint AS xmin, pg_snapshot_xmax(snapshot)::text::bigint AS xmax
    FROM taken JOIN outbox AS message ON message.created_at = taken.created_at AND message.id = ANY (taken.ids),
         pg_current_snapshot() AS snapshot
    ORDER BY taken.id, message.id
"""

# Take the oldest rows of `outbox_pending`, except $3, until they name about $2 messages. Delete the rows $4. All their
# messages were acknowledged, and $3 has them too. If two units lock the row of a key, the second one appends after the
# first. So the order of ids is the order of each key.
PENDING = f"""
    WITH published AS (
        DELETE FROM outbox_pending WHERE id = ANY ($4::bigint[])
    ), taken AS (
        SELECT id, created_at, ids FROM (
            SELECT id, created_at, ids, sum(cardinality(ids)) OVER (ORDER BY id) - cardinality(ids) AS before
            FROM (
                SELECT * FROM outbox_pending WHERE id > $1 AND id <> ALL ($3::bigint[]) ORDER BY id LIMIT $2
            ) AS oldest
        ) AS counted WHERE before < $2
    )
    {MESSAGES}
"""

HELD = f"WITH taken AS (SELECT id, created_at, ids FROM outbox_pending WHERE id = ANY ($1::bigint[])) {MESSAGES}"

PARTLY_PUBLISHED = """
    UPDATE outbox_pending SET ids = ARRAY(SELECT id FROM unnest(ids) AS id WHERE id <> ALL ($2::bigint[]) ORDER BY id)
    WHERE id = ANY ($1::bigint[])
"""

EMPTY = "DELETE FROM outbox_pending WHERE id = ANY ($1::bigint[]) AND ids = '{}'"

RELAXED = {"synchronous_commit": "off"}
"""Only marks are lost if the server fails, and their messages are sent again, as after a failure of the relay."""

BY_INDEX = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
"""PostgreSQL keeps a plan. If it is made while the outbox is empty, it is still used with millions of rows."""


class _Batch(NamedTuple):
    """A batch that was read: its last pending row, and its snapshot. Each message was sent or is held back.

    At the read, all transactions below `xmin` had ended, and none from `xmax` on had begun. `seen` is the last pending
    row of the read, infinity if it read all rows.
    """

    last: int
    xmin: int
    xmax: int
    seen: float


class _Sent(NamedTuple):
    """The outcome of a send: the acknowledged ids, and by lane the rows that were not sent or not acknowledged."""

    acknowledged: list[int]
    left: dict[Lane, list[asyncpg.Record]]
    failures: dict[Lane, BaseException]


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
        while self._waiting and self._waiting[0].xmax <= batch.xmin and self._waiting[0].last <= batch.seen:
            self.id = max(self.id, self._waiting.popleft().last)
        self._waiting.append(batch)


class Relay:
    """The relay of a database. Only the worker with the lease sends, and reads and marks on the lease's connection."""

    def __init__(self, dsn: str, kafka: Broker, name: str) -> None:
        self._dsn, self.kafka, self._name = dsn, kafka, name
        self.progressed = time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        failures = 0
        while not stopping.is_set():
            try:
                with foreign_cancellation_is_an_error():
                    await self._lead(stopping)
                failures = 0
            except (*CONNECTION_LOST, *SERVER_STOPPING, KafkaError, Interrupted) as error:
                log.warning("relay interrupted: %s", clients.reason_of(error, self.kafka))
                metrics.RELAY_RESTARTS.inc()
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), pause)

    async def _lead(self, stopping: asyncio.Event) -> None:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=5,
            command_timeout=10,
            server_settings={"application_name": f"{self._name}-relay", "timezone": "UTC", "tcp_keepalives_idle": "5"}
            | BY_INDEX
            | RELAXED,
        )
        leader: _Leader | None = None
        try:
            while not await connection.fetchval(LEASE):
                self.progressed = time.monotonic()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), POLL_SECONDS)
                if stopping.is_set():
                    return
            wake = asyncio.Event()
            await connection.add_listener(outbox.CHANNEL, lambda *_: wake.set())
            leader = _Leader(self, connection, wake)
            # A separate task, so that a late connection-lost callback, during the cleanup, does not end the relay.
            publishing = asyncio.create_task(leader.publish(stopping))
            connection.add_termination_listener(lambda _: publishing.cancel())
            stop = asyncio.create_task(stopping.wait())
            stop.add_done_callback(lambda _: wake.set())
            try:
                await publishing
            finally:
                abandon(stop)
        finally:
            if leader is not None:
                await leader.close()
            with suppress(Exception):
                await connection.close(timeout=2)

    async def producer(self) -> AIOKafkaProducer:
        return await clients.start_producer(self.kafka, f"{self._name}-relay")


class _Leader:
    """The relay while it holds the lease.

    A lane whose send failed is held back, and the producer is replaced, because it may no longer keep the lane's order.
    An attempt of its own, with a producer of its own, sends the lane's messages, while all other lanes go on.
    """

    def __init__(self, relay: Relay, connection: asyncpg.Connection, wake: asyncio.Event) -> None:
        self._relay, self._connection, self._wake = relay, connection, wake
        self._lanes = Lanes()
        self._producer: AIOKafkaProducer | None = None
        self._attempts: dict[asyncio.Task[_Sent], dict[Lane, list[int]]] = {}
        self._discards: set[asyncio.Task[None]] = set()
        self._published: list[int] = []
        self._verified = 0.0

    async def publish(self, stopping: asyncio.Event) -> None:
        low = _LowWater()
        while True:
            self._wake.clear()
            await self._collect()
            self._verified = time.monotonic()
            start = low.start(self._verified)
            done, self._published = self._published, []
            rows = await self._connection.fetch(
                PENDING, start, READ_LIMIT, [*self._lanes.rows_after(start), *done], done
            )
            await self._attempt_due()
            if not rows:
                self._relay.progressed = time.monotonic()
                if stopping.is_set():
                    return
                await self._wait(IDLE_SECONDS)
                continue
            if self._producer is None:  # a service that publishes nothing may not be allowed to write
                self._producer = await self._relay.producer()
            if self._stale():
                continue  # stalled since the read, so the lease may be lost: read again before sending
            sent = await self._send(rows)
            seen = inf if len(rows) < READ_LIMIT else rows[-1]["pending"]
            low.advance(_Batch(rows[-1]["pending"], rows[0]["xmin"], rows[0]["xmax"], seen))
            if sent.acknowledged or not sent.failures:
                self._relay.progressed = time.monotonic()
            if len(rows) < READ_LIMIT and not stopping.is_set():
                await self._wait(MARK_SECONDS)

    async def close(self) -> None:
        metrics.RELAY_HELD.clear()
        for task in self._attempts:
            abandon(task)
        if self._producer is not None:
            await clients.discard(self._producer)

    async def _wait(self, seconds: float) -> None:
        """Wait for a message or an attempt that is due, at most so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), min(seconds, self._lanes.next_due(time.monotonic())))

    def _stale(self) -> bool:
        return time.monotonic() - self._verified > LEASE_SECONDS

    async def _send(self, rows: Sequence[asyncpg.Record]) -> _Sent:
        """Send rows, mark the acknowledged messages, and hold back the lanes that failed or are held already.

        The next read deletes the pending rows of which nothing is left.
        """
        assert self._producer is not None
        sent = await _send(self._producer, rows, self._lanes)
        pending = list(dict.fromkeys(row["pending"] for row in rows))
        if len(sent.acknowledged) == len(rows):
            self._published = pending
        elif sent.acknowledged:
            await _mark_partly(self._connection, pending, sent.acknowledged)
        metrics.RELAY_SENT.inc(len(sent.acknowledged))
        now = time.monotonic()
        for lane, left in sent.left.items():
            self._lanes.hold(lane, (row["pending"] for row in left), now)
        if sent.failures:
            for lane, failure in sent.failures.items():
                self._warn(lane, failure)
            metrics.RELAY_RESTARTS.inc()
            self._in_background(clients.discard(self._producer))
            self._producer = None
            self._producer = await self._relay.producer()
            self._show()
        return sent

    async def _attempt_due(self) -> None:
        """Start an attempt for each topic with lanes that are due."""
        for topic, due in self._lanes.due(time.monotonic()).items():
            rows = await self._connection.fetch(HELD, sorted({row for rows in due.values() for row in rows}))
            self._lanes.trying.add(topic)
            task = asyncio.create_task(self._attempt(topic, due, rows))
            task.add_done_callback(lambda _: self._wake.set())
            self._attempts[task] = due

    async def _attempt(self, topic: str, due: Collection[Lane], rows: Sequence[asyncpg.Record]) -> _Sent:
        producer: AIOKafkaProducer | None = None
        mine = [row for row in rows if row["topic"] == topic]
        try:
            producer = await self._relay.producer()
            if self._stale():
                raise TimeoutError("the lease was not verified")
            return await _send_due(producer, topic, mine, due)
        except (*clients.KAFKA_TROUBLE, Interrupted) as error:
            return _Sent([], {lane: mine for lane in due}, dict.fromkeys(due, error))
        finally:
            if producer is not None:
                await clients.discard(producer)

    async def _collect(self) -> None:
        """Mark the messages of ended attempts. Release the lanes of which nothing is left."""
        for task in [task for task in self._attempts if task.done()]:
            due, sent = self._attempts.pop(task), task.result()
            for topic in {topic for topic, _ in due}:
                self._lanes.trying.discard(topic)
            tried = sorted({row for rows in due.values() for row in rows})
            await _mark_partly(self._connection, tried, sent.acknowledged)
            metrics.RELAY_SENT.inc(len(sent.acknowledged))
            now = time.monotonic()
            if sent.acknowledged:
                self._relay.progressed = now
            for lane, rows in due.items():
                left = {row["pending"] for row in sent.left.get(lane, ())}
                self._lanes.sent(lane, [row for row in rows if row not in left])
                if (failure := sent.failures.get(lane)) is not None:
                    self._warn(lane, failure)
                    self._lanes.failed(lane, now)
            self._show()

    def _show(self) -> None:
        metrics.RELAY_HELD.clear()
        for topic, count in self._lanes.held.items():
            metrics.RELAY_HELD.labels(topic).set(count)

    def _warn(self, lane: Lane, failure: BaseException) -> None:
        topic, partition = lane
        name = topic if partition is None else f"{topic}/{partition}"
        log.warning("relay holds %s back: %s", name, clients.reason_of(failure, self._relay.kafka))

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._discards.add(task)
        task.add_done_callback(self._discards.discard)


async def _mark_partly(connection: asyncpg.Connection, pending: Sequence[int], sent: Sequence[int]) -> None:
    await connection.execute(PARTLY_PUBLISHED, pending, sent)
    await connection.execute(EMPTY, pending)


async def _send(producer: AIOKafkaProducer, rows: Sequence[asyncpg.Record], lanes: Lanes) -> _Sent:
    """Send the rows of lanes that are not held.

    The acknowledged messages are a prefix of each lane, and so of each key.
    """
    topics = {row["topic"] for row in rows}
    partitions, unknown = await _partitions(producer, [topic for topic in topics if (topic, None) not in lanes])
    by_lane: dict[Lane, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        by_lane[lanes.of(row["topic"], _partition(row, partitions))].append(row)
    sending = {lane: mine for lane, mine in by_lane.items() if lane not in lanes and lane[0] not in unknown}
    sent = await _send_lanes(producer, sending)
    for lane, mine in by_lane.items():
        if lane not in sending:
            sent.left[lane] = mine
            if lane not in lanes:
                sent.failures[lane] = unknown[lane[0]]
    return sent


async def _send_due(
    producer: AIOKafkaProducer, topic: str, rows: Sequence[asyncpg.Record], due: Collection[Lane]
) -> _Sent:
    """Send the rows of a topic that are in the lanes `due`."""
    partitions = {topic: len(await within(METADATA_SECONDS, producer.partitions_for(topic)))}
    whole: Lane = topic, None
    sending: dict[Lane, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        lane = topic, _partition(row, partitions)
        if lane in due or whole in due:
            sending[lane].append(row)
    sent = await _send_lanes(producer, sending)
    if whole in due and sent.failures:
        left = [row for rows in sent.left.values() for row in rows]
        return _Sent(sent.acknowledged, {whole: left}, {whole: next(iter(sent.failures.values()))})
    return sent


async def _partitions(
    producer: AIOKafkaProducer, topics: Collection[str]
) -> tuple[dict[str, int], dict[str, BaseException]]:
    """Return the number of partitions of each topic, and the error of each topic without an answer."""

    async def count(topic: str) -> int | BaseException:
        try:
            return len(await within(METADATA_SECONDS, producer.partitions_for(topic)))
        except (KafkaError, TimeoutError) as error:
            return error

    counts = dict(zip(topics, await asyncio.gather(*map(count, topics)), strict=True))
    known = {topic: found for topic, found in counts.items() if isinstance(found, int)}
    return known, {topic: found for topic, found in counts.items() if isinstance(found, BaseException)}


def _partition(row: asyncpg.Record, partitions: Mapping[str, int]) -> int | None:
    if (count := partitions.get(row["topic"])) is None:
        return None
    return 0 if row["key"] is None else clients.partition_of(row["key"], count)


async def _send_lanes(producer: AIOKafkaProducer, lanes: Mapping[Lane, Sequence[asyncpg.Record]]) -> _Sent:
    outcomes = await asyncio.gather(
        *(_send_lane(producer, topic, partition or 0, rows) for (topic, partition), rows in lanes.items())
    )
    sent = _Sent([], {}, {})
    for (lane, rows), (ids, failure) in zip(lanes.items(), outcomes, strict=True):
        sent.acknowledged.extend(ids)
        if failure is not None:
            sent.left[lane], sent.failures[lane] = [*rows[len(ids) :]], failure
    return sent


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
