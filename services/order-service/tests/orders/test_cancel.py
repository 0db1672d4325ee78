"""`POST /v1/orders/{id}:cancel`."""

import asyncio
import json
from uuid import UUID

import httpx
import pytest
from shop import Shop
from uuid_utils.compat import uuid7

from crossdock_chassis.testing import published


async def cancel(shop: Shop, order_id: UUID, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await shop.client.post(f"/v1/orders/{order_id}:cancel", headers=named)


async def test_concurrent_cancels_cancel_the_order_once(shop: Shop) -> None:
    order_id = await shop.placed()
    answers = await asyncio.gather(*(cancel(shop, order_id) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert {answer.json()["version"] for answer in answers} == {2}
    assert (answers[0].json()["status"], answers[0].json()["reason"]) == ("cancelled", "partner_request")
    assert answers[0].headers["etag"] == '"2"'
    assert await shop.count("outbox") == 2
    assert (await shop.timeline(order_id))[-1]["because"]["kind"] == "request"


@pytest.mark.parametrize("state", ["reserved", "backordered"])
async def test_decided_order_can_be_cancelled(shop: Shop, state: str) -> None:
    order_id = await shop.placed()
    await shop.hears(getattr(shop, state)(order_id))
    answer = await cancel(shop, order_id)
    assert (answer.status_code, answer.json()["status"], answer.json()["waiting"]) == (200, "cancelled", None)
    assert await shop.count("waiting_items") == 0


async def test_cancel_of_a_rejected_order_is_refused(shop: Shop) -> None:
    order_id = await shop.placed()
    await shop.hears(shop.rejected(order_id))
    answer = await cancel(shop, order_id)
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:crossdock:problem:not-cancellable"
    assert answer.json()["order_status"] == "rejected"
    assert (await shop.show(order_id))["version"] == 2


async def test_cancel_with_a_stale_if_match_is_refused(shop: Shop) -> None:
    order_id = await shop.placed()
    await shop.hears(shop.reserved(order_id))
    stale = await cancel(shop, order_id, if_match='"1"')
    assert (stale.status_code, stale.headers["etag"]) == (412, '"2"')
    assert (await shop.show(order_id))["status"] == "confirmed"
    assert (await cancel(shop, order_id, if_match='"2"')).status_code == 200
    again = await cancel(shop, order_id, if_match='"2"')
    assert (again.status_code, again.json()["version"]) == (200, 3), "what it asks for has happened"


async def test_cancel_under_an_idempotency_key_is_replayed(shop: Shop) -> None:
    order_id = await shop.placed()
    await cancel(shop, order_id, idempotency_key="k")
    again = await cancel(shop, order_id, idempotency_key="k")
    assert again.headers["idempotent-replayed"] == "true"
    other = await cancel(shop, await shop.placed(), idempotency_key="k")
    assert other.status_code == 422


async def test_order_of_another_partner_is_not_found(shop: Shop) -> None:
    order_id = await shop.placed()
    for answer in (
        await shop.other.post(f"/v1/orders/{order_id}:cancel"),
        await shop.other.get(f"/v1/orders/{order_id}"),
        await shop.other.get(f"/v1/orders/{order_id}/timeline"),
        await shop.client.get(f"/v1/orders/{uuid7()}"),
        await shop.client.post(f"/v1/orders/{uuid7()}:cancel"),
    ):
        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:crossdock:problem:no-such-order"
    assert (await shop.show(order_id))["status"] == "placed"


async def test_malformed_order_id_is_refused(shop: Shop) -> None:
    for path in ("/v1/orders/1", "/v1/orders/1/timeline"):
        assert (await shop.client.get(path)).status_code == 422
    assert (await shop.client.post("/v1/orders/1:cancel")).status_code == 422


async def test_cancel_with_a_reason_keeps_the_note_out_of_events(shop: Shop) -> None:
    order_id = await shop.placed()
    why = {"reason": "customer_request", "note": "Ada found it in the shop"}
    answer = await shop.client.post(f"/v1/orders/{order_id}:cancel", json=why)
    assert (answer.status_code, answer.json()["reason"]) == (200, "customer_request")
    last = (await shop.timeline(order_id))[-1]
    assert (last["reason"], last["note"]) == ("customer_request", "Ada found it in the shop")
    event = (await published(shop.service))[-1]
    assert json.loads(event["value"])["reason"] == "customer_request"
    assert "Ada" not in f"{event['value'].decode()} {event['headers']}"


@pytest.mark.parametrize("why", [{"reason": "no_answer"}, {"reason": "Ada asked"}, {"note": ""}, {"why": "x"}, []])
async def test_cancel_with_an_unknown_reason_is_refused(shop: Shop, why: object) -> None:
    order_id = await shop.placed()
    answer = await shop.client.post(f"/v1/orders/{order_id}:cancel", json=why)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert (await shop.show(order_id))["status"] == "placed"


async def test_same_key_with_another_reason_is_refused(shop: Shop) -> None:
    order_id, key = await shop.placed(), {"idempotency-key": "k"}
    path = f"/v1/orders/{order_id}:cancel"
    for reason, status in (("other", 200), ("other", 200), ("too_slow", 422)):
        assert (await shop.client.post(path, json={"reason": reason}, headers=key)).status_code == status
