"""Stopped partitions and groups: stored with their cause, decided about over HTTP, and taken up again."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest
import toy
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition
from examples import cancelled, placed
from on_kafka import (
    ORDERS,
    PARTITIONS,
    all_published,
    eventually,
    from_now_on,
    mine,
    own_partition,
    publish,
    relay,
    running,
)
from test_breaker import Faulty
from test_inbox import ODD

from crossdock_chassis import Service, Unit
from crossdock_chassis.messaging import consumer as consumer_module
from crossdock_chassis.messaging import stopped as stopped_module
from crossdock_chassis.messaging import stops
from crossdock_chassis.messaging.aside import Record
from crossdock_chassis.messaging.breaker import KEYS
from crossdock_chassis.messaging.consumer import Consumer
from crossdock_chassis.messaging.stops import DecisionWithdrawn, Kind, OpenStop, Stop
from crossdock_chassis.testing import OPS, Clients, envelope_of
from crossdock_events import Message
from crossdock_events.orders import OrderPlaced

NEWER = "crossdock.OrderPlaced.v9"


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(stopped_module, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(stops, "SILENT_SECONDS", 0.5)


def newer(order: OrderPlaced, ce_type: str = NEWER) -> Message:
    message = envelope_of(order).encode()
    return replace(message, headers={**message.headers, "ce_type": ce_type.encode()})


async def mirror(service: Service, *messages: Message) -> None:
    """Let the relay send records that this build could not publish."""
    async with service.database.unit() as unit:
        for message in messages:
            unit.mirror(message)
    await eventually(lambda: all_published(service))


class Desk:
    """The person who decides."""

    def __init__(self, service: Service, clients: Clients) -> None:
        self.client: httpx.AsyncClient = clients(service, None, OPS, subject="ops")

    async def listed(self, state: str = "open") -> list[dict[str, Any]]:
        page = (await self.client.get(f"/v1/stopped?state={state}")).json()
        return list(page["items"])

    async def stop(self, of: Callable[[dict[str, Any]], bool] = lambda stop: True) -> dict[str, Any]:
        """Wait until an undecided stop is listed."""

        def undecided(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
            return [stop for stop in found if stop["decision"] is None and of(stop)]

        async def there() -> bool:
            return bool(undecided(await self.listed()))

        await eventually(there)
        return undecided(await self.listed())[0]

    async def post(self, stop: dict[str, Any], verb: str, **body: object) -> httpx.Response:
        dry = body.pop("dry_run", False)
        path = f"/v1/stopped/{stop['id']}:{verb}" + ("?dry_run=true" if dry else "")
        return await self.client.post(path, json={"reason": "because", **body})

    async def ended(self, stop: dict[str, Any]) -> dict[str, Any]:
        async def over() -> bool:
            return (await self.client.get(f"/v1/stopped/{stop['id']}")).json()["ended_at"] is not None

        await eventually(over)
        return dict((await self.client.get(f"/v1/stopped/{stop['id']}")).json())


@pytest.fixture
def desk(kafka_service: Service, clients: Clients) -> Desk:
    return Desk(kafka_service, clients)


async def letters(service: Service, state: str) -> list[str]:
    """Return the types of the dead letters in this state, in the order of the log."""
    async with service.database.unit() as unit:
        rows = await unit.sql.fetch(
            """SELECT headers->>'ce_type' AS type FROM dead_letter WHERE state = $1 ORDER BY partition, "offset" """,
            state,
        )
    return [row["type"] for row in rows]


async def positions(service: Service) -> dict[int, int]:
    async with service.database.unit() as unit:
        rows = await unit.sql.fetch("SELECT partition, next FROM consumer_position WHERE topic = $1", ORDERS)
    return {row["partition"]: row["next"] for row in rows}


async def test_newer_record_is_parked_and_its_partition_goes_on(
    kafka_service: Service, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, tag = kafka_service, uuid4().hex[:8]
    order, first = placed(f"{tag}-new"), await from_now_on(service)
    async with running(relay(service)):
        async with running(first):
            await mirror(service, newer(order))
            await publish(service, (cancelled(order), 2), (placed(f"{tag}-1", order.order_id), 3))
            stop = await desk.stop()
            assert (stop["kind"], stop["type"], stop["topic"]) == ("version", NEWER, ORDERS)
            assert (stop["partition"], stop["record"]["key"]) == (own_partition(order.order_id), str(order.order_id))
            assert f"{tag}-new" in stop["record"]["value"] and NEWER in stop["reason"]
            dry = (await desk.post(stop, "park", dry_run=True)).json()
            assert (dry["lost"], dry["set_aside"], dry["dry_run"]) == (0, 1, True)
            assert (await desk.stop())["id"] == stop["id"], "a dry run decides nothing"
        # Nobody runs now: a consumer that is killed before it sees the decision is such a case.
        decided = await desk.post(stop, "park")
        assert decided.status_code == 200 and decided.json()["stop"]["decided_by"] == "ops"
        assert (await desk.post(stop, "park")).status_code == 200, "the same decision again"
        assert (await desk.post(stop, "skip")).json()["type"].endswith("stop-decided")
        second = Consumer(service.database, service.settings.broker, service.subscriptions()[0])
        take = second.inbox.take

        async def cut_off(unit: Unit, records: Sequence[Record], **how: Any) -> int:
            """Lose the connection once, after the decision was carried out and before the commit."""
            monkeypatch.setattr(second.inbox, "take", take)
            unit.sql.terminate()
            raise ConnectionResetError

        monkeypatch.setattr(second.inbox, "take", cut_off)
        async with running(second):
            ended = await desk.ended(stop)
            assert (ended["outcome"], ended["records"]) == ("done", 1)
            assert second.inbox.take == take

            await eventually(partial(_are, service, "parked", 2))
            assert await letters(service, "poison") == [NEWER]
            assert await mine(service, tag) == {}
            late = await desk.post(stop, "park")
            assert (late.status_code, late.json()["type"]) == (409, "urn:crossdock:problem:stop-ended")
            await mirror(service, newer(placed(f"{tag}-again", order.order_id)))
            assert (await desk.stop())["id"] != stop["id"], "the decision was for one record"


async def _are(service: Service, state: str, count: int) -> bool:
    return len(await letters(service, state)) == count


async def test_decision_for_a_type_holds_for_two_members_until_ended(kafka_service: Service, desk: Desk) -> None:
    service, tag = kafka_service, uuid4().hex[:8]
    orders = [placed(f"{tag}-{n}") for n in range(20)]
    first = await from_now_on(service)
    (second,) = service.consumers()

    async def shared() -> bool:
        return bool(first._assigned and second._assigned)

    async def handled(count: int) -> bool:
        return len(await mine(service, tag)) == count

    async with running(relay(service)):
        async with running(first, second):
            await eventually(shared)
            await mirror(service, *(newer(order) for order in orders))
            await publish(service, *((cancelled(order), 2) for order in orders))
            stop = await desk.stop()
            assert (await desk.post(stop, "skip", scope="type")).json()["lost"] is None
            await eventually(partial(handled, 20))
            assert await letters(service, "discarded") == [NEWER] * 20
            others = [each for each in await desk.listed("all") if each["id"] != stop["id"]]
            assert {(await desk.ended(each))["outcome"] for each in others} <= {"went_on"}
            (standing,) = await desk.listed()
            assert (standing["records"], standing["decided_why"]) == (20, "because")
            resolution = "SELECT resolution::text FROM dead_letter LIMIT 1"
            async with service.database.unit() as unit:
                assert f'"stop": {stop["id"]}' in await unit.sql.fetchval(resolution)
            assert (await desk.post(stop, "end")).json()["outcome"] == "withdrawn"
            await mirror(service, newer(orders[0]))
            again = await desk.stop()
            assert again["id"] != stop["id"]
        # Another build takes the partition over and knows the version.
        (knows,) = service.consumers()
        knows.inbox.subscription = replace(knows.inbox.subscription)
        object.__setattr__(knows.inbox.subscription, "names", frozenset())
        async with running(knows):
            ended = await desk.ended(again)
            assert (ended["outcome"], ended["decision"]) == ("went_on", None)
            assert (await desk.post(again, "skip")).status_code == 409
    assert await letters(service, "poison") == []


async def test_lost_records_are_skipped_by_a_decision(kafka_service: Service, desk: Desk) -> None:
    service, tag = kafka_service, uuid4().hex[:8]
    order = placed(f"{tag}-kept")
    partition = own_partition(order.order_id)
    consumer = await from_now_on(service)
    async with running(relay(service)):
        await publish(service, *((placed(f"{tag}-lost", order.order_id), n) for n in range(1, 8)), (order, 8))
        await eventually(lambda: all_published(service))
        at = (await positions(service))[partition]
        admin = AIOKafkaAdminClient(bootstrap_servers=service.settings.kafka)
        await admin.start()
        try:
            await admin.delete_records({TopicPartition(ORDERS, partition): RecordsToDelete(at + 7)})
        finally:
            await admin.close()
        async with running(consumer):
            stop = await desk.stop()
            assert (stop["kind"], stop["offset"], stop["log_start"], stop["log_end"]) == ("lost", at, at + 7, at + 8)
            refused = await desk.post(stop, "park")
            assert refused.status_code == 409 and "Use skip" in refused.json()["detail"]
            assert (await desk.post(stop, "skip", dry_run=True)).json()["lost"] == 7
            assert (await desk.post(stop, "skip")).json()["lost"] == 7
            assert (await desk.ended(stop))["moved_to"] == at + 7
            await eventually(lambda: _has_marked(service, f"{tag}-kept"))
        # The log is shorter than the position: it was restored, or made again.
        async with service.database.unit() as unit:
            await unit.sql.execute("UPDATE consumer_position SET next = next + 1000 WHERE partition = $1", partition)
            await unit.sql.execute("DELETE FROM consumer_position WHERE partition = $1", (partition + 1) % PARTITIONS)
        (again,) = service.consumers()
        async with running(again):
            ahead = await desk.stop(lambda stop: stop["kind"] == "lost")
            unknown = await desk.stop(lambda stop: stop["kind"] == "no-position")
            assert unknown["partition"] == (partition + 1) % PARTITIONS and unknown["offset"] is None
            for stop in (ahead, unknown):
                refused = await desk.post(stop, "skip")
                assert refused.status_code == 409 and "`move_to`" in refused.json()["detail"]
                assert (await desk.post(stop, "park")).status_code == 409
                assert (await desk.post(stop, "skip", move_to="end")).status_code == 200
            for stop in (ahead, unknown):
                assert (await desk.ended(stop))["moved_to"] == stop["log_end"]
            later = [placed(f"{tag}-later-{n}") for n in range(12)]
            await publish(service, *((each, 1) for each in later))
            await eventually(lambda: _has_marked(service, *(each.reference for each in later)))


async def _has_marked(service: Service, *names: str) -> bool:
    return set(names) <= set(await toy.marks(service))


async def test_breaker_waits_for_a_mend_or_for_a_decision(kafka_service: Service, clients: Clients) -> None:
    """A restart does not set more events aside. Tolerated failures become dead letters, until the decision is ended."""
    service, tag = kafka_service, uuid4().hex[:8]
    await from_now_on(service)
    faulty = Faulty(service)
    desk = Desk(service, clients)
    subscription = faulty.service.subscriptions()[0]

    async def aside() -> int:
        return len(await letters(service, "poison"))

    async def all_aside() -> bool:
        return await aside() == 3 * KEYS

    async with running(relay(service)):
        async with running(Consumer(service.database, service.settings.broker, subscription)):
            await publish(service, *((placed(f"{tag}-{n}"), 1) for n in range(3 * KEYS)))
            stop = await desk.stop()
            assert (stop["kind"], stop["topic"], stop["type"]) == ("breaker", None, OrderPlaced.ce_type)
            assert "forgotten" in stop["reason"] and "test_breaker:" in stop["reason"]
        before = await aside()
        assert before < KEYS
        consumer = Consumer(service.database, service.settings.broker, subscription)
        async with running(consumer):

            async def untolerated() -> bool:
                return not consumer.inbox.breaker.tolerated

            async def seen_again() -> bool:
                return bool((await desk.stop())["seen_at"] > stop["seen_at"])

            await eventually(seen_again)
            assert (await aside(), (await desk.stop())["id"]) == (before, stop["id"])
            refused = await desk.post(stop, "skip")
            assert refused.status_code == 409 and stop["fingerprint"] in refused.json()["detail"]
            assert (await desk.post(stop, "park")).status_code == 200
            await eventually(all_aside)
            (standing,) = await desk.listed()
            assert standing["records"] == 3 * KEYS - before
            assert (await desk.post(stop, "end")).status_code == 200
            await eventually(untolerated)
            await publish(service, *((placed(f"{tag}-more-{n}"), 1) for n in range(3 * KEYS)))
            again = await desk.stop()
            assert await aside() < 4 * KEYS
            faulty.broken = False
            assert (await desk.ended(again))["outcome"] == "went_on"


# --- what the table and the routes take, without Kafka


async def open_stops(service: Service, *current: Stop, known: Sequence[str] = ()) -> list[OpenStop]:
    async with service.database.unit() as unit:
        return await stops.report(unit, "g", current, known=known, handled=())


async def at(service: Service, partition: int, next: int) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(
            "INSERT INTO consumer_position VALUES ('g', 't', $1, $2) "
            "ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET next = excluded.next",
            partition,
            next,
        )


VERSION = Stop("version", "too new", "t", 0, 5, ce_type=NEWER, record={"id": None, "key": "\\x00", "value": "{"})


async def test_stop_is_stored_once_and_ends_with_its_cause(service: Service) -> None:
    await at(service, 0, 5)
    (first,) = await open_stops(service, VERSION)
    assert await open_stops(service, VERSION) == [first]
    await at(service, 0, 6)
    assert await open_stops(service, VERSION) == [], "a member that lost the partition reports late"
    await at(service, 0, 5)
    assert (await open_stops(service, VERSION))[0].id != first.id


@pytest.mark.parametrize("name", ODD)
async def test_stop_before_an_odd_record_is_stored(service: Service, clients: Clients, name: str) -> None:
    await at(service, 0, 5)
    odd = replace(VERSION, record=stops.shown(Record(ODD[name], 0, 5, 0.0)))
    assert len(await open_stops(service, odd)) == 1
    (stop,) = await Desk(service, clients).listed()
    assert len(str(stop["record"])) < 4 * stops.SHOWN_CHARACTERS


async def test_decision_for_a_type_ends_with_a_build_that_knows_it(service: Service, clients: Clients) -> None:
    await at(service, 0, 5)
    await open_stops(service, VERSION)
    desk = Desk(service, clients)
    (stop,) = await desk.listed()
    assert (await desk.post(stop, "park", scope="type")).status_code == 200
    await at(service, 0, 9)
    assert len(await open_stops(service)) == 1
    assert await open_stops(service, known=[NEWER]) == []


async def test_decision_that_was_withdrawn_is_not_carried_out(service: Service, clients: Clients) -> None:
    """The consumer has read the decision, and the person ends it before its unit."""
    await at(service, 0, 5)
    await open_stops(service, VERSION)
    desk = Desk(service, clients)
    (stop,) = await desk.listed()
    assert (await desk.post(stop, "end")).status_code == 409, "nothing is decided yet"
    await desk.post(stop, "skip")
    await desk.post(stop, "end")
    with pytest.raises(DecisionWithdrawn):
        async with service.database.unit() as unit:
            await stops.carried_out(unit, {stop["id"]: 1})


@pytest.mark.parametrize(
    ("kind", "verb", "body", "status"),
    [
        ("version", "skip", {"reason": "\0"}, 422),
        ("version", "skip", {"move_to": "end"}, 409),
        ("version", "park", {"move_to": "end"}, 422),
        ("version", "park", {"scope": "everything"}, 422),
        ("version", "park", {"reason": ""}, 422),
        ("version", "park", {"reason": "x" * 501}, 422),
        ("version", "park", {"record": 5}, 422),
        ("lost", "skip", {"scope": "type"}, 409),
        ("lost", "skip", {"move_to": "beginning"}, 200),
        ("breaker", "park", {"scope": "type"}, 409),
        ("breaker", "skip", {}, 409),
        ("no-position", "skip", {}, 409),
    ],
)
async def test_decisions_that_do_not_fit_are_refused(
    service: Service, clients: Clients, kind: Kind, verb: str, body: dict[str, object], status: int
) -> None:
    await at(service, 0, 5)
    topic = None if kind == "breaker" else "t"
    partition, offset = {"breaker": (None, None), "no-position": (1, None)}.get(kind, (0, 5))
    why = "odd\0\udc80"
    await open_stops(service, Stop(kind, why, topic, partition, offset, fingerprint="f", log_start=7, log_end=9))
    desk = Desk(service, clients)
    (stop,) = await desk.listed()
    answer = await desk.post(stop, verb, **body)
    assert answer.status_code == status, answer.text
    assert ((await desk.listed())[0]["decision"] is not None) == (status == 200)


@pytest.mark.parametrize("path", ["/v1/stopped/99", "/v1/stopped/99:skip", "/v1/stopped/99:park", "/v1/stopped/99:end"])
async def test_no_such_stop(service: Service, clients: Clients, path: str) -> None:
    client = Desk(service, clients).client
    answer = await (client.post(path, json={"reason": "r"}) if ":" in path else client.get(path))
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:crossdock:problem:no-such-stop")
    assert (await clients(service, "acme", ["orders:read"]).get("/v1/stopped")).status_code == 403


async def test_moved_position_is_not_set_by_a_late_decision(service: Service, clients: Clients) -> None:
    await at(service, 0, 5)
    await open_stops(service, Stop("lost", "gone", "t", 0, 5, log_start=7, log_end=9))
    desk = Desk(service, clients)
    (stop,) = await desk.listed()
    await desk.post(stop, "skip")
    (decided,) = await open_stops(service)
    await at(service, 0, 8)
    with pytest.raises(DecisionWithdrawn):
        async with service.database.unit() as unit:
            await stops.move(unit, "g", decided, 7, 9)
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval("SELECT next FROM consumer_position WHERE consumer_group = 'g'") == 8
    late = await desk.post(stop, "skip")
    assert late.status_code == 409 and "position is 8" in late.json()["detail"]
