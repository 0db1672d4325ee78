import time

import pytest

from crossdock_chassis._pace import LONGEST_SECONDS, gather_more, pause


def test_a_lone_message_is_not_held_and_a_crowd_not_for_long() -> None:
    assert pause(1) <= 0.005
    assert pause(1) < pause(5) < pause(1_000) == LONGEST_SECONDS <= 0.05


@pytest.mark.parametrize(
    ("began", "count"), [(time.monotonic(), 100), (time.monotonic() - 60, 5)], ids=["it was full", "it took long"]
)
async def test_the_next_batch_begins_at_once(began: float, count: int) -> None:
    asked = time.monotonic()
    await gather_more(began, count, full=100)
    assert time.monotonic() - asked < LONGEST_SECONDS


async def test_what_is_left_of_the_pause_is_waited() -> None:
    began = time.monotonic()
    await gather_more(began, 99, full=100)
    assert time.monotonic() - began >= LONGEST_SECONDS - 0.005
