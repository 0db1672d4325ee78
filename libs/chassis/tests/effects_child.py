"""A worker process that performs effects, to be killed: `effects_child.py DSN URL [hang]`.

`hang` stops before the act: the effect is claimed and nothing was sent.
"""

import asyncio
import sys

import toy
from receiver import posting

from crossdock_chassis import Effect, perform
from crossdock_chassis.effects.worker import Effects
from crossdock_chassis.server import signals


async def hang(effect: Effect) -> None:
    print("claimed", flush=True)
    await asyncio.Event().wait()


async def say_when(stop: asyncio.Event) -> None:
    await stop.wait()
    print("stopping", flush=True)


async def main(dsn: str, url: str, *mode: str) -> None:
    settings = toy.Settings(postgres=dsn, kafka="127.0.0.1:1", issuer="http://127.0.0.1:1")
    service = toy.build(settings)
    with signals() as stop:
        stopping = asyncio.create_task(say_when(stop))
        async with posting(url) as post:
            performer = perform("post", hang if mode else post, deadline=30)
            await Effects(service.database, [performer], drain_seconds=10).run(stop)
        await stopping
    await service.database.close()


asyncio.run(main(*sys.argv[1:]))
