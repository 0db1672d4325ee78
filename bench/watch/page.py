"""Measure the page of live events in a real browser: when events are seen, and what the page costs."""

from typing import Final

from bench.results import Row
from bench.stack import BenchFailed
from bench.statistics import percentile
from bench.watch import browser
from bench.watch.watching import SERVICE, Watch
from crossdock_cli.waiting import in_thread

SEEN_MS: Final = 1_000
MAIN_THREAD: Final = 25.0
HEAP_MB: Final = 50.0


def measure(watch: Watch) -> None:
    """Measure the page. Without Chromium the rows are left out, with a note."""
    if browser.chromium() is None:
        watch.found.notes.append("Left out: the page of live events, because Chromium is not installed.")
        return
    rate, seconds = watch.size.rate, watch.size.seconds
    watch.stage(f"the page of live events at {rate} events a second for {seconds:.0f} s")
    seen = in_thread(lambda: _watch(watch))
    name = f"Live page at {rate} events/s"
    watch.add(
        Row(f"{name}, Kafka to visible, p50", [percentile(seen.delays, 0.5) * 1000], "ms", better="less"),
        Row(f"{name}, Kafka to visible, p99", [percentile(seen.delays, 0.99) * 1000], "ms", SEEN_MS, "less"),
        Row(f"{name}, main thread", [seen.cost.share * 100], "%", MAIN_THREAD, "less"),
        Row(f"{name}, heap afterwards", [seen.cost.heap / 1e6], "MB", HEAP_MB, "less"),
    )


class Seen:
    """What one run has found."""

    def __init__(self, delays: list[float], cost: browser.Cost) -> None:
        self.delays, self.cost = delays, cost


async def _watch(watch: Watch) -> Seen:
    async with browser.opened() as context:
        page = await browser.LivePage.of(await context.new_page(), watch.stack.url(SERVICE))
        await watch.feeder.steadily(watch.size.rate, 1.0)  # the first events compile the page
        first = await page.caught_up(await _position(watch))
        await page.begin()
        sent = await watch.feeder.steadily(watch.size.rate, watch.size.seconds)
        await page.caught_up(first + sent)
        cost = await page.cost()
        draws = await page.draws()
    times = await watch.times(first)
    delays, done = [], first
    for at, position in draws:
        delays += [at - times[each] for each in range(done + 1, position + 1)]
        done = max(done, position)
    if len(delays) < sent:
        raise BenchFailed(f"The page did not show {sent - len(delays):,} of {sent:,} events.")
    return Seen(delays, cost)


async def _position(watch: Watch) -> int:
    sql = await watch.sql()
    try:
        return int(await sql.fetchval("SELECT position FROM log_head"))
    finally:
        await sql.close()
