"""Functions that the process of a `Child` finds by their names, and a parent to be killed: `children.py`."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator


def make() -> Callable[..., Iterator[object]]:
    kept: list[object] = []
    return lambda ask, *values: _ASKS[ask](kept, *values)


def cannot_be_made() -> Callable[..., Iterator[object]]:
    raise ImportError("No module named 'prophet'")


def keep(kept: list[object], *values: object) -> Iterator[object]:
    kept += values
    yield from kept


def die(kept: list[object]) -> Iterator[object]:
    yield "before"
    os.kill(os.getpid(), signal.SIGKILL)


def leave(kept: list[object]) -> Iterator[object]:
    os._exit(3)


def hang(kept: list[object]) -> Iterator[object]:
    time.sleep(3600)
    yield None


def fail(kept: list[object]) -> Iterator[object]:
    yield "before"
    raise ValueError("the series is constant")


def chat(kept: list[object]) -> Iterator[object]:
    print("fitting …", flush=True)
    os.system("echo from a program")
    yield sys.stdin.read()


def fill(kept: list[object], size: int) -> Iterator[object]:
    yield len(bytearray(size))


def environment(kept: list[object]) -> Iterator[object]:
    yield os.environ.get("OMP_NUM_THREADS"), os.nice(0)


_ASKS = {each.__name__: each for each in (keep, die, leave, hang, fail, chat, fill, environment)}


async def main() -> None:
    """Print the pid of a child that computes, and wait."""
    import children  # noqa: PLC0415  (the child finds functions by the name of their module)

    from crossdock_chassis import Child  # noqa: PLC0415  (children import this module too, and need no chassis)

    child = Child(children.make)
    answers = [answer async for answer in child.call("keep", seconds=60)]
    print(child.pid, *answers, flush=True)
    async for _ in child.call("hang", seconds=3600):
        pass


if __name__ == "__main__":
    asyncio.run(main())
