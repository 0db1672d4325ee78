"""Watch the page of live events for half an hour at 500 events a second: it stays light and misses nothing.

CROSSDOCK_LONG_MINUTES shortens the run.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import pytest
from bench.results import Results
from bench.watch import TINY, run
from bench.watch.browser import OPERATOR, LivePage, chromium, opened, sign_in
from bench.watch.feeder import Feeder
from bench.watch.watching import SERVICE
from harness import ORDERS, Harness, order
from playwright.async_api import expect
from rich.console import Console

from crossdock_local import console
from crossdock_local.ports import Ports
from crossdock_local.stack import Stack

MINUTES: Final = float(os.environ.get("CROSSDOCK_LONG_MINUTES", "30"))
RATE: Final = 500
LOOK_SECONDS: Final = 60.0
HEAP: Final = 50e6
"""Bytes after a collection, at any look."""
MAIN_THREAD: Final = 0.25
SHIFT: Final = 0.01
"""The sum of the layout shifts. Below 0.1 a page is called stable, https://web.dev/articles/cls."""

needs_chromium = pytest.mark.skipif(chromium() is None, reason="Chromium is not installed: apt-get install chromium")


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield a stack of analytics-service alone, so that nobody reacts to the events."""
    folder: Path = tmp_path_factory.mktemp("live")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)  # the user of PostgreSQL must be able to enter the folder
    with Stack(folder, Ports.free(), services=[SERVICE]) as stack:
        console.publish(stack.home, console.build())
        yield stack


@needs_chromium
async def test_live_page_stays_light_and_misses_nothing(alone: Stack) -> None:
    feeder, looks = Feeder(alone), []
    async with opened() as context:
        page = await LivePage.of(await context.new_page(), alone.url(SERVICE))
        shown = await page.caught_up(await feeder.steadily(RATE, 2.0))
        until = time.monotonic() + MINUTES * 60
        await page.begin()
        while time.monotonic() < until:
            sent = await feeder.steadily(RATE, min(LOOK_SECONDS, until - time.monotonic() + 1))
            shown += sent
            assert await page.caught_up(shown) == shown, "the page shows an event that nobody sent"
            looks.append(await page.cost())
            print(f"{len(looks)} min: {looks[-1].share:.1%}, {looks[-1].heap / 1e6:.1f} MB, {looks[-1].shifts:.4f}")
    assert max(each.heap for each in looks) < HEAP
    assert max(each.share for each in looks) < MAIN_THREAD
    assert max(each.shifts for each in looks) < SHIFT
    half = len(looks) // 2
    if half > 4:  # the first minutes fill the list, which has a limit
        early, late = (max(each.heap for each in part) for part in (looks[4:half], looks[half:]))
        assert late < early * 1.25, "the heap grows"


@needs_chromium
def test_every_row_of_the_watch_bench_can_be_measured() -> None:
    found: Results = run(TINY, Console(quiet=True))
    assert len({row.name for row in found.rows}) == len(found.rows) == 18
    assert sum(row.target is not None for row in found.rows) == 7


EVENTS: Final = 20_000
FROZEN_MS: Final = 1_000
LONG_TASKS: Final = """
    window.__tasks = [0];
    new PerformanceObserver((list) => { for (const each of list.getEntries()) window.__tasks.push(each.duration); })
        .observe({ type: 'longtask', buffered: true });
"""
REPEAT: Final = """
    UPDATE orders SET history = (
        SELECT jsonb_agg(entry || jsonb_build_object('sequence', n)) FROM jsonb_path_query(history, '$[0]') AS entry,
        generate_series(1, $2::int) AS n
    ) WHERE id = $1 RETURNING (SELECT history FROM orders WHERE id = $1)
"""


@needs_chromium
async def test_order_of_20_000_events_opens_without_a_freeze(harness: Harness) -> None:
    """Its page and its raw events hold the browser up for less than a second, and only rows in sight are elements."""
    console.publish(harness.stack.home, console.build())
    (item,) = await harness.items(on_hand=1)
    url = harness.stack.url(SERVICE)
    async with harness.client() as client, harness.database(ORDERS) as sql:
        placed = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 1)))
        await harness.until(client, placed["id"], "confirmed")
        entry = (await harness.log("crossdock.orders.v1")).by_key("crossdock.orders.v1")[placed["id"]][0]
        await harness.copy([entry] * EVENTS)
        before = await sql.fetchval(REPEAT, UUID(placed["id"]), EVENTS)
        try:
            async with opened() as context:
                page = await context.new_page()
                await page.add_init_script(LONG_TASKS)
                await sign_in(page, url, OPERATOR)
                for path, name, rows in (
                    (f"/orders/{placed['id']}", "Timeline", EVENTS),
                    (f"/orders/{placed['id']}", "Way through the services", 1_000),
                    (f"/live?order_id={placed['id']}&from=30d", "Events, newest first", 5_000),
                ):
                    await page.goto(url + path)
                    shown = page.get_by_role("list", name=name, exact=True)
                    first = shown.get_by_role("listitem").first
                    await expect(first).to_have_attribute("aria-setsize", str(rows), timeout=60_000)
                    await shown.get_by_role("link").first.press("End")
                    await expect(shown.locator(f"li[aria-posinset='{rows}']")).to_be_visible()
                    assert await page.locator("main li").count() < 200
                    longest = max(await page.evaluate("window.__tasks"))
                    print(f"{path.partition('?')[0][:8]} {name}: the longest task took {longest:.0f} ms")
                    assert longest < FROZEN_MS
        finally:
            await sql.execute("UPDATE orders SET history = $2 WHERE id = $1", UUID(placed["id"]), before)
    await harness.adds_up()
