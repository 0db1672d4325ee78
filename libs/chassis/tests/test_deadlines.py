import asyncio

import pytest

from crossdock_chassis.deadlines import Interrupted, foreign_cancellation_is_an_error, within
from crossdock_chassis.messaging import clients


async def stubborn(ended: asyncio.Event) -> None:
    """Ignore every cancellation until the test ends, as a Kafka client without a broker does."""
    while not ended.is_set():
        try:
            await ended.wait()
        except asyncio.CancelledError:
            continue


async def outcome(work: asyncio.Task[None]) -> asyncio.Task[None]:
    done, _ = await asyncio.wait({work}, timeout=5)
    assert work in done, "it waits for work that ignores its cancellation"
    return work


async def test_a_deadline_holds_against_work_that_goes_on() -> None:
    ended = asyncio.Event()
    waiting = await outcome(asyncio.create_task(within(0.05, stubborn(ended))))
    ended.set()
    with pytest.raises(TimeoutError, match=r"no result within 0\.05 s"):
        waiting.result()


async def test_a_cancelled_caller_leaves_such_work_behind() -> None:
    ended = asyncio.Event()
    waiting = asyncio.create_task(within(60, stubborn(ended)))
    await asyncio.sleep(0)
    waiting.cancel()
    await outcome(waiting)
    ended.set()
    assert waiting.cancelled()


async def test_results_and_errors_in_time_are_passed_on() -> None:
    async def three() -> int:
        return 3

    async def fails() -> None:
        raise ValueError("as it is")

    assert await within(5, three()) == 3
    with pytest.raises(ValueError, match="as it is"):
        await within(5, fails())


async def test_a_client_that_never_stops_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its coordination task is cancelled too: it would join the group again."""
    ended = asyncio.Event()
    coordination = asyncio.create_task(asyncio.Event().wait())

    class Part:
        _coordination_task = coordination

        async def close(self) -> None:
            await stubborn(ended)

    class Client:
        _coordinator = Part()
        _client = Part()

        async def stop(self) -> None:
            await stubborn(ended)

    monkeypatch.setattr(clients, "STOP_SECONDS", 0.05)
    monkeypatch.setattr(clients, "PART_SECONDS", 0.05)
    await outcome(asyncio.create_task(clients.discard(Client())))
    ended.set()
    assert coordination.cancelled()


async def test_a_future_cancelled_by_a_library_is_an_error() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.cancel)
    with pytest.raises(Interrupted), foreign_cancellation_is_an_error():
        await future


async def test_work_that_ends_cancelled_is_an_error() -> None:
    async def gives_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(Interrupted):
        await within(5, gives_up())


async def test_a_cancellation_of_the_task_stays_one() -> None:
    async def work() -> None:
        with foreign_cancellation_is_an_error():
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await outcome(task)
    assert task.cancelled()
