"""Measure runs of forecast-service: a night, which fits the chosen models of many series again, and a full choice.

The series are items of the recorded year, each in many copies with noise of their own. In a night the models of the
items are chosen by a run, and their copies get the same choices. The second run is the night, on two runners.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pkgutil import resolve_name
from typing import Any, Final
from unittest.mock import patch

import asyncpg
import numpy as np
from mlforecast import MLForecast
from prophet import Prophet
from statsforecast import models

from bench.forecast import recorded
from bench.forecast.measuring import CHUNK, cpu
from bench.forecast.recorded import Year
from bench.forecast.runs import CHOSEN, RUNNERS, SERVICE, WAIT_SECONDS, Spent, runs_of, series
from bench.forecast.size import Size
from bench.results import Row
from crossdock_chassis import Child, columns
from crossdock_cli.waiting import in_thread
from crossdock_local.stack import Stack
from forecast_service.demand.history import REGISTER
from forecast_service.fitting.series import Task
from forecast_service.fitting.work import forecast
from forecast_service.forecasts.choices import read as read_choices
from forecast_service.places import series_id
from forecast_service.runs.engine import ONE_THREAD
from forecast_service.runs.inputs import Inputs
from forecast_service.runs.model import HORIZON

YEARS: Final = 2
SAMPLE: Final = 8
"""Chunks of which the share of the libraries is measured."""

COPY: Final = """
    INSERT INTO choices
    SELECT (jsonb_populate_record(choices, jsonb_build_object('series_id', new.id))).*
    FROM unnest($1::uuid[], $2::uuid[]) AS new (id, original) JOIN choices ON choices.series_id = new.original
"""


def measure(size: Size, year: Year, stage: Callable[[str], None]) -> Iterator[Row]:
    """Yield the rows of a night. Raise BenchFailed if a series is not forecast."""
    originals = year.often(min(size.night_chosen, size.night))
    names, days = series(year.items[originals, : -recorded.HELD_OUT], size.night)
    with runs_of(names, days, len(originals)) as runs:
        stage(f"  models of {len(originals)} items are chosen")
        runs.run(len(originals), CHOSEN)
        in_thread(lambda: _copy_choices(runs.stack, names, len(originals)))
        runs.more_runners()
        runs.until_published()
        stage(f"  the night of {len(names)} series")
        spending = Spent(runs.stack)
        seconds = runs.run(len(names), None)
        runs.until_published()
        spent = spending.read()
        stage("  the share of the libraries")
        library = in_thread(lambda: _library(runs.stack, names))
    total, fits = sum(spent.values()), spent["children"] * library
    note = f"{len(names)} series in chunks of {CHUNK}: {len(originals)} items, copied with noise"
    yield Row("Night, CPU per series", [total / len(names)], "s", 0.08, "less", note)
    yield Row("Night, our own code", [(1 - fits / total) * 100], "%", 15, "less", "all CPU but that of libraries' fits")
    for name, of in spent.items():
        yield Row(f"Night, CPU per series of {name}", [of / len(names) * 1000], "ms")
    yield Row("Night, all series", [seconds], "s", 420 * len(names) / 10_000, "less", f"{RUNNERS} runners")


def choose(size: Size, year: Year, stage: Callable[[str], None]) -> Iterator[Row]:
    """Yield the rows of a run that chooses the models of series of two years. Raise BenchFailed if one fails."""
    originals = year.often(min(size.night_chosen, size.chosen))
    twice = np.tile(year.items[originals], YEARS)[:, : -recorded.HELD_OUT]
    names, days = series(twice, size.chosen)
    with runs_of(names, days, len(names)) as runs:
        runs.more_runners()
        stage(f"  models of {len(names)} series of {YEARS} years are chosen")
        spending = Spent(runs.stack)
        seconds = runs.run(len(names), CHOSEN)
        runs.until_published()
        spent = spending.read()
    note = f"{len(names)} series of {YEARS} years, with all processes and PostgreSQL"
    yield Row("Full choice in the service, CPU per series", [sum(spent.values()) / len(names)], "s", 0.5, "less", note)
    yield Row("Full choice in the service", [seconds], "s", 300 * len(names) / 1_000, "less", f"{RUNNERS} runners")


async def _copy_choices(stack: Stack, names: Sequence[str], chosen: int) -> None:
    """Give each copy the choice of its item."""
    sql = await asyncpg.connect(stack.dsn(SERVICE))
    try:
        ids = [series_id(name) for name in names]
        await sql.execute(REGISTER, *columns([(id, name, "", "") for id, name in zip(ids, names, strict=True)]))
        await sql.execute(COPY, ids[chosen:], [ids[number % chosen] for number in range(chosen, len(ids))])
    finally:
        await sql.close()


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
