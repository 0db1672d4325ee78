"""Follow many streams in a process of its own: `python -m bench.watch.reader`.

It answers `{"url": …, "tokens": […]}` with the position at which all streams began, after each has begun. It answers
`{"until": P, "seconds": S}` when each stream has reached this position: for each, when which records arrived.
"""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import uvloop

from bench.helper import serve

MESSAGE: Final = re.compile(rb"^id: [^.\n]+\.(\d+)\ndata: ", re.MULTILINE)
HERE: Final = re.compile(rb"^: here\nid: [^.\n]+\.(\d+)\n", re.MULTILINE)
CHUNK: Final = 1 << 18
LOOK_SECONDS: Final = 0.05


class Stream:
    """One stream. `seen`: of each read, when it was, the last position, and how many records it had."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = urlsplit(url), token
        self._rest = b""
        self.position: int | None = None
        self.seen: list[tuple[float, int, int]] = []

    async def follow(self) -> None:
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port, limit=4 * CHUNK)
        head = (
            f"GET {self._url.path} HTTP/1.1\r\nHost: {self._url.netloc}\r\nAuthorization: Bearer {self._token}\r\n\r\n"
        )
        writer.write(head.encode())
        status = await reader.readline()
        if b" 200 " not in status:
            raise OSError(f"the stream was refused: {status!r}")
        while data := await reader.read(CHUNK):
            self.take(data, time.time())
        raise OSError("the stream has ended")

    def take(self, data: bytes, now: float) -> None:
        """Count the whole messages. The marks of the chunks between them are no lines of a message."""
        whole, end, rest = (self._rest + data).rpartition(b"\n\n")
        self._rest = rest
        if not end:
            return
        if self.position is None and (begun := HERE.search(whole + end)):
            self.position = int(begun[1])
        positions = [int(each) for each in MESSAGE.findall(whole)]
        if not positions:
            return
        if positions[0] != (self.position or 0) + 1 or positions[-1] - positions[0] != len(positions) - 1:
            raise OSError(f"the stream goes on with {positions[0]} behind {self.position}")
        self.position = positions[-1]
        self.seen.append((now, positions[-1], len(positions)))


class Streams:
    """All streams, in an event loop that runs only while a job is answered or waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._streams: list[Stream] = []
        self._tasks: list[asyncio.Task[None]] = []

    def handle(self, job: dict[str, Any]) -> dict[str, Any]:
        if "url" in job:
            return asyncio.run_coroutine_threadsafe(self._open(job["url"], job["tokens"]), self._loop).result()
        return asyncio.run_coroutine_threadsafe(self._until(job["until"], job["seconds"]), self._loop).result()

    async def _open(self, url: str, tokens: Sequence[str]) -> dict[str, Any]:
        self._streams = [Stream(url, token) for token in tokens]
        self._tasks = [asyncio.create_task(each.follow()) for each in self._streams]
        await self._wait(lambda stream: stream.position is not None, 30)
        (position,) = {each.position for each in self._streams}
        return {"position": position}

    async def _until(self, position: int, seconds: float) -> dict[str, Any]:
        await self._wait(lambda stream: (stream.position or 0) >= position, seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return {"seen": [each.seen for each in self._streams]}

    async def _wait(self, done: Callable[[Stream], bool], seconds: float) -> None:
        """Wait until all streams are done. Raise the error of the first that has ended, or TimeoutError."""
        async with asyncio.timeout(seconds):
            while not all(map(done, self._streams)):
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(LOOK_SECONDS)


def main() -> None:
    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    serve(Streams(loop).handle)


if __name__ == "__main__":
    main()
