"""Requests of one partner at once: a partner that floods fills neither the queue of commands nor the connections."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated

import asyncpg
import httpx
import pytest
import toy
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from test_coalescer import Seen, mark

from crossdock_chassis import Caller, Coalescer, Feature, HotRoute, Service, limited, requires
from crossdock_chassis.testing.signing import Signer

ISSUER = Signer.generate()
Writer = Annotated[Caller, requires("write", operators="ops:act")]
QUEUE, AT_ONCE, BATCHES = 60, 20, 2


class Thing(BaseModel):
    name: str


class Flooded:
    """A service whose commands wait for a lock, so that requests stay in flight until `release`."""

    def __init__(self, service: Service, holder: asyncpg.Connection) -> None:
        door = Coalescer(service.database, mark, Seen, queue_limit=QUEUE)
        hot, cold = APIRouter(route_class=HotRoute), APIRouter()

        @hot.post("/things")
        async def post_thing(body: Thing, caller: Writer) -> Response:
            await door(f"{caller.partner}-{body.name}")
            return Response(status_code=201)

        @cold.post("/things:batch", dependencies=[limited("batch", at_once=BATCHES)])
        async def post_batch(request: Request, caller: Writer) -> Response:
            await door("batch")
            return Response(status_code=201)

        settings = service.settings.model_copy(update={"partner_requests": AT_ONCE})
        self._service = replace(service, settings=settings, features=[Feature(routers=[hot, cold])])
        transport = httpx.ASGITransport(self._service.api(ISSUER.verifier()), raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://service")
        self._holder = holder

    def post(
        self, partner: str | None, count: int, path: str = "/things", subject: str | None = None
    ) -> list[asyncio.Task[httpx.Response]]:
        token = {"authorization": f"Bearer {ISSUER.token(partner, ['write', 'ops:act'], subject=subject)}"}
        return [
            asyncio.create_task(self._client.post(path, json={"name": str(n)}, headers=token)) for n in range(count)
        ]

    async def release(self) -> None:
        await self._holder.execute("ROLLBACK")


async def answered(tasks: list[asyncio.Task[httpx.Response]]) -> list[httpx.Response]:
    async with asyncio.timeout(20):
        return await asyncio.gather(*tasks)


async def refusals(tasks: list[asyncio.Task[httpx.Response]], count: int) -> list[httpx.Response]:
    """Wait until so many requests are answered, and return these answers."""
    async with asyncio.timeout(20):
        while sum(task.done() for task in tasks) < count:
            await asyncio.sleep(0.005)
    return [task.result() for task in tasks if task.done()]


@pytest.fixture
async def flooded(service: Service) -> AsyncIterator[Flooded]:
    holder = await asyncpg.connect(service.database.dsn)
    await holder.execute("BEGIN; LOCK TABLE mark IN EXCLUSIVE MODE")
    yield Flooded(service, holder)
    await holder.close()


async def test_a_partner_that_floods_leaves_room_for_others(flooded: Flooded, service: Service) -> None:
    flood = flooded.post("flood", 200)
    for refused in await refusals(flood, 200 - AT_ONCE):
        assert refused.status_code == 429
        assert refused.json()["type"] == "urn:crossdock:problem:too-many-at-once"
        assert (refused.headers["retry-after"], refused.json()["limit"]) == ("1", AT_ONCE)
    acme = flooded.post("acme", AT_ONCE)
    await flooded.release()
    assert {each.status_code for each in await answered(acme)} == {201}
    assert sum(each.status_code == 201 for each in await answered(flood)) == AT_ONCE
    again = await answered(flooded.post("flood", AT_ONCE))
    assert {each.status_code for each in again} == {201}, "an answered request must not count any more"
    done = await toy.marks(service)
    assert sum(times for name, times in done.items() if name.startswith("flood-")) == 2 * AT_ONCE


async def test_an_operator_that_floods_leaves_room_for_other_operators(flooded: Flooded) -> None:
    flood = flooded.post(None, 50, subject="ann")
    assert {each.status_code for each in await refusals(flood, 50 - AT_ONCE)} == {429}
    bob, partner = flooded.post(None, 1, subject="bob"), flooded.post("ann", 1)
    await flooded.release()
    assert {each.status_code for each in await answered(bob + partner)} == {201}
    assert sum(each.status_code == 201 for each in await answered(flood)) == AT_ONCE


async def test_requests_that_end_badly_do_not_count_any_more(flooded: Flooded) -> None:
    await flooded.release()
    token = {"authorization": f"Bearer {ISSUER.token('acme', ['write'])}"}
    for _ in range(2 * AT_ONCE):
        assert (await flooded._client.post("/things", content=b"{", headers=token)).status_code == 415
    assert {each.status_code for each in await answered(flooded.post("acme", AT_ONCE))} == {201}


async def test_a_heavy_route_takes_fewer_at_once(flooded: Flooded) -> None:
    batches = flooded.post("acme", 10, "/things:batch")
    refused = await refusals(batches, 10 - BATCHES)
    assert {(each.status_code, each.json()["limit"]) for each in refused} == {(429, BATCHES)}
    single = flooded.post("acme", 3)
    await flooded.release()
    assert {each.status_code for each in await answered(single)} == {201}
    assert sum(each.status_code == 201 for each in await answered(batches)) == BATCHES
