"""Plots are drawn in a child, because libraries for numbers would double the memory of the API."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from pkgutil import resolve_name
from typing import Final, Literal, TypeAlias

from pydantic_core import to_json

from crossdock_chassis import Child, ChildFailed, ChildLost
from forecast_service.series.model import Plot

Format: TypeAlias = Literal["svg", "png"]
Drawing: TypeAlias = Callable[[], Callable[[Plot, Format], Iterable[bytes]]]

DRAWING: Final[Drawing] = partial(resolve_name, "forecast_service.series.drawing:draw")
"""It is named and not imported, because only the child may import matplotlib."""
SECONDS: Final = 30.0
"""The longest time for one plot. It takes a tenth of a second."""
IDLE_SECONDS: Final = 60.0
CALLS: Final = 500
NICE: Final = 5
KEPT_BYTES: Final = 4 << 20


class NotDrawn(Exception):
    """The child died, or took too long."""


class Plots:
    """Draws plots, and keeps the last ones. As a part of the API it ends its child with the process."""

    def __init__(self, make: Drawing) -> None:
        self._child: Child[bytes] = Child(make, idle_seconds=IDLE_SECONDS, calls=CALLS, nice=NICE)
        self._kept: dict[str, bytes] = {}
        self._turn = asyncio.Lock()

    @property
    def progressed(self) -> float:
        return time.monotonic()  # requests have a time limit of their own

    async def run(self, stopping: asyncio.Event) -> None:
        async with self._child:
            await stopping.wait()

    async def draw(self, key: str, plot: Plot, format: Format) -> bytes:
        """Return the file of a plot, whose `key_of` the caller has. Raise NotDrawn."""
        async with self._turn:
            if (kept := self._kept.pop(key, None)) is None:
                try:
                    (kept,) = [file async for file in self._child.call(plot, format, seconds=SECONDS)]
                except (ChildLost, ChildFailed) as error:
                    raise NotDrawn(f"The plot could not be drawn: {error}") from error
            self._kept[key] = kept  # the last one now
            while sum(map(len, self._kept.values())) > KEPT_BYTES:
                del self._kept[next(iter(self._kept))]
        return kept


def key_of(plot: Plot, format: Format) -> str:
    """Return a text that is different if the file is. Another matplotlib may draw another file."""
    return hashlib.sha256(to_json([plot, format, version("matplotlib")])).hexdigest()[:32]
