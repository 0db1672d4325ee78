"""PostgreSQL crashes while orders are counted, demand is imported and a run computes: nothing is lost or done twice.

Commits of a projection and of staged rows do not wait for the disk, so a crash loses the last of them. With SIGKILL the
server writes nothing more. What it lost must be done again.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import httpx
from forecasting import CSV, FORECASTS, in_stock, requested, sell
from harness import Body, Harness, eventually
from load import load

from crossdock_events.forecasts import ForecastUpdated

SERIES = 40
ORDERS_PLACED = 600
DAYS = 42
IMPORTED_DAYS = 400
LONGEST_SECONDS = 300.0
ENDED = ("done", "cancelled", "refused", "stopped", "failed")


async def crash(harness: Harness) -> None:
    """Kill PostgreSQL, and start it again: it recovers from what is on the disk."""
    postgres = harness.stack.process("postgres")
    await asyncio.to_thread(postgres.kill)
    await asyncio.to_thread(postgres.start)
    await asyncio.to_thread(postgres.wait_ready)


def history(items: Sequence[str]) -> str:
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=day) for day in range(1, IMPORTED_DAYS + 1)]
    return "\n".join(["item_id,day,quantity", *(f"{item},{day},{4 + day.day % 7}" for item in items for day in days)])


async def ended(client: httpx.AsyncClient, path: str) -> Body:
    """Wait until a run or an import is no longer running. While PostgreSQL is away, the answer is 503."""

    async def there() -> Body | None:
        answer = await client.get(path)
        shown: Body = answer.json()
        return shown if answer.status_code == 200 and shown["state"] in ENDED else None

    return await eventually(there, LONGEST_SECONDS)


async def test_postgresql_dies_while_demand_is_counted(harness: Harness) -> None:
    category, items = await in_stock(harness, SERIES)
    async with harness.client(FORECASTS, scopes=("forecasts:read", "forecasts:write")) as client:
        await sell(harness, client, items, days=DAYS)
        run = await requested(client, category=category)
        async with load(harness, ORDERS_PLACED) as running:
            await running.until(150)
            await crash(harness)
            await running.until(350)
            sent = await client.post("/v1/demand:import", content=history(items), headers=CSV)
            assert sent.status_code == 202, sent.text
            await crash(harness)
            outcome = await running.end()
        imported = await ended(client, f"/v1/imports/{sent.json()['id']}")
        done = await ended(client, f"/v1/runs/{run['id']}")
    assert (imported["state"], imported["done"]) == ("done", SERIES * IMPORTED_DAYS), imported
    assert not outcome.refused and not outcome.clashes and len(outcome.answered) == ORDERS_PLACED
    assert (done["state"], done["done"], done["failed"]) == ("done", SERIES, 0), done
    await harness.adds_up()  # demand is the fold of the log, and each published forecast is stored
    topic, id = ForecastUpdated.topic.name, run["id"].encode()
    by_series = (await harness.log(topic)).by_key(topic)
    published = Counter(sum(id in entry.value for entry in entries) for entries in by_series.values())
    assert (published[1], published.keys() - {0, 1}) == (SERIES, set())
