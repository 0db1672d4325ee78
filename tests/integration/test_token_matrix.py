"""Send each kind of token to each route of the running services. The routes come from their OpenAPI."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx
import pytest
from harness import INVENTORY, SCOPES, Harness, order
from joserfc import jwt
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
    "/v1/groups/": "operators of the company",
    "/v1/projections/": "operators of the company",
    "/v1/items/": "stock is the company's",
    "/v1/locations/": "stock is the company's",
    "/v1/reservations/": "stock is the company's",
}
"""Routes whose ids belong to no partner, with the reason. A new route with a parameter is here or has a maker."""

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


MAKERS: Final[dict[str, Make]] = {
    "/v1/imports/": imported,
    "/v1/orders/by-reference/": reference_placed,
    "/v1/orders/": placed,
    "/v1/receipts/": recorded("receipts", location_id="EAST"),
    "/v1/adjustments/": recorded("adjustments", location_id="EAST", reason="count"),
    "/v1/transfers/": recorded("transfers", from_location_id="EAST", to_location_id="WEST"),
}
"""What makes a resource of the partner `acme`, by the path before its id."""


async def routes(harness: Harness, service: str) -> list[Operation]:
    async with httpx.AsyncClient(base_url=harness.stack.url(service), timeout=60) as client:
        return list(operations_of((await client.get("/openapi.json")).json()))


def without_partner(harness: Harness) -> str:
    """Return a valid token with all scopes and no partner."""
    valid = jwt.decode(harness.token(), issuer.signing_key(harness.stack.home.issuer), algorithms=["RS256"])
    claims = {name: value for name, value in valid.claims.items() if name != "partner"}
    own = issuer.signing_key(harness.stack.home.issuer)
    return jwt.encode({"alg": "RS256", "kid": own.kid, "typ": "at+jwt"}, claims, own)


@pytest.mark.parametrize("service", [each.name for each in installed()])
async def test_each_route_accepts_only_tokens_with_its_scope(harness: Harness, service: str) -> None:
    nobody = without_partner(harness)
    async with httpx.AsyncClient(base_url=harness.stack.url(service), timeout=60) as client:
        for each in await routes(harness, service):
            assert len(each.scopes) == 1, f"{each} needs no scope"
            others = [scope for scope in SCOPES if scope not in each.scopes]
            for token, status in (
                (None, 401),
                ("garbage", 401),
                (harness.token("acme", others), 403),
                (harness.token("acme", []), 403),
                (nobody, 403),
            ):
                answer = await send(client, each, token)
                assert answer.status_code == status, (str(each), token, answer.text)
                assert status == 403 or answer.headers["www-authenticate"].startswith("Bearer")
            assert (await send(client, each, harness.token("acme", each.scopes))).status_code not in (401, 403)


@pytest.mark.parametrize("service", [each.name for each in installed()])
async def test_id_of_another_partner_is_404_at_each_route(harness: Harness, service: str) -> None:
    mine, theirs = harness.token("acme"), harness.token("globex")
    async with httpx.AsyncClient(base_url=harness.stack.url(service), timeout=60) as client:
        for each in [each for each in await routes(harness, service) if "{" in each.path]:
            before = each.path.partition("{")[0]
            if before in SHARED:
                continue
            assert before in MAKERS, f"{each}: add a maker, or the reason why the id belongs to no partner"
            (name,) = each.parameters("path")
            values = {name: await MAKERS[before](harness)}
            absent = await send(client, each, theirs, {name: str(uuid.uuid4())})
            refused = await send(client, each, theirs, values)
            assert (refused.status_code, absent.status_code) == (404, 404), (str(each), refused.text)
            assert refused.json()["type"] == absent.json()["type"]
            accepted = await send(client, each, mine, values)
            assert accepted.status_code < 300, (str(each), accepted.text)


async def send(
    client: httpx.AsyncClient, each: Operation, token: str | None, values: dict[str, str] | None = None
) -> httpx.Response:
    arguments = each.body() if each.node.get("requestBody", {}).get("required") else {}
    headers = {**arguments.pop("headers", {}), **({"authorization": f"Bearer {token}"} if token else {})}
    url = each.url(values)
    return await client.request(each.method, url, params=each.required_query(), headers=headers, **arguments)
