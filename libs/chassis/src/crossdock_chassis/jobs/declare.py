"""Jobs as values. A feature lists them in `Feature(jobs=[…])`."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from uuid import UUID

from crossdock_chassis.database.unit import Unit
from crossdock_chassis.jobs import rows
from crossdock_chassis.jobs.run import JobRun

Result: TypeAlias = Mapping[str, object] | None
InUnit: TypeAlias = Callable[[Unit], Awaitable[Result]]
InUnits: TypeAlias = Callable[[JobRun], Awaitable[Result]]

REST_SECONDS: Final = 5.0
"""How long a job that nothing wakes rests between two runs. The run finds work whose notification was lost."""

_KIND: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class Periodic:
    """A job that one worker at a time runs, `seconds` after its last run has ended.

    With `woken_by` it rests for `REST_SECONDS` instead, unless `wake` is called.
    """

    name: str
    do: InUnits
    seconds: float
    woken_by: str | None = None

    @property
    def pause(self) -> float:
        """Return the seconds from the end of a run to the next one, if nothing wakes the job."""
        return self.seconds if self.woken_by is None else max(self.seconds, REST_SECONDS)


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement that each worker makes every `seconds`, because gauges belong to a process."""

    name: str
    do: InUnits
    seconds: float


@dataclass(frozen=True, slots=True)
class Queued:
    """Work that somebody asks for. Each worker runs one job of a kind at a time, the oldest first."""

    name: str
    do: InUnits

    async def request(self, unit: Unit, arguments: Mapping[str, object], *, by: str, id: UUID | None = None) -> UUID:
        """Ask for the work in the caller's unit, and return the id of the job.

        Operators see the arguments, so they must not contain personal data. `by` is the client that asks.
        """
        return await rows.request(unit.sql, self.name, arguments, by, id)


Job: TypeAlias = Periodic | Measured | Queued


def every(seconds: float, do: InUnit) -> Periodic:
    """Return a job that runs in one unit, in one worker at a time. Its result is shown to operators."""
    return Periodic(_name(do), _in_one_unit(do), seconds)


def every_in_units(seconds: float, do: InUnits, *, woken_by: str | None = None) -> Periodic:
    """Return a job that opens as many units as it needs, `async with run.unit()`, in one worker at a time.

    A job `woken_by` a name runs once a unit has called `wake` with it, at most every `seconds`. Otherwise it rests.
    """
    return Periodic(_name(do), do, seconds, woken_by)


async def wake(unit: Unit, name: str) -> None:
    """Wake the jobs `woken_by` this name when the unit commits: it leaves work for them."""
    unit.notifies = True
    await unit.sql.execute(rows.WAKE, name)


def measured(seconds: float, do: InUnit) -> Measured:
    """Return a measurement that sets gauges, in each worker."""
    return Measured(_name(do), _in_one_unit(do), seconds)


def queued(kind: str, do: InUnits) -> Queued:
    """Return work that `request` asks for. Raise ValueError if `kind` is not a name such as `import-items`."""
    if not _KIND.fullmatch(kind):
        raise ValueError(f"a kind is lower case, digits and hyphens, not {kind!r}")
    return Queued(kind, do)


def _name(do: InUnit | InUnits) -> str:
    return f"{do.__module__}.{do.__qualname__}"


def _in_one_unit(do: InUnit) -> InUnits:
    async def once(run: JobRun) -> Result:
        async with run.unit() as unit:
            return await do(unit)

    return once
