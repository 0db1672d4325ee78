import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
from house import House


@pytest.fixture(autouse=True)
async def _whole_again(house: House) -> AsyncIterator[None]:
    """However a test ends, the next one finds everything running."""
    yield
    for handle in house.stack.handles():
        handle.kill(signal.SIGCONT)
    await asyncio.to_thread(house.stack.up)
