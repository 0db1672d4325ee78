import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import children
import psutil
import pytest
from on_kafka import eventually

from crossdock_chassis import Child, ChildBroken, ChildFailed, ChildLost


async def answers(child: Child[object], ask: str, *values: object, seconds: float = 60) -> list[object]:
    return [answer async for answer in child.call(ask, *values, seconds=seconds)]


def gone(pid: int | None) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


async def test_child_keeps_what_it_made_from_call_to_call() -> None:
    async with Child(children.make) as child:
        assert await answers(child, "keep", 1, 2) == [1, 2]
        pid = child.pid
        assert await answers(child, "keep", 3) == [1, 2, 3]
        assert child.pid == pid
    assert gone(pid)


async def test_calls_at_once_are_answered_one_after_another() -> None:
    async with Child(children.make) as child:
        found = await asyncio.gather(*(answers(child, "keep", n) for n in range(5)))
    assert sorted(map(len, found)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("ask", "why"), [("die", "signal 9 ended it"), ("leave", "it ended by itself with 3")])
async def test_death_of_the_child_costs_only_the_call(ask: str, why: str) -> None:
    async with Child(children.make) as child:
        await answers(child, "keep", 1)
        with pytest.raises(ChildLost, match=f"^{why}$"):
            await answers(child, ask)
        assert await answers(child, "keep", 2) == [2]


async def test_child_is_killed_at_the_limit_of_a_call() -> None:
    async with Child(children.make) as child:
        await answers(child, "keep", 1)
        pid = child.pid
        with pytest.raises(ChildLost, match=r"^it took longer than 0.1 s and was killed$"):
            await answers(child, "hang", seconds=0.1)
        assert gone(pid) and child.pid is None
        assert await answers(child, "keep", 2) == [2]


async def test_cancelled_call_ends_the_child() -> None:
    """Otherwise its answers would come in the place of the next call's."""
    async with Child(children.make) as child:
        await answers(child, "keep", 1)
        pid = child.pid
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await answers(child, "hang")
        assert gone(pid)
        assert await answers(child, "keep", 2) == [2]


async def test_error_of_the_function_leaves_the_child_running() -> None:
    async with Child(children.make) as child:
        await answers(child, "keep", 1)
        pid = child.pid
        with pytest.raises(ChildFailed, match=r"^ValueError: the series is constant$"):
            await answers(child, "fail")
        assert (await answers(child, "keep"), child.pid) == ([1], pid)


async def test_child_that_cannot_start_says_why() -> None:
    async with Child(children.cannot_be_made) as child:
        for _ in range(2):
            with pytest.raises(ChildBroken, match=r"^ImportError: No module named 'prophet'$"):
                await answers(child, "keep")


async def test_output_of_libraries_does_not_mix_with_answers(capfd: pytest.CaptureFixture[str]) -> None:
    async with Child(children.make) as child:
        assert await answers(child, "chat") == [""]
    assert "from a program" in capfd.readouterr().err


async def test_child_without_calls_ends_and_starts_again() -> None:
    async with Child(children.make, idle_seconds=0.05) as child:
        await answers(child, "keep", 1)
        pid = child.pid

        async def freed() -> bool:
            return child.pid is None and gone(pid)

        await eventually(freed)
        assert await answers(child, "keep", 2) == [2]


async def test_child_is_replaced_after_its_calls() -> None:
    async with Child(children.make, calls=2) as child:
        assert [len(await answers(child, "keep", n)) for n in range(5)] == [1, 2, 1, 2, 1]


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no limit of the address space")
async def test_child_beyond_its_memory_fails_the_call_alone() -> None:
    async with Child(children.make, memory=1 << 30) as child:
        with pytest.raises(ChildFailed, match="MemoryError"):
            await answers(child, "fill", 1 << 31)
        assert await answers(child, "fill", 1 << 20) == [1 << 20]


async def test_child_gets_environment_and_priority() -> None:
    async with Child(children.make, nice=3, environment={"OMP_NUM_THREADS": "1"}) as child:
        assert await answers(child, "environment") == [("1", os.nice(0) + 3)]


@pytest.mark.parametrize("each", [signal.SIGTERM, signal.SIGINT])
async def test_child_survives_signals_to_its_group(each: signal.Signals) -> None:
    async with Child(children.make) as child:
        await answers(child, "keep", 1)
        assert child.pid is not None
        os.kill(child.pid, each)
        assert await answers(child, "keep", 2) == [1, 2]


async def test_dead_children_leave_nothing_open() -> None:
    process = psutil.Process()
    before = process.num_fds()
    async with Child(children.make) as child:
        for _ in range(3):
            with pytest.raises(ChildLost):
                await answers(child, "die")

    async def closed() -> bool:
        return process.num_fds() <= before

    await eventually(closed)


async def test_child_that_computes_ends_with_its_killed_parent() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(children.__file__)), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        child = int(await asyncio.wait_for(parent.stdout.readline(), 60))
        assert not gone(child)
    finally:
        parent.kill()
        await parent.communicate()

    async def ended() -> bool:
        return gone(child)

    await eventually(ended)
