"""Give tests a real browser on the console of the running stack."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from browsing import Console
from playwright.async_api import Browser, async_playwright, expect

from crossdock_local import console
from crossdock_local.stack import Stack

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_MS = 30_000
REFUSED = "Failed to load resource: the server responded with a status of"


@pytest.fixture(scope="session")
def served(stack: Stack) -> str:
    """Return the address of the console. Build it first if its sources are new."""
    console.publish(stack.home, console.build())
    return stack.url("analytics-service")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Yield the system's Chromium. Without Chromium the test is skipped, but in CI it fails."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing: .ci/run installs it")
        pytest.skip("Chromium is not installed, so the console is not tested: apt-get install chromium")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        await started.close()


@pytest.fixture
async def opened(browser: Browser, served: str) -> AsyncIterator[Console]:
    """Yield the console in English. After the test, fail if the browser reported an error or a breach of the policy."""
    context = await browser.new_context(locale="en-GB", timezone_id="Europe/Berlin")
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page = await context.new_page()
    shown = Console(served, context, page)
    # The page asks who is signed in, and 401 is an answer. The browser reports each such answer as an error.
    page.on(
        "console",
        lambda line: shown.faults.append(line.text) if line.type == "error" and REFUSED not in line.text else None,
    )
    page.on("pageerror", lambda error: shown.faults.append(str(error)))
    yield shown
    await context.close()
    assert shown.faults == []
