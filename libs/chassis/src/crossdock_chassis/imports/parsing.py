"""Parse files, large ones in a process of their own, because parsing would block the worker's event loop."""

import asyncio
import pickle
import struct
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from crossdock_chassis.deadlines import within
from crossdock_chassis.imports.kinds import Format, ImportKind
from crossdock_chassis.imports.sheet import Batch, Reading, Sheet

SMALL: Final = 256 << 10
"""Bytes of a file that the worker parses itself. To start a process takes longer than to parse them."""
STEP: Final = 16 << 10
"""Bytes that the worker parses itself before other work gets a turn: about 10 ms."""

FRAME_SECONDS: Final = 60.0
HEAD: Final = struct.Struct(">I")

Parse = Callable[[bytes, bool], AsyncIterator[Batch]]
"""Parse the next piece of a file; the flag is set for its last piece."""


class ParserEnded(Exception):
    """The process that parses ended before it had answered."""


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
    """Yield the function that parses a file of `size` bytes. The process ends with the block."""
    if size <= SMALL:
        yield _here(Parser(kind.sheet(), kind.format(), arguments))
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "crossdock_chassis.imports.parser", stdin=PIPE, stdout=PIPE
    )
    try:
        await _send(process, sys.path)  # the process finds the same modules
        await _send(process, (kind.sheet, kind.format, dict(arguments)))
        yield _there(process)
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.shield(process.wait())


def _here(parser: Parser) -> Parse:
    async def parse(piece: bytes, last: bool) -> AsyncIterator[Batch]:
        for start in range(0, max(1, len(piece)), STEP):
            for batch in parser.parse(piece[start : start + STEP], last and start + STEP >= len(piece)):
                yield batch
            await asyncio.sleep(0)

    return parse


def _there(process: asyncio.subprocess.Process) -> Parse:
    async def parse(piece: bytes, last: bool) -> AsyncIterator[Batch]:
        await _send(process, (piece, last))
        while (batch := await _receive(process)) is not None:
            yield batch

    return parse


async def _send(process: asyncio.subprocess.Process, message: object) -> None:
    assert process.stdin is not None
    content = pickle.dumps(message)
    try:
        process.stdin.write(HEAD.pack(len(content)) + content)
        await within(FRAME_SECONDS, process.stdin.drain())
    except ConnectionError as error:
        raise ParserEnded("the process that parses the file ended") from error


async def _receive(process: asyncio.subprocess.Process) -> Batch | None:
    """Return the next batch of the piece, None at its end. Raise ParserEnded or TimeoutError."""
    assert process.stdout is not None
    try:
        head = await within(FRAME_SECONDS, process.stdout.readexactly(HEAD.size))
        content = await within(FRAME_SECONDS, process.stdout.readexactly(HEAD.unpack(head)[0]))
    except asyncio.IncompleteReadError as error:
        raise ParserEnded("the process that parses the file ended") from error
    batch: Batch | None = pickle.loads(content)
    return batch
