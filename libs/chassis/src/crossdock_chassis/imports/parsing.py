"""Parse files, large ones in a process of their own, because parsing would block the worker's event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from crossdock_chassis.child import Child
from crossdock_chassis.imports.kinds import Format, ImportKind
from crossdock_chassis.imports.sheet import Batch, Reading, Sheet

SMALL: Final = 256 << 10
"""Bytes of a file that the worker parses itself. To start a process takes longer than to parse them."""
STEP: Final = 16 << 10
"""Bytes that the worker parses itself before other work gets a turn: about 10 ms."""

BATCH_SECONDS: Final = 60.0
MEMORY: Final = 1 << 30
"""Bytes of address space of the process that parses."""

Parse = Callable[[bytes, bool], AsyncIterator[Batch]]
"""Parse the next piece of a file; the flag is set for its last piece."""


class Parser:
    """A file that is being parsed: its format and its sheet."""

    def __init__(self, sheet: Sheet, format: Format, arguments: Mapping[str, str]) -> None:
        self._format, self._reading = format, Reading(sheet, arguments)

    def parse(self, piece: bytes, last: bool) -> Iterator[Batch]:
        yield from self._reading.read(self._format.read(piece, last=last))
        if last:
            yield from self._reading.end()


@asynccontextmanager
async def parsing(kind: ImportKind, arguments: Mapping[str, str], size: int) -> AsyncIterator[Parse]:
    """Yield the function that parses a file of `size` bytes. Its process ends with the block."""
    if size <= SMALL and not kind.heavy:
        yield _here(Parser(kind.sheet(), kind.format(), arguments))
        return
    async with Child(partial(make, kind.sheet, kind.format, dict(arguments)), memory=MEMORY) as child:
        yield lambda piece, last: child.call(piece, last, seconds=BATCH_SECONDS)


def make(
    sheet: Callable[[], Sheet], format: Callable[[], Format], arguments: Mapping[str, str]
) -> Callable[[bytes, bool], Iterator[Batch]]:
    """Return the function that parses the pieces of a file, in the process that does it."""
    return Parser(sheet(), format(), arguments).parse


def _here(parser: Parser) -> Parse:
    async def parse(piece: bytes, last: bool) -> AsyncIterator[Batch]:
        for start in range(0, max(1, len(piece)), STEP):
            for batch in parser.parse(piece[start : start + STEP], last and start + STEP >= len(piece)):
                yield batch
            await asyncio.sleep(0)

    return parse
