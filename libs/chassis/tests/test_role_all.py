"""API and worker in one process: as a real process, with a real broker that is away and comes back."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import toy
from examples import placed
from on_kafka import eventually, from_now_on, publish

from crossdock_chassis import Service, roles
from crossdock_chassis.roles import ROLES
from crossdock_local.servers import Servers

CHILD = Path(__file__).with_name("role_child.py")
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@dataclass
class Child:
    """A running process of the role `all`. `log` is the file of its output."""

    process: subprocess.Popen[bytes]
    client: httpx.AsyncClient
    ops: httpx.AsyncClient
    log: Path

    async def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return (await self.ops.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def ended(self) -> int:
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), 30)


Start = Callable[..., AbstractAsyncContextManager[Child]]


@pytest.fixture
def start(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> Start:
    @asynccontextmanager
    async def started(service: Service, name: str | None = None) -> AsyncIterator[Child]:
        http_port, ops_port = unused_tcp_port_factory(), unused_tcp_port_factory()
        settings = service.settings
        environment = os.environ | {
            "CROSSDOCK_NAME": name or service.name,
            "CROSSDOCK_POSTGRES": settings.postgres,
            "CROSSDOCK_KAFKA": settings.kafka,
            "CROSSDOCK_ISSUER": settings.issuer,
            "CROSSDOCK_HTTP_PORT": str(http_port),
            "CROSSDOCK_OPS_PORT": str(ops_port),
        }
        log = tmp_path / "log"
        with log.open("wb") as output:
            process = subprocess.Popen([sys.executable, CHILD, "all"], env=environment, stdout=output, stderr=output)
        try:
            async with (
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{http_port}", trust_env=False) as client,
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{ops_port}", trust_env=False) as ops,
            ):
                yield Child(process, client, ops, log)
        finally:
            process.kill()
            process.wait()

    return started


async def test_api_serves_without_kafka_and_the_worker_begins_with_it(
    kafka_service: Service, servers: Servers, start: Start
) -> None:
    """The process also drains: a batch that waits for a lock at SIGTERM is finished before the process ends."""
    await from_now_on(kafka_service)
    servers.kafka.kill()
    try:
        async with start(kafka_service) as child:
            await eventually(child.ready)
            assert (await child.client.get("/v1/operations")).status_code == 401
            await publish(kafka_service, (placed("before Kafka"), 1))

            async def waits() -> bool:
                return "the worker waits for Kafka" in child.log.read_text()

            async def marked(reference: str) -> bool:
                assert child.process.poll() in (None, 0), child.log.read_text()
                return reference in await toy.marks(kafka_service)

            async def applied(reference: str) -> None:
                try:
                    await eventually(lambda: marked(reference))
                except TimeoutError:
                    pytest.fail(child.log.read_text())

            await eventually(waits)
            assert await child.ready()
            assert (await child.ops.get("/livez")).status_code == 200
            await asyncio.to_thread(servers.kafka.start)
            await applied("before Kafka")

            async def blocked() -> bool:
                return bool(await kafka_service.database.fetch(f"{WAITING} HAVING count(*) > 0"))

            async def refuses() -> bool:
                return not await child.ready()

            async with kafka_service.database.unit() as unit:
                await unit.sql.execute("LOCK TABLE mark")
                await publish(kafka_service, (placed("while it stops"), 1))
                await eventually(blocked)
                child.process.send_signal(signal.SIGTERM)
                await eventually(refuses)
            assert await child.ended() == 0, child.log.read_text()
            assert await marked("while it stops")
            assert "abandoned" not in child.log.read_text()
    finally:
        await asyncio.to_thread(servers.kafka.start)
        await asyncio.to_thread(servers.kafka.wait_ready)


async def test_missing_topic_ends_the_process(kafka_service: Service, start: Start) -> None:
    async with start(kafka_service, f"toy-{uuid4().hex[:8]}") as child:
        assert await child.ended() == 1
        assert "has no topic" in child.log.read_text()
        assert "Traceback" not in child.log.read_text()


class Failing:
    def __init__(self, *_: object) -> None:
        self.progressed = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        raise ValueError("out of order")


async def test_failed_part_of_the_worker_ends_the_process(
    kafka_service: Service, monkeypatch: pytest.MonkeyPatch, unused_tcp_port_factory: Callable[[], int]
) -> None:
    monkeypatch.setattr(roles, "Relay", Failing)
    ports = {"http_port": unused_tcp_port_factory(), "ops_port": unused_tcp_port_factory()}
    settings = kafka_service.settings.model_copy(update=ports)
    with pytest.raises(ValueError, match="out of order"):
        await asyncio.wait_for(ROLES["all"](replace(kafka_service, settings=settings)), 30)
