"""Gather: how long the relay waits for more messages of commands, so that they travel on together.

A batch of one message costs nearly as much as a batch of ten, at each hop: a transaction, its round trips, requests to
the broker. So messages are gathered once, where they first enter the log. What a reaction publishes was gathered there,
and goes on at once.
"""

import asyncio
import time
from contextlib import suppress
from math import exp
from typing import Final

WINDOW_SECONDS: Final = 0.02
MEMORY_SECONDS: Final = 0.5
"""The time over which the rate of messages is measured."""


class Gather:
    """The waits of one relay. A batch begins no sooner than one window after the batch before it."""

    def __init__(self) -> None:
        self.urgent = asyncio.Event()
        self._count = 0.0
        self._counted = time.monotonic()

    def notified(self, payload: str) -> None:
        """Take the payload of a notification. Any text is urgent, an empty one is not."""
        if payload:
            self.urgent.set()

    def sent(self, messages: int, now: float) -> None:
        """Count the messages of a batch."""
        self._count = self._count * exp((self._counted - now) / MEMORY_SECONDS) + messages
        self._counted = now

    def window(self) -> float:
        """Return the seconds to gather messages.

        This is nothing while fewer than one message is expected within the window, and the whole window from two on.
        """
        expected = self._count / MEMORY_SECONDS * WINDOW_SECONDS
        return WINDOW_SECONDS * min(max(expected - 1.0, 0.0), 1.0)

    async def wait(self, began: float) -> None:
        """Wait until the window of a batch that began at `began` has ended, or until a message is urgent."""
        if (left := began + self.window() - time.monotonic()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.urgent.wait(), left)
