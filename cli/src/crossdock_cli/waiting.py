import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.1


def in_thread(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run the coroutine to its end in a new thread, because the caller's thread may run an event loop already."""
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(asyncio.run(work()))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until the condition holds. Return False if it does not hold within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
