"""Which effects are claimed, by which worker and in which order: leases, targets, keys and plans."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest
from prometheus_client import REGISTRY
from receiver import Receiver, change, having, request

from crossdock_chassis import Circuit, Effect, Schedule, Service
from crossdock_chassis import perform as performer
from crossdock_chassis.effects import rows, worker
from crossdock_chassis.effects.performer import Do
from crossdock_chassis.effects.worker import Effects
from crossdock_chassis.testing import Perform, requested


async def nothing(effect: Effect) -> None: ...


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
    tried = {id for target, id in receiver.arrived if target == "dead"}
    assert len(tried) == 1  # once or again: its back-off may be short, and the effect behind it waits for it


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
