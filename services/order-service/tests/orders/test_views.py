"""Lists: filters, pages that never move, and nothing of other partners."""

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from shop import Shop

from order_service.orders import views


async def listed(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """Every page."""
    found: list[dict[str, Any]] = []
    while True:
        answer = await client.get("/v1/orders", params=query)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if (cursor := answer.json()["next"]) is None:
            return found
        query["cursor"] = cursor


async def test_orders_are_listed_newest_first_over_pages(shop: Shop) -> None:
    placed = [str(await shop.placed()) for _ in range(7)]
    await shop.other.post("/v1/orders", json=shop.body())
    for limit in (1, 2, 3, 7, 8):
        assert [each["id"] for each in await listed(shop.client, limit=limit)] == placed[::-1]


async def test_orders_of_the_same_moment_are_listed_once(shop: Shop) -> None:
    """Orders placed in one unit have the same time, so only the id distinguishes them."""
    await asyncio.gather(*(shop.client.post("/v1/orders", json=shop.body(f"PO-{i}")) for i in range(20)))
    found = await listed(shop.client, limit=3)
    assert len({each["id"] for each in found}) == len(found) == 20


async def test_new_orders_do_not_shift_pages(shop: Shop) -> None:
    placed = [str(await shop.placed()) for _ in range(4)]
    first = (await shop.client.get("/v1/orders", params={"limit": 2})).json()
    await shop.placed()
    second = (await shop.client.get("/v1/orders", params={"limit": 2, "cursor": first["next"]})).json()
    assert [each["id"] for each in first["items"] + second["items"]] == placed[::-1]


async def test_order_list_is_filtered(shop: Shop) -> None:
    plain = await shop.placed("PO-1")
    customers = await shop.placed("PO-2", customer_id="C-1")
    waits = await shop.placed("PO-3", customer_id="C-1")
    await shop.hears(shop.backordered(waits, shop.line("SKU-2", 3, 0)))
    await shop.hears(shop.reserved(await shop.placed("PO-4")))

    async def ids(**query: Any) -> list[str]:
        return [each["reference"] for each in await listed(shop.client, **query)]

    assert await ids(status="placed") == ["PO-2", "PO-1"]
    assert await ids(status="backordered") == ["PO-3"]
    assert await ids(status="cancelled") == []
    assert await ids(reference="PO-2") == ["PO-2"]
    assert await ids(customer_id="C-1") == ["PO-3", "PO-2"]
    assert await ids(customer_id="C-1", status="placed") == ["PO-2"]
    assert await ids(waiting_item="SKU-2") == ["PO-3"]
    assert await ids(waiting_item="SKU-1") == []
    second = (await shop.show(customers))["placed_at"]
    assert await ids(placed_after=second) == ["PO-4", "PO-3"]
    assert await ids(placed_before=second) == ["PO-1"]
    assert await listed(shop.other, waiting_item="SKU-2") == []
    assert (await shop.show(plain))["status"] == "placed"


async def test_rare_status_is_found_in_bounded_scans(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "SCANNED", 3)
    placed = [await shop.placed() for _ in range(10)]
    await shop.hears(shop.reserved(placed[0]), shop.reserved(placed[4]), shop.reserved(placed[9]))
    assert [each["id"] for each in await listed(shop.client, status="confirmed")] == [
        str(placed[9]),
        str(placed[4]),
        str(placed[0]),
    ]


@pytest.mark.parametrize(
    "query",
    [
        {"status": "lost"},
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "x"},
        {"placed_after": "yesterday"},
        {"placed_after": "2026-12-01T00:00:00"},
        {"statu": "placed"},
        {"reference": "x" * 65},
    ],
)
async def test_invalid_filter_is_refused(shop: Shop, query: dict[str, str]) -> None:
    answer = await shop.client.get("/v1/orders", params=query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == next(iter(query))


@pytest.mark.parametrize("cursor", ["x", "", "e30", "WyJvcmRlcnMiLDEsbnVsbF0"])
async def test_invalid_cursor_is_refused(shop: Shop, cursor: str) -> None:
    assert (await shop.client.get("/v1/orders", params={"cursor": cursor})).status_code == 400


async def test_order_shows_every_field_it_was_sent_with(shop: Shop) -> None:
    sent = shop.body(
        customer_id="C-1",
        priority=1,
        requested_date="2026-12-24",
        partial=True,
        ship_to={"name": "N", "street": "S", "city": "C", "postcode": "12345", "country": "DE"},
        discounts=[{"code": "X", "amount": "9.94"}],
        shipping="5.00",
        tax="1.00",
        total="56.00",
        payment_reference="P-1",
        notes="with care",
        metadata={"channel": "edi"},
    )
    order_id = (await shop.client.post("/v1/orders", json=sent)).json()["id"]
    shown = await shop.show(order_id)
    assert {name: shown[name] for name in sent if name not in ("lines", "ship_to")} == {
        name: value for name, value in sent.items() if name not in ("lines", "ship_to")
    }
    unsent = {"unit": None, "base_quantity": None, "discount": None, "amount": "29.97"}
    assert shown["lines"] == [line | unsent for line in sent["lines"]]
    assert shown["ship_to"] == {**sent["ship_to"], "region": None}


@pytest.mark.parametrize("reference", ["PO-1", "2026/PO-7", "a/timeline", "timeline"])
async def test_order_is_found_by_its_reference(shop: Shop, reference: str) -> None:
    order_id = await shop.placed(reference)
    path = f"/v1/orders/by-reference/{quote(reference, safe='')}"
    found = await shop.client.get(path)
    assert (found.status_code, found.json()) == (200, await shop.show(order_id))
    assert found.headers["etag"] == '"1"'
    for answer in (await shop.other.get(path), await shop.client.get(path + "x")):
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:crossdock:problem:no-such-order")
