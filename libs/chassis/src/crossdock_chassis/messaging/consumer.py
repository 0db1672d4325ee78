"""Consume events: handle a batch in one transaction with its positions, which the database alone keeps."""

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord
from aiokafka.structs import TopicPartition

from crossdock_chassis.broker import Broker
from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.database.unit import Database
from crossdock_chassis.deadlines import abandon, foreign_cancellation_is_an_error, within
from crossdock_chassis.messaging import clients, optimistic
from crossdock_chassis.messaging.aside import Record
from crossdock_chassis.messaging.breaker import SystemFault
from crossdock_chassis.messaging.inbox import ISOLATE_LOCK_SECONDS, Blocked, Decoded, Inbox
from crossdock_chassis.messaging.positions import ADVANCE, ensure_positions, positions_of
from crossdock_chassis.messaging.progress import Progress, Seen
from crossdock_chassis.messaging.reactions import Subscription
from crossdock_chassis.messaging.stopped import LOOK_SECONDS, Stops, version_stop
from crossdock_chassis.messaging.stops import DecisionWithdrawn, Stop
from crossdock_chassis.observability import metrics
from crossdock_events import Message

log = logging.getLogger(__name__)

BATCH_LIMIT = 1_000
REPORT_SECONDS = 1.0
IDLE_SECONDS = 5.0
"""How often an idle consumer reports. It also looks around this often, if nothing but a record wakes it."""
STUCK_SECONDS = 30.0
SAVE_SECONDS = 1.0
"""How often the positions of records that need no reaction are stored."""
POLL_MS = 500
"""How often the consumer looks around while no record arrives, if a stop or a position to store waits for it."""
FETCH_SECONDS = 20.0
"""A fetch waits `IDLE_SECONDS` at most. If it takes this long, the client no longer works."""
LOCK_SECONDS = 1.0
"""The lock timeout of a batch. A locked row delays the other keys for this long, then its key is set aside."""
ALONE_FAILURES = 2
FAULT_SECONDS = 15.0
"""The longest pause between two attempts while key after key fails for one reason."""
BACK_OFF_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0)


class PositionMoved(Exception):
    """Another member has handled these records. This member no longer owns the partition and drops its batch."""


class Stuck(Exception):
    """The topic has records that do not arrive, so the client is replaced."""


class Consumer:
    """One member of one group. Fetch, then in one transaction: positions, parked keys, inbox, reactions, outbox.

    A batch has all records of a fetch, over all partitions, so that transactions are fewer and larger. Only the
    positions in the database count. Offsets are committed to Kafka for lag displays only.
    """

    def __init__(
        self, database: Database, kafka: Broker, subscription: Subscription, inbox: Inbox | None = None
    ) -> None:
        self._database, self._kafka, self.subscription = database, kafka, subscription
        self.inbox = inbox or Inbox(subscription)
        self._stops = Stops(database, self.inbox)
        self._progress = Progress(database, subscription.group)
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._next: dict[TopicPartition, int] = {}
        self._stored: dict[TopicPartition, int] = {}
        self._saved = 0.0
        self._gaps: dict[TopicPartition, int] = {}
        self._last_time: dict[TopicPartition, float] = {}
        self._busy = asyncio.Lock()
        self._assigned_anew: asyncio.Future[None] | None = None
        self._moved = asyncio.Event()
        self._listener = _Listener(self)
        self._limit = BATCH_LIMIT
        self._began = time.time()
        self.progressed = time.monotonic()
        self.ready = False

    async def run(self, stopping: asyncio.Event) -> None:
        failures = 0
        while not stopping.is_set():
            client: AIOKafkaConsumer | None = None
            started = time.monotonic()
            try:
                with foreign_cancellation_is_an_error():
                    client = await self._start()
                    await self._consume(client, stopping)
            except Exception as error:
                if not isinstance(error, (*clients.KAFKA_TROUBLE, Stuck)) and not is_transient(error):
                    raise
                if isinstance(error, clients.REFUSED):
                    self.progressed = time.monotonic()  # a restart mends nothing
                log.warning("%s interrupted: %s", self.subscription.group, clients.reason_of(error, self._kafka))
                failures = 0 if time.monotonic() - started > 30 else failures + 1
                await _pause(stopping, BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS) - 1)])
            finally:
                self.ready = False
                self._listener.client = None  # an abandoned client must not release its successor's partitions
                self._forget(self._assigned)
                if client is not None:
                    await clients.discard(client)

    async def _start(self) -> AIOKafkaConsumer:
        subscription = self.subscription
        await ensure_positions(self._database, self._kafka, subscription, self._began)
        self._listener = _Listener(self)
        return await clients.start_consumer(
            self._kafka,
            subscription.group,
            client_id=subscription.group,
            topics=subscription.topics,
            listener=self._listener,
        )

    async def _consume(self, client: AIOKafkaConsumer, stopping: asyncio.Event) -> None:
        reporting = asyncio.create_task(self._report(client))
        stop = asyncio.create_task(stopping.wait())
        failures = 0
        try:
            while not stopping.is_set():
                if reporting.done():
                    reporting.result()
                fetched = await self._fetch(client, stop, reporting)
                began = time.monotonic()
                if self._stops.due:
                    await self._look(client)
                if self._assigned - self._next.keys() - self._stops.partitions.keys():
                    await self._reposition(client)  # the database was away when they were assigned
                    continue
                async with self._busy:
                    batch = self._expected(client, fetched)
                    await self._save()
                    if not batch:
                        if self._caught_up(client):
                            self.progressed = began
                        continue
                    try:
                        await self._handle(batch, failures)
                        handled = True
                    except Exception as error:
                        passing = (PositionMoved, DecisionWithdrawn, Blocked, SystemFault)
                        if not isinstance(error, passing) and not is_transient(error):
                            raise
                        if isinstance(error, SystemFault):
                            self.progressed = time.monotonic()  # it waits on purpose: a restart mends nothing
                            self._note_breaker()
                        log.warning("%s retries: %s: %s", self.subscription.group, type(error).__name__, error)
                        handled = False
                if handled:
                    self.progressed = time.monotonic()
                    failures, self._limit = 0, min(BATCH_LIMIT, 2 * self._limit)
                    continue
                failures += 1
                self._limit = max(1, self._limit // 32)  # so that a batch fits into the transaction limit
                await self._back_off(client, stopping, failures)
                await self._reposition(client)
        finally:
            abandon(stop)
            reporting.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await reporting

    async def _fetch(
        self, client: AIOKafkaConsumer, *others: asyncio.Task[Any]
    ) -> Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]:
        """Return the next records. Return none after a while, after an assignment, or if one of `others` has ended."""
        waits = self._stops.waiting or self._next != self._stored or self._next.keys() != self._assigned
        milliseconds = POLL_MS if waits else int(IDLE_SECONDS * 1000)
        fetching = asyncio.ensure_future(client.getmany(timeout_ms=milliseconds, max_records=self._limit))
        anew = self._assigned_anew = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({fetching, anew, *others}, timeout=FETCH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if fetching.done() and not fetching.cancelled():
                return fetching.result()
            if any(each.done() for each in (anew, *others)):
                return {}
            return await within(0, fetching)
        finally:
            abandon(fetching)

    async def _back_off(self, client: AIOKafkaConsumer, stopping: asyncio.Event, failures: int) -> None:
        """Wait before the next attempt. While the breaker is open, look for a decision that ends the wait."""
        if self.inbox.breaker.open is None:
            await _pause(stopping, BACK_OFF_SECONDS[min(failures - 1, len(BACK_OFF_SECONDS) - 1)])
            return
        until = time.monotonic() + min(FAULT_SECONDS, 2.0**failures / 2)
        while not stopping.is_set() and (left := until - time.monotonic()) > 0:
            if self._stops.due:
                await self._look(client)
            if self.inbox.breaker.open is None:
                return
            await _pause(stopping, min(left, LOOK_SECONDS))

    async def _look(self, client: AIOKafkaConsumer) -> None:
        """Store the stops, and go on with the partitions whose stop has ended or about which a person has decided."""
        try:
            async with self._busy:
                again = await self._stops.look()
                for tp, decided in again:
                    if decided is not None and decided.kind != "version":
                        beginnings = await within(10, client.beginning_offsets([tp]))
                        ends = await within(10, client.end_offsets([tp]))
                        await self._stops.move(decided, beginnings[tp], ends[tp])
                    self._stops.partitions.pop(tp, None)
                    self._gaps.pop(tp, None)
                    client.resume(tp)
                    self._count_stopped(tp.topic)
                if again:
                    await self._position(client, [tp for tp, _ in again])
        except Exception as error:
            if not isinstance(error, DecisionWithdrawn) and not is_transient(error):
                raise
            log.warning("%s cannot look at its stops: %s: %s", self.subscription.group, type(error).__name__, error)

    def _caught_up(self, client: AIOKafkaConsumer) -> bool:
        """Return whether no record is to be handled. An empty fetch between two failed attempts is no progress."""
        return all((client.highwater(tp) or 0) <= position for tp, position in self._next.items())

    def _expected(
        self, client: AIOKafkaConsumer, fetched: Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]
    ) -> dict[TopicPartition, list[Record]]:
        """Return the records from the positions on. The client may have fetched others before it was positioned."""
        batch: dict[TopicPartition, list[Record]] = {}
        for tp, found in fetched.items():
            expected = self._next.get(tp)
            if expected is None or tp in self._stops.partitions:
                continue
            if found[0].offset > expected:
                if self._gaps.get(tp) == expected:
                    end = client.highwater(tp) or found[-1].offset + 1
                    reason = f"{expected} was next, the log goes on at {found[0].offset}"
                    self._stop(client, tp, Stop("lost", reason, *tp, expected, log_start=found[0].offset, log_end=end))
                else:  # perhaps fetched before the client was positioned: fetch once more
                    self._gaps[tp] = expected
                    client.seek(tp, expected)
                continue
            records = [_record(each) for each in found if each.offset >= expected]
            for position, record in enumerate(records):
                refusal = self.inbox.refuses(record)
                if refusal is not None and self._stops.decision(record, refusal.ce_type) is None:
                    records = records[:position]
                    if records:  # handle these first, then fetch the refused record again
                        client.seek(tp, record.offset)
                    else:
                        self._stop(client, tp, version_stop(record, refusal))
                    break
            if records:
                batch[tp] = records
        return batch

    async def _handle(self, batch: Mapping[TopicPartition, Sequence[Record]], failures: int) -> None:
        """Handle a batch that failed `failures` times.

        If a reaction fails, the batch is handled once more, to set aside the keys at fault. A single record that ends
        its whole unit again and again, for example by the time limit, is set aside without its reaction.
        """
        decoded = self.inbox.decode([record for tp in sorted(batch) for record in batch[tp]])
        if self.subscription.kind == "reaction" and not any(decoded) and not self._stops.deciding:
            self._passed(batch)
            return
        try:
            done = None
            if not failures and not self._stops.deciding and optimistic.suits(self.inbox, decoded):
                done = await optimistic.take(self._database, self.inbox, decoded, self._positions(batch))
            if done is None:
                await self._in_one_unit(batch, decoded, lock_timeout=LOCK_SECONDS)
        except (PositionMoved, DecisionWithdrawn):
            self._stops.look_soon()
            raise
        except Exception as error:
            alone = sum(map(len, batch.values())) == 1 and failures >= ALONE_FAILURES
            if is_transient(error) and not isinstance(error, Blocked) and not alone:
                raise
            log.warning("%s isolates what fails: %s: %s", self.subscription.group, type(error).__name__, error)
            untried = error if alone and is_transient(error) else None
            await self._in_one_unit(batch, decoded, lock_timeout=ISOLATE_LOCK_SECONDS, careful=True, untried=untried)
        self._passed(batch)
        self._stored |= {tp: self._next[tp] for tp in batch}
        self._note_breaker()

    def _passed(self, batch: Mapping[TopicPartition, Sequence[Record]]) -> None:
        """Go on behind these records. If they needed no unit, the position is stored later, by `_save`."""
        for tp, records in batch.items():
            self._next[tp] = records[-1].offset + 1
            self._last_time[tp] = records[-1].time
            self._moved.set()
            metrics.CONSUMED.labels(self.subscription.group, tp.topic).inc(len(records))

    async def _save(self) -> None:
        """Store the positions behind records that needed no unit. If this fails, the records are passed over again."""
        ahead = sorted(tp for tp, position in self._next.items() if position != self._stored[tp])
        if not ahead or time.monotonic() - self._saved < SAVE_SECONDS:
            return
        self._saved = time.monotonic()
        columns = [[t.topic for t in ahead], [t.partition for t in ahead], [self._stored[t] for t in ahead]]
        positions = {tp: self._next[tp] for tp in ahead}
        try:
            await self._database.fetch(ADVANCE, self.subscription.group, *columns, list(positions.values()))
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("%s cannot store positions: %s: %s", self.subscription.group, type(error).__name__, error)
        else:
            self._stored |= positions

    def _note_breaker(self) -> None:
        metrics.BREAKER_OPEN.labels(self.subscription.group).set(self.inbox.breaker.open is not None)

    async def _in_one_unit(
        self,
        batch: Mapping[TopicPartition, Sequence[Record]],
        decoded: Decoded,
        *,
        lock_timeout: float,
        careful: bool = False,
        untried: Exception | None = None,
    ) -> None:
        tps = sorted(batch)
        async with self._database.unit(lock_timeout=lock_timeout) as unit:
            outcome = await unit.sql.execute(ADVANCE, self.subscription.group, *self._positions(batch))
            if (moved := len(tps) - int(outcome.rpartition(" ")[2])) > 0:
                raise PositionMoved(f"{moved} of {len(tps)} partitions were handled by another member")
            records = [record for tp in tps for record in batch[tp]]
            if self._stops.deciding:
                records = await self._stops.carry_out(unit, records)
                decoded = self.inbox.decode(records)
            await self.inbox.take(unit, records, careful=careful, untried=untried, decoded=decoded)

    def _positions(self, batch: Mapping[TopicPartition, Sequence[Record]]) -> list[list[object]]:
        """Return topics, partitions, positions before the batch and positions after it."""
        tps = sorted(batch)
        return [
            [tp.topic for tp in tps],
            [tp.partition for tp in tps],
            [self._stored[tp] for tp in tps],
            [batch[tp][-1].offset + 1 for tp in tps],
        ]

    async def assigned(self, client: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
        """Take over partitions at the end of a rebalance.

        They are stored here, because during a rebalance the client still reports its earlier assignment, which other
        members may get. They are paused until they are positioned: the offset requests would wait behind a fetch.
        """
        self._assigned = frozenset(partitions)
        client.pause(*self._assigned)
        await self._position(client, self._assigned)
        self._stops.look_soon()
        if self._assigned_anew is not None and not self._assigned_anew.done():
            self._assigned_anew.set_result(None)

    async def _position(self, client: AIOKafkaConsumer, assigned: Collection[TopicPartition]) -> None:
        """Seek each partition to its position in the database. Stop it if the log no longer has that position."""
        stored = await positions_of(self._database, self.subscription.group)
        beginnings = await within(10, client.beginning_offsets(assigned))
        ends = await within(10, client.end_offsets(assigned))
        for tp in assigned:
            if tp not in self._assigned:
                continue  # a newer rebalance has taken the partition
            span = {"log_start": beginnings[tp], "log_end": ends[tp]}
            if tp not in stored:
                reason = "the group has no position here: were partitions added?"
                self._stop(client, tp, Stop("no-position", reason, *tp, **span))
            elif not beginnings[tp] <= stored[tp] <= ends[tp]:
                reason = f"{stored[tp]} is next, the log reaches from {beginnings[tp]} to {ends[tp]}"
                self._stop(client, tp, Stop("lost", reason, *tp, stored[tp], **span))
            else:
                self._next[tp] = self._stored[tp] = stored[tp]
                client.seek(tp, stored[tp])
                client.resume(tp)
        self._moved.set()
        self.ready = True

    async def _reposition(self, client: AIOKafkaConsumer) -> None:
        async with self._busy:
            await self._position(client, self._assigned - self._stops.partitions.keys())

    def _stop(self, client: AIOKafkaConsumer, tp: TopicPartition, stop: Stop) -> None:
        """Stop one partition until a person or a deployment resolves the cause. Other partitions continue."""
        log.error("%s stopped on %s/%s: %s", self.subscription.group, tp.topic, tp.partition, stop.reason)
        self._stops.add(tp, stop)
        self._next.pop(tp, None)
        self._stored.pop(tp, None)
        client.pause(tp)
        self._count_stopped(tp.topic)

    async def released(self) -> None:
        """Give up all partitions at the beginning of a rebalance, after the batch in flight."""
        async with self._busy:
            self._forget(self._assigned)

    def _forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions and remove their metrics, because other members may own them now."""
        group = self.subscription.group
        for tp in partitions:
            self._next.pop(tp, None)
            self._stored.pop(tp, None)
            self._last_time.pop(tp, None)
            self._gaps.pop(tp, None)
            metrics.LAG_MESSAGES.remove(group, tp.topic, str(tp.partition))
            metrics.LAG_SECONDS.remove(group, tp.topic, str(tp.partition))
            if self._stops.partitions.pop(tp, None):
                self._count_stopped(tp.topic)
        self._assigned = frozenset()
        self.inbox.breaker.release()
        self._note_breaker()

    def _count_stopped(self, topic: str) -> None:
        stopped = sum(1 for tp in self._stops.partitions if tp.topic == topic)
        metrics.STOPPED.labels(self.subscription.group, topic).set(stopped)

    async def _report(self, client: AIOKafkaConsumer) -> None:
        """Report the lag in metrics and offsets. Raise Stuck if the topic has records but none arrive."""
        group = self.subscription.group
        behind_since: dict[TopicPartition, tuple[int, float]] = {}
        reported: dict[TopicPartition, int] = {}
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            self._moved.clear()
            now = time.monotonic()
            positions = dict(self._next)
            for tp, position in positions.items():
                end = client.highwater(tp)
                lag = max(0, end - position) if end is not None else 0
                age = time.time() - self._last_time.get(tp, time.time()) if lag else 0.0
                metrics.LAG_MESSAGES.labels(group, tp.topic, tp.partition).set(lag)
                metrics.LAG_SECONDS.labels(group, tp.topic, tp.partition).set(age)
                if not lag:
                    behind_since.pop(tp, None)
                elif behind_since.setdefault(tp, (position, now))[0] != position:
                    behind_since[tp] = position, now
                elif now - behind_since[tp][1] > STUCK_SECONDS and self.inbox.breaker.open is None:
                    raise Stuck(f"{tp.topic}/{tp.partition} has not moved from {position} for {STUCK_SECONDS} s")
            changed = {tp: at for tp, at in positions.items() if reported.get(tp) != at and tp in client.assignment()}
            seen = {tp: Seen(at, client.highwater(tp), self._last_time.get(tp)) for tp, at in positions.items()}
            await self._progress.store(seen)
            if changed:
                with suppress(*clients.KAFKA_TROUBLE):
                    await within(5, client.commit(changed))
                    reported.update(changed)
            elif not behind_since and self._progress.settled:
                await _pause(self._moved, IDLE_SECONDS)


class _Listener(ConsumerRebalanceListener):
    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.client: AIOKafkaConsumer | None = None

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        if self.client is not None:
            await self._consumer.released()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        if self.client is not None:
            await self._consumer.assigned(self.client, assigned)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


def _record(record: "ConsumerRecord[Any, Any]") -> Record:
    return Record(
        Message.from_record(record.topic, record.key, record.value, record.headers),
        record.partition,
        record.offset,
        record.timestamp / 1000,
    )
