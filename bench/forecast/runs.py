"""Give runs of forecast-service a stack of its own with series of demand, and meter what they cost."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import asyncpg
import httpx
import numpy as np
import psutil

from bench import lifeline
from bench.cpu import Meter, used
from bench.forecast import recorded
from bench.stack import BenchFailed
from bench.watch.feeder import Feeder
from crossdock_cli.imports import import_file
from crossdock_cli.waiting import in_thread
from crossdock_events.items import ItemRegistered
from crossdock_local.ports import Ports
from crossdock_local.stack import Stack
from forecast_service.fitting.metrics import Array
from forecast_service.runs.model import HORIZON

SERVICE: Final = "forecast-service"
RUNNERS: Final = 2
LONGEST_SECONDS: Final = 7_200.0
WAIT_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 1.0

CHOSEN: Final = "chosen"
COPIED: Final = "copied"

ITEMS: Final = "SELECT count(*) FROM demand_items"
PENDING: Final = "SELECT count(*) FROM outbox_pending"


def series(items: Array, count: int) -> tuple[list[str], Array]:
    """Return names and (count, days) of units: the items, and copies of a level and with noise of their own.

    Each day of a copy is a Poisson count around the item's, so days without demand stay so.
    """
    random = np.random.default_rng(1)
    rows = np.arange(count) % len(items)
    level = np.exp(random.normal(0.0, 0.3, count))
    days = random.poisson(items[rows] * level[:, None]).astype(float)
    days[: len(items)] = items[: len(days)]
    return [f"SKU-{number}" for number in range(count)], days


@dataclass(frozen=True, slots=True)
class Runs:
    """A stack of forecast-service that knows the series, and its client."""

    stack: Stack
    client: httpx.Client

    def more_runners(self) -> None:
        """Start runners until there are `RUNNERS`."""
        for _ in range(RUNNERS - 1):
            self.stack.another("runner", SERVICE)

    def run(self, count: int, category: str | None) -> float:
        """Run all series, or those of a category, to the end. Return the seconds. Raise BenchFailed if one fails."""
        began = time.monotonic()
        asked = {"origin": str(recorded.ORIGIN), "horizon": HORIZON, "category": category}
        run = self.client.post("/v1/runs", json=asked).raise_for_status().json()
        while (shown := self._of(run["id"]))["state"] == "running":
            if time.monotonic() > began + LONGEST_SECONDS:
                raise BenchFailed(f"A run is not done in {LONGEST_SECONDS:.0f} s: {shown['left']} series are left.")
            time.sleep(LOOK_SECONDS)
        found = shown["done"], shown["failed"], shown["refitted"]
        if found != (count, 0, 0 if category else count):
            raise BenchFailed("Of {} series {} are done, {} failed and {} were fitted again.".format(count, *found))
        return time.monotonic() - began

    def _of(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/v1/runs/{id}").raise_for_status().json()
        return found

    def until_published(self) -> None:
        in_thread(lambda: _until(self.stack, PENDING, lambda pending: pending == 0, "messages are not published"))


@contextmanager
def runs_of(names: Sequence[str], days: Array, chosen: int) -> Iterator[Runs]:
    """Yield a stack whose forecast-service has imported (count, days) of units up to the origin.

    The first `chosen` items have the category CHOSEN, all others COPIED.
    """
    with lifeline.folder() as folder, Stack(folder, Ports.free(), services=[SERVICE]) as stack:
        token = stack.token("bench", ("forecasts:read", "forecasts:write"))
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=stack.url(SERVICE), headers=headers, timeout=300) as client:
            in_thread(lambda: Feeder(stack, _items(names, chosen)).send(len(names)))
            _import(stack, client, names, days)
            in_thread(lambda: _until(stack, ITEMS, lambda known: known == len(names), "items are not known"))
            yield Runs(stack, client)


def _items(names: Sequence[str], chosen: int) -> Iterator[ItemRegistered]:
    for number, name in enumerate(names):
        category = CHOSEN if number < chosen else COPIED
        yield ItemRegistered(item_id=name, unit_of_measure="each", category=category, status="active")


def _import(stack: Stack, client: httpx.Client, names: Sequence[str], days: Array) -> None:
    first = recorded.ORIGIN - timedelta(days=days.shape[1])
    with tempfile.TemporaryFile() as file:
        file.write(b"item_id,day,quantity\n")
        for name, row in zip(names, days, strict=True):
            for day in np.flatnonzero(row):
                file.write(f"{name},{first + timedelta(days=int(day))},{row[day]:.0f}\n".encode())
        file.seek(0)
        import_file(client, stack.url(SERVICE), "demand", file)


async def _until(stack: Stack, query: str, reached: Callable[[int], bool], otherwise: str) -> None:
    sql = await asyncpg.connect(stack.dsn(SERVICE))
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not reached(await sql.fetchval(query)):
            if time.monotonic() > deadline:
                raise BenchFailed(f"After {WAIT_SECONDS:.0f} s some {otherwise}.")
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await sql.close()


class Spent:
    """CPU seconds since it was made: of each process of a stack, of PostgreSQL, and of the children of runners."""

    def __init__(self, stack: Stack) -> None:
        self._pids = {handle.name: handle.pid for handle in stack.handles() if handle.pid is not None}
        self._pids.pop("kafka", None)
        self._meter = Meter(self._pids)
        self._before, self._children = self._meter.read(), self._of_children()

    def read(self) -> dict[str, float]:
        found = {name: seconds for name, seconds in used(self._before, self._meter.read()).items() if seconds > 0}
        return {"children": self._of_children() - self._children} | found

    def _of_children(self) -> float:
        """Return the CPU seconds of the children of all runners, running and ended, and of theirs."""
        total = 0.0
        for name, pid in self._pids.items():
            if ".runner" in name:
                runner = psutil.Process(pid)
                total += sum(runner.cpu_times()[2:4])
                total += sum(sum(child.cpu_times()[:4]) for child in runner.children(recursive=True))
        return total
