"""Perform effects after their commit: claim in one unit, perform outside any unit, record in a second unit.

An effect is performed at least once. If a worker dies before it records the outcome, the lease of the effect ends and
another worker performs the effect again. The effect's id lets the target drop the repeat.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import to_json

from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.database.text import storable
from crossdock_chassis.database.unit import Database
from crossdock_chassis.deadlines import foreign_cancellation_is_an_error
from crossdock_chassis.effects import rows
from crossdock_chassis.effects.breaker import Breakers
from crossdock_chassis.effects.performer import Performer, Permanent, retry_after
from crossdock_chassis.effects.rows import Claimed, Outcome
from crossdock_chassis.observability import metrics, tracing
from crossdock_chassis.observability.logging import message_of

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
EXPIRE_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.0
START_SECONDS: Final = 10.0
"""Do not start a claimed effect later than this: the process was suspended, and the lease may end too soon."""
LEASE_SLACK_SECONDS: Final = 30.0
"""A lease lasts this much longer than the deadline: START_SECONDS to begin, the rest to record the outcome."""
ABANDONED_LIMIT: Final = 100
"""With more abandoned attempts still running, the worker claims nothing and makes no progress until its restart."""
RESULT_LIMIT_BYTES: Final = 4_096
REASON_LIMIT: Final = 500


class Effects:
    """The part of a worker that performs effects: one loop for each kind, so that kinds do not wait for each other."""

    def __init__(self, database: Database, performers: Sequence[Performer], *, drain_seconds: float = 10.0) -> None:
        self.kinds = [Kind(database, performer, drain_seconds) for performer in performers]

    @property
    def progressed(self) -> float:
        return min(kind.progressed for kind in self.kinds)

    async def run(self, stopping: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for kind in self.kinds:
                group.create_task(kind.run(stopping))

    async def run_due(self) -> None:
        """Perform effects until none is due, for tests and scripts."""
        for kind in self.kinds:
            await kind.run_due()


class Kind:
    """Performs the effects of one kind."""

    def __init__(self, database: Database, performer: Performer, drain_seconds: float) -> None:
        self._database, self._performer, self._drain_seconds = database, performer, drain_seconds
        self._breakers = Breakers(performer.circuit)
        self._running: dict[asyncio.Task[Outcome], Claimed] = {}
        self._unrecorded: list[Outcome] = []
        self._held: Counter[str] = Counter()  # by target: running or not yet recorded
        self._abandoned: set[asyncio.Task[Mapping[str, object] | None]] = set()
        self._after = ""  # the next walk begins after this target; "" at the beginning of a round
        self._cut = False  # the round began after a target, because concurrency was used up before
        self._expire_next = 0.0
        self.progressed = time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        """Perform until `stopping`, then wait `drain_seconds` for effects in flight.

        An effect that has not ended by then keeps its lease, and is performed again when the lease ends.
        """
        stop = asyncio.create_task(stopping.wait())
        leave: float | None = None
        try:
            while True:
                pause, failed = POLL_SECONDS, False
                try:
                    with foreign_cancellation_is_an_error():
                        pause = await self._turn(claiming=not stopping.is_set())
                except Exception as error:
                    if not is_transient(error):
                        raise
                    log.warning("effects %s: %s: %s", self._performer.kind, type(error).__name__, error)
                    pause, failed = RETRY_SECONDS, True
                if stopping.is_set():
                    leave = leave or time.monotonic() + self._drain_seconds
                    if not self._held.total() or (left := leave - time.monotonic()) <= 0:
                        return
                    pause = min(pause, left)
                waited: list[asyncio.Task[Any]] = [] if failed else [*self._running]
                if not stop.done():
                    waited.append(stop)
                if waited:
                    await asyncio.wait(waited, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(pause)
        finally:
            stop.cancel()
            for task in self._running:
                task.cancel()

    async def run_due(self) -> None:
        while True:
            pause = await self._turn(claiming=True)
            if self._running:
                await asyncio.wait(self._running)
            elif pause:
                return

    async def _turn(self, *, claiming: bool) -> float:
        """Record ended attempts and claim effects up to the concurrency. Return the seconds until the next turn."""
        self._collect()
        if self._unrecorded:
            await self._record()
        if not claiming:
            self.progressed = time.monotonic()
            return POLL_SECONDS
        if len(self._abandoned) > ABANDONED_LIMIT:
            log.error("effects %s: %d attempts ignore that they were cancelled", self._performer.kind, ABANDONED_LIMIT)
            return POLL_SECONDS
        if (now := time.monotonic()) >= self._expire_next:
            await self._expire()
            self._expire_next = now + EXPIRE_SECONDS
        free = self._performer.concurrency - self._held.total()
        more = free > 0 and await self._claim(free)
        self.progressed = time.monotonic()
        return 0.0 if more else POLL_SECONDS

    async def _claim(self, free: int) -> bool:
        """Claim effects of the next targets in the round. Return whether room and targets are left."""
        performer, began = self._performer, time.monotonic()
        claimed: list[Claimed] = []
        async with self._database.unit() as unit:
            await unit.sql.execute(rows.BY_INDEX)
            walked = await rows.walk(unit.sql, performer.kind, self._after)
            rooms = {row["target"]: self._room(row["target"]) for row in walked if row["due"]}
            rooms = {target: room for target, room in rooms.items() if room > 0}
            if rooms:
                lease = performer.deadline + LEASE_SLACK_SECONDS
                claimed = await rows.claim(unit.sql, performer.kind, rooms, free, lease=lease, began=began)
        for each in claimed:
            self._held[each.effect.target] += 1
            self._running[asyncio.create_task(self._attempt(each))] = each
        if len(claimed) == free:  # the next walk begins after the last target that was served
            self._after, self._cut = max(each.effect.target for each in claimed), True
            return False
        if len(walked) == rows.WALK_LIMIT:
            self._after = walked[-1]["target"]
            return True
        more = self._cut  # targets before the beginning of this round
        self._after, self._cut = "", False
        return more

    def _room(self, target: str) -> int:
        return self._breakers.room(target, self._held[target], self._performer.target_concurrency)

    async def _attempt(self, claimed: Claimed) -> Outcome:
        """Perform one effect and return its outcome, also if the performer raises."""
        performer, effect = self._performer, claimed.effect
        if time.monotonic() - claimed.began > START_SECONDS:
            return Outcome(claimed, "pending", claimed.reason, unused=1)
        if effect.attempt > performer.retry.max_attempts:
            return Outcome(claimed, "given_up", claimed.reason or "no attempt had an outcome: did each end its worker?")
        began = time.monotonic()
        acting = asyncio.create_task(self._act(claimed))
        try:
            await asyncio.wait([acting], timeout=performer.deadline)
        finally:
            if not acting.done():
                acting.cancel()
                self._abandoned.add(acting)
                acting.add_done_callback(self._abandoned.discard)
                acting.add_done_callback(_look_at_exception)
        if not acting.done():
            return self._failed(claimed, began, TimeoutError(f"no outcome within {performer.deadline:g} s"))
        if acting.cancelled():
            return self._failed(claimed, began, TimeoutError("the attempt cancelled itself"))
        error = acting.exception()
        if error is not None and not isinstance(error, Permanent):
            return self._failed(claimed, began, error)
        self._breakers.succeeded(effect.target)  # a refusal shows too that the target works
        if error is not None:
            return Outcome(claimed, "given_up", _text(str(error)))
        return Outcome(claimed, "done", result=_written(claimed, acting.result()))

    async def _act(self, claimed: Claimed) -> Mapping[str, object] | None:
        with tracing.span(f"perform {claimed.effect.kind}", parents=[claimed.traceparent]):
            return await self._performer.do(claimed.effect)

    def _failed(self, claimed: Claimed, began: float, error: BaseException) -> Outcome:
        effect, schedule, hint = claimed.effect, self._performer.retry, retry_after(error)
        if pause := self._breakers.failed(effect.target, began, hint):
            log.warning("effects %s: %s is left alone for %.0f s", effect.kind, effect.target, pause)
        reason = _text(f"{type(error).__name__}: {message_of(error)}")
        if effect.attempt >= schedule.max_attempts:
            return Outcome(claimed, "given_up", _text(f"attempt {effect.attempt}, the last: {reason}"))
        return Outcome(claimed, "pending", reason, delay=schedule.delay(effect.attempt, hint))

    def _collect(self) -> None:
        for task in [task for task in self._running if task.done()]:
            del self._running[task]
            outcome = task.result()
            self._unrecorded.append(outcome)
            if not outcome.unused:
                counted = "retry" if outcome.state == "pending" else outcome.state
                metrics.EFFECT_ATTEMPTS.labels(self._performer.kind, counted).inc()
        metrics.EFFECT_CIRCUITS_OPEN.labels(self._performer.kind).set(self._breakers.open)

    async def _record(self) -> None:
        async with self._database.unit() as unit:
            await unit.sql.execute(rows.BY_INDEX)
            written = await rows.record(unit.sql, self._unrecorded)
        recorded, self._unrecorded = self._unrecorded, []
        for outcome in recorded:
            effect = outcome.claimed.effect
            self._held[effect.target] -= 1
            if not self._held[effect.target]:
                del self._held[effect.target]
            extra = {"effect": str(effect.id), "kind": effect.kind, "target": effect.target}
            if effect.id not in written:
                metrics.EFFECT_ATTEMPTS.labels(effect.kind, "overtaken").inc()
                log.warning("the lease of an effect ended before its outcome was recorded", extra=extra)
            elif outcome.state == "given_up":
                log.error("an effect is given up", extra=extra)

    async def _expire(self) -> None:
        performer = self._performer
        async with self._database.unit() as unit:
            await unit.sql.execute(rows.BY_INDEX)
            expired = await rows.expire(unit.sql, performer.kind, performer.retry.max_age)
        if expired:
            metrics.EFFECT_ATTEMPTS.labels(performer.kind, "expired").inc(len(expired))
            log.error("%d effects %s are given up: they were pending for too long", len(expired), performer.kind)
        self._breakers.forget_idle()


def _look_at_exception(task: "asyncio.Task[Mapping[str, object] | None]") -> None:
    """Retrieve the exception, because asyncio logs an exception that was never retrieved."""
    if not task.cancelled():
        task.exception()


def _text(text: str) -> str:
    return storable(text)[:REASON_LIMIT]


def _written(claimed: Claimed, result: Mapping[str, object] | None) -> str | None:
    """Return the result as JSON. The effect is done, so a result that cannot be kept is dropped with a warning."""
    if result is None:
        return None
    try:
        written = to_json(result, inf_nan_mode="null")
    except ValueError as error:
        log.warning("effects %s: the result is not JSON: %s", claimed.effect.kind, error)
        return None
    if len(written) > RESULT_LIMIT_BYTES:
        log.warning("effects %s: the result has %d bytes and is dropped", claimed.effect.kind, len(written))
        return None
    return written.decode()
