"""The stops that one member of a group knows: its own partitions that wait, and the decisions of people."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from aiokafka.structs import TopicPartition

from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.messaging import stops
from crossdock_chassis.messaging.aside import Record, discard
from crossdock_chassis.messaging.inbox import Inbox, VersionUnknown
from crossdock_chassis.messaging.stops import OpenStop, Stop, shown

LOOK_SECONDS: Final = 2.0


class Stops:
    """A member looks at the table after each assignment, and then only while something in its group is stopped."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        self.partitions: dict[TopicPartition, Stop] = {}
        self._database, self._inbox = database, inbox
        self._open: list[OpenStop] = []
        self._handled: set[str] = set()
        self._at_once, self._next_look = True, 0.0
        self.deciding = False

    def add(self, tp: TopicPartition, stop: Stop) -> None:
        self.partitions[tp] = stop
        self.look_soon()

    def look_soon(self) -> None:
        self._at_once, self._next_look = True, 0.0

    @property
    def waiting(self) -> bool:
        """Return whether something in the group is stopped, so that the member must look again."""
        return bool(self._at_once or self.partitions or self._open or self._inbox.breaker.open is not None)

    @property
    def due(self) -> bool:
        return self.waiting and time.monotonic() >= self._next_look

    async def look(self) -> list[tuple[TopicPartition, OpenStop | None]]:
        """Store the stops and read the decisions. Return the partitions to take up again.

        Each has the decision about it, or none if its stop has ended.
        """
        self._next_look = time.monotonic() + LOOK_SECONDS
        breaker, subscription = self._inbox.breaker, self._inbox.subscription
        mine = dict(self.partitions)
        current = list(mine.values())
        if (failure := breaker.open) is not None:
            reason = f"{failure.reason} at {failure.line}"
            current.append(Stop("breaker", reason, ce_type=failure.ce_type, fingerprint=failure.fingerprint))
        waiting = {each.fingerprint for each in self._open if each.kind == "breaker" and each.decision is None}
        self._handled |= {each for each in waiting if each is not None and each not in breaker.expected}
        if failure is not None:
            self._handled.discard(failure.fingerprint)
        async with self._database.unit() as unit:
            self._open = await stops.report(
                unit, subscription.group, current, known=subscription.types, handled=self._handled
            )
        self._at_once = False
        failing = {each.fingerprint: each for each in self._open if each.kind == "breaker"}
        self._handled &= {str(each) for each in failing}
        breaker.learn(
            expected={
                str(each): str(stop.ce_type)
                for each, stop in failing.items()
                if stop.decision is None and each not in self._handled
            },
            tolerated={str(each) for each, stop in failing.items() if stop.decision is not None},
        )
        self.deciding = any(each.kind == "version" and each.decision is not None for each in self._open)
        found = [(tp, self._about(stop)) for tp, stop in mine.items()]
        return [(tp, stop) for tp, stop in found if stop is None or stop.decision is not None]

    def decision(self, record: Record, ce_type: str) -> OpenStop | None:
        """Return the decision about a record that is newer than this build."""
        if not self.deciding:
            return None
        place = record.message.topic, record.partition, record.offset
        found = self._about(Stop("version", "", *place, ce_type=ce_type))
        return None if found is None or found.decision is None else found

    def _about(self, stop: Stop) -> OpenStop | None:
        """Return the stored form of a stop, or rather a decision that covers it."""
        found = [each for each in self._open if each.covers(stop)]
        return next((each for each in found if each.decision is not None), found[0] if found else None)

    async def carry_out(self, unit: Unit, records: Sequence[Record]) -> list[Record]:
        """Drop the records that a person has decided to skip, and count those that are parked. Return the others.

        The inbox sets the parked ones aside. Raise DecisionWithdrawn.
        """
        left: list[Record] = []
        counted: Counter[int] = Counter()
        for record in records:
            refusal = self._inbox.refuses(record)
            decided = None if refusal is None else self.decision(record, refusal.ce_type)
            if decided is not None:
                counted[decided.id] += 1
                if decided.decision == "skip":
                    about = {"action": "skip", "stop": decided.id}
                    await discard(unit, self._inbox.subscription, record, str(refusal), about)
                    continue
            left.append(record)
        if counted:
            await stops.carried_out(unit, counted)
        return left

    async def move(self, stop: OpenStop, beginning: int, end: int) -> None:
        """Set the position of a partition as decided. Raise DecisionWithdrawn."""
        async with self._database.unit() as unit:
            await stops.move(unit, self._inbox.subscription.group, stop, beginning, end)


def version_stop(record: Record, refusal: VersionUnknown) -> Stop:
    """Return the stop before a record that is newer than this build."""
    place = record.message.topic, record.partition, record.offset
    return Stop("version", str(refusal), *place, ce_type=refusal.ce_type, record=shown(record))
