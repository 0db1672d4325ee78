"""Clients whose start is cancelled, against a broker that names its versions and answers nothing else."""

import asyncio
import gc
import struct
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from crossdock_chassis import Broker
from crossdock_chassis.messaging import clients

API_VERSIONS = 18
FETCH = struct.pack(">hhh", clients.FETCH, 0, clients.OLDEST_FETCH)
VERSIONS = struct.pack(">hi", 0, 3) + FETCH + struct.pack(">hhh", 3, 0, 1) + struct.pack(">hhh", API_VERSIONS, 0, 0)
STARTS: dict[str, Callable[[Broker], Awaitable[object]]] = {
    "consumer": lambda broker: clients.start_consumer(broker, None, client_id="x"),
    "producer": lambda broker: clients.start_producer(broker, "x"),
    "administrator": clients.topics_of,
    "check of topics": lambda broker: clients.check_topics(broker, []),
    "look at the broker": lambda broker: clients.broker_trouble(broker, 60),
}


class Silent:
    """A broker. `asked` is set at a request that it does not answer, `left` when that connection closes."""

    def __init__(self) -> None:
        self.asked, self.left = asyncio.Event(), asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                (length,) = struct.unpack(">i", await reader.readexactly(4))
                kind, _, number = struct.unpack(">hhi", (await reader.readexactly(length))[:8])
                if kind == API_VERSIONS:
                    answer = struct.pack(">i", number) + VERSIONS
                    writer.write(struct.pack(">i", len(answer)) + answer)
                else:
                    self.asked.set()
        writer.close()
        if self.asked.is_set():
            self.left.set()


@pytest.fixture
async def silent() -> AsyncIterator[tuple[Silent, Broker]]:
    made = Silent()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    yield made, Broker(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("kind", STARTS)
async def test_cancelled_start_closes_its_first_connection(silent: tuple[Silent, Broker], kind: str) -> None:
    """Without that, the collector of garbage closes it at some time, and warns."""
    server, broker = silent
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        starting = asyncio.ensure_future(STARTS[kind](broker))
        async with asyncio.timeout(10):
            await server.asked.wait()
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            await server.left.wait()
        gc.collect()
    assert [str(each.message) for each in warned if "AIOKafka" in str(each.message)] == []
