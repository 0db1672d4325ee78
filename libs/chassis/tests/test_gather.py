import asyncio
import time
from collections.abc import Sequence

import asyncpg
from examples import placed
from pydantic import BaseModel

from crossdock_chassis import Coalescer, Service, Unit
from crossdock_chassis.database import outbox
from crossdock_chassis.messaging.gather import WINDOW_SECONDS, Gather


def gathering(rate: float) -> Gather:
    """Return the waits after a second with so many messages."""
    gather = Gather()
    now = time.monotonic()
    for n in range(round(rate)):
        gather.sent(1, now + n / rate)
    return gather


def test_window_opens_with_the_rate_of_messages() -> None:
    windows = [gathering(rate).window() for rate in (1, 20, 45, 70, 150, 1_000)]
    assert windows[:3] == [0, 0, 0] and 0 < windows[3] < WINDOW_SECONDS
    assert windows[4:] == [WINDOW_SECONDS] * 2 and WINDOW_SECONDS <= 0.03


async def test_lone_message_does_not_wait() -> None:
    began = time.monotonic()
    await gathering(20).wait(began)
    assert time.monotonic() - began < WINDOW_SECONDS


async def test_rest_of_the_window_is_waited_unless_a_message_is_urgent() -> None:
    gather = gathering(1_000)
    began = time.monotonic()
    await gather.wait(began)
    assert time.monotonic() - began >= WINDOW_SECONDS - 0.005
    gather.notified("")
    assert not gather.urgent.is_set()
    gather.notified(outbox.URGENT)
    async with asyncio.timeout(10):
        await gather.urgent.wait()


class Done(BaseModel):
    pass


async def test_only_events_of_commands_are_gathered(service: Service) -> None:
    """A reaction's events were gathered before, and each further wait would delay the order's confirmation."""
    payloads: asyncio.Queue[object] = asyncio.Queue()

    async def accept(unit: Unit, batch: Sequence[str]) -> Sequence[Done | Exception]:
        for name in batch:
            unit.publish(placed(name), sequence=1, cause=None)
        return [Done() for _ in batch]

    listening = await asyncpg.connect(service.database.dsn)
    await listening.add_listener(outbox.CHANNEL, lambda *found: payloads.put_nowait(found[-1]))
    async with asyncio.timeout(10):
        await Coalescer(service.database, accept, Done)("PO-1")
        assert await payloads.get() == ""
        await Coalescer(service.database, accept, Done, optimistic=True)("PO-2")
        assert await payloads.get() == ""
        async with service.database.unit() as unit:
            unit.publish(placed("PO-3"), sequence=1, cause=None)
        assert await payloads.get() == outbox.URGENT
    await listening.close()
