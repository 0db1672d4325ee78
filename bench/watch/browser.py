"""Open the page of live events in the system's Chromium, and measure it from inside without changing it.

Scripts that Playwright adds run before those of the page. The page's Content-Security-Policy does not concern them, and
they need no `eval`.
"""

import re
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from playwright.async_api import BrowserContext, CDPSession, Page, async_playwright, expect

OPERATOR: Final = "Olive Operator"
PATIENCE_MS: Final = 30_000
LIST: Final = "Events, newest first"

# The first row has the newest event, and the address of its link ends with the position. Rows that scroll out of sight
# before a draw never become elements, but with the draw they are in the list. `seen` is noted behind the next frame.
OBSERVE: Final = """
    window.__seen = []; window.__shifts = [];
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.__shifts.push(entry.value);
    }).observe({ type: 'layout-shift', buffered: true });
    let newest = 0, waits = false;
    const look = () => {
        const link = document.querySelector('li[data-index="0"] a');
        const at = link === null ? 0 : Number(/event=[^.&]*\\.(\\d+)/.exec(link.href)?.[1] ?? 0);
        if (at <= newest || waits) return;
        waits = true;
        requestAnimationFrame(() => setTimeout(() => {
            waits = false; newest = at;
            window.__seen.push([(performance.timeOrigin + performance.now()) / 1000, at]);
            look();
        }));
    };
    new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true,
                                                   attributeFilter: ['href', 'data-index'] });
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """`share`: of the main thread's time. `heap`: bytes after a collection. `shifts`: the sum of the layout shifts."""

    share: float
    heap: float
    shifts: float


def chromium() -> str | None:
    """Return the path of the system's Chromium."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@asynccontextmanager
async def opened() -> AsyncIterator[BrowserContext]:
    """Yield a fresh context of a browser, in English."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        context = await browser.new_context(locale="en-GB", timezone_id="Europe/Berlin")
        context.set_default_timeout(PATIENCE_MS)
        try:
            yield context
        finally:
            await browser.close()


async def sign_in(page: Page, url: str, name: str) -> None:
    """Sign in at the development issuer as the person whose button has this name, and wait for the live stream.

    It shows what comes from now on: a run may have more events in its last minute than the page shows.
    """
    await page.goto(f"{url}/live?from=now")
    await page.get_by_role("banner").get_by_role("link", name="Sign in").click()
    await page.get_by_role("button", name=name).click()
    await live(page)


async def live(page: Page) -> None:
    """Wait until the page follows the stream."""
    status = page.get_by_role("status").filter(has_text=re.compile("^Live$"))
    await expect(status).to_be_visible(timeout=PATIENCE_MS)


class LivePage:
    """The page of live events, with its meters."""

    def __init__(self, page: Page, cdp: CDPSession) -> None:
        self.page, self._cdp = page, cdp
        self._began = self._busy = 0.0

    @classmethod
    async def of(cls, page: Page, url: str) -> Self:
        """Open the page as an operator."""
        await page.add_init_script(OBSERVE)
        await sign_in(page, url, OPERATOR)
        cdp = await page.context.new_cdp_session(page)
        await cdp.send("Performance.enable")
        return cls(page, cdp)

    async def caught_up(self, position: int) -> int:
        """Wait until the newest row is the one at this position or behind it. Return its position."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while (shown := await self.page.evaluate("window.__seen.at(-1)?.[1] ?? 0")) < position:
            if time.monotonic() > deadline:
                status = await self.page.get_by_role("status").all_inner_texts()
                raise TimeoutError(f"the page shows position {shown}, not {position}, and {status}")
            await self.page.wait_for_timeout(50)
        return int(shown)

    async def begin(self) -> None:
        """Measure from now on."""
        await self.page.evaluate("window.__seen.length = window.__shifts.length = 0")
        metrics = await self._metrics()
        self._began, self._busy = metrics["Timestamp"], metrics["TaskDuration"]

    async def cost(self) -> Cost:
        """Return what the page has cost since the last call, or since the beginning."""
        before, busy = self._began, self._busy
        metrics = await self._metrics()
        self._began, self._busy = metrics["Timestamp"], metrics["TaskDuration"]
        share = (self._busy - busy) / (self._began - before)
        await self._cdp.send("HeapProfiler.collectGarbage")
        heap = (await self._metrics())["JSHeapUsedSize"]
        return Cost(share, heap, sum(await self.page.evaluate("window.__shifts")))

    async def draws(self) -> Sequence[tuple[float, int]]:
        """Return when the list was drawn, with the newest position of each draw."""
        return [(at, int(position)) for at, position in await self.page.evaluate("window.__seen")]

    async def _metrics(self) -> dict[str, Any]:
        found = await self._cdp.send("Performance.getMetrics")
        return {each["name"]: each["value"] for each in found["metrics"]}
