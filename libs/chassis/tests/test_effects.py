"""Effects from the unit that requests them to the record of their outcome, on a real database and a real receiver."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY
from receiver import Receiver, posting, receiving

from crossdock_chassis import Circuit, Effect, Schedule, Service, Unit
from crossdock_chassis import perform as performer
from crossdock_chassis.database.effects import PAYLOAD_LIMIT_BYTES, EffectTooLarge, NoPerformer
from crossdock_chassis.effects import rows, worker
from crossdock_chassis.effects.performer import Do
from crossdock_chassis.effects.worker import Effects
from crossdock_chassis.observability import tracing
from crossdock_chassis.testing import Perform, requested


async def nothing(effect: Effect) -> None: ...


def having(service: Service, do: Do, **options: Any) -> Service:
    return replace(service, effects=[performer("post", do, **options)])


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def post(receiver: Receiver) -> AsyncIterator[Do]:
    async with posting(receiver.url) as post:
        yield post


async def request(service: Service, target: str = "a", count: int = 1, key: str | None = None) -> list[str]:
    async with service.database.unit() as unit:
        return [str(unit.effect("post", target=target, payload={"n": n}, key=key)) for n in range(count)]


async def states(service: Service) -> Counter[str]:
    return Counter(row["state"] for row in await requested(service))


async def change(service: Service, statement: str) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(statement)


@asynccontextmanager
async def working(*services: Service) -> AsyncIterator[Sequence[Effects]]:
    """A worker for each service, as its process would run it."""
    stopping, workers = asyncio.Event(), [Effects(each.database, each.effects, drain_seconds=5) for each in services]
    async with asyncio.TaskGroup() as group:
        for each in workers:
            group.create_task(each.run(stopping))
        try:
            yield workers
        finally:
            stopping.set()


async def until(service: Service, condition: str) -> None:
    async with asyncio.timeout(60):
        while True:
            async with service.database.unit() as unit:
                if await unit.sql.fetchval(f"SELECT {condition}"):
                    return
            await asyncio.sleep(0.02)


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
    assert kind.progressed > stuck and len(kind._running) == 1
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


# --- several workers


async def test_workers_side_by_side_perform_each_effect_once(service: Service, receiver: Receiver, post: Do) -> None:
    service = having(service, post)
    ids = [id for target in "abcd" for id in await request(service, target, 25)]
    async with working(service, service, service):
        await until(service, "bool_and(state = 'done') FROM effect")
    assert sorted(receiver.ids()) == sorted(ids)


async def test_a_worker_whose_lease_was_taken_over_changes_nothing(service: Service) -> None:
    may_end = {"stale": asyncio.Event(), "new": asyncio.Event()}

    def kind(name: str) -> worker.Kind:
        async def do(effect: Effect) -> dict[str, object]:
            await may_end[name].wait()
            return {"by": name}

        return worker.Kind(service.database, performer("post", do), 1.0)

    async def ends(name: str, kind: worker.Kind) -> None:
        may_end[name].set()
        await asyncio.wait(kind._running)
        await kind._turn(claiming=False)

    overtaken = {"kind": "post", "outcome": "overtaken"}
    before = REGISTRY.get_sample_value("crossdock_effect_attempts_total", overtaken) or 0
    service = having(service, nothing)
    await request(service)
    stale, new = kind("stale"), kind("new")
    await stale._turn(claiming=True)
    await change(service, "UPDATE effect SET due_at = now()")
    await new._turn(claiming=True)
    (claimed,) = await requested(service)
    await ends("stale", stale)
    assert await requested(service) == [claimed] and claimed["state"] == "pending"
    assert REGISTRY.get_sample_value("crossdock_effect_attempts_total", overtaken) == before + 1
    await ends("new", new)
    (row,) = await requested(service)
    assert (row["state"], row["attempts"], row["result"]) == ("done", 2, {"by": "new"})


async def test_a_lease_outlasts_the_deadline(service: Service) -> None:
    release = asyncio.Event()

    async def slow(effect: Effect) -> None:
        await release.wait()

    service = having(service, slow, deadline=100)
    await request(service)
    async with working(service):
        await until(service, "claimed_by IS NOT NULL FROM effect")
        await until(service, "due_at > now() + interval '120 s' FROM effect")
        release.set()


async def test_a_lost_database_connection_is_survived(service: Service, receiver: Receiver, post: Do) -> None:
    release = asyncio.Event()

    async def wait(target: str, id: str) -> int:
        await release.wait()
        return 200

    receiver.answer = wait
    service = having(service, post)
    await request(service)
    other = await asyncpg.connect(service.database.dsn)
    try:
        async with working(service):
            await receiver.until(lambda: len(receiver.arrived) == 1)
            async with service.database.unit() as unit:
                await unit.sql.execute("SELECT FROM effect FOR UPDATE")
                release.set()
                blocked = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
                async with asyncio.timeout(20):
                    while not await other.fetchval(f"SELECT count(pg_terminate_backend(pid)) {blocked}"):
                        await asyncio.sleep(0.01)
            await until(service, "bool_and(state = 'done') FROM effect")
    finally:
        await other.close()
    assert len(receiver.arrived) == 1


# --- targets do not wait for each other


async def test_a_dead_target_delays_no_other(service: Service, receiver: Receiver, post: Do) -> None:
    """1,000 effects of a target that never answers are due before all others."""
    never = asyncio.Event()

    async def dead_or_well(target: str, id: str) -> int:
        if target == "dead":
            await never.wait()
        return 200

    receiver.answer = dead_or_well
    circuit = Circuit(failures=4, first=600, longest=600)
    service = having(service, post, deadline=0.5, concurrency=8, target_concurrency=2, circuit=circuit)
    await request(service, "dead", 1_000)
    async with working(service):
        await receiver.until(lambda: receiver.targets().count("dead") == 2)
        await request(service, "a", 50)
        await request(service, "z", 50)
        await until(service, "bool_and(state = 'done') FROM effect WHERE target <> 'dead'")
        await until(service, "count(*) >= 4 FROM effect WHERE target = 'dead' AND attempts > 0 AND claimed_by IS NULL")
        await until(service, "bool_and(claimed_by IS NULL) FROM effect")
        assert REGISTRY.get_sample_value("crossdock_effect_circuits_open", {"kind": "post"}) == 1
        attempts = "SELECT sum(attempts) FROM effect WHERE target = 'dead'"
        async with service.database.unit() as unit:
            spent = await unit.sql.fetchval(attempts)
        for _ in range(3):
            await request(service, "a")
            await until(service, "bool_and(state = 'done') FROM effect WHERE target <> 'dead'")
        async with service.database.unit() as unit:
            assert await unit.sql.fetchval(attempts) == spent, "an open circuit costs no attempts"
    never.set()


async def test_no_target_gets_more_than_its_bound_at_once(service: Service) -> None:
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def do(effect: Effect) -> None:
        for each in (effect.target, "all"):
            now[each] += 1
            most[each] = max(most[each], now[each])
        await asyncio.sleep(0.01)
        for each in (effect.target, "all"):
            now[each] -= 1

    service = having(service, do, concurrency=5, target_concurrency=2)
    for target in "abcd":
        await request(service, target, 20)
    async with working(service):
        await until(service, "bool_and(state = 'done') FROM effect")
    assert most["all"] == 5 and max(most[target] for target in "abcd") == 2


async def test_more_targets_than_one_walk_are_all_served(
    service: Service, receiver: Receiver, post: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "WALK_LIMIT", 3)
    service = having(service, post, concurrency=2, target_concurrency=1)
    for target in "abcdefghij":
        await request(service, target, 5)
    async with working(service):
        await until(service, "bool_and(state = 'done') FROM effect")
    assert set(receiver.targets()[:20]) == set("abcdefghij"), "the targets take turns"


async def test_targets_with_nothing_due_hide_no_other(
    service: Service, receiver: Receiver, post: Do, perform: Perform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "WALK_LIMIT", 3)
    service = having(service, post)
    for target in "abcdefgz":
        await request(service, target)
    await change(service, "UPDATE effect SET due_at = now() + interval '1 h' WHERE target <> 'z'")
    async with asyncio.timeout(60):
        await perform(service)
    assert receiver.targets() == ["z"]


async def test_a_round_that_began_in_the_middle_begins_again(
    service: Service, receiver: Receiver, post: Do, perform: Perform
) -> None:
    service = having(service, post, concurrency=1, target_concurrency=1)
    for target in "ab":
        await request(service, target, 2)
    await perform(service)
    assert receiver.targets() == ["a", "b", "a", "b"]


# --- order


async def test_effects_of_a_key_are_performed_one_after_another(service: Service, receiver: Receiver, post: Do) -> None:
    service = having(service, post, retry=Schedule(first=0.05), circuit=Circuit(failures=100))
    ids = {key: await request(service, "a", 12, key) for key in ("k1", "k2")}
    failed = Counter[str]()
    flying: set[str] = set()

    async def fail_first(target: str, id: str) -> int:
        line = next(key for key, line in ids.items() if id in line)
        assert line not in flying
        flying.add(line)
        await asyncio.sleep(0.005)
        flying.discard(line)
        failed[id] += 1
        return 503 if failed[id] == 1 and ids[line].index(id) % 4 == 0 else 200

    receiver.answer = fail_first
    async with working(service, service):
        await until(service, "bool_and(state = 'done') FROM effect")
    for line in ids.values():
        assert [id for id in dict.fromkeys(receiver.ids()) if id in line] == line
        succeeded = [id for id in receiver.ids() if id in line]
        assert succeeded == sorted(succeeded, key=line.index), "a retry comes before the effects behind it"


async def test_a_given_up_effect_lets_the_next_of_its_key_go(
    service: Service, receiver: Receiver, post: Do, perform: Perform
) -> None:
    service = having(service, post)
    first, second = await request(service, "a", 2, "k")

    async def refuse_first(target: str, id: str) -> int:
        return 422 if id == first else 200

    receiver.answer = refuse_first
    assert [each.state for each in await perform(service)] == ["given_up", "done"]
    assert receiver.ids() == [first, second]


async def test_a_key_waits_only_for_its_own_target(
    service: Service, receiver: Receiver, post: Do, perform: Perform
) -> None:
    async def one_is_dead(target: str, id: str) -> int:
        return 503 if target == "dead" else 200

    receiver.answer = one_is_dead
    service = having(service, post)
    await request(service, "dead", 2, "order-1")
    await request(service, "well", 2, "order-1")
    assert [each.state for each in await perform(service)] == ["pending", "pending", "done", "done"]
    assert receiver.targets().count("dead") == 1


# --- cost


@pytest.mark.parametrize("known", [0, 50], ids=["empty", "small"])
@pytest.mark.parametrize(
    ("statement", "types", "arguments"),
    [
        (rows.WALK, "text, text, bigint", "'k', '', 1"),
        (rows.CLAIM, "text, text[], int[], bigint, uuid, float", "'k', '{a}', '{1}', 1, gen_random_uuid(), 1"),
        (rows.RECORD, "uuid[], uuid[], text[], text[], text[], float[], int[]", ", ".join(["'{}'"] * 7)),
        (rows.EXPIRE, "text, float", "'k', 1"),
    ],
)
async def test_statements_go_by_an_index_whenever_planned(
    service: Service, statement: str, types: str, arguments: str, known: int
) -> None:
    """The plan is kept when the table has grown."""
    service = having(service, nothing)
    if known:
        await request(service, "a", known, "k")
        await change(service, "ANALYZE effect")
    async with service.database.unit() as unit:
        await unit.sql.execute(rows.BY_INDEX)
        await unit.sql.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await unit.sql.execute(f"PREPARE made_early ({types}) AS {statement}")
        plan = [row[0] for row in await unit.sql.fetch(f"EXPLAIN (COSTS OFF) EXECUTE made_early({arguments})")]
    assert any("Index" in line for line in plan)
    assert not any("Seq Scan" in line for line in plan), plan
    assert statement is not rows.CLAIM or any("effect_line" in line for line in plan), plan


async def test_a_verb_of_a_service_without_performers_may_not_request(service: Service) -> None:
    async def verb(unit: Unit, target: str) -> None:
        unit.effect("post", target=target, payload={})

    with pytest.raises(NoPerformer, match="toy-service has no performer of 'post'"):
        await service.database.run(verb, "a")
