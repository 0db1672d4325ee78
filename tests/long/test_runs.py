"""Two runners on one run, one of them killed every 20 seconds: every series is forecast, and published once.

CROSSDOCK_LONG_SERIES is the number of series, 2,000 if it is not set. Chunks are small, because a runner lives for 40
seconds, of which it needs ten seconds of processor time to start. Six weeks of demand are enough for a full choice, of
0.2 seconds a series; with 120 days it takes 1.0.
"""

import asyncio
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

from forecasting import FORECASTS, in_stock, requested, sell, until_ended
from harness import Harness

from crossdock_events.forecasts import ForecastUpdated
from crossdock_local.ports import Ports
from crossdock_local.servers import engine_for_tests
from crossdock_local.stack import Stack

SERIES = int(os.environ.get("CROSSDOCK_LONG_SERIES", "2000"))
DAYS = 42
KILL_SECONDS = 20.0
LONGEST_SECONDS = 3_600.0


async def test_run_survives_runners_that_are_killed_again_and_again() -> None:
    environment = {"CROSSDOCK_LOG_LEVEL": "warning", "CROSSDOCK_CHUNK_SERIES": "2"}
    with tempfile.TemporaryDirectory(prefix="cd-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # the user of PostgreSQL must be able to enter the folder
        with Stack(Path(folder), Ports.free(), engine=engine_for_tests(), environment=environment) as stack:
            await _run_through_kills(Harness(stack))


async def _run_through_kills(harness: Harness) -> None:
    category, items = await in_stock(harness, SERIES)
    second = await asyncio.to_thread(harness.stack.another, "runner", FORECASTS)
    runners = [harness.stack.process(f"{FORECASTS}.runner"), second]
    async with harness.client(FORECASTS, scopes=("forecasts:read", "forecasts:write")) as client:
        await sell(harness, client, items, days=DAYS)
        run, began = await requested(client, category=category), time.monotonic()
        kills = before = 0
        running = asyncio.create_task(until_ended(client, run["id"], LONGEST_SECONDS))
        while not running.done():
            await asyncio.wait({running}, timeout=KILL_SECONDS)
            shown = (await client.get(f"/v1/runs/{run['id']}")).json()
            if not running.done() and shown["done"] > before:  # a busy machine takes longer to start a runner
                before = shown["done"]
                print(f"{time.monotonic() - began:.0f} s: {before} series, {kills} kills", flush=True)
                killed = runners[kills % len(runners)]
                await asyncio.to_thread(killed.kill)
                await asyncio.to_thread(killed.start)
                kills += 1
        done = running.result()
    print(f"{SERIES} series in {time.monotonic() - began:.0f} s with {kills} kills", flush=True)
    assert (done["state"], done["done"], done["left"], done["failed"]) == ("done", SERIES, 0, 0), done
    await harness.adds_up()  # waits until the relay has published everything
    topic, id = ForecastUpdated.topic.name, run["id"].encode()
    by_series = (await harness.log(topic)).by_key(topic)
    published = Counter(sum(id in entry.value for entry in entries) for entries in by_series.values())
    assert (published[1], published.keys() - {0, 1}) == (SERIES, set())
