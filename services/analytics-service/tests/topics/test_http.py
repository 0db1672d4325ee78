"""Topics over HTTP: their contracts, who reads them, and what the log has of them."""

import time
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest
from behind import Behind, answering
from records import ORDERS, at_next_offset, confirmed, garbage, keep, record
from starlette.responses import Response

from analytics_service.log.keep import BY_INDEX
from analytics_service.log.retain import KEPT
from analytics_service.service import Settings, build
from analytics_service.topics import views
from analytics_service.topics.model import WINDOW
from crossdock_chassis import Record, Service
from crossdock_chassis.testing import Clients, Fresh
from crossdock_events import CATALOGUE, Message

ITEMS = "crossdock.items.v1"
CONFIRMED = "crossdock.OrderConfirmed.v1"
DAY = timedelta(days=1).total_seconds()
REACTION = {
    "kind": "reaction",
    "group": "behind",
    "projection": None,
    "handler": "orders.confirm",
    "types": [CONFIRMED, "crossdock.ItemRegistered.v1"],
    "topics": [ITEMS, ORDERS],
    "newer": 1,
}


@pytest.fixture
async def behind() -> Behind:
    return Behind()


@pytest.fixture
async def service(fresh: Fresh, behind: Behind) -> AsyncIterator[Service]:
    async with answering(behind) as address:
        yield await fresh(build, Settings, services={"behind": address, "gone": "http://127.0.0.1:1"})


@pytest.fixture
def operator(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, None, ["ops:read"], subject="ann")


async def follow(service: Service, topic: str = ORDERS, **changes: Any) -> None:
    """Store the progress of a log that has read all of a topic. `changes` are of its partition 0."""
    (partitions,) = (each.partitions for each in CATALOGUE.topics() if each.name == topic)
    async with service.database.unit() as unit:
        for partition in range(partitions):
            row = {"next": 0, "end": 0, "handled_to": None, "seen_at": unit.now}
            row |= changes if partition == 0 else {}
            place = views.GROUP, topic, partition
            if row["next"] is not None:
                await unit.sql.execute("INSERT INTO consumer_position VALUES ($1, $2, $3, $4)", *place, row["next"])
            await unit.sql.execute(
                "INSERT INTO consumer_progress (consumer_group, topic, partition, log_end, handled_to, seen_at)"
                " VALUES ($1, $2, $3, $4, $5, $6)",
                *(*place, row["end"], row["handled_to"], row["seen_at"]),
            )


async def shown(operator: httpx.AsyncClient, topic: str = ORDERS) -> Mapping[str, Any]:
    """Return a topic, after a check that the list has the same of it."""
    answer = await operator.get(f"/v1/topics/{topic}")
    assert answer.status_code == 200, answer.text
    one: dict[str, Any] = answer.json()
    listed = (await operator.get("/v1/topics")).json()
    (same,) = (each for each in listed["items"] if each["name"] == topic)
    facts = same.keys() - {"activity"}
    assert {name: same[name] for name in facts} == {name: one[name] for name in facts}
    assert (same["activity"]["last"], listed["silent"]) == (one["activity"]["last"], one["silent"])
    return one


async def test_topic_has_its_contract_events_and_readers(operator: httpx.AsyncClient, behind: Behind) -> None:
    behind.answers["/v1/reactions"] = {"items": [REACTION]}
    found = await shown(operator)
    assert (found["owner"], found["key"], found["retention_days"]) == ("order-service", "order_id", None)
    assert found["types"] == [each["type"] for each in found["events"]]
    for event in found["events"]:
        assert event["meaning"] and event["example"]["order_id"]
        assert (await operator.get(event["schema_path"])).status_code == 200
        assert (await operator.get(event["examples_path"])).status_code == 200
    (reader,) = found["readers"]
    assert (reader["service"], reader["handler"], reader["types"]) == ("behind", "orders.confirm", [CONFIRMED])
    assert found["silent"] == [{"service": "gone", "reason": "no connection"}]
    assert behind.tokens == {operator.headers["authorization"]}
    assert (await shown(operator, "crossdock.stock.v1"))["readers"] == []


async def test_service_shows_its_handlers_as_it_declares_them(operator: httpx.AsyncClient) -> None:
    rows = (await operator.get("/v1/reactions")).json()["items"]
    assert {(row["kind"], row["group"], row["projection"]) for row in rows} == {
        ("log", "analytics-service.log", None),
        ("projection", "analytics-service.levels_now", "levels_now"),
        ("projection", "analytics-service.orders_now", "orders_now"),
    }
    (log,) = (row for row in rows if row["kind"] == "log")
    assert set(log["topics"]) == {topic.name for topic in CATALOGUE.topics()} and log["handler"] is None
    assert all(row["handler"].partition(".")[0] in ("levels", "orders") for row in rows if row != log)


async def test_broken_answer_is_silent_and_no_reader(operator: httpx.AsyncClient, behind: Behind) -> None:
    for answer in ({"items": [{"kind": 7}]}, Response(b"\xff{"), Response(status_code=403)):
        behind.answers["/v1/reactions"] = answer
        found = await shown(operator)
        assert (found["readers"], [each["service"] for each in found["silent"]]) == ([], ["behind", "gone"])


async def test_zero_and_unknown_activity_differ(service: Service, operator: httpx.AsyncClient) -> None:
    none = {"rate": None, "rates": None, "last": None}
    assert (await shown(operator))["activity"] == {"reading": "unknown", **none}
    await follow(service)
    assert (await shown(operator))["activity"] == {"reading": "current", "rate": 0.0, "rates": {}, "last": None}
    assert (await shown(operator, ITEMS))["activity"] == {"reading": "unknown", **none}


async def test_rate_and_last_record_are_of_the_log(service: Service, operator: httpx.AsyncClient) -> None:
    sent = [record(), record(), garbage(), record(partition=1)]
    await keep(service, *sent, record(at=time.time() - 120, partition=2))
    await follow(service, next=9, end=9)
    activity = (await shown(operator))["activity"]
    assert (activity["rate"], activity["rates"]) == (round(4 / 60, 3), {CONFIRMED: round(3 / 60, 3)})
    whole = (await operator.get(f"/v1/events/{activity['last']['cursor']}")).json()
    assert (whole["partition"], whole["offset"], whole["topic"]) == (*sent[3].at, ORDERS)
    assert (activity["last"]["type"], activity["last"]["key"], activity["last"]["time"]) == (
        CONFIRMED,
        whole["key"],
        whole["time"].replace("+00:00", "Z"),
    )


async def test_last_record_is_found_on_an_earlier_day(service: Service, operator: httpx.AsyncClient) -> None:
    older = record(at=time.time() - 25 * DAY)
    await keep(service, older, at_next_offset(Message(ORDERS, None, b"{}", {}), at=time.time() - 20 * DAY))
    await follow(service, next=9, end=9)
    activity = (await shown(operator))["activity"]
    assert (activity["rate"], activity["last"]["type"], activity["last"]["key"]) == (0.0, None, None)


@pytest.mark.parametrize(
    ("changes", "reading"),
    {
        "lag of a moment": ({"next": 3, "end": 5, "handled_to": 0}, "current"),
        "lag for minutes": ({"next": 3, "end": 5, "handled_to": 5}, "behind"),
        "nothing handled": ({"next": 3, "end": 5}, "behind"),
        "silent consumer": ({"next": 5, "end": 5, "seen_at": 10}, "unknown"),
        "end not known": ({"next": 5, "end": None}, "unknown"),
        "no position": ({"next": None, "end": 5}, "unknown"),
        "empty partition": ({"next": None, "end": 0}, "current"),
    }.values(),
)
async def test_log_that_is_behind_has_no_rate(
    service: Service, operator: httpx.AsyncClient, changes: dict[str, Any], reading: str
) -> None:
    await keep(service, record())
    async with service.database.unit() as unit:
        for name in {"handled_to", "seen_at"} & changes.keys():
            changes = {**changes, name: unit.now - timedelta(minutes=changes[name])}
    await follow(service, **changes)
    activity = (await shown(operator))["activity"]
    assert (activity["reading"], activity["rate"] is None, activity["rates"] is None) == (
        reading,
        reading != "current",
        reading != "current",
    )


async def test_rate_of_many_records_is_of_a_shorter_time(
    service: Service, operator: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "MOST", 40)
    now = time.time()
    await keep(service, *(record(confirmed(), at=now - second / 2) for second in reversed(range(100))))
    await follow(service, next=200, end=200)
    assert (await shown(operator))["activity"]["rate"] == pytest.approx(2.0, rel=0.2)


async def test_statements_read_few_rows_of_a_large_log(service: Service) -> None:
    records: list[Record] = [record(at=time.time() - n % 3 * DAY) for n in range(3_000)]
    await keep(service, *records)
    await follow(service, next=9_999, end=9_999)
    async with service.database.unit() as unit:
        await unit.sql.execute("ANALYZE log; " + BY_INDEX)
        arguments: dict[str, tuple[object, ...]] = {
            views.RECENT: (unit.now - WINDOW, 3_000, 50),
            views.LAST: (views.GROUP, [ORDERS], unit.now - KEPT),
        }
        for statement, given in arguments.items():
            plan = await unit.sql.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *given)
            assert 0 < rows_read(plan[0]["Plan"]) <= 50, plan


def rows_read(node: Mapping[str, Any]) -> float:
    """Return how many rows of the log a plan reads, also those that it drops."""
    rows = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    own = rows if node.get("Relation Name", "").startswith("log_2") else 0
    return float(own) + sum(rows_read(each) for each in node.get("Plans", ()))


@pytest.mark.parametrize("name", ["x", "crossdock.orders.v2", "%2e%2e", "%F0%9F%98%80", "a b", "'", "x" * 249])
async def test_unknown_topic_is_404_and_names_the_list(operator: httpx.AsyncClient, name: str) -> None:
    answer = await operator.get(f"/v1/topics/{name}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:crossdock:problem:no-such-topic"), answer.text
    assert "/v1/topics" in answer.json()["title"]


@pytest.mark.parametrize(("name", "status"), [("%00", 400), ("%ff", 400), ("x" * 250, 422)])
async def test_garbage_name_is_a_problem(operator: httpx.AsyncClient, name: str, status: int) -> None:
    assert (await operator.get(f"/v1/topics/{name}")).status_code == status


async def test_partner_sees_no_topics(service: Service, clients: Clients) -> None:
    partner = clients(service, scopes=["orders:read", "events:read"])
    for path in ("/v1/topics", f"/v1/topics/{ORDERS}", "/v1/reactions"):
        assert (await partner.get(path)).status_code == 403
