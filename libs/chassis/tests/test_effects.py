"""Effects from the unit that requests them to the record of their outcome, on a real database and a real receiver."""

import asyncio
import gc
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from receiver import Receiver, change, having, request

from crossdock_chassis import Circuit, Effect, Schedule, Service, Unit
from crossdock_chassis import perform as performer
from crossdock_chassis.database.effects import PAYLOAD_LIMIT_BYTES, EffectTooLarge, NoPerformer
from crossdock_chassis.effects import worker
from crossdock_chassis.effects.performer import Do
from crossdock_chassis.effects.worker import Effects
from crossdock_chassis.observability import tracing
from crossdock_chassis.testing import Perform, requested

# --- requested in a unit


async def test_an_effect_is_committed_with_its_unit_or_not_at_all(service: Service, post: Do) -> None:
    service = having(service, post)

    class Failed(Exception):
        pass

    with suppress(Failed):
        async with service.database.unit() as unit:
            unit.effect("post", target="a", payload={})
            await unit.flush()
            raise Failed
    async with service.database.trial() as unit:
        unit.effect("post", target="a", payload={})
    assert await requested(service) == []
    async with service.database.unit() as unit:
        with suppress(Failed):
            async with unit.savepoint():
                unit.effect("post", target="gone", payload={})
                raise Failed
        ids = [unit.effect("post", target="a", payload={"n": n}, key="k") for n in range(3)]
    assert [row["id"] for row in await requested(service)] == ids


@pytest.mark.parametrize(
    ("target", "key", "payload"),
    [
        ("", None, {}),
        ("a" * 256, None, {}),
        ("a\n", None, {}),
        ("a", "", {}),
        ("a", "\x00", {}),
        ("a", None, {"x": float("nan")}),
        ("a", None, {"x": "\ud800"}),
        ("a", None, {"x": object()}),
        ("a", None, [1]),
    ],
)
async def test_what_cannot_be_stored_is_refused_at_the_request(
    service: Service, post: Do, target: str, key: str | None, payload: Any
) -> None:
    async with having(service, post).database.unit() as unit:
        with pytest.raises(ValueError):
            unit.effect("post", target=target, payload=payload, key=key)
    assert await requested(service) == []


async def test_a_payload_is_bounded_and_a_kind_needs_a_performer(service: Service, post: Do) -> None:
    async with having(service, post).database.unit() as unit:
        with pytest.raises(EffectTooLarge):
            unit.effect("post", target="a", payload={"x": "x" * PAYLOAD_LIMIT_BYTES})
        with pytest.raises(NoPerformer):
            unit.effect("psot", target="a", payload={})
    with pytest.raises(ValueError, match="two performers"):
        replace(service, effects=[performer("post", post), performer("post", post)])


async def test_the_performer_gets_the_payload_and_the_trace(service: Service, perform: Perform) -> None:
    seen: list[tuple[Effect, str | None]] = []

    async def do(effect: Effect) -> dict[str, object]:
        seen.append((effect, tracing.current_traceparent()))
        return {"tracking": "1Z\0", "count": float("nan")}

    service = having(service, do)
    payload = {"to": "bob \0 ✔", "lines": [1, 2.5, None]}
    with tracing.span("place"):
        trace = tracing.trace_id(tracing.current_traceparent())
        async with service.database.unit() as unit:
            id = unit.effect("post", target="a", payload=payload, key="k")
    (done,) = await perform(service)
    ((effect, traceparent),) = seen
    assert (effect.id, effect.key, effect.payload, effect.attempt) == (id, "k", payload, 1)
    assert tracing.trace_id(traceparent) == trace
    assert (done.state, done.result) == ("done", {"tracking": "1Z\0", "count": None})


@pytest.mark.parametrize("result", [{"x": object()}, {"x": "x" * worker.RESULT_LIMIT_BYTES}, {"x": "\ud800"}])
async def test_a_result_that_cannot_be_kept_leaves_the_effect_done(
    service: Service, perform: Perform, result: dict[str, object]
) -> None:
    async def do(effect: Effect) -> dict[str, object]:
        return result

    service = having(service, do)
    await request(service)
    (done,) = await perform(service)
    assert (done.state, done.result) == ("done", None)


async def test_a_verb_of_a_service_without_performers_may_not_request(service: Service) -> None:
    async def verb(unit: Unit, target: str) -> None:
        unit.effect("post", target=target, payload={})

    with pytest.raises(NoPerformer, match="toy-service has no performer of 'post'"):
        await service.database.run(verb, "a")


# --- tried again, and given up


async def test_a_failure_is_retried_and_the_last_attempt_gives_up(
    service: Service, receiver: Receiver, post: Do, perform: Perform
) -> None:
    async def fail(target: str, id: str) -> int:
        return 503

    receiver.answer = fail
    service = having(service, post, retry=Schedule(first=3600, max_attempts=3))
    await request(service)
    for attempt in (1, 2):
        (stored,) = await perform(service, hurry=True)
        assert (stored.state, stored.attempts, stored.in_flight) == ("pending", attempt, False)
        assert stored.reason is not None and stored.reason.startswith("HTTPStatusError: Server error '503")
    (stored,) = await perform(service, hurry=True)
    assert (stored.state, stored.attempts) == ("given_up", 3)
    assert stored.reason is not None and stored.reason.startswith("attempt 3, the last: HTTPStatusError")
    await perform(service, hurry=True)
    assert len(receiver.arrived) == 3


async def test_a_permanent_failure_is_given_up_at_once(
    service: Service, receiver: Receiver, post: Do, perform: Perform
) -> None:
    async def refuse(target: str, id: str) -> int:
        return 422

    receiver.answer = refuse
    service = having(service, post, circuit=Circuit(failures=1))
    await request(service, count=6)
    assert {(each.state, each.reason) for each in await perform(service)} == {("given_up", "no such address")}
    assert len(receiver.arrived) == 6, "a target that refuses answers: its circuit stays closed"


async def test_the_hint_of_the_target_is_the_earliest_retry(
    service: Service, receiver: Receiver, post: Do, perform: Perform
) -> None:
    async def busy(target: str, id: str) -> int:
        return 429

    receiver.answer = busy
    service = having(service, post, retry=Schedule(first=0.001))
    await request(service)
    await perform(service)
    (row,) = await requested(service)
    async with service.database.unit() as unit:
        wait = await unit.sql.fetchval("SELECT extract(epoch FROM due_at - now())::float FROM effect")
    assert row["reason"] == "Retry: too many requests" and 0 < wait <= 7.7


async def test_an_effect_pending_for_too_long_is_given_up(
    service: Service, receiver: Receiver, post: Do, perform: Perform
) -> None:
    service = having(service, post, retry=Schedule(max_age=60))
    await request(service, count=2)
    await change(service, "UPDATE effect SET pending_since = now() - interval '61 s' WHERE payload->>'n' = '0'")
    old, young = await perform(service)
    assert (old.state, old.reason) == ("given_up", "not done within 60 s; never attempted")
    assert young.state == "done" and len(receiver.arrived) == 1


async def test_an_effect_that_ends_its_worker_each_time_is_given_up(
    service: Service, receiver: Receiver, post: Do, perform: Perform
) -> None:
    service = having(service, post, retry=Schedule(max_attempts=3))
    await request(service)
    await change(service, "UPDATE effect SET attempts = 3, claimed_by = gen_random_uuid()")
    (stored,) = await perform(service)
    assert (stored.state, stored.reason) == ("given_up", "no attempt had an outcome: did each end its worker?")
    assert receiver.arrived == []


@pytest.mark.parametrize("raised", [RuntimeError("NUL \0, surrogate \ud800 " + "x" * 9_000), asyncio.CancelledError()])
async def test_whatever_a_performer_raises_is_recorded(
    service: Service, perform: Perform, raised: BaseException
) -> None:
    async def do(effect: Effect) -> None:
        raise raised

    service = having(service, do)
    await request(service)
    (stored,) = await perform(service)
    assert stored.state == "pending" and stored.attempts == 1
    assert stored.reason is not None and len(stored.reason) <= worker.REASON_LIMIT


# --- deadlines


async def test_a_deaf_performer_is_abandoned_at_the_deadline(
    service: Service, perform: Perform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release, cancelled = asyncio.Event(), asyncio.Event()

    async def deaf(effect: Effect) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                cancelled.set()
        raise RuntimeError("too late to matter")

    service = having(service, deaf, deadline=0.05)
    await request(service)
    (stored,) = await perform(service)
    assert (stored.state, stored.reason) == ("pending", "TimeoutError: no outcome within 0.05 s")
    await asyncio.wait_for(cancelled.wait(), 10)

    monkeypatch.setattr(worker, "ABANDONED_LIMIT", 0)
    (kind,) = Effects(service.database, service.effects).kinds
    await request(service)
    await kind._turn(claiming=True)
    await asyncio.wait(kind._running)
    stuck = kind.progressed
    await request(service)
    await kind._turn(claiming=True)
    assert kind.progressed == stuck, "no progress is what makes liveness fail"
    assert [row["attempts"] for row in await requested(service)] == [1, 1, 0]
    release.set()
    await asyncio.wait(kind._abandoned)
    await kind._turn(claiming=True)
    assert kind.progressed > stuck and kind._running
    await asyncio.wait(kind._running)
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_claim_that_begins_too_late_gives_its_attempt_back(
    service: Service, receiver: Receiver, post: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = having(service, post)
    await request(service)
    monkeypatch.setattr(worker, "START_SECONDS", -1.0)
    (kind,) = Effects(service.database, service.effects).kinds
    await kind._turn(claiming=True)
    await asyncio.wait(kind._running)
    await kind._turn(claiming=False)
    (row,) = await requested(service)
    assert (row["state"], row["attempts"], row["claimed_by"], receiver.arrived) == ("pending", 0, None, [])
