import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
from harness import Harness


@pytest.fixture(autouse=True)
async def _whole_again(harness: Harness) -> AsyncIterator[None]:
    """Restart all processes after each test, whether or not it failed."""
    yield
    for handle in harness.stack.handles():
        handle.kill(signal.SIGCONT)
    await asyncio.to_thread(harness.stack.up)
