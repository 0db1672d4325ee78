"""When to try again and when to leave a target alone, without a database."""

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from crossdock_chassis import Circuit, Effect, Retry, Schedule, perform
from crossdock_chassis.effects.breaker import Breakers
from crossdock_chassis.effects.performer import MAX_RETRY_AFTER_SECONDS, retry_after


async def do(effect: Effect) -> None: ...


def test_delays_grow_are_jittered_and_bounded() -> None:
    schedule = Schedule(first=1, longest=60)
    for attempt in (1, 2, 5, 20, 10_000):
        highest = min(60, 2.0 ** min(attempt - 1, 60))
        delays = [schedule.delay(attempt) for _ in range(200)]
        assert 0 <= min(delays) < 0.2 * highest and 0.8 * highest < max(delays) <= highest


def test_the_hint_of_the_target_is_a_minimum() -> None:
    assert all(30 <= Schedule(first=1).delay(1, 30.0) <= 33 for _ in range(100))


@pytest.mark.parametrize(
    ("hint", "taken"),
    [(30, 30.0), (-1, 0.0), (1e12, MAX_RETRY_AFTER_SECONDS), (math.inf, MAX_RETRY_AFTER_SECONDS), (math.nan, None)],
)
def test_a_hint_that_makes_no_sense_is_bounded(hint: float, taken: float | None) -> None:
    assert retry_after(Retry("later", retry_after=hint)) == taken


def test_an_exception_of_another_library_may_carry_any_hint() -> None:
    class Foreign(Exception):
        retry_after = "Wed, 21 Oct 2015 07:28:00 GMT"

    assert retry_after(Foreign()) is None and retry_after(Exception()) is None


@pytest.mark.parametrize("wrong", [{"first": 0}, {"first": 9, "longest": 1}, {"max_attempts": 0}, {"max_age": 0}])
def test_a_schedule_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a retry schedule"):
        Schedule(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"deadline": 0}, {"deadline": 301}, {"target_concurrency": 0}, {"target_concurrency": 9, "concurrency": 8}],
)
def test_a_performer_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="mail: "):
        perform("mail", do, **wrong)
    with pytest.raises(ValueError, match="kind"):
        perform("Not a kind", do)
    with pytest.raises(ValueError, match="circuit"):
        Circuit(failures=0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("crossdock_chassis.effects.breaker.time.monotonic", lambda: clock.now)
    return clock


def test_a_circuit_opens_is_probed_by_one_and_closes(clock: SimpleNamespace) -> None:
    breakers = Breakers(Circuit(failures=3, first=8, longest=60))
    assert [breakers.failed("dead", clock.now, None) for _ in range(2)] == [None, None]
    assert breakers.room("dead", 1, 4) == 3 and breakers.open == 0
    pause = breakers.failed("dead", clock.now, None)
    assert pause is not None and 4 <= pause <= 8 and breakers.open == 1
    assert breakers.room("dead", 0, 4) == 0 and breakers.room("well", 0, 4) == 4
    clock.now += pause
    assert breakers.room("dead", 0, 4) == 1 and breakers.room("dead", 1, 4) == 0
    breakers.succeeded("dead")
    assert breakers.room("dead", 0, 4) == 4 and breakers.open == 0
    assert breakers.failed("dead", clock.now, None) is None, "it counts anew"


def test_a_success_between_failures_keeps_a_circuit_closed(clock: SimpleNamespace) -> None:
    breakers = Breakers(Circuit(failures=2))
    for _ in range(5):
        assert breakers.failed("flaky", clock.now, None) is None
        breakers.succeeded("flaky")


def test_failed_probes_lengthen_the_pause_to_a_bound(clock: SimpleNamespace) -> None:
    breakers = Breakers(Circuit(failures=1, first=1, longest=1000))
    pauses = []
    for _ in range(30):
        pause = breakers.failed("dead", clock.now, None)
        assert pause is not None
        pauses.append(pause)
        clock.now += pause
    assert all(500 <= pause <= 1000 for pause in pauses[10:])
    assert all(2.0**n / 2 <= pause <= 2.0**n for n, pause in enumerate(pauses[:10]))
    assert all(later > 0.9 * earlier for earlier, later in pairwise(pauses[:9]))


def test_attempts_from_before_the_opening_are_no_probes(clock: SimpleNamespace) -> None:
    breakers = Breakers(Circuit(failures=1, first=10))
    began = clock.now
    clock.now += 5
    first = breakers.failed("dead", began, None)
    assert first is not None
    assert [breakers.failed("dead", began, None) for _ in range(3)] == [None] * 3
    clock.now += first
    assert breakers.room("dead", 0, 4) == 1


def test_the_hint_keeps_a_circuit_open_within_its_bound(clock: SimpleNamespace) -> None:
    breakers = Breakers(Circuit(failures=1, first=1, longest=60))
    assert breakers.failed("busy", clock.now, 30.0) == 30.0
    assert Breakers(Circuit(failures=1, first=1, longest=60)).failed("busy", clock.now, 1e6) == 60.0


def test_targets_that_nothing_is_sent_to_are_forgotten(clock: SimpleNamespace) -> None:
    breakers = Breakers(Circuit(failures=1, longest=60))
    breakers.failed("gone", clock.now, None)
    clock.now += 100
    breakers.forget_idle()
    assert breakers.open == 1
    clock.now += 100
    breakers.forget_idle()
    assert breakers.open == 0
