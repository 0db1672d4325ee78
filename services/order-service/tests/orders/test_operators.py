"""Operators: people of the company, whose tokens name no partner, read and cancel orders of every partner."""

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from shop import Shop

from crossdock_chassis.testing import OPS, Clients, Violations, published


@pytest.fixture
def operator(shop: Shop, clients: Clients) -> httpx.AsyncClient:
    return clients(shop.service, None, OPS, subject="ann")


async def test_operator_reads_any_order_by_id(shop: Shop, operator: httpx.AsyncClient) -> None:
    order_id = await shop.placed()
    assert (await operator.get(f"/v1/orders/{order_id}")).json() == await shop.show(order_id)
    assert (await operator.get(f"/v1/orders/{order_id}/timeline")).json()["events"] == await shop.timeline(order_id)


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/orders/changes", "/v1/orders/by-reference/PO-1"])
async def test_operator_names_the_partner_of_a_list(shop: Shop, operator: httpx.AsyncClient, path: str) -> None:
    await shop.placed("PO-1")
    await shop.other.post("/v1/orders", json=shop.body("PO-1"))
    unnamed = await operator.get(path)
    assert (unnamed.status_code, unnamed.json()["errors"][0]["parameter"]) == (422, "partner")
    for client, partner in ((shop.client, "acme"), (shop.other, "globex")):
        own = (await client.get(path)).json()
        found = (await operator.get(path, params={"partner": partner})).json()
        assert _ids(found) == _ids(own)
    assert _ids((await shop.client.get(path, params={"partner": "acme"})).json())
    assert (await shop.client.get(path, params={"partner": "globex"})).status_code == 403


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/orders/changes", "/v1/orders/by-reference/PO-1"])
async def test_garbage_for_a_partner_is_refused(operator: httpx.AsyncClient, path: str) -> None:
    for garbage in ("", "x" * 65, "%00", "%ff", "a&partner=b"):
        assert (await operator.get(f"{path}?partner={garbage}")).status_code in (400, 422), garbage
    unknown = await operator.get(f"{path}?partner=nobody")
    assert unknown.status_code == (404 if "by-reference" in path else 200)


def _ids(answer: dict[str, Any]) -> Sequence[str]:
    return [each["id"] for each in answer["items"]] if "items" in answer else [answer["id"]]


async def test_operator_cancels_for_the_orders_partner(
    shop: Shop, operator: httpx.AsyncClient, violations: Violations
) -> None:
    order_id = await shop.placed()
    body = {"reason": "customer_request", "note": "she called"}
    for replayed in (None, "true"):
        answer = await operator.post(f"/v1/orders/{order_id}:cancel", json=body, headers={"idempotency-key": "k"})
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert answer.headers.get("idempotent-replayed") == replayed
    last = (await published(shop.service))[-1]
    assert b'"partner":"acme"' in last["value"]
    assert (await shop.timeline(order_id))[-1]["note"] == "she called"
    (action,) = (await operator.get("/v1/operator-actions")).json()["items"]
    assert (action["who"], action["action"], action["target"]) == ("ann", "order:cancel", f"/v1/orders/{order_id}")
    assert action["why"] == "customer_request: she called"
    assert action["before"] == {"status": "placed", "version": 1}
    assert action["after"] == {"status": "cancelled", "version": 2}
    assert await violations(shop.service) == {}


async def test_idempotency_keys_of_operators_are_their_own(shop: Shop, clients: Clients) -> None:
    first, second = await shop.placed(), await shop.placed()
    for subject, order_id in (("ann", first), ("bob", second), ("acme", second)):
        client = clients(shop.service, None, OPS, subject=subject)
        answer = await client.post(f"/v1/orders/{order_id}:cancel", headers={"idempotency-key": "k"})
        assert answer.status_code == 200, answer.text
    assert (await shop.client.post(f"/v1/orders/{first}:cancel", headers={"idempotency-key": "k"})).status_code == 200


@pytest.mark.parametrize(
    ("scopes", "partner"), [(("ops:read",), None), (("orders:write",), None), (OPS, "globex"), (("ops:act",), "acme")]
)
async def test_cancel_without_the_right_to_act_changes_nothing(
    shop: Shop, clients: Clients, scopes: Sequence[str], partner: str | None
) -> None:
    order_id = await shop.placed()
    client = clients(shop.service, partner, scopes, subject="ann")
    assert (await client.post(f"/v1/orders/{order_id}:cancel")).status_code == 403
    assert (await shop.show(order_id))["status"] == "placed"


async def test_operator_cannot_place_an_order(shop: Shop, clients: Clients) -> None:
    client = clients(shop.service, None, (*OPS, "orders:read", "orders:write"), subject="ann")
    refused = await client.post("/v1/orders", json=shop.body())
    assert (refused.status_code, refused.json()["detail"]) == (403, "The token names no partner")
