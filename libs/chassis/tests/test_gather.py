import time

from crossdock_chassis.messaging.linger import MAX_LINGER_SECONDS, linger, linger_seconds


def test_a_lone_message_is_not_held_and_a_crowd_not_for_long() -> None:
    assert linger_seconds(1) <= 0.005
    assert linger_seconds(1) < linger_seconds(5) < linger_seconds(1_000) == MAX_LINGER_SECONDS <= 0.05


async def test_after_a_batch_that_took_long_the_next_begins_at_once() -> None:
    asked = time.monotonic()
    await linger(asked - 60, 5)
    assert time.monotonic() - asked < MAX_LINGER_SECONDS


async def test_what_is_left_of_the_pause_is_waited() -> None:
    began = time.monotonic()
    await linger(began, 99)
    assert time.monotonic() - began >= MAX_LINGER_SECONDS - 0.005
