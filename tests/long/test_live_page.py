"""Watch the page of live events for half an hour at 500 events a second: it stays light and misses nothing.

CROSSDOCK_LONG_MINUTES shortens the run.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from bench.results import Results
from bench.watch import TINY, run
from bench.watch.browser import LivePage, chromium, opened
from bench.watch.feeder import Feeder
from bench.watch.watching import SERVICE
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
