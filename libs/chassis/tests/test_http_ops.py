"""The other port, and how a process ends: on real sockets."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import APIRouter
from starlette.types import ASGIApp

from crossdock_chassis import server as server_module
from crossdock_chassis.http.application import Api
from crossdock_chassis.server import ListenerClosed, Ops, listening, ops_port, serving, signals, until
from crossdock_chassis.settings import Settings
from crossdock_chassis.testing.signing import Signer


def settings(**more: Any) -> Settings:
    return Settings(postgres="postgresql://r:p@127.0.0.1/db", kafka="127.0.0.1:1", issuer="http://127.0.0.1:1", **more)


@asynccontextmanager
async def asking(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ops") as client:
        yield client


async def refuse() -> str | None:
    return "no database"


async def fail() -> str | None:
    raise ConnectionRefusedError("connection refused")


async def hang() -> str | None:
    await asyncio.Event().wait()
    return None


async def test_all_well() -> None:
    async with asking(Ops()) as client:
        for path in ("/livez", "/readyz"):
            answered = await client.get(path)
            assert (answered.status_code, answered.json()) == (200, {"status": "ok"})
        metrics = await client.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain")
        assert "crossdock_outbox_depth" in metrics.text
        assert (await client.get("/v1/orders")).status_code == 404


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_ops_port_answers_get_only(path: str, method: str) -> None:
    async with asking(Ops(live=refuse, ready=refuse)) as client:
        answered = await client.request(method, path)
        assert (answered.status_code, answered.headers["allow"]) == (405, "GET")
        assert (await client.request(method, "/elsewhere")).status_code == 404


@pytest.mark.parametrize(
    ("check", "reason"), [(refuse, "no database"), (fail, "ConnectionRefusedError"), (hang, "Time")]
)
async def test_not_well_is_503_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, check: Callable[[], Any], reason: str
) -> None:
    monkeypatch.setattr("crossdock_chassis.server.PATIENCE", 0.01)
    for path, ops in (("/livez", Ops(live=check)), ("/readyz", Ops(ready=check))):
        async with asking(ops) as client:
            answered = await client.get(path)
        assert answered.status_code == 503
        assert answered.json()["reason"].startswith(reason)


@dataclass
class Slow:
    """An API whose answer waits until it is allowed to."""

    entered: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def api(self) -> Api:
        router = APIRouter()

        @router.get("/slow")
        async def get_slow() -> str:
            self.entered.set()
            await self.go_on.wait()
            return "done"

        return Api("tests", [router], verifier=Signer.generate().verifier())


async def until_true(check: Callable[[], Any]) -> Any:
    async with asyncio.timeout(10):
        while True:
            try:
                if found := await check():
                    return found
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.01)


async def test_sigterm_drains_requests_in_flight_then_exits(
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    http, ops_port = unused_tcp_port_factory(), unused_tcp_port_factory()
    told = settings(http_port=http, ops_port=ops_port, unready_seconds=2)
    slow = Slow()
    with signals() as stop:
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.TaskGroup() as group:

            async def ready() -> int:
                return (await client.get(f"http://127.0.0.1:{ops_port}/readyz")).status_code

            async def is_ready() -> bool:
                return await ready() == 200

            async def is_draining() -> bool:
                return await ready() == 503

            serving = group.create_task(serve(slow.api(), Ops(), told, stop))
            await until_true(is_ready)
            in_flight = group.create_task(client.get(f"http://127.0.0.1:{http}/slow"))
            await slow.entered.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await until_true(is_draining)
            late = await client.get(f"http://127.0.0.1:{http}/nothing")
            assert late.status_code == 404, "until the listener closes, who comes is served"
            assert not in_flight.done()
            slow.go_on.set()
            assert (await in_flight).json() == "done"
            await serving
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", http)


async def test_what_does_not_finish_in_time_is_cut_off() -> None:
    slow = Slow()
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        async with listening(slow.api(), settings(drain_seconds=1), 0, "PORT") as port:
            in_flight = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/slow"))
            await slow.entered.wait()
        cut = await in_flight
    assert (cut.status_code, cut.json()["type"]) == (503, "urn:crossdock:problem:unavailable")
    assert cut.headers["retry-after"] == "1"


async def test_a_worker_has_only_the_ops_port(unused_tcp_port: int) -> None:
    async with (
        ops_port(Ops(), settings(ops_port=unused_tcp_port)) as port,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        assert (await client.get(f"http://127.0.0.1:{port}/livez")).status_code == 200


async def test_ops_port_has_its_own_host(unused_tcp_port_factory: Callable[[], int]) -> None:
    http, ops = unused_tcp_port_factory(), unused_tcp_port_factory()
    told = settings(host="127.0.0.2", http_port=http, ops_host="127.0.0.3", ops_port=ops)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group, httpx.AsyncClient(trust_env=False) as client:
        serving = group.create_task(serve(Slow().api(), Ops(), told, stop))

        async def is_ready() -> bool:
            return (await client.get(f"http://127.0.0.3:{ops}/readyz")).status_code == 200

        await until_true(is_ready)
        assert (await client.get(f"http://127.0.0.2:{http}/nothing")).status_code == 404
        for host, port in (("127.0.0.2", ops), ("127.0.0.3", http), ("127.0.0.1", ops), ("127.0.0.1", http)):
            with pytest.raises(httpx.ConnectError):
                await client.get(f"http://{host}:{port}/livez")
        stop.set()
        await serving


async def test_ops_port_stays_on_this_machine_by_default() -> None:
    told = settings(host="127.0.0.2", ops_port=0)
    async with ops_port(Ops(), told) as port, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/livez")).status_code == 200


async def serve(api: ASGIApp, ops: Ops, settings: Settings, stop: asyncio.Event) -> None:
    closed = asyncio.Event()
    async with serving(api, ops, settings, closed):
        await until(stop, closed)


async def test_listener_that_ends_by_itself_ends_the_role(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ends(server: uvicorn.Server) -> None:
        return

    monkeypatch.setattr(server_module._Server, "main_loop", ends)
    with pytest.raises(ListenerClosed):
        async with asyncio.timeout(10):
            await serve(Slow().api(), Ops(), settings(http_port=0, ops_port=0), asyncio.Event())


@pytest.mark.parametrize("variable", ["CROSSDOCK_HTTP_PORT", "CROSSDOCK_OPS_PORT"])
async def test_a_taken_port_is_one_sentence_and_nothing_keeps_running(variable: str, unused_tcp_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"http_port": unused_tcp_port, "ops_port": 0, variable.removeprefix("CROSSDOCK_").lower(): port}
        with pytest.raises(SystemExit, match=f"{variable}: cannot listen on 127.0.0.1:{port}: Address already in use"):
            await serve(Slow().api(), Ops(), settings(**ports), asyncio.Event())
    assert len(asyncio.all_tasks()) == 1


async def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(SystemExit, match=r"PORT: cannot listen on 203\.0\.113\.1:0"):
        async with listening(Ops(), settings(host="203.0.113.1"), 0, "PORT"):
            pass


async def test_date_is_that_of_the_request_without_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: list[int] = []

    async def counted(server: uvicorn.Server, counter: int) -> bool:
        ticks.append(counter)
        return False

    monkeypatch.setattr(uvicorn.Server, "on_tick", counted)
    async with listening(Ops(), settings(), 0, "PORT") as port, httpx.AsyncClient(trust_env=False) as client:
        for second in (1_795_797_296, 1_795_797_297):
            monkeypatch.setattr(time, "time", lambda second=second: second + 0.9)
            answer = await client.get(f"http://127.0.0.1:{port}/livez")
            assert answer.headers.get_list("date") == [formatdate(second, usegmt=True)]
    assert not ticks


async def test_no_server_header_gives_the_software_away() -> None:
    async with listening(Ops(), settings(), 0, "PORT") as port, httpx.AsyncClient(trust_env=False) as client:
        assert "server" not in (await client.get(f"http://127.0.0.1:{port}/livez")).headers
