"""Hold that work is linear in the size of its input, by the processor time of this process."""

import gc
from collections.abc import Callable
from time import process_time

AT_MOST = 8
"""Four times the input may take that many times as long.

Quadratic work takes 16 times as long. Linear work can take 6 times as long where the larger input leaves a cache.
"""


def assert_linear(work: Callable[[int], Callable[[], object]], size: int, *, runs: int = 5) -> None:
    """Call `work(size)` and `work(4 * size)` for functions to measure, and compare the shortest of their times.

    The shortest, because other work on the machine lengthens also a time that counts only this process.
    """
    once, more = work(size), work(4 * size)
    gc.collect()
    gc.disable()  # a collection walks through all objects of the test run
    try:
        times = [(_seconds(once), _seconds(more)) for _ in range(runs)]
    finally:
        gc.enable()
    ratio = min(each[1] for each in times) / min(each[0] for each in times)
    assert ratio <= AT_MOST, f"four times the input takes {ratio:.2f} times as long"


def _seconds(call: Callable[[], object]) -> float:
    began = process_time()
    call()
    return process_time() - began
