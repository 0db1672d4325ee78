"""Forget the old generations of a projection: their positions, heads, dead letters and parked keys."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from crossdock_chassis.jobs.run import JobRun

KEPT: Final = timedelta(days=7)
"""An older version of the service may still run, and a person may return to it."""
CHUNK: Final = 5_000

GROUPS: Final = "SELECT DISTINCT consumer_group FROM consumer_position WHERE consumer_group = ANY ($1)"

HEADS: Final = """
    DELETE FROM projection_head WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM projection_head WHERE consumer_group = $1 LIMIT $2
    ))
"""

REST: Final = ("dead_letter", "parked_key", "consumer_position")


class OldGenerations:
    """A job that knows the consumer groups of all earlier generations."""

    def __init__(self, groups: Sequence[str]) -> None:
        self._groups = groups

    async def forget(self, run: JobRun) -> Mapping[str, object]:
        """Delete the rows of generations that have been old for a week. The job's state holds since when."""
        async with run.unit() as unit:
            found = await unit.sql.fetch(GROUPS, self._groups)
            since = {row["consumer_group"]: unit.now.isoformat() for row in found}
            since |= {group: at for group, at in run.state.items() if group in since}
            run.state = since
            due = [group for group, at in since.items() if unit.now - datetime.fromisoformat(at) >= KEPT]
        for group in due:
            await _forget(run, group)
        return {"forgotten": due}


async def _forget(run: JobRun, group: str) -> None:
    while True:
        async with run.unit() as unit:
            await unit.sql.execute("SET LOCAL enable_seqscan = off")
            if (await unit.sql.execute(HEADS, group, CHUNK)) != "DELETE 0":
                continue
            for table in REST:
                await unit.sql.execute(f"DELETE FROM {table} WHERE consumer_group = $1", group)
            return
