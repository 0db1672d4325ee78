"""Linger: how long relay and consumer wait for more messages before the next batch.

A batch costs much the same for one message as for ten: a transaction, a dozen round trips, a request to the broker. So
the wait grows with the size of the last batch. A lone message never waits.
"""

import asyncio
import time
from typing import Final

LINGER_SECONDS_PER_MESSAGE: Final = 0.003
MAX_LINGER_SECONDS: Final = 0.03


async def linger(began: float, count: int) -> None:
    """Wait before the batch that follows one of `count` messages begun at `began` (`time.monotonic`).

    A full batch has more behind it: do not wait after it.
    """
    await asyncio.sleep(began + linger_seconds(count) - time.monotonic())


def linger_seconds(count: int) -> float:
    """Return the seconds from the start of a batch of `count` messages to the start of the next batch."""
    return min(count * LINGER_SECONDS_PER_MESSAGE, MAX_LINGER_SECONDS)
