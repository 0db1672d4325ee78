"""A target of effects: a real HTTP server on loopback, and performers that post to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from crossdock_chassis import Effect, Permanent, Retry, Service, perform
from crossdock_chassis.effects.performer import Do

Answer = Callable[[str, str], Awaitable[int]]


async def accept(target: str, id: str) -> int:
    return 200


@dataclass
class Receiver:
    """Counts every request that arrived whole as (target, effect id), before `answer` decides about it."""

    url: str
    answer: Answer = accept
    arrived: list[tuple[str, str]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def targets(self) -> list[str]:
        return [target for target, _ in self.arrived]

    def ids(self) -> list[str]:
        return [id for _, id in self.arrived]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            await reader.readexactly(int(headers.get("content-length", 0)))
            target, id = head[0].split(" ")[1].lstrip("/"), headers["idempotency-key"]
            async with self.changed:
                self.arrived.append((target, id))
                self.changed.notify_all()
            status = await self.answer(target, id)
            writer.write(
                f"HTTP/1.1 {status} X\r\nretry-after: 7\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the worker was killed
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver("")
    server = await asyncio.start_server(lambda reader, writer: receiver.serve(reader, writer), "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield receiver
    finally:
        server.close()


@asynccontextmanager
async def posting(url: str) -> AsyncIterator[Callable[[Effect], Awaitable[dict[str, object]]]]:
    """Yield a performer: 2xx is done, 422 is permanent, 429 carries a hint, the rest is retried."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=None) as client:

        async def post(effect: Effect) -> dict[str, object]:
            headers = {"idempotency-key": str(effect.id)}
            response = await client.post(f"/{effect.target}", json=effect.payload, headers=headers)
            if response.status_code == 422:
                raise Permanent("no such address")
            if response.status_code == 429:
                raise Retry("too many requests", retry_after=float(response.headers["retry-after"]))
            response.raise_for_status()
            return {"status": response.status_code}

        yield post


def having(service: Service, do: Do, **options: Any) -> Service:
    """Return the service with one performer, of the kind `post`."""
    return replace(service, effects=[perform("post", do, **options)])


async def request(service: Service, target: str = "a", count: int = 1, key: str | None = None) -> list[str]:
    async with service.database.unit() as unit:
        return [str(unit.effect("post", target=target, payload={"n": n}, key=key)) for n in range(count)]


async def change(service: Service, statement: str) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(statement)
