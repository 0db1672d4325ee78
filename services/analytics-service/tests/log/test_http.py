"""One event and the feed: who sees what, cursors, and pages through writes."""

import asyncio
import random
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest
from records import ORDERS, at_next_offset, confirmed, garbage, keep, record, released, rows

from analytics_service.log import views
from analytics_service.log.retain import LOG
from crossdock_chassis import Service, keep_partitions, new_id
from crossdock_chassis.testing import Clients, restored, unlisted
from crossdock_events import Message


@pytest.fixture
def operator(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, partner="", scopes=("ops:read",))


@pytest.fixture
def partner(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, partner="acme", scopes=("events:read",))


async def test_record_is_shown_whole(service: Service, operator: httpx.AsyncClient) -> None:
    sent = record(confirmed("globex"), sequence=4)
    await keep(service, sent)
    id = sent.message.headers["ce_id"].decode()
    shown = (await operator.get(f"/v1/events/{id}")).json()
    assert (shown["id"], shown["topic"], shown["offset"], shown["partner"]) == (id, ORDERS, sent.offset, "globex")
    assert (shown["type"], shown["sequence"], shown["repeat"]) == ("crossdock.OrderConfirmed.v1", 4, False)
    assert shown["data"]["partner"] == "globex"
    assert shown["headers"]["ce_id"] == id
    assert shown["raw"] is None
    assert views.RecordView.model_validate(shown)


async def test_garbage_is_shown_by_its_cursor(service: Service, operator: httpx.AsyncClient) -> None:
    await keep(service, garbage(b"\xff\0", {"x": b"\xfe"}, key=b"\xfd"), garbage(b'{\n "a": "\xc3\xbc"}'))
    first, second = (await operator.get("/v1/events")).json()["items"]
    assert (first["data"], first["key"], first["size"]) == (None, "\\xfd", 2)
    shown = (await operator.get(f"/v1/events/{first['cursor']}")).json()
    assert (shown["raw"], shown["headers"]) == ("ff00", {"x": "\xfe"})
    assert second["data"] == {"a": "ü"}


async def test_partner_sees_its_own_visible_events_alone(
    service: Service, operator: httpx.AsyncClient, partner: httpx.AsyncClient
) -> None:
    own, other = confirmed("acme"), confirmed("globex")
    hidden = released(own.order_id)
    forged = Message(ORDERS, b"k", b'{"partner": "acme"}', record(own).message.headers)
    sent = [record(own), record(other), record(hidden), at_next_offset(forged)]
    await keep(service, *sent)
    assert [each["order_id"] for each in (await partner.get("/v1/events")).json()["items"]] == [str(own.order_id)]
    assert len((await operator.get("/v1/events")).json()["items"]) == 4
    for each, status in zip(sent[:3], (200, 404, 404), strict=True):
        answer = await partner.get(f"/v1/events/{each.message.headers['ce_id'].decode()}")
        assert answer.status_code == status
    for row in await rows(service):
        cursor = (await operator.get("/v1/events")).json()["next"].partition(".")[0] + f".{row['position']}"
        assert (await partner.get(f"/v1/events/{cursor}")).status_code == (200 if row["position"] == 1 else 404)


@pytest.mark.parametrize(
    ("who", "scopes"), [("acme", ("ops:act",)), ("acme", ()), ("", ("events:read",)), ("", ("ops:act",))]
)
async def test_token_without_the_scope_is_refused(
    service: Service, clients: Clients, who: str, scopes: tuple[str, ...]
) -> None:
    client = clients(service, partner=who, scopes=scopes)
    for path in ("/v1/events", f"/v1/events/{new_id()}", "/v1/stream"):
        assert (await client.get(path)).status_code == 403


async def test_feed_has_an_event_once_and_only_the_types_asked_for(
    service: Service, operator: httpx.AsyncClient
) -> None:
    one, other = record(), record(released(new_id()))
    await keep(service, one, other, at_next_offset(one.message))
    page = (await operator.get("/v1/events")).json()
    assert [each["offset"] for each in page["items"]] == [one.offset, other.offset]
    types = {"types": ["crossdock.StockReleased.v1", "crossdock.Nothing.v1"]}
    asked = (await operator.get("/v1/events", params=types)).json()
    assert [each["offset"] for each in asked["items"]] == [other.offset]
    assert asked["next"] == page["next"]


async def test_empty_page_moves_the_cursor(service: Service, partner: httpx.AsyncClient) -> None:
    first = (await partner.get("/v1/events")).json()
    assert first["items"] == []
    await keep(service, *(record(confirmed("globex")) for _ in range(3)))
    second = (await partner.get("/v1/events", params={"after": first["next"]})).json()
    assert second["items"] == []
    assert second["next"].endswith(".3")


async def test_page_ends_early_if_its_records_are_large(
    service: Service, operator: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PAGE_BYTES", 3_000)
    await keep(service, *(garbage(b'{"a":"%s"}' % (b"x" * 2_000)) for _ in range(5)))
    seen: list[dict[str, object]] = []
    cursor = None
    while len(seen) < 5:
        page = (await operator.get("/v1/events", params={"after": cursor} if cursor else {})).json()
        assert len(page["items"]) in (1, 2)
        seen += page["items"]
        cursor = page["next"]
    assert len({each["cursor"] for each in seen}) == 5


async def test_feed_begins_at_a_time(service: Service, operator: httpx.AsyncClient) -> None:
    for hours in (3, 2, 1):
        await keep(service, record(), record())
        async with service.database.unit() as unit:
            await unit.sql.execute("DELETE FROM log_arrival WHERE at > now() - interval '1 minute'")
            await unit.sql.execute(
                "INSERT INTO log_arrival SELECT max(position) - 1, now() - make_interval(hours => $1) FROM log", hours
            )

    async def first(hours: float) -> int:
        since = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
        items = (await operator.get("/v1/events", params={"since": since})).json()["items"]
        return int(items[0]["cursor"].partition(".")[2])

    assert [await first(hours) for hours in (4, 2.5, 1.5, 0)] == [1, 1, 3, 5]


GARBAGE = ["", "x", "1", ".", "a.b", "0.0", "-1", "x" * 100, "\0", "12345678-1.", "12345678-1.-1", "12345678-1.1 ", "ü"]


@pytest.mark.parametrize("cursor", [*GARBAGE, "12345678-1." + "9" * 19, "12345678-1.\u0661"])
async def test_garbage_as_a_cursor_is_refused(service: Service, operator: httpx.AsyncClient, cursor: str) -> None:
    for path in ("/v1/events", "/v1/stream"):
        answer = await operator.get(f"{path}?after={quote(cursor)}")
        assert answer.status_code in (400, 422), answer.text
        assert "after" in answer.json()["detail"] or "NUL" in answer.json()["detail"]
    assert (await operator.get(f"/v1/events/{quote(cursor, safe='')}")).status_code in (400, 404, 422, 200)


@pytest.mark.parametrize("header", ["x", "12345678-1.-1", "y" * 100])
async def test_garbage_as_the_last_event_id_is_refused(operator: httpx.AsyncClient, header: str) -> None:
    answer = await operator.get("/v1/stream", headers={"last-event-id": header})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == "Last-Event-ID"


async def test_cursor_of_another_log_is_gone(service: Service, operator: httpx.AsyncClient) -> None:
    await keep(service, record())
    cursor = (await operator.get("/v1/events")).json()["next"]
    await restored(service)
    for path in ("/v1/events", "/v1/stream"):
        answer = await operator.get(path, params={"after": cursor})
        assert answer.status_code == 410
        assert "since" in answer.json()["title"]
    assert (await operator.get(f"/v1/events/{cursor}")).status_code == 410
    assert (await operator.get("/v1/events")).json()["next"] != cursor


async def test_cursor_from_the_future_of_a_log_is_gone(service: Service, operator: httpx.AsyncClient) -> None:
    epoch = (await operator.get("/v1/events")).json()["next"].partition(".")[0]
    assert (await operator.get("/v1/events", params={"after": f"{epoch}.7"})).status_code == 410


async def test_cursor_before_the_retention_is_gone(service: Service, operator: httpx.AsyncClient) -> None:
    day = 86_400
    await keep(service, record(at=time.time() - 29 * day), record())
    old = (await operator.get("/v1/events", params={"limit": 1})).json()["items"][0]["cursor"]
    start = old.partition(".")[0] + ".0"
    async with service.database.unit() as unit:
        name = min(await LOG.names(unit.sql))
    early = (datetime.now(UTC) - timedelta(days=40)).date()
    async with service.database.unit() as unit:  # let the day of the first record be forty days ago
        await unit.sql.execute(f"ALTER TABLE {name} RENAME TO {LOG.name(early)}")
    await keep_partitions(service.database.unit, LOG)
    assert [row["position"] for row in await rows(service)] == [2]
    assert (await operator.get("/v1/events", params={"after": start})).status_code == 410
    assert (await operator.get("/v1/events", params={"after": old})).status_code == 200, "nothing behind it is gone"
    assert len((await operator.get("/v1/events")).json()["items"]) == 1


async def test_readers_paging_at_random_miss_nothing(service: Service, clients: Clients) -> None:
    """Two workers append while readers page with random limits. Each reader sees each event once, in order by key."""
    keys = {partition: [new_id() for _ in range(5)] for partition in (0, 1)}
    sequences: dict[UUID, int] = defaultdict(int)
    writing = True
    choose = random.Random(7)

    async def write(partition: int) -> None:
        for _ in range(25):
            batch = []
            for _ in range(choose.randint(1, 20)):
                key = choose.choice(keys[partition])
                sequences[key] += 1
                event = confirmed(choose.choice(["acme", "globex"]), key)
                batch.append(record(event, sequence=sequences[key], partition=partition))
                if choose.random() < 0.1:
                    batch.append(at_next_offset(batch[-1].message, partition))
            await keep(service, *batch)

    async def read(client: httpx.AsyncClient) -> list[tuple[str, int]]:
        seen: list[tuple[str, int]] = []
        cursor, last = None, False
        while not last:
            last = not writing
            params = {"limit": choose.randint(1, 60)} | ({"after": cursor} if cursor else {})
            while True:
                page = (await client.get("/v1/events", params=params)).json()
                seen += [(each["key"], each["sequence"]) for each in page["items"]]
                params["after"] = cursor = page["next"]
                if not page["items"]:
                    break
            await asyncio.sleep(0)
        return seen

    readers = [
        asyncio.create_task(read(clients(service, partner="", scopes=("ops:read",)))),
        asyncio.create_task(read(clients(service, partner="", scopes=("ops:read",)))),
    ]
    await asyncio.gather(write(0), write(1))
    writing = False
    expected = {(str(key), n) for key, last in sequences.items() for n in range(1, last + 1)}
    for seen in await asyncio.gather(*readers):
        assert len(seen) == len(expected)
        assert set(seen) == expected
        for key, last in sequences.items():
            assert [n for each, n in seen if each == str(key)] == list(range(1, last + 1))


def test_each_problem_is_listed_by_a_route(service: Service) -> None:
    assert unlisted(service) == []
