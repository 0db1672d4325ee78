"""Quantities in other units of an item: 2.5 kg is 2,500 g in events, and the order keeps what the partner sent."""

import json
from typing import Any
from uuid import UUID

from shop import Shop

from crossdock_chassis.testing import published
from crossdock_events.items import ItemChanged, ItemUnit

UNITS = (ItemUnit(unit="kg", factor=1000), ItemUnit(unit="sack", factor=25_000))


async def flour(shop: Shop, *units: ItemUnit) -> None:
    await shop.hears(ItemChanged(item_id="FLOUR", unit_of_measure="g", units=units or UNITS, status="active"))


def body(shop: Shop, *lines: dict[str, Any], total: str, reference: str = "PO-1") -> dict[str, Any]:
    numbered = [{"line_id": str(n), "item_id": "FLOUR", **line} for n, line in enumerate(lines, 1)]
    return shop.body(reference, lines=numbered, total=total)


async def test_measured_line_is_whole_base_units_in_the_event(shop: Shop) -> None:
    await flour(shop)
    lines = [
        {"quantity": 2.5, "unit": "kg", "unit_price": "1.20"},
        {"quantity": 250, "unit": "g", "amount": "0.30"},
        {"quantity": 250, "unit_price": "0.0012"},
    ]
    order = body(shop, *lines, total="3.60")
    answer = await shop.client.post("/v1/orders", json=order)
    assert answer.status_code == 201, answer.text
    order_id = UUID(answer.json()["id"])
    [row] = await published(shop.service)
    ordered = {"quantity": "2.5", "unit": "kg", "unit_price": "1.20"}
    assert json.loads(row["value"])["lines"] == [
        {"line_id": "1", "item_id": "FLOUR", "quantity": 2500, "ordered": ordered, "amount": "3.00"},
        {
            "line_id": "2",
            "item_id": "FLOUR",
            "quantity": 250,
            "ordered": {"quantity": "250", "unit": "g"},
            "amount": "0.30",
        },
        {"line_id": "3", "item_id": "FLOUR", "quantity": 250, "unit_price": "0.0012", "amount": "0.30"},
    ]
    shown = (await shop.show(order_id))["lines"]
    assert [(line["quantity"], line["unit"], line["base_quantity"]) for line in shown] == [
        (2.5, "kg", 2500),
        (250, "g", 250),
        (250, None, None),
    ]
    assert '"quantity":250,' in (await shop.client.get(f"/v1/orders/{order_id}")).text
    valid = (await shop.client.post("/v1/orders:validate", json=order)).json()
    assert [line["base_quantity"] for line in valid["lines"]] == [2500, 250, None]


async def test_retry_after_a_changed_factor_is_the_same_order(shop: Shop) -> None:
    await flour(shop)
    order = body(shop, {"quantity": 2, "unit": "sack", "amount": "9"}, total="9")
    first = await shop.client.post("/v1/orders", json=order)
    await shop.hears(
        ItemChanged(
            item_id="FLOUR", unit_of_measure="g", units=(ItemUnit(unit="sack", factor=20_000),), status="active"
        )
    )
    again = await shop.client.post("/v1/orders", json=order)
    assert (first.status_code, again.status_code) == (201, 200)
    assert (again.json()["id"], again.json()["lines"][0]["base_quantity"]) == (first.json()["id"], 50_000)


async def test_wrong_quantity_is_refused_by_line(shop: Shop) -> None:
    await flour(shop)
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"quantity": 0.0005, "unit": "kg"}, "/lines/1/quantity", "not_whole"),
        ({"quantity": 2.5}, "/lines/1/quantity", "not_whole"),
        ({"quantity": 2, "unit": "lb"}, "/lines/1/unit", "unknown_unit"),
        ({"quantity": 1_000_000, "unit": "sack"}, "/lines/1/quantity", "too_much"),
        ({"quantity": 2, "unit": "Kg"}, "/lines/1/unit", "string_pattern_mismatch"),
        ({"quantity": 2.0000001, "unit": "kg"}, "/lines/1/quantity", "number"),
    ]
    for path in ("/v1/orders", "/v1/orders:validate"):
        for line, pointer, code in cases:
            order = body(shop, {"quantity": 1, "unit": "kg", "amount": "1"}, {**line, "amount": "1"}, total="2")
            answer = await shop.client.post(path, json=order)
            [error] = answer.json()["errors"]
            assert (answer.status_code, error["pointer"], error["code"]) == (422, pointer, code), answer.text
    assert await shop.count("orders") == await shop.count("outbox") == 0


async def test_wrong_unit_does_not_affect_other_orders(shop: Shop) -> None:
    await flour(shop)
    wrong = body(shop, {"quantity": 1, "unit": "lb", "amount": "1"}, total="1", reference="PO-1")
    bodies = [
        wrong,
        shop.body("PO-2"),
        body(shop, {"quantity": 1, "unit": "kg", "amount": "1"}, total="1", reference="PO-3"),
    ]
    answer = await shop.client.post(
        "/v1/orders:batch",
        content="\n".join(json.dumps(each) for each in bodies),
        headers={"content-type": "application/x-ndjson"},
    )
    assert [json.loads(line)["outcome"] for line in answer.text.splitlines()] == ["invalid", "created", "created"]
