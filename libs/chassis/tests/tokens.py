"""An application whose routes need tokens, two issuers of tokens, and a clock that a test sets."""

from typing import Annotated

import httpx
from fastapi import APIRouter, Response
from pydantic import BaseModel

from crossdock_chassis.http.application import Api
from crossdock_chassis.http.auth import OpsReader, partner_of, requires
from crossdock_chassis.http.conventions import json_response
from crossdock_chassis.http.hot_route import HotRoute
from crossdock_chassis.http.request import Caller
from crossdock_chassis.http.tokens import TokenVerifier
from crossdock_chassis.testing.signing import Signer

URL = "https://issuer.test"
ISSUER = Signer.generate()
STRANGER = Signer.generate()
Reader = Annotated[Caller, requires("orders:read")]
Both = Annotated[Caller, requires("orders:read", operators="ops:read")]


class Body(BaseModel):
    n: int


class Who(BaseModel):
    partner: str
    client_id: str


def application(verifier: TokenVerifier) -> Api:
    cold, hot = APIRouter(), APIRouter(route_class=HotRoute)

    @cold.get("/cold")
    async def get_cold(caller: Reader) -> Who:
        return Who(partner=caller.partner, client_id=caller.client_id)

    @cold.post("/cold")
    async def post_cold(body: Body, caller: Reader) -> Who:
        return Who(partner=caller.partner, client_id=caller.client_id)

    @cold.get("/operated")
    async def get_operated(caller: OpsReader) -> dict[str, str]:
        return {"who": caller.who}

    @cold.get("/both")
    async def get_both(caller: Both) -> dict[str, str]:
        return {"partner": caller.partner}

    @cold.get("/listed")
    async def get_listed(caller: Both, partner: str | None = None) -> str:
        return partner_of(caller, partner)

    @hot.post("/hot", response_model=Who)
    async def post_hot(body: Body, caller: Reader) -> Response:
        return json_response(Who(partner=caller.partner, client_id=caller.client_id))

    return Api("tests", [cold, hot], verifier=verifier)


def connected(verifier: TokenVerifier) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(application(verifier)), base_url="http://service")


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
