import time

from crossdock_chassis.messaging.linger import LONGEST_SECONDS, gather_more, pause


def test_a_lone_message_is_not_held_and_a_crowd_not_for_long() -> None:
    assert pause(1) <= 0.005
    assert pause(1) < pause(5) < pause(1_000) == LONGEST_SECONDS <= 0.05


async def test_after_a_batch_that_took_long_the_next_begins_at_once() -> None:
    asked = time.monotonic()
    await gather_more(asked - 60, 5)
    assert time.monotonic() - asked < LONGEST_SECONDS


async def test_what_is_left_of_the_pause_is_waited() -> None:
    began = time.monotonic()
    await gather_more(began, 99)
    assert time.monotonic() - began >= LONGEST_SECONDS - 0.005
