"""`replaces`: a cancelled reference is ordered anew, once."""

import asyncio
import json
from uuid import UUID

from shop import Shop
from uuid_utils.compat import uuid7

from crossdock_chassis.testing import published


async def cancelled(shop: Shop, reference: str = "PO-1") -> UUID:
    order_id = await shop.placed(reference)
    assert (await shop.client.post(f"/v1/orders/{order_id}:cancel")).status_code == 200
    return order_id


async def test_cancelled_reference_is_ordered_anew(shop: Shop) -> None:
    first = await cancelled(shop)
    second = await shop.placed("PO-1", replaces=str(first), priority=9)
    assert second != first
    assert (await shop.show(second))["replaces"] == str(first)
    by_reference = await shop.client.get("/v1/orders/by-reference/PO-1")
    assert by_reference.json()["id"] == str(second)
    event = json.loads((await published(shop.service))[-1]["value"])
    assert (event["reference"], event["replaces"]) == ("PO-1", str(first))
    await shop.client.post(f"/v1/orders/{second}:cancel")
    third = await shop.placed("PO-1", replaces=str(second))
    listed = (await shop.client.get("/v1/orders", params={"reference": "PO-1"})).json()["items"]
    assert [each["id"] for each in listed] == [str(third), str(second), str(first)]


async def test_retry_of_either_order_returns_that_order(shop: Shop) -> None:
    first = await cancelled(shop)
    successor = shop.body("PO-1", replaces=str(first), priority=9)
    answers = await asyncio.gather(*(shop.client.post("/v1/orders", json=successor) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    again = await shop.client.post("/v1/orders", json=shop.body("PO-1"))
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, str(first), "cancelled")
    checked = await shop.client.post("/v1/orders:validate", json=successor)
    assert (checked.status_code, checked.json()["exists"]) == (200, True)
    assert await shop.count("orders") == 2


async def test_second_successor_conflicts_with_the_first(shop: Shop) -> None:
    first = await cancelled(shop)
    second = await shop.placed("PO-1", replaces=str(first))
    other = await shop.client.post("/v1/orders", json=shop.body("PO-1", replaces=str(first), priority=9))
    assert (other.status_code, other.json()["order_id"]) == (409, str(second))
    assert await shop.count("orders") == 2


async def test_order_that_cannot_be_replaced_is_refused(shop: Shop) -> None:
    open_order, other = await shop.placed("PO-1"), await cancelled(shop, "PO-2")
    cases = [(open_order, "not_cancelled"), (other, "other_reference"), (uuid7(), "no_such_order")]
    for path in ("/v1/orders", "/v1/orders:validate"):
        for replaces, code in cases:
            answer = await shop.client.post(path, json=shop.body("PO-1", replaces=str(replaces)))
            [error] = answer.json()["errors"]
            assert (answer.status_code, error["pointer"], error["code"]) == (422, "/replaces", code)
    foreign = await shop.other.post("/v1/orders", json=shop.body("PO-2", replaces=str(other)))
    assert (foreign.status_code, foreign.json()["errors"][0]["code"]) == (422, "no_such_order")
    assert (await shop.client.post("/v1/orders", json=shop.body("PO-3", replaces="PO-1"))).status_code == 422
    assert await shop.count("orders") == 2


async def test_batch_line_may_replace_a_cancelled_order(shop: Shop) -> None:
    first, wrong = await cancelled(shop, "PO-1"), await shop.placed("PO-2")
    bodies = [shop.body("PO-1", replaces=str(first)), shop.body("PO-2", replaces=str(wrong)), shop.body("PO-3")]
    content = "\n".join(json.dumps(body) for body in bodies)
    headers = {"content-type": "application/x-ndjson"}
    answer = await shop.client.post("/v1/orders:batch", content=content, headers=headers)
    outcomes = [json.loads(line)["outcome"] for line in answer.text.splitlines()]
    assert outcomes == ["created", "invalid", "created"]
