"""Reads of many callers with one query."""

import asyncio
from collections.abc import Sequence

import pytest

from crossdock_chassis import Together


class Store:
    """Reads squares of what is stored. A read waits for `opens`."""

    def __init__(self) -> None:
        self.stored, self.reads = set[int](), list[list[int]]()
        self.opens = asyncio.Event()
        self.opens.set()

    async def read(self, keys: Sequence[int]) -> dict[int, int]:
        self.reads.append(sorted(keys))
        found = {key: key * key for key in keys if key in self.stored}
        await self.opens.wait()
        if -1 in keys:
            raise LookupError
        return found


async def test_callers_of_one_moment_share_a_read() -> None:
    store = Store()
    store.stored |= {1, 2}
    see = Together(store.read, name="see")
    assert await asyncio.gather(*(see(each) for each in (1, 2, 2, 3))) == [1, 4, 4, None]
    assert store.reads == [[1, 2, 3]]


async def test_caller_sees_what_was_stored_before_its_call() -> None:
    """A call during a read waits for the next one, also for a key that is being read."""
    store = Store()
    see = Together(store.read, name="see")
    store.opens.clear()
    first = asyncio.create_task(see(1))
    while not store.reads:
        await asyncio.sleep(0)
    store.stored.add(1)
    second = asyncio.create_task(see(1))
    await asyncio.sleep(0)
    store.opens.set()
    assert (await first, await second, len(store.reads)) == (None, 1, 2)


async def test_failure_or_cancellation_leaves_other_callers_alone() -> None:
    store = Store()
    store.stored.add(1)
    see = Together(store.read, name="see")
    with pytest.raises(LookupError):
        await see(-1)
    store.opens.clear()
    gone, stays = asyncio.create_task(see(1)), asyncio.create_task(see(1))
    while len(store.reads) < 2:
        await asyncio.sleep(0)
    gone.cancel()
    store.opens.set()
    assert await stays == 1 and gone.cancelling()
