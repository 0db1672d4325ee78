"""Hold that work is linear in the size of its input, by the processor time of this process."""

import gc
from collections.abc import Callable
from statistics import median
from time import process_time

AT_MOST = 2.5
"""Twice the input may take that many times as long. Quadratic work takes 4 times as long."""


def assert_linear(work: Callable[[int], Callable[[], object]], size: int, *, runs: int = 3) -> None:
    """Call `work(size)` and `work(2 * size)` for functions to measure, and compare the medians of their times."""
    once, twice = work(size), work(2 * size)
    gc.collect()
    gc.disable()  # a collection walks through all objects of the test run
    try:
        times = [(_seconds(once), _seconds(twice)) for _ in range(runs)]
    finally:
        gc.enable()
    ratio = median(each[1] for each in times) / median(each[0] for each in times)
    assert ratio <= AT_MOST, f"twice the input takes {ratio:.2f} times as long"


def _seconds(call: Callable[[], object]) -> float:
    began = process_time()
    call()
    return process_time() - began
