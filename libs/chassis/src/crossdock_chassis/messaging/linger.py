"""Linger: how long relay and consumer wait for more messages before the next batch.

A batch of one message costs nearly as much as a batch of ten: a transaction, a dozen round trips, a request to the
broker. So the wait grows with the size of the last batch. A single message never waits.
"""

import asyncio
import time
from typing import Final

LINGER_SECONDS_PER_MESSAGE: Final = 0.003
MAX_LINGER_SECONDS: Final = 0.03


async def linger(began: float, count: int) -> None:
    """Wait before the batch that follows one of `count` messages begun at `began` (`time.monotonic`).

    Do not call it after a full batch, because more messages are already waiting.
    """
    await asyncio.sleep(began + linger_seconds(count) - time.monotonic())


def linger_seconds(count: int) -> float:
    """Return the seconds from the start of a batch of `count` messages to the start of the next batch."""
    return min(count * LINGER_SECONDS_PER_MESSAGE, MAX_LINGER_SECONDS)
