"""The job that builds the next generation of a projection beside the current one, and switches readers to it."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from crossdock_chassis.broker import Broker
from crossdock_chassis.database.errors import is_contention
from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.jobs.declare import Result, queued
from crossdock_chassis.jobs.run import JobFailed, JobRun
from crossdock_chassis.messaging import clients
from crossdock_chassis.messaging.dead_letters import NotPoison, Resolve, StillPoison, resolve
from crossdock_chassis.messaging.inbox import Inbox
from crossdock_chassis.projections import generations
from crossdock_chassis.projections.declare import Projection

LOOK_SECONDS: Final = 1.0
NEAR: Final = 5_000
"""With at most this many records to read, the switch is tried: the rest is read while the old group holds still."""

log = logging.getLogger(__name__)

STATE: Final = "SELECT state, consumer_group FROM projection WHERE generation = $1"

NEXT: Final = "SELECT topic, partition, next FROM consumer_position WHERE consumer_group = $1"

# What people have decided for a record in the current generation, and what the new generation has set aside again.
DECIDED: Final = """
    SELECT new.id, old.resolution FROM projection AS shown
    JOIN dead_letter AS new ON new.consumer_group = $2 AND new.state = 'poison'
    JOIN dead_letter AS old ON (old.consumer_group, old.topic, old.partition, old."offset")
        = (shown.consumer_group, new.topic, new.partition, new."offset")
    WHERE shown.name = $1 AND shown.state = 'current' AND old.state IN ('discarded', 'redriven')
        AND old.resolution->>'action' IN ('discard', 'resend') AND NOT old.resolution::jsonb ? 'behind' AND new.id > $3
    ORDER BY new.id LIMIT 1
"""

WANTED: Final = """
    SELECT EXISTS (SELECT FROM job WHERE id = $1 AND status IN ('queued', 'running') AND stop_requested_at IS NULL)
"""


class Rebuild:
    """Rebuilds one projection. The workers' consumers read the events; the job only looks how far they are.

    All progress is in the database, so the job goes on after a crash of any process.
    """

    def __init__(self, database: Database, kafka: Broker, service: str, projection: Projection) -> None:
        self._database, self._kafka, self._service = database, kafka, service
        self.projection = projection
        self.job = queued(f"rebuild-{projection.name.replace('_', '-')}", self._run)
        self.begun = False  # this process has claimed the job, and its part `Projections` has not looked since

    async def begin(self, unit: Unit, *, by: str) -> UUID:
        """Create the next generation and request its job. Return the job that builds this version already, if any."""
        projection, sql = self.projection, unit.sql
        await generations.lock(sql, projection)
        building = await generations.find(sql, projection, "building")
        if building is not None:
            wanted = building.job_id is not None and await sql.fetchval(WANTED, building.job_id)
            if building.job_id is not None and wanted and building.version == projection.version:
                return building.job_id
            await generations.retire(sql, building.generation)
        generation = await generations.create(sql, self._service, projection, "building")
        topics = sorted(projection.subscription(self._service).topics)
        id = await self.job.request(unit, {"generation": generation, "topics": topics}, by=by)
        await sql.execute("UPDATE projection SET job_id = $2 WHERE generation = $1", generation, id)
        return id

    async def _run(self, run: JobRun) -> Result:
        generation, topics = int(run.arguments["generation"]), list(run.arguments["topics"])
        self.begun = True
        while True:
            try:
                if await self._look(run, generation, topics):
                    return {"generation": generation}
            except clients.KAFKA_TROUBLE as error:
                log.warning("cannot look how far %s is: %s: %s", self.projection.name, type(error).__name__, error)
            run.beat()
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, run: JobRun, generation: int, topics: Sequence[str]) -> bool:
        """Store the progress, and switch if the generation has caught up. Return whether it is the current one."""
        spans = await clients.spans_of(self._kafka, topics)
        async with run.unit() as unit:
            row = await unit.sql.fetchrow(STATE, generation)
            if row is None or row["state"] == "retired":
                raise JobFailed("the generation was stopped, or a newer one replaces it: request a new rebuild")
            if row["state"] == "current":
                return True
            positions = {
                (each["topic"], each["partition"]): each["next"] for each in await unit.sql.fetch(NEXT, row[1])
            }
            at = unit.now.timestamp()
            run.total = sum(end - beginning for beginning, end in spans.values())
            done = sum(
                min(max(positions.get((tp.topic, tp.partition), 0), beginning), end) - beginning
                for tp, (beginning, end) in spans.items()
            )
            run.state = {"at": at, "rate": _rate(run, done, at), "waits": run.state.get("waits")}
            run.done = done
        if len(positions) < len(spans) or run.total - run.done > NEAR:
            return False
        await self._decide_again(run, generation, row["consumer_group"])
        waits = await self._switch(run, generation, topics)
        run.state = {**run.state, "waits": waits}
        return waits is None

    async def _decide_again(self, run: JobRun, generation: int, group: str) -> None:
        """Discard or resend what the new generation could not handle, as people did it in the current generation.

        Records of Kafka stay as they are, so each generation meets them again. Only an event that a person has not
        decided about, or for which the decision no longer works, keeps the generation waiting.
        """
        inboxes = {group: Inbox(self.projection.subscription(self._service, generation))}
        after = 0
        while True:
            try:
                async with run.unit() as unit:
                    row = await unit.sql.fetchrow(DECIDED, self.projection.name, group, after)
                    if row is None:
                        return
                    after, before = row["id"], row["resolution"]
                    value = before.get("value")
                    again = Resolve(
                        after,
                        before["action"],
                        value=None if value is None else value.encode(),
                        headers=before.get("headers"),
                        job=run.id,
                    )
                    done = await resolve(unit, again, inboxes, patient=True)
            except (NotPoison, StillPoison) as error:
                log.warning("cannot decide again about dead letter %d of %s: %s", after, group, error)
            else:
                log.info("dead letter %d of %s is %s, as before the rebuild", after, group, done.state)

    async def _switch(self, run: JobRun, generation: int, topics: Sequence[str]) -> str | None:
        try:
            async with run.unit() as unit:
                return await generations.switch(unit.sql, self.projection, generation, topics)
        except Exception as error:
            if not is_contention(error):
                raise
            return "readers hold the views"


def _rate(run: JobRun, done: int, at: float) -> float:
    """Return the records read per second, smoothed over the last looks."""
    before = run.state.get("at")
    if before is None or at <= before:
        return float(run.state.get("rate", 0.0))
    latest = max(0, done - run.done) / (at - float(before))
    rate = float(run.state["rate"])
    return 0.7 * rate + 0.3 * latest if rate else latest
