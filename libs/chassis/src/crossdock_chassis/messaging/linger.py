"""How soon the next batch begins. A batch costs much the same for one message as for ten: a transaction, a dozen round
trips, a request to the broker. So the more there is to do, the longer it is gathered; a lone message never waits.
"""

import asyncio
import time
from typing import Final

SECONDS_A_MESSAGE: Final = 0.003
LONGEST_SECONDS: Final = 0.03


async def gather_more(began: float, count: int) -> None:
    """After a batch of `count` that began then (`time.monotonic`); not after a full one, which has more behind it."""
    await asyncio.sleep(began + pause(count) - time.monotonic())


def pause(count: int) -> float:
    """Seconds from the beginning of a batch to the next one's."""
    return min(count * SECONDS_A_MESSAGE, LONGEST_SECONDS)
