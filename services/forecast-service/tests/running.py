"""Demand for runs, and runners in the process of the test."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import forecasters
import httpx
from stories import registered

from crossdock_chassis import Service
from crossdock_chassis.testing import Deliver, published
from forecast_service.runs.compute import Compute
from forecast_service.runs.engine import ChildEngine, Forecaster
from forecast_service.runs.loop import Loop

ORIGIN = date(2024, 3, 11)
DAYS = 60
PATIENCE = 60.0

SELL = """
    INSERT INTO imported_demand (item_id, location_id, region, day, quantity)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::bigint[])
"""

FORECASTS = """
    SELECT item_id, model, why, demand_class, scores::text, mean, quantiles, cumulative, forecasts.version
    FROM forecasts JOIN series ON series.id = series_id WHERE run_id = $1 ORDER BY item_id
"""


async def sold(service: Service, deliver: Deliver, items: Mapping[str, str | None]) -> None:
    """Register items with their categories, and give them demand before ORIGIN. The first one sells most."""
    await deliver(service, *(registered(item, category) for item, category in items.items()))
    rows = [
        (item, "", "", ORIGIN - timedelta(days=day), (len(items) - number) * 3 + (day * number) % 7)
        for number, item in enumerate(items)
        for day in range(1, DAYS + 1)
    ]
    async with service.database.unit() as unit:
        await unit.sql.execute(SELL, *zip(*rows, strict=True))


async def requested(client: httpx.AsyncClient, **body: object) -> dict[str, Any]:
    answer = await client.post("/v1/runs", json={"origin": ORIGIN.isoformat(), "horizon": 28} | body)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/runs/{found['id']}"
    return found


@asynccontextmanager
async def runner(
    service: Service, forecaster: Forecaster = forecasters.make, *, seconds: float = 30
) -> AsyncIterator["asyncio.Task[None]"]:
    stopping = asyncio.Event()
    engine = ChildEngine(forecaster)
    loop = Loop("runs", service.database, engine, Compute(service.database, seconds, engine).turn)
    task = asyncio.create_task(loop.run(stopping))
    try:
        yield task
    finally:
        stopping.set()
        await asyncio.wait({task}, timeout=PATIENCE)


async def ended(client: httpx.AsyncClient, id: str) -> dict[str, Any]:
    """Wait for the end of a run, and return it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            run: dict[str, Any] = (await client.get(f"/v1/runs/{id}")).json()
            if run["state"] != "running":
                return run
            await asyncio.sleep(0.05)


async def computed(
    service: Service,
    client: httpx.AsyncClient,
    run: Mapping[str, Any],
    forecaster: Forecaster = forecasters.make,
    *,
    seconds: float = 30,
) -> dict[str, Any]:
    async with runner(service, forecaster, seconds=seconds):
        return await ended(client, run["id"])


async def forecasts(service: Service, id: str) -> list[dict[str, Any]]:
    """Return the forecasts of a run without what differs between two runs."""
    async with service.database.unit() as unit:
        return [dict(row) for row in await unit.sql.fetch(FORECASTS, UUID(id))]


async def events(service: Service) -> Counter[str]:
    """Return how often the forecast of each item was published."""
    return Counter(json.loads(row["value"])["item_id"] for row in await published(service))


async def leases_end(service: Service) -> None:
    """End all leases, as if the time had passed."""
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE run_chunks SET leased_until = now() WHERE leased_by IS NOT NULL")
        await unit.sql.execute("SELECT pg_notify('runs', '')")
