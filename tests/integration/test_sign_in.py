"""A person signs in at the console of the running stack, watches an order there, and acts on it."""

import asyncio
import html
import re
from dataclasses import dataclass
from uuid import uuid4

import httpx
from harness import Harness, order

from crossdock_local.stack import Stack

COOKIE = "__Host-crossdock"


@dataclass
class Page:
    """A page of the console in a browser where a person is signed in."""

    http: httpx.AsyncClient
    origin: str
    cookie: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Cookie": f"{COOKIE}={self.cookie}", "Origin": self.origin, "Crossdock-Console": "1"}

    async def send(self, method: str, path: str, **more: object) -> httpx.Response:
        return await self.http.request(method, self.origin + path, headers=self.headers, **more)  # type: ignore[arg-type]


async def signed_in(http: httpx.AsyncClient, stack: Stack, person: str) -> Page:
    origin = stack.url("analytics-service")
    leaving = await http.get(f"{origin}/session/sign-in")
    planted = leaving.headers["set-cookie"].partition(";")[0]
    shown = await http.get(leaving.headers["location"])
    action = html.unescape(re.findall(r'action="([^"]+)"', shown.text)[0])
    chosen = await http.post(
        f"{stack.issuer_url}/oauth/authorize{action}", data={"person": person}, headers={"Origin": stack.issuer_url}
    )
    back = await http.get(chosen.headers["location"], headers={"Cookie": planted})
    assert (back.status_code, back.headers["location"]) == (303, "/"), back.text
    return Page(http, origin, back.headers["set-cookie"].partition(";")[0].removeprefix(f"{COOKIE}="))


async def test_operator_cancels_an_order_that_a_reader_only_sees(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=1)
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http, harness.client() as partner:
        reader = await signed_in(http, harness.stack, "dev-reader")
        operator = await signed_in(http, harness.stack, "dev-operator")
        assert (await reader.send("GET", "/session")).json()["scopes"] == ["ops:read"]

        events = f"{reader.origin}/api/analytics-service/v1/stream"
        async with http.stream("GET", events, headers=reader.headers) as stream:
            assert stream.status_code == 200
            id = (await harness.post(partner, order(f"PO-{uuid4().hex[:12]}", (item, 1))))["id"]
            async with asyncio.timeout(30):
                async for line in stream.aiter_lines():
                    if id in line:
                        break

        path = f"/api/order-service/v1/orders/{id}"
        assert (await reader.send("GET", path)).json()["id"] == id
        refused = await reader.send("POST", f"{path}:cancel", json={"reason": "customer_request"})
        assert refused.status_code == 403
        done = await operator.send("POST", f"{path}:cancel", json={"reason": "customer_request"})
        assert (done.status_code, done.json()["status"]) == (200, "cancelled"), done.text

        left = await operator.send("POST", "/session/sign-out")
        gone = await http.get(left.json()["next"])
        assert (gone.status_code, gone.headers["location"]) == (303, f"{operator.origin}/")
        assert (await operator.send("GET", path)).status_code == 401
        assert (await reader.send("GET", path)).status_code == 200
