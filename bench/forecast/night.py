"""Measure a night: a run of forecast-service that fits the chosen models of many series again.

The series are items of the recorded year, each in many copies with noise of their own. The models of the items are
chosen by a run, and their copies get the same choices. The second run is the night, on two runners.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pkgutil import resolve_name
from typing import Any, Final
from unittest.mock import patch

import asyncpg
import httpx
import numpy as np
import psutil
from mlforecast import MLForecast
from prophet import Prophet
from statsforecast import models

from bench import lifeline
from bench.cpu import Meter, used
from bench.forecast import recorded
from bench.forecast.measuring import CHUNK, cpu
from bench.forecast.recorded import Year
from bench.forecast.size import Size
from bench.results import Row
from bench.stack import BenchFailed
from bench.watch.feeder import Feeder
from crossdock_chassis import Child, columns
from crossdock_cli.imports import import_file
from crossdock_cli.waiting import in_thread
from crossdock_events.items import ItemRegistered
from crossdock_local.ports import Ports
from crossdock_local.stack import Stack
from forecast_service.demand.history import REGISTER
from forecast_service.fitting.metrics import Array
from forecast_service.fitting.series import Task
from forecast_service.fitting.work import forecast
from forecast_service.forecasts.choices import read as read_choices
from forecast_service.places import series_id
from forecast_service.runs.engine import ONE_THREAD
from forecast_service.runs.inputs import Inputs
from forecast_service.runs.model import HORIZON

SERVICE: Final = "forecast-service"
RUNNERS: Final = 2
LONGEST_SECONDS: Final = 7_200.0
WAIT_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 1.0
SAMPLE: Final = 8
"""Chunks of which the share of the libraries is measured."""

CHOSEN: Final = "chosen"
COPIED: Final = "copied"

COPY: Final = """
    INSERT INTO choices
    SELECT (jsonb_populate_record(choices, jsonb_build_object('series_id', new.id))).*
    FROM unnest($1::uuid[], $2::uuid[]) AS new (id, original) JOIN choices ON choices.series_id = new.original
"""

ITEMS: Final = "SELECT count(*) FROM demand_items"
PENDING: Final = "SELECT count(*) FROM outbox_pending"


def measure(size: Size, year: Year, stage: Callable[[str], None]) -> Iterator[Row]:
    """Yield the rows of a night. Raise BenchFailed if a series is not forecast."""
    originals = year.often(min(size.night_chosen, size.night))
    names, days = series(year.items[originals, : -recorded.HELD_OUT], size.night)
    with lifeline.folder() as folder, Stack(folder, Ports.free(), services=[SERVICE]) as stack:
        token = stack.token("bench", ("forecasts:read", "forecasts:write"))
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=stack.url(SERVICE), headers=headers, timeout=300) as client:
            in_thread(lambda: Feeder(stack, _items(names, len(originals))).send(len(names)))
            _import(stack, client, names, days)
            in_thread(lambda: _until_known(stack, len(names)))
            stage(f"  models of {len(originals)} items are chosen")
            _run(client, len(originals), CHOSEN)
            in_thread(lambda: _copy_choices(stack, names, len(originals)))
            for _ in range(RUNNERS - 1):
                stack.another("runner", SERVICE)
            in_thread(lambda: _until_published(stack))
            stage(f"  the night of {len(names)} series")
            spending, began = Spent(stack), time.monotonic()
            _run(client, len(names), None)
            seconds = time.monotonic() - began
            in_thread(lambda: _until_published(stack))
            spent = spending.read()
        stage("  the share of the libraries")
        library = in_thread(lambda: _library(stack, names))
    total, fits = sum(spent.values()), spent["children"] * library
    note = f"{len(names)} series in chunks of {CHUNK}: {len(originals)} items, copied with noise"
    yield Row("Night, CPU per series", [total / len(names)], "s", 0.08, "less", note)
    yield Row("Night, our own code", [(1 - fits / total) * 100], "%", 15, "less", "all CPU but that of libraries' fits")
    for name, of in spent.items():
        yield Row(f"Night, CPU per series of {name}", [of / len(names) * 1000], "ms")
    yield Row("Night, all series", [seconds], "s", 420 * len(names) / 10_000, "less", f"{RUNNERS} runners")


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


def _run(client: httpx.Client, count: int, category: str | None) -> None:
    """Run all series, or those of a category, to the end."""
    asked = {"origin": str(recorded.ORIGIN), "horizon": HORIZON, "category": category}
    run = client.post("/v1/runs", json=asked).raise_for_status().json()
    deadline = time.monotonic() + LONGEST_SECONDS
    while (shown := client.get(f"/v1/runs/{run['id']}").raise_for_status().json())["state"] == "running":
        if time.monotonic() > deadline:
            raise BenchFailed(f"A run is not done in {LONGEST_SECONDS:.0f} s: {shown['left']} series are left.")
        time.sleep(LOOK_SECONDS)
    found = shown["done"], shown["failed"], shown["refitted"]
    if found != (count, 0, 0 if category else count):
        raise BenchFailed("Of {} series {} are done, {} failed and {} were fitted again.".format(count, *found))


async def _until_known(stack: Stack, count: int) -> None:
    """Wait until the service knows so many items."""
    await _until(stack, ITEMS, lambda known: known == count, "items are not known")


async def _until_published(stack: Stack) -> None:
    await _until(stack, PENDING, lambda pending: pending == 0, "messages are not published")


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


async def _copy_choices(stack: Stack, names: Sequence[str], chosen: int) -> None:
    """Give each copy the choice of its item."""
    sql = await asyncpg.connect(stack.dsn(SERVICE))
    try:
        ids = [series_id(name) for name in names]
        await sql.execute(REGISTER, *columns([(id, name, "", "") for id, name in zip(ids, names, strict=True)]))
        await sql.execute(COPY, ids[chosen:], [ids[number % chosen] for number in range(chosen, len(ids))])
    finally:
        await sql.close()


class Spent:
    """CPU seconds of each process of a stack since `since`, of PostgreSQL, and of the children of runners."""

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


async def _library(stack: Stack, names: Sequence[str]) -> float:
    """Return which part of a child's CPU time the fits of libraries take, in some chunks that are fitted again."""
    ids = [series_id(name) for name in names[: SAMPLE * CHUNK]]
    sql = await asyncpg.connect(stack.dsn(SERVICE))
    total = fits = 0.0
    try:
        async with Child(partial(resolve_name, "bench.forecast.night:timed"), environment=ONE_THREAD) as child:
            for first in range(0, len(ids), CHUNK):
                part = ids[first : first + CHUNK]
                found, _, calendar = await Inputs().read(
                    sql, part, recorded.ORIGIN, HORIZON, datetime.now(UTC), "night"
                )
                choices = await read_choices(sql, part, recorded.ORIGIN)
                task = Task(recorded.ORIGIN, HORIZON, found, "refit", calendar.closed(), choices)
                async for of_all, of_fits in child.call(task, seconds=WAIT_SECONDS):
                    total, fits = total + of_all, fits + of_fits
    finally:
        await sql.close()
    return fits / total


def timed(task: Task) -> list[tuple[float, float]]:
    """Return the CPU seconds of a task, and those of them within libraries that fit."""
    forecast(task)  # the first call of a process is slower
    with library_time() as fits:
        before = cpu()
        forecast(task)
        return [(cpu() - before, fits())]


@contextmanager
def library_time() -> Iterator[Callable[[], float]]:
    """Yield a function that returns the CPU seconds that libraries took to fit and forecast in the block."""
    spent = depth = 0.0

    def clocked(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal spent, depth
            before, depth = cpu(), depth + 1
            try:
                return function(*arguments, **named)
            finally:
                depth -= 1
                if not depth:  # MSTL calls other models
                    spent += cpu() - before

        return call

    of_statsforecast = [each for each in vars(models).values() if isinstance(each, type) and "forecast" in vars(each)]
    of_others = [(each, name) for each in (MLForecast, Prophet) for name in ("fit", "predict")]
    with ExitStack() as patches:
        for owner, name in [*((each, "forecast") for each in of_statsforecast), *of_others]:
            patches.enter_context(patch.object(owner, name, clocked(getattr(owner, name))))
        yield lambda: spent
