"""The part of a runner: it claims chunks of runs, has a child forecast them, and stores and publishes the results."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from crossdock_chassis import ChildFailed, ChildLost, Database, is_transient
from forecast_service.cleaning.store import record as record_cleaning
from forecast_service.fitting.series import History, Outcome, Task
from forecast_service.forecasts.choices import read as read_choices
from forecast_service.forecasts.publish import publish
from forecast_service.hierarchy.store import keep as keep_sums
from forecast_service.introductions.apply import shape
from forecast_service.places import Zones
from forecast_service.runs import store
from forecast_service.runs.engine import Engine
from forecast_service.runs.inputs import Inputs
from forecast_service.runs.loop import RETRY_SECONDS, Stop
from forecast_service.runs.model import MAX_ATTEMPTS, fallback, usable
from forecast_service.runs.store import Claimed, LeaseLost
from forecast_service.runs.structure import reconcile

log = logging.getLogger(__name__)

EXTEND_SECONDS: Final = 4.0
SHARE: Final = 10
"""A chunk may take as long as this part of its series would alone."""


class OutOfTime(Exception):
    """The deadline of the run came while a chunk was computed."""


class Compute:
    """Computes chunks on an engine. Runners on any number of machines share the chunks of a run."""

    def __init__(self, database: Database, series_seconds: float, engine: Engine, zones: Zones | None = None) -> None:
        self._database, self._series_seconds, self._engine = database, series_seconds, engine
        self._inputs = Inputs(zones)

    async def turn(self, stop: Stop, alive: Callable[[], None]) -> bool:
        """Compute the next chunk. Return False if there is none."""
        claimed = await store.claim(self._database)
        if claimed is None:
            return False
        await self._under_lease(claimed, stop, alive)
        return True

    async def _under_lease(self, claimed: Claimed, stop: Stop, alive: Callable[[], None]) -> None:
        """Compute a chunk and extend its lease meanwhile. End the work if the lease is lost or the process stops."""
        work = asyncio.create_task(self._compute(claimed))
        lost = False
        try:
            while not work.done() and not stop.done() and not lost:
                await asyncio.wait({work, stop}, timeout=EXTEND_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if not work.done() and not stop.done():
                    lost = not await self._extend(claimed)
                    alive()
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
        if work.cancelled():
            await store.hand_back(self._database, claimed)
            return
        try:
            work.result()
        except LeaseLost:
            log.warning("the results of chunk %d are not stored: its lease is lost", claimed.number)
        except Exception:
            await store.hand_back(self._database, claimed)
            raise

    async def _extend(self, claimed: Claimed) -> bool:
        """Return False if the lease is lost. While the database is away, the work goes on: it may still be stored."""
        try:
            extended = await store.extend(self._database, claimed)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("a lease is not extended: %s: %s", type(error).__name__, error)
            return True
        return extended

    async def _compute(self, claimed: Claimed) -> None:
        """Forecast the series of a chunk, store the results and publish them. Raise LeaseLost."""
        if _seconds_left(claimed) <= 0:
            await self._skip(claimed)
            return
        if claimed.level == "reconcile":
            await self._reconcile(claimed)
            return
        async with self._database.unit() as unit:
            found, new, calendar = await self._inputs.read(
                unit.sql,
                claimed.series,
                claimed.origin,
                claimed.horizon,
                claimed.requested_at,
                claimed.run,
                claimed.calendar,
            )
            choices = {} if claimed.level == "cheap" else await read_choices(unit.sql, claimed.series, claimed.origin)
        task = Task(claimed.origin, claimed.horizon, found, claimed.level, calendar.closed(), choices)
        outcomes: list[Outcome] = []
        reasons = dict.fromkeys(claimed.series, f"{MAX_ATTEMPTS} runners ended while they computed its chunk")
        if claimed.attempts <= MAX_ATTEMPTS:
            try:
                outcomes, reasons = await self._forecast(claimed, task)
            except OutOfTime:
                await self._skip(claimed)
                return
        missing = [each for each in found if UUID(each.series) in reasons]
        if claimed.deadline_at is None or claimed.level == "cheap":
            outcomes += [fallback(each, task.horizon, reasons[UUID(each.series)]) for each in missing]
        await self._record(claimed, shape(outcomes, new), reasons)

    async def _forecast(self, claimed: Claimed, task: Task) -> tuple[list[Outcome], dict[UUID, str]]:
        """Return the forecasts, and why the other series have none. After a failure each series is tried alone."""
        count = len(task.histories)
        try:
            return await self._ask(claimed, task, self._series_seconds * (1 + count / SHARE))
        except (ChildLost, ChildFailed) as error:
            log.warning("chunk %d of run %s failed, its series are tried alone: %s", claimed.number, claimed.run, error)
        if _seconds_left(claimed) <= 0:
            raise OutOfTime
        outcomes: list[Outcome] = []
        reasons: dict[UUID, str] = {}
        for history in task.histories:
            try:
                made, why = await self._ask(claimed, replace(task, histories=[history]), self._series_seconds)
            except (ChildLost, ChildFailed) as error:
                if _seconds_left(claimed) <= 0:
                    raise OutOfTime from None
                made, why = [], {UUID(history.series): str(error)}
            outcomes += made
            reasons |= why
        return outcomes, reasons

    async def _ask(self, claimed: Claimed, task: Task, seconds: float) -> tuple[list[Outcome], dict[UUID, str]]:
        limit = max(0.01, min(seconds, _seconds_left(claimed)))
        made = {outcome.series: outcome async for outcome in self._engine.call(task, seconds=limit)}
        return _sorted_out(task.histories, made, task.horizon)

    async def _record(self, claimed: Claimed, outcomes: Sequence[Outcome], reasons: Mapping[UUID, str]) -> None:
        """Store and publish the results if the lease still holds. While the database is away, try again."""

        async def record() -> None:
            async with self._database.unit() as unit:
                await store.finish(unit, claimed, "done")
                await store.fail(unit, claimed.run, reasons)
                await publish(unit, claimed.run, claimed.origin, outcomes)
                await record_cleaning(unit, claimed.run, claimed.origin, outcomes)
                await store.close(unit, claimed)

        await self._until_stored(record)

    async def _reconcile(self, claimed: Claimed) -> None:
        made = await reconcile(self._database, self._engine.call, claimed, self._series_seconds)

        async def keep() -> None:
            async with self._database.unit() as unit:
                await store.finish(unit, claimed, "done")
                await keep_sums(unit, claimed.run, made)
                await store.close(unit, claimed)

        await self._until_stored(keep)

    async def _skip(self, claimed: Claimed) -> None:
        """End a chunk whose run has no time left: its series keep their cheap models."""

        async def skip() -> None:
            async with self._database.unit() as unit:
                await store.finish(unit, claimed, "skipped")
                await store.close(unit, claimed)

        await self._until_stored(skip)

    async def _until_stored(self, do: Callable[[], Any]) -> None:
        while True:
            try:
                await do()
                return
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("results are not stored yet: %s: %s", type(error).__name__, error)
            await asyncio.sleep(RETRY_SECONDS)


def _seconds_left(claimed: Claimed) -> float:
    """Return the seconds until the deadline. Cheap models and reconciliations need not end by then."""
    if claimed.deadline_at is None or claimed.level in ("cheap", "reconcile"):
        return float("inf")
    return (claimed.deadline_at - datetime.now(UTC)).total_seconds()


def _sorted_out(
    asked: Sequence[History], made: Mapping[str, Outcome], horizon: int
) -> tuple[list[Outcome], dict[UUID, str]]:
    outcomes: list[Outcome] = []
    reasons: dict[UUID, str] = {}
    for history in asked:
        if (outcome := made.get(history.series)) is not None and usable(outcome, horizon):
            outcomes.append(outcome)
        else:
            reasons[UUID(history.series)] = "its forecast is not made of usable numbers"
    return outcomes, reasons
