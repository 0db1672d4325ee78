"""Store how far a consumer is, for people: the end of the log, its rates, and when it was last seen.

Positions are elsewhere, and nothing depends on these rows. So a member writes them seldom, and only the partitions that
have changed: at most one statement in `STORE_SECONDS`. While nothing changes, it writes once in `ALIVE_SECONDS`.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from aiokafka.structs import TopicPartition

from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.database.unit import Database
from crossdock_chassis.deadlines import within

STORE_SECONDS: Final = 5.0
ALIVE_SECONDS: Final = 60.0
PATIENCE_SECONDS: Final = 2.0

log = logging.getLogger(__name__)

# No disk write is awaited: after a crash of the server the next statement has newer figures.
STORE: Final = """
    INSERT INTO consumer_progress AS known
        (consumer_group, topic, partition, log_end, handled_to, rate, inflow, seen_at)
    SELECT $1, topic, partition, log_end, to_timestamp(handled_to), rate, inflow, now()
    FROM unnest($2::text[], $3::int[], $4::bigint[], $5::float8[], $6::float8[], $7::float8[])
         AS new (topic, partition, log_end, handled_to, rate, inflow)
    ORDER BY topic, partition
    ON CONFLICT (consumer_group, topic, partition) DO UPDATE
    SET log_end = coalesce(excluded.log_end, known.log_end),
        handled_to = coalesce(excluded.handled_to, known.handled_to),
        rate = excluded.rate, inflow = excluded.inflow, seen_at = excluded.seen_at
    RETURNING set_config('synchronous_commit', 'off', true)
"""


class Seen(NamedTuple):
    """What a member sees of a partition. `handled_to` is Kafka's time of the last record that it has handled."""

    position: int
    end: int | None
    handled_to: float | None


class _Stored(NamedTuple):
    at: float
    seen: Seen
    rate: float | None
    inflow: float | None


class Progress:
    """The progress of one member of a group, as it was last stored."""

    def __init__(self, database: Database, group: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._group, self._clock = database, group, clock
        self._stored: dict[TopicPartition, _Stored] = {}
        self._next = 0.0

    @property
    def settled(self) -> bool:
        """Return whether the stored rates are all zero, so that nothing is to be stored until a partition changes."""
        return all(each.rate == 0 and not each.inflow for each in self._stored.values())

    async def store(self, seen: Mapping[TopicPartition, Seen]) -> None:
        """Store the partitions that have changed, if it is time. A failure is logged: the next call tries again."""
        now = self._clock()
        self._stored = {tp: stored for tp, stored in self._stored.items() if tp in seen}
        if now < self._next:
            return
        due = {tp: self._measured(tp, each, now) for tp, each in seen.items() if self._is_due(tp, each, now)}
        if not due:
            return
        self._next = now + STORE_SECONDS
        columns = [
            [tp.topic for tp in due],
            [tp.partition for tp in due],
            [each.seen.end for each in due.values()],
            [each.seen.handled_to for each in due.values()],
            [each.rate for each in due.values()],
            [each.inflow for each in due.values()],
        ]
        try:
            await within(PATIENCE_SECONDS, self._database.fetch(STORE, self._group, *columns))
        except Exception as error:
            if not is_transient(error) and not isinstance(error, TimeoutError):
                raise
            log.warning("cannot store the progress of %s: %s: %s", self._group, type(error).__name__, error)
            return
        self._stored |= due

    def _is_due(self, tp: TopicPartition, seen: Seen, now: float) -> bool:
        """Return whether the partition has changed, its rates must become zero, or it was stored long ago."""
        stored = self._stored.get(tp)
        if stored is None:
            return True
        moved = (stored.seen.position, stored.seen.end) != (seen.position, seen.end)
        return moved or stored.rate != 0 or bool(stored.inflow) or now - stored.at >= ALIVE_SECONDS

    def _measured(self, tp: TopicPartition, seen: Seen, now: float) -> _Stored:
        """Return the row to store, with the rates in records a second since the row before: None if it is the first."""
        stored = self._stored.get(tp)
        if stored is None or now <= stored.at:
            return _Stored(now, seen, None, None)
        seconds, before = now - stored.at, stored.seen
        rate = max(0, seen.position - before.position) / seconds
        inflow = None if seen.end is None or before.end is None else max(0, seen.end - before.end) / seconds
        return _Stored(now, seen, rate, inflow)
