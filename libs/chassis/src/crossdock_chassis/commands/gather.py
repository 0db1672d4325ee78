"""Gather: how long a coalescer waits for more commands, so that they share a unit.

A unit costs nearly as much for one command as for ten. So does each later hop of its events: requests to the broker,
the units of the next service. Therefore commands are gathered once, before anything is written, and no later hop waits.
"""

import asyncio
import time
from math import exp
from typing import Final

WINDOW_SECONDS: Final = 0.05
MEMORY_SECONDS: Final = 0.5
"""The time over which the rate of commands and the most commands at once are measured."""


class Gather:
    """The waits of one coalescer. A unit begins no sooner than one window after the unit before it.

    A wait ends early when as many commands wait as were in flight at once of late: then no caller is left who could
    send another one. So a client that sends one command after another never waits.
    """

    def __init__(self) -> None:
        self._count, self._counted = 0.0, 0.0
        self._most, self._most_before, self._turned = 0, 0, 0.0
        self._began = 0.0
        self._enough: asyncio.Future[None] | None = None

    def arrived(self, waiting: int, in_flight: int) -> None:
        """Count a command. `waiting`: commands that wait for a unit, `in_flight`: those without an answer."""
        now = time.monotonic()
        self._count = self._count * exp((self._counted - now) / MEMORY_SECONDS) + 1
        self._counted = now
        if now - self._turned > MEMORY_SECONDS:
            self._most_before = self._most if now - self._turned < 2 * MEMORY_SECONDS else 0
            self._most, self._turned = 0, now
        self._most = max(self._most, in_flight)
        if self._enough is not None and waiting >= self.most:
            self._end(self._enough)

    @property
    def most(self) -> int:
        """Return the most commands that were in flight at once of late."""
        return max(self._most, self._most_before)

    def window(self) -> float:
        """Return the seconds to gather commands.

        This is nothing while fewer than one command is expected within the window, and the whole window from two on.
        """
        expected = self._count / MEMORY_SECONDS * WINDOW_SECONDS
        return WINDOW_SECONDS * min(max(expected - 1.0, 0.0), 1.0)

    async def wait(self, waiting: int) -> None:
        """Wait until the window of the unit before has ended, or all who are likely to send a command have sent it."""
        left = self._began + self.window() - time.monotonic()
        if left > 0 and waiting < self.most:
            loop = asyncio.get_running_loop()
            self._enough = loop.create_future()
            timer = loop.call_later(left, self._end, self._enough)
            try:
                await self._enough
            finally:
                timer.cancel()
                self._enough = None
        self._began = time.monotonic()

    @staticmethod
    def _end(enough: "asyncio.Future[None]") -> None:
        if not enough.done():
            enough.set_result(None)
