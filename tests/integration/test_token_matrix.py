"""Send each kind of token to each route of the running services. The routes come from their OpenAPI."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any, Final

import httpx
import pytest
from harness import CRM, FORECAST, INVENTORY, Harness, order
from served import Operation, installed, operations_of

from crossdock_local import issuer

SHARED: Final = {
    "/v1/dead-letters/": "operators of the company",
    "/v1/dead-letters/results/": "operators of the company",
    "/v1/retired-groups/": "operators of the company",
    "/v1/stopped/": "operators of the company",
    "/v1/effects/": "operators of the company",
    "/v1/jobs/": "operators of the company",
    "/v1/limits/": "operators of the company",
    "/v1/overrides/": "forecasts are the company's",
    "/v1/groups/": "operators of the company",
    "/v1/projections/": "operators of the company",
    "/v1/items/": "stock is the company's",
    "/v1/locations/": "stock is the company's",
    "/v1/reservations/": "stock is the company's",
    "/v1/runs/": "forecasts are the company's",
    "/v1/series/": "forecasts are the company's",
    "/v1/introductions/": "forecasts are the company's",
    "/v1/calendar/days/": "the calendar is the company's",
    "/v1/queues/": "queues of the service desk are the company's",
    "/v1/agents/": "people of the service desk are the company's",
    "/v1/macros/": "macros of the service desk are the company's",
    "/v1/sla/customers/": "contracts are the company's",
    "/v1/rules/": "rules of the service desk are the company's",
    "/v1/drivers/": "planned drivers are the company's",
}
"""Routes whose ids belong to no partner, with the reason. A new route with a parameter is here or has a maker."""

PUBLIC: Final = {
    "/v1/schemas": "schemas are public, as the OpenAPI of each service is",
    "/v1/schemas/{type}": "tools fetch a schema by its address, without a token",
    "/v1/schemas/{type}/examples": "examples are as public as schemas",
    "/v1/unsubscribe/{token}": "customers follow the link of a mail, which is signed",
}
"""Routes that need no token, with the reason. They show nothing of an installation."""

WITH_POST: Final = {"/v1/unsubscribe/{token}"}
"""Public routes that act: the link itself is signed."""

STAFF: Final = {"crm:staff", "pii:read", "pii:erase"}
OPERATORS: Final = {"ops:read", "ops:act"} | STAFF
"""The scopes of tokens without a partner."""

Make = Callable[[Harness], Awaitable[str]]


async def placed(harness: Harness) -> str:
    async with harness.client() as client:
        [item] = await harness.items()
        return str((await harness.post(client, order(f"matrix-{uuid.uuid4()}", (item, 1))))["id"])


async def reference_placed(harness: Harness) -> str:
    async with harness.client() as client:
        return str((await harness.get(client, await placed(harness)))["reference"])


def recorded(kind: str, **body: Any) -> Make:
    async def make(harness: Harness) -> str:
        [item] = await harness.items(on_hand=5)
        lines = [{"item_id": item, "quantity": 1}]
        async with harness.client(INVENTORY) as client:
            answer = await client.post(f"/v1/{kind}", json={"reference": uuid.uuid4().hex, "lines": lines, **body})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    return make


async def imported(harness: Harness) -> str:
    async with harness.client(INVENTORY) as client:
        text = f"item_id\n{uuid.uuid4().hex}\n"
        answer = await client.post("/v1/items:import", content=text, headers={"content-type": "text/csv"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def imported_demand(harness: Harness) -> str:
    async with harness.client(FORECAST) as client:
        text = f"item_id,day,quantity\n{uuid.uuid4().hex},2026-01-31,1\n"
        answer = await client.post("/v1/demand:import", content=text, headers={"content-type": "text/csv"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def published(harness: Harness) -> str:
    id, operator = await placed(harness), harness.stack.operator_token(["ops:read"], "ann")
    url, headers = harness.stack.url("analytics-service"), {"Authorization": f"Bearer {operator}"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as client, asyncio.timeout(30):
        while (answer := await client.get(f"/v1/orders/{id}/trace")).status_code == 404:
            await asyncio.sleep(0.1)
    return str(answer.json()["steps"][0]["id"])


async def met(harness: Harness) -> str:
    async with harness.client() as client, harness.client(CRM) as crm, asyncio.timeout(30):
        (item,) = await harness.items()
        placed = await harness.post(client, order(f"matrix-{uuid.uuid4()}", (item, 1), customer_id=uuid.uuid4().hex))
        while not (found := (await crm.get("/v1/customers", params={"order_id": placed["id"]})).json()["items"]):
            await asyncio.sleep(0.1)
    return str(found[0]["id"])


async def case_opened(harness: Harness) -> str:
    body = {"kind": "enquiry", "subject": "s", "text": "t", "customer_id": await met(harness)}
    async with harness.client(CRM) as crm:
        answer = await crm.post("/v1/cases", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def attached(harness: Harness) -> dict[str, str]:
    case_id = await case_opened(harness)
    async with harness.client(CRM) as crm:
        headers = {"content-type": "application/octet-stream"}
        url = f"/v1/cases/{case_id}/attachments?name=x"
        answer = await crm.post(url, content=b"x", headers=headers)
    assert answer.status_code == 201, answer.text
    return {"case_id": case_id, "attachment_id": str(answer.json()["id"])}


PAIRS: Final = {"/v1/cases/{case_id}/attachments/{attachment_id}": attached}
"""What makes a resource with two ids."""

MAKERS: Final[dict[str, Make]] = {
    "/v1/cases/": case_opened,
    "/v1/customers/": met,
    "/v1/events/": published,
    "/v1/imports/": imported,
    f"{FORECAST} /v1/imports/": imported_demand,
    "/v1/orders/by-reference/": reference_placed,
    "/v1/orders/": placed,
    "/v1/receipts/": recorded("receipts", location_id="EAST"),
    "/v1/adjustments/": recorded("adjustments", location_id="EAST", reason="count"),
    "/v1/transfers/": recorded("transfers", from_location_id="EAST", to_location_id="WEST"),
}
"""What makes a resource of the partner `acme`, by the path before its id. One service may have its own maker."""


BODIES: Final = {"/v1/cases/{case_id}:reply": b'{"text": "Hello"}'}
"""The bodies of routes for partners that refuse an empty one before they look for the id."""


async def routes(harness: Harness, service: str) -> list[Operation]:
    async with httpx.AsyncClient(base_url=harness.stack.url(service), timeout=60) as client:
        return list(operations_of((await client.get("/openapi.json")).json()))


@pytest.mark.parametrize("service", [each.name for each in installed()])
async def test_each_route_accepts_only_tokens_with_its_scope(harness: Harness, service: str) -> None:
    """Scopes of operators are for tokens without a partner. A route that has no other scope accepts partners too.

    Those of `STAFF` never accept them.
    """

    @cache
    def signed(partner: str | None, *scopes: str) -> str:
        """Sign a token once for all routes, because the scopes of most are the same."""
        return harness.token(partner, scopes) if partner else harness.stack.operator_token(scopes, "ann")

    async with httpx.AsyncClient(base_url=harness.stack.url(service), timeout=60) as client:
        for each in await routes(harness, service):
            if each.path in PUBLIC:
                assert (each.method == "GET" or each.path in WITH_POST) and "security" not in each.node
                assert (await send(client, each, None)).status_code not in (401, 403)
                continue
            for_operators = [scope for scope in each.scopes if scope in OPERATORS]
            for_partners = [scope for scope in each.scopes if scope not in for_operators]
            assert len(for_partners) <= 1 >= len(for_operators), f"{each} has several scopes for one kind of caller"
            assert each.scopes, f"{each} needs no scope"
            refused = {
                "no token": None,
                "garbage": "garbage",
                "a partner without scopes": signed("acme"),
                "a partner with other scopes": signed("acme", *without(for_partners or for_operators)),
                "an operator without scopes": signed(None),
                "an operator with other scopes": signed(None, *without(for_operators)),
            }
            for kind, token in refused.items():
                answer = await send(client, each, token)
                assert answer.status_code == (401 if kind in ("no token", "garbage") else 403), (str(each), kind)
                assert answer.status_code == 403 or answer.headers["www-authenticate"].startswith("Bearer")
            accepted = [signed("acme", *(for_partners or for_operators))]
            if STAFF.issuperset(for_operators) and not for_partners:
                refused_token = accepted.pop()
                assert (await send(client, each, refused_token)).status_code == 403, str(each)
            accepted += [signed(None, *for_operators)] if for_operators else []
            for token in accepted:
                assert (await send(client, each, token)).status_code not in (401, 403), str(each)


def without(scopes: Sequence[str]) -> list[str]:
    return [scope for scope in issuer.SCOPES if scope not in scopes]


async def test_operators_read_any_order_and_cancel_it_for_its_partner(harness: Harness) -> None:
    id = await placed(harness)
    token = harness.stack.operator_token(["ops:read", "ops:act"], "ann")
    url, headers = harness.stack.url("order-service"), {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        assert (await client.get(f"/v1/orders/{id}")).json()["id"] == id
        assert (await client.get("/v1/orders?limit=1")).status_code == 422
        listed = (await client.get("/v1/orders?limit=200&partner=acme")).json()["items"]
        assert id in {each["id"] for each in listed}
        cancelled = await client.post(f"/v1/orders/{id}:cancel", json={"note": "the customer called"})
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    async with harness.client() as partner:
        timeline = await harness.get(partner, f"{id}/timeline")
        assert timeline["events"][-1]["note"] == "the customer called"


@pytest.mark.parametrize("service", [each.name for each in installed()])
async def test_id_of_another_partner_is_404_at_each_route(harness: Harness, service: str) -> None:
    mine, theirs = harness.token("acme"), harness.token("globex")
    async with httpx.AsyncClient(base_url=harness.stack.url(service), timeout=60) as client:
        for each in [each for each in await routes(harness, service) if "{" in each.path]:
            before = each.path.partition("{")[0]
            if before in SHARED or each.path in PUBLIC or OPERATORS.issuperset(each.scopes):
                continue
            if (pair := PAIRS.get(each.path)) is not None:
                values = await pair(harness)
            else:
                make = MAKERS.get(f"{service} {before}") or MAKERS.get(before)
                assert make is not None, f"{each}: add a maker, or the reason why the id belongs to no partner"
                (name,) = each.parameters("path")
                values = {name: await make(harness)}
            absent = await send(client, each, theirs, {name: str(uuid.uuid4()) for name in values})
            refused = await send(client, each, theirs, values)
            assert (refused.status_code, absent.status_code) == (404, 404), (str(each), refused.text)
            assert refused.json()["type"] == absent.json()["type"]
            accepted = await send(client, each, mine, values)
            assert accepted.status_code < 300, (str(each), accepted.text)


async def send(
    client: httpx.AsyncClient, each: Operation, token: str | None, values: dict[str, str] | None = None
) -> httpx.Response:
    arguments = each.body() if each.node.get("requestBody", {}).get("required") else {}
    if each.path in BODIES:
        arguments["content"] = BODIES[each.path]
    headers = {**arguments.pop("headers", {}), **({"authorization": f"Bearer {token}"} if token else {})}
    url, query = each.url(values), each.required_query()
    async with client.stream(each.method, url, params=query, headers=headers, **arguments) as answer:
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):  # a stream has no end
            await answer.aread()
    return answer
