"""kill -9 between claim, act and record: no effect is lost, and the receiver sees one when it drops repeated ids."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from receiver import Receiver, accept

from crossdock_chassis import Effect, Service, perform
from crossdock_chassis.testing import requested

CHILD = Path(__file__).with_name("effects_child.py")


async def never(effect: Effect) -> None:
    raise AssertionError("only the child performs")


@pytest.fixture
def service(service: Service) -> Service:
    return replace(service, effects=[perform("post", never)])


@asynccontextmanager
async def child(service: Service, receiver: Receiver, *mode: str) -> AsyncIterator[asyncio.subprocess.Process]:
    arguments = (str(CHILD), service.database.dsn, receiver.url, *mode)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.wait_for(process.communicate(), 20)


async def request(service: Service, count: int, key: str | None = None) -> list[UUID]:
    async with service.database.unit() as unit:
        return [unit.effect("post", target=f"t{n % 5}", payload={"n": n}, key=key) for n in range(count)]


async def leases_end(service: Service) -> None:
    """As if the time had passed."""
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE effect SET due_at = now() WHERE state = 'pending'")


async def states(service: Service) -> set[str]:
    return {row["state"] for row in await requested(service)}


async def until_done(service: Service) -> None:
    async with asyncio.timeout(60):
        while await states(service) != {"done"}:
            await asyncio.sleep(0.05)


async def test_killed_after_the_claim_before_the_act_it_is_performed(service: Service, receiver: Receiver) -> None:
    (id,) = await request(service, 1)
    async with child(service, receiver, "hang") as worker:
        assert worker.stdout is not None
        assert await asyncio.wait_for(worker.stdout.readline(), 60) == b"claimed\n"
        worker.kill()
        await worker.wait()
    (row,) = await requested(service)
    assert (row["state"], row["attempts"], receiver.arrived) == ("pending", 1, [])
    assert row["claimed_by"] is not None and (row["due_at"] - row["created_at"]).total_seconds() >= 60
    await leases_end(service)
    async with child(service, receiver):
        await until_done(service)
    assert receiver.ids() == [str(id)]


async def test_killed_in_the_middle_of_the_act_it_is_performed_again(service: Service, receiver: Receiver) -> None:
    (id,) = await request(service, 1)
    release = asyncio.Event()

    async def keep_waiting(target: str, id: str) -> int:
        await release.wait()
        return 200

    receiver.answer = keep_waiting
    async with child(service, receiver) as worker:
        await receiver.until(lambda: len(receiver.arrived) == 1)
        worker.kill()
        await worker.wait()
    release.set()
    await leases_end(service)
    async with child(service, receiver):
        await until_done(service)
    assert receiver.ids() == [str(id)] * 2


async def test_killed_before_the_record_it_is_performed_again(service: Service, receiver: Receiver) -> None:
    """The test locks the row, so that the worker waits in its second unit."""
    (id,) = await request(service, 1)
    release = asyncio.Event()

    async def keep_waiting(target: str, id: str) -> int:
        await release.wait()
        return 200

    receiver.answer = keep_waiting
    watching = await asyncpg.connect(service.database.dsn)
    try:
        async with child(service, receiver) as worker:
            await receiver.until(lambda: len(receiver.arrived) == 1)
            async with service.database.unit() as unit:
                await unit.sql.execute("SELECT FROM effect FOR UPDATE")
                release.set()
                async with asyncio.timeout(20):
                    while not await watching.fetchval(
                        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                        "AND datname = current_database() AND query LIKE '%new.claim%'"
                    ):
                        await asyncio.sleep(0.01)
                worker.kill()
                await worker.wait()
                # the server notices that its client is gone only when it answers: end its wait now
                await watching.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                    "AND datname = current_database()"
                )
    finally:
        await watching.close()
    assert await states(service) == {"pending"}
    await leases_end(service)
    async with child(service, receiver):
        await until_done(service)
    assert receiver.ids() == [str(id)] * 2


async def test_workers_killed_again_and_again_lose_nothing(service: Service, receiver: Receiver) -> None:
    wanted = [str(id) for id in await request(service, 100)]
    in_order = [str(id) for id in await request(service, 60, "one-line")]
    reached = 0

    def enough() -> bool:
        return len(set(receiver.ids())) >= reached

    for reached in (50, 100):  # noqa: B007  (`enough` reads it)
        async with child(service, receiver) as first, child(service, receiver) as second:
            await receiver.until(enough)
            first.kill()
            second.kill()
            await asyncio.gather(first.wait(), second.wait())
        await leases_end(service)
    async with child(service, receiver) as worker:
        await until_done(service)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 20) == 0
    assert set(receiver.ids()) == {*wanted, *in_order}
    for target in range(5):
        first_seen = list(dict.fromkeys(id for to, id in receiver.arrived if to == f"t{target}" and id in in_order))
        assert first_seen == in_order[target::5]


async def test_a_stopped_worker_finishes_what_is_in_flight(service: Service, receiver: Receiver) -> None:
    await request(service, 1)
    release = asyncio.Event()

    async def answer_once_released(target: str, id: str) -> int:
        await release.wait()
        return await accept(target, id)

    receiver.answer = answer_once_released
    async with child(service, receiver) as worker:
        await receiver.until(lambda: len(receiver.arrived) == 1)
        worker.send_signal(signal.SIGTERM)
        assert worker.stdout is not None
        assert await asyncio.wait_for(worker.stdout.readline(), 20) == b"stopping\n"
        release.set()
        assert await asyncio.wait_for(worker.wait(), 20) == 0
    assert await states(service) == {"done"}
