"""Record confirmations as an outside subscriber: `python -m bench.subscriber BOOTSTRAP TOPIC [CE_TYPE …]`.

A plain aiokafka consumer without a group, from the current end of the topic. Without types it takes all records. It
answers a line `{"wanted": N, "seconds": S}` after N new orders, with the time when each was first seen.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from time import monotonic

import uvloop
from aiokafka import AIOKafkaConsumer

from bench.helper import say

START_SECONDS = 30
FETCH_MILLISECONDS = 200


class Seen:
    """Orders and when each was first seen. A repeated delivery does not count."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._fresh = asyncio.Event()

    def record(self, order_id: str, now: float) -> None:
        self._at.setdefault(order_id, now)
        self._fresh.set()

    async def take(self, wanted: int, seconds: float) -> dict[str, float]:
        """Wait for `wanted` orders, and return all since the last call. Raise TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds):
            while len(self._at) < wanted:
                self._fresh.clear()
                await self._fresh.wait()
        taken, self._at = self._at, {}
        return taken

    @property
    def count(self) -> int:
        return len(self._at)


async def listen(consumer: AIOKafkaConsumer, ce_types: Sequence[str], seen: Seen) -> None:
    wanted = {("ce_type", each.encode()) for each in ce_types}
    while True:
        fetched = await consumer.getmany(timeout_ms=FETCH_MILLISECONDS)
        now = monotonic()
        for records in fetched.values():
            for record in records:
                if record.key is not None and (not wanted or not wanted.isdisjoint(record.headers)):
                    seen.record(record.key.decode(), now)


async def main(bootstrap: str, topic: str, *ce_types: str) -> None:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False, auto_offset_reset="latest"
    )
    async with asyncio.timeout(START_SECONDS):
        await consumer.start()
        await consumer.seek_to_end()
        for partition in consumer.assignment():
            await consumer.position(partition)
    seen = Seen()
    listening = asyncio.create_task(listen(consumer, ce_types, seen))
    say({"listening": True})
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            job = json.loads(line)
            if listening.done():
                listening.result()
            try:
                say({"seen": await seen.take(job["wanted"], job["seconds"])})
            except TimeoutError:
                say({"failed": f"{seen.count} of {job['wanted']} orders were confirmed in {job['seconds']:g} s"})
    finally:
        listening.cancel()
        await asyncio.wait([listening])
        await consumer.stop()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
