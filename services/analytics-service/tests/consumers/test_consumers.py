"""Consumer groups as Kafka shows them: lag of the living and the dead, none, unknown and forgotten."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.structs import TopicPartition
from records import ORDERS, keep, record

from analytics_service.consumers.measure import measure_groups
from analytics_service.consumers.model import End, Place
from analytics_service.consumers.sample import Sampler, seen_of
from analytics_service.consumers.store import KEPT
from analytics_service.consumers.views import KNOWN_FOR
from crossdock_chassis import GROUP_LAG_MESSAGES, Broker, GroupSeen, JobRun, Record, Service
from crossdock_chassis.jobs.rows import Claimed
from crossdock_chassis.messaging.clients import start_consumer, start_producer
from crossdock_chassis.testing import OPS, Clients, unlisted
from crossdock_events.orders import OrderEvent
from crossdock_local.servers import Servers

PLACE = TopicPartition(ORDERS, 0)
SERVICES = ("order-service", "analytics-service")
AWAY = "127.0.0.1:1"


@pytest.fixture
def operator(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, None, OPS, subject="ann")


@pytest.fixture
def kafka(servers: Servers) -> str:
    assert servers.bootstrap is not None
    servers.topics.ensure([OrderEvent.topic.spec])
    return servers.bootstrap


@pytest.fixture
def name() -> str:
    return f"erp-{uuid4().hex[:8]}"


async def look(service: Service, kafka: str) -> None:
    claimed = Claimed(uuid4(), None, "sample", {})
    await Sampler(service.database, Broker(kafka), SERVICES).sample(JobRun(service.database, claimed))


async def shown(operator: httpx.AsyncClient, name: str) -> dict[str, Any]:
    answer = await operator.get(f"/v1/consumers/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def publish(kafka: str) -> int:
    """Publish one record, and return its offset."""
    producer = await start_producer(Broker(kafka), "test")
    try:
        sent = await producer.send_and_wait(ORDERS, b"{}", partition=0)
        return int(sent.offset)
    finally:
        await producer.stop()


async def commit(kafka: str, name: str, position: int) -> None:
    """Commit a position as a subscriber that assigns its partitions itself."""
    consumer = await start_consumer(Broker(kafka), name, client_id="erp")
    try:
        consumer.assign([PLACE])
        await consumer.commit({PLACE: position})
    finally:
        await consumer.stop()


async def forget(kafka: str, name: str) -> None:
    """Let Kafka delete a group, as it does 7 days after its last member has left."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        broker = await admin.find_coordinator(name)
        answer: Any = await admin._send_request(DeleteGroupsRequest([name]), broker)
        assert [error for _, error in answer.results] == [0]
    finally:
        await admin.close()


async def test_lag_of_a_dead_group_grows(service: Service, operator: httpx.AsyncClient, kafka: str, name: str) -> None:
    at = await publish(kafka)
    await commit(kafka, name, at)
    await look(service, kafka)
    first = await shown(operator, name)
    assert (first["status"], first["owner"], first["members"], first["lag"]) == ("empty", None, 0, 1)
    await publish(kafka)
    await publish(kafka)
    await look(service, kafka)
    later = await shown(operator, name)
    (place,) = later["positions"]
    assert (later["lag"], place["lag"], place["position"], place["end"]) == (3, 3, at, at + 3)
    assert later["lag_seconds"] > first["lag_seconds"]
    assert later["unread_since"] == first["unread_since"]
    assert later["sampling"] | {"answered_at": None} == {
        "known": True,
        "answered_at": None,
        "error": None,
        "left_out": 0,
    }
    await commit(kafka, name, at + 3)
    await look(service, kafka)
    assert (await shown(operator, name))["lag_seconds"] == 0


async def test_unread_record_has_its_time_of_kafka(
    service: Service, operator: httpx.AsyncClient, kafka: str, name: str
) -> None:
    at = await publish(kafka)
    logged = record()
    await keep(service, Record(logged.message, 0, at, logged.time - 3600))
    await commit(kafka, name, at)
    await look(service, kafka)
    assert 3600 <= (await shown(operator, name))["lag_seconds"] < 3700


async def test_member_without_a_position_has_none(
    service: Service, operator: httpx.AsyncClient, kafka: str, name: str
) -> None:
    await publish(kafka)
    consumer = await start_consumer(Broker(kafka), name, client_id="erp", topics=[ORDERS])
    try:
        await consumer.getmany(timeout_ms=100)
        while not consumer.assignment():
            await consumer.getmany(timeout_ms=100)
        await look(service, kafka)
    finally:
        await consumer.stop()
    found = await shown(operator, name)
    assert (found["status"], found["members"], found["topics"], found["lag"]) == ("active", 1, [ORDERS], None)
    first = found["positions"][0]
    assert (first["status"], first["position"], first["lag"]) == ("none", None, None)
    assert first["member"].startswith("erp@")
    assert found["uncommitted"] >= 1


async def test_kafka_away_makes_a_lag_unknown(
    service: Service, operator: httpx.AsyncClient, kafka: str, name: str
) -> None:
    await commit(kafka, name, await publish(kafka) + 1)
    await look(service, kafka)
    assert (await shown(operator, name))["lag"] == 0
    await look(service, AWAY)
    found = await shown(operator, name)
    assert (found["status"], found["lag"], found["lag_seconds"], found["members"]) == ("unknown", None, None, None)
    assert {each["status"] for each in found["positions"]} == {"unknown"}
    assert "Unable to bootstrap" in found["sampling"]["error"]
    (listed,) = [each for each in (await operator.get("/v1/consumers")).json()["items"] if each["group"] == name]
    assert listed["lag"] is None


async def test_group_that_kafka_forgot_is_remembered(
    service: Service, operator: httpx.AsyncClient, kafka: str, name: str
) -> None:
    at = await publish(kafka)
    await commit(kafka, name, at + 1)
    await look(service, kafka)
    await forget(kafka, name)
    await publish(kafka)
    await look(service, kafka)
    found = await shown(operator, name)
    assert (found["status"], found["lag"], found["positions"][0]["status"]) == ("forgotten", 1, "forgotten")
    async with service.database.unit() as unit:
        old = unit.now - KEPT - timedelta(seconds=1)
        await unit.sql.execute("UPDATE kafka_group SET forgotten_at = $1 WHERE name = $2", old, name)
    await look(service, kafka)
    assert (await operator.get(f"/v1/consumers/{name}")).status_code == 404
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval('SELECT count(*) FROM kafka_position WHERE "group" = $1', name) == 0


async def test_pages_are_complete_and_garbage_is_refused(
    service: Service, operator: httpx.AsyncClient, kafka: str, name: str
) -> None:
    names = [f"{name}-{n}/é" for n in range(3)]
    for each in names:
        await commit(kafka, each, 0)
    await look(service, kafka)
    seen: list[str] = []
    query: dict[str, Any] | None = {"limit": 2}
    while query is not None:
        page = (await operator.get("/v1/consumers", params=query)).json()
        seen += [each["group"] for each in page["items"]]
        query = {"limit": 2, "cursor": page["next"]} if page["next"] else None
    assert [each for each in seen if each.startswith(name)] == names
    assert seen == sorted(set(seen))
    assert (await operator.get(f"/v1/consumers/{name}-0%2F%C3%A9")).json()["group"] == names[0]
    for path in ("?cursor=%00", "?limit=0", f"/{'x' * 300}", "/%00", "/%FF", "/none-such"):
        answer = await operator.get(f"/v1/consumers{path}")
        assert 400 <= answer.status_code < 500, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_nothing_was_asked_yet(service: Service, operator: httpx.AsyncClient) -> None:
    found = (await operator.get("/v1/consumers")).json()
    assert (found["items"], found["sampling"]["known"], found["sampling"]["answered_at"]) == ([], False, None)
    assert unlisted(service) == []


async def test_own_group_names_its_service(
    service: Service, operator: httpx.AsyncClient, kafka: str, name: str
) -> None:
    own = f"order-service.{name.replace('-', '_')}.1"
    await commit(kafka, own, 0)
    await look(service, kafka)
    assert (await shown(operator, own))["owner"] == "order-service"


async def test_gauges_show_own_groups_while_kafka_is_known(service: Service, kafka: str, name: str) -> None:
    own = f"order-service.{name.replace('-', '_')}.1"
    at = await publish(kafka)
    for each in (own, name):
        await commit(kafka, each, at)
    await look(service, kafka)

    async def series() -> dict[str, float]:
        async with service.database.unit() as unit:
            await measure_groups(unit)
        (lag,) = GROUP_LAG_MESSAGES.collect()
        return {each.labels["group"]: each.value for each in lag.samples}

    lags = await series()
    assert lags[own] >= 1
    assert name not in lags
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE kafka_group SET answered_at = $1", unit.now - KNOWN_FOR - timedelta(seconds=1))
    assert await series() == {}


def test_partitions_that_do_not_exist_are_left_out() -> None:
    strange = {TopicPartition(ORDERS, number): "erp@host" for number in (0, -1, 2**31 - 1)}
    seen = seen_of(GroupSeen("Stable", 1, strange, None), {Place(ORDERS, 0): End(5)})
    assert (seen.assigned, seen.positions) == ({Place(ORDERS, 0): "erp@host"}, None)
