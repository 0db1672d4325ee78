"""Lanes that Kafka refuses: their messages are held back and sent again with a back-off, while other lanes go on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from math import inf
from typing import Final, TypeAlias

Lane: TypeAlias = tuple[str, int | None]
"""A topic and a partition. A topic whose partitions are unknown is one lane without a partition."""

BACK_OFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 15.0)
ROWS_AT_ONCE: Final = 20
"""A pending row has at most 500 messages, and usually few."""


@dataclass(slots=True)
class _Held:
    due: float
    failures: int = 0
    rows: set[int] = field(default_factory=set)


class Lanes:
    """The lanes whose last send failed, with the pending rows of their messages. Pure: callers pass the time.

    The rows are known to this object alone, so the relay may read past them. A new relay reads them again.
    """

    def __init__(self) -> None:
        self._held: dict[Lane, _Held] = {}
        self.trying: set[str] = set()

    def __contains__(self, lane: Lane) -> bool:
        return lane in self._held

    def of(self, topic: str, partition: int | None) -> Lane:
        """Return the lane of a message. A topic held as a whole stays one lane, so that keys keep their order."""
        return (topic, None) if (topic, None) in self._held else (topic, partition)

    @property
    def held(self) -> dict[str, int]:
        """Return the number of held lanes by topic."""
        counts: dict[str, int] = {}
        for topic, _ in self._held:
            counts[topic] = counts.get(topic, 0) + 1
        return counts

    def rows_after(self, id: int) -> list[int]:
        """Return the pending rows after `id` that are held, so that a read skips them."""
        return sorted({row for held in self._held.values() for row in held.rows if row > id})

    def hold(self, lane: Lane, rows: Iterable[int], now: float) -> None:
        """Hold messages of these pending rows back. A topic without partitions takes over its other lanes."""
        held = self._held.get(lane)
        if held is None:
            held = self._held[lane] = _Held(now + BACK_OFF_SECONDS[0])
            if lane[1] is None:
                for other in [other for other in self._held if other[0] == lane[0] and other != lane]:
                    held.rows |= self._held.pop(other).rows
        held.rows.update(rows)

    def due(self, now: float) -> dict[str, dict[Lane, list[int]]]:
        """Return by topic the lanes to try now, with their oldest rows. A topic has one attempt at a time."""
        found: dict[str, dict[Lane, list[int]]] = {}
        for lane, held in self._held.items():
            if held.due <= now and lane[0] not in self.trying:
                found.setdefault(lane[0], {})[lane] = nsmallest(ROWS_AT_ONCE, held.rows)
        return found

    def next_due(self, now: float) -> float:
        """Return the seconds until the next attempt, infinity if none is planned."""
        planned = (held.due for lane, held in self._held.items() if lane[0] not in self.trying)
        return max(0.0, min(planned, default=inf) - now)

    def sent(self, lane: Lane, rows: Sequence[int]) -> None:
        """Release pending rows all of whose messages in this lane were acknowledged, and an empty lane."""
        if (held := self._held.get(lane)) is not None:
            held.rows.difference_update(rows)
            held.failures = 0
            if not held.rows:
                del self._held[lane]

    def failed(self, lane: Lane, now: float) -> None:
        if (held := self._held.get(lane)) is not None:
            held.failures += 1
            held.due = now + BACK_OFF_SECONDS[min(held.failures, len(BACK_OFF_SECONDS) - 1)]
