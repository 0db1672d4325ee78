import asyncio
import time
from collections.abc import Sequence

import pytest
from pydantic import BaseModel

from crossdock_chassis import Coalescer, Service, Unit
from crossdock_chassis.commands import gather
from crossdock_chassis.commands.gather import WINDOW_SECONDS, Gather


def gathering(commands: int, at_once: int) -> Gather:
    """Return the waits after so many commands in half a second, of which so many were in flight at once."""
    found = Gather()
    for _ in range(commands):
        found.arrived(0, at_once)
    return found


def test_window_opens_with_the_rate_of_commands() -> None:
    windows = [gathering(commands, 3).window() for commands in (1, 4, 9, 14, 30, 500)]
    assert windows[:3] == [0, 0, 0] and 0 < windows[3] < WINDOW_SECONDS
    assert windows[4:] == [WINDOW_SECONDS] * 2 and WINDOW_SECONDS <= 0.05


@pytest.mark.parametrize(("commands", "at_once", "waiting"), [(5, 3, 1), (500, 1, 1), (500, 3, 3)])
async def test_nobody_waits_for_what_will_not_come(commands: int, at_once: int, waiting: int) -> None:
    """Neither at a low rate, nor a client alone, nor the last of several clients that wait for their answers."""
    found = gathering(commands, at_once)
    await found.wait(waiting)
    began = time.monotonic()
    await found.wait(waiting)
    assert time.monotonic() - began < WINDOW_SECONDS / 2


async def test_rest_of_the_window_is_waited_for_more_commands() -> None:
    found = gathering(500, 5)
    await found.wait(1)
    began = time.monotonic()
    await found.wait(1)
    assert time.monotonic() - began >= WINDOW_SECONDS - 0.005


async def test_most_at_once_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "MEMORY_SECONDS", 0.01)
    found = gathering(3, 7)
    assert found.most == 7
    await asyncio.sleep(0.03)
    found.arrived(1, 2)
    assert found.most == 2


class Done(BaseModel):
    pass


async def test_clients_that_wait_for_answers_share_a_unit(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a window of a minute, only the rule that all of them have sent their next command ends a wait."""
    monkeypatch.setattr(gather, "WINDOW_SECONDS", 60.0)
    sizes: list[int] = []

    async def accept(unit: Unit, batch: Sequence[int]) -> Sequence[Done | Exception]:
        sizes.append(len(batch))
        return [Done() for _ in batch]

    door = Coalescer(service.database, accept, Done)

    async def client() -> None:
        for n in range(5):
            await door(n)

    async with asyncio.timeout(20):
        await asyncio.gather(*(client() for _ in range(4)))
    assert sum(sizes) == 20 and sizes[-4:] == [4, 4, 4, 4]


async def test_commands_that_need_units_of_their_own_do_not_wait(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "WINDOW_SECONDS", 60.0)

    async def accept(unit: Unit, batch: Sequence[int]) -> Sequence[Done | Exception]:
        return [Done() for _ in batch]

    door = Coalescer(service.database, accept, Done, limit=1)
    async with asyncio.timeout(20):
        await asyncio.gather(*(door(n) for n in range(20)))
        await door(20)
