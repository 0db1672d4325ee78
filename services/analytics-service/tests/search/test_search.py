"""The search, on a real database."""

from typing import Any
from urllib.parse import quote
from uuid import UUID

import asyncpg
import httpx
import pytest
from records import at_next_offset, confirmed, garbage, keep, record

from analytics_service.search import views
from analytics_service.search.model import wanted
from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import Clients, Deliver, unlisted
from crossdock_events.items import ItemRegistered
from crossdock_events.orders import OrderConfirmed

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def operator(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, partner="", scopes=("ops:read",))


def order(reference: str, partner: str = "acme", id: UUID | None = None) -> OrderConfirmed:
    return OrderConfirmed(order_id=id or new_id(), partner=partner, reference=reference)


async def search(operator: httpx.AsyncClient, q: str, **params: Any) -> dict[str, Any]:
    answer = await operator.get("/v1/search", params={"q": q, **params})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def links(operator: httpx.AsyncClient, q: str, **params: Any) -> list[str]:
    return [each["link"] for each in (await search(operator, q, **params))["items"]]


async def test_order_is_found_by_reference_and_id(
    service: Service, deliver: Deliver, operator: httpx.AsyncClient
) -> None:
    first, second = order("PO-4711"), order("PO-47", "globex")
    await deliver(service, first, second, order("XX-4711"))
    found = (await search(operator, "  po-47 "))["items"]
    assert [(each["title"], each["whole"], each["partner"], each["kind"], each["by"]) for each in found] == [
        ("PO-47", True, "globex", "order", "reference"),
        ("PO-4711", False, "acme", "order", "reference"),
    ]
    for text in (str(first.order_id), str(first.order_id).upper(), first.order_id.hex):
        (one,) = (await search(operator, text))["items"]
        assert (one["link"], one["whole"], one["by"]) == (f"/orders/{first.order_id}", True, "id")
        assert (one["title"], one["detail"]) == ("PO-4711", "confirmed")
    beginning = str(first.order_id)[:4]
    assert (await search(operator, beginning))["searched"][3]["found"] == 3, "ids of one time begin alike"


async def test_items_and_partners_are_found_once(
    service: Service, deliver: Deliver, operator: httpx.AsyncClient
) -> None:
    items = [
        ItemRegistered(item_id=id, unit_of_measure="each", category="beer", status="active") for id in ("KEG", "KEG-50")
    ]
    await deliver(service, *items)
    await deliver(service, *(order(f"r{n}", partner) for n, partner in enumerate(("keg", "keg", "keg2", "ke"))))
    assert await links(operator, "keg") == [
        "/stock/KEG",
        "/orders?partner=keg",
        "/stock/KEG-50",
        "/orders?partner=keg2",
    ]
    assert [each["detail"] for each in (await search(operator, "KEG-"))["items"]] == ["beer"]


async def test_events_are_found_by_their_ids(service: Service, operator: httpx.AsyncClient) -> None:
    plain, traced = record(confirmed("globex")), record()
    traced.message.headers["traceparent"] = PARENT.encode()  # type: ignore[index]
    await keep(service, plain, traced, at_next_offset(traced.message), garbage(b"x", {"traceparent": b"00-x"}))
    id, correlation = (plain.message.headers[name].decode() for name in ("ce_id", "ce_correlationid"))
    found = {each["kind"]: each for each in (await search(operator, id))["items"]}
    assert found["event"]["link"] == f"/live?event={id}"
    assert (found["event"]["title"], found["event"]["partner"]) == ("crossdock.OrderConfirmed.v1", "globex")
    assert f"/live?correlation_id={correlation}&from=30d" in await links(operator, correlation)
    for text in (TRACE, PARENT, TRACE[:9]):
        (one,) = (await search(operator, text))["items"]
        assert (one["kind"], one["link"]) == ("trace", f"/live?trace_id={UUID(TRACE)}&from=30d")


async def test_limit_is_of_each_kind(service: Service, deliver: Deliver, operator: httpx.AsyncClient) -> None:
    await deliver(service, *(order(f"PO-{n}") for n in range(4)))
    found = await search(operator, "PO", limit=3)
    assert [each["title"] for each in found["items"]] == ["PO-0", "PO-1", "PO-2"]
    assert found["searched"][0] == {"kind": "order", "by": "reference", "found": 3, "more": True}
    assert (await search(operator, "PO", limit=4))["searched"][0]["more"] is False


async def test_empty_answer_says_what_was_searched(operator: httpx.AsyncClient) -> None:
    for text, kinds in (("zz", views.TEXTS), ("abc", [*views.TEXTS, *views.IDS])):
        found = await search(operator, text)
        assert found["items"] == []
        assert [(each["kind"], each["by"], each["found"]) for each in found["searched"]] == [
            (*each, 0) for each in kinds
        ]


BAD = ["", " ", "x", " x ", "x" * 101, "x" * 5_000, "\0\0", "x\0"]


@pytest.mark.parametrize("q", BAD)
async def test_text_of_another_length_is_refused(operator: httpx.AsyncClient, q: str) -> None:
    answer = await operator.get(f"/v1/search?q={quote(q)}")
    assert answer.status_code in (400, 422), answer.text
    assert (await operator.get("/v1/search")).status_code == 422


ODD = ["%", "''", "\\x", "\U0010ffff", "a" * 50, "ß" * 50, "$1", "--", "\u0660\u0661", "\U0001f600"]


@pytest.mark.parametrize("q", ODD)
async def test_any_other_text_is_searched(operator: httpx.AsyncClient, q: str) -> None:
    assert (await search(operator, q * 2))["items"] == []
    assert (await operator.get(f"/v1/search?q=%ff%fe{quote(q)}")).status_code in (200, 400, 422)


async def test_slow_search_is_a_problem(
    service: Service, operator: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PLANNED", "SET LOCAL statement_timeout = 20")
    slow = "SELECT pg_sleep(5), $1::text[], $2::bigint, $3::uuid, $4::uuid"
    monkeypatch.setattr(views, "BY_TEXT_AND_ID", slow)
    answer = await operator.get("/v1/search?q=abc")
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (503, "search-took-too-long")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("who", [("acme", ("events:read", "orders:read")), ("", ("ops:act",))])
async def test_search_is_for_operators(service: Service, clients: Clients, who: tuple[str, tuple[str, ...]]) -> None:
    client = clients(service, partner=who[0], scopes=who[1])
    assert (await client.get("/v1/search?q=abc")).status_code == 403
    assert unlisted(service) == []


async def plan_of(sql: asyncpg.Connection, text: str, analyze: str = "") -> str:
    looked_for = wanted(text)
    values = ", ".join([f"ARRAY{looked_for.texts!r}::text[]", "6", *(f"'{id}'::uuid" for id in looked_for.ids or ())])
    await sql.execute(views.PLANNED)
    await sql.execute(f"PREPARE search (text[], bigint, uuid, uuid) AS {views.BY_TEXT_AND_ID}")
    return "\n".join(row[0] for row in await sql.fetch(f"EXPLAIN {analyze} EXECUTE search ({values})"))


async def test_plan_has_index_scans_alone(service: Service, deliver: Deliver) -> None:
    """A plan without a sort and a sequential scan reads no more rows than it returns, whatever the tables have.

    The settings only make other plans expensive, so PostgreSQL still uses one if no index serves a part.
    """
    await keep(service, record())
    async with service.database.unit() as unit:
        plan = await plan_of(unit.sql, "abc")
    assert "Index" in plan
    for node in ("Seq Scan", "Sort  (", "Bitmap"):
        assert node not in plan, plan


@pytest.mark.parametrize("index", ["log_trace", "log_correlation", "log_event"])
async def test_plan_without_an_index_is_seen(service: Service, index: str) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(f"DROP INDEX {index}")
        plan = await plan_of(unit.sql, "abc")
    assert "Seq Scan" in plan
