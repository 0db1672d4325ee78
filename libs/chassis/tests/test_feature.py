"""Features are values: two services in one process share nothing, and what two features both claim is refused."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import httpx
import pytest
import toy
from fastapi import APIRouter, Response
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from crossdock_chassis import Feature, HotRoute, Problem, Service, every, json_response, provided
from crossdock_chassis.database.unit import Unit
from crossdock_chassis.http.application import Api
from crossdock_chassis.testing.signing import Signer

ADDRESS = {"postgres": "postgresql://nobody@127.0.0.1:1/none", "kafka": "127.0.0.1:1", "issuer": "http://127.0.0.1:1"}


@dataclass(frozen=True, slots=True)
class Shop:
    name: str


class Body(BaseModel):
    name: str = ""


ShopDep = Annotated[Shop, provided(Shop)]
cold, hot = APIRouter(prefix="/cold"), APIRouter(prefix="/hot", route_class=HotRoute)


@cold.post("")
async def post_cold(body: Body, shop: ShopDep) -> Body:
    return Body(name=shop.name)


@hot.post("")
async def post_hot(body: Body, shop: ShopDep) -> Response:
    return json_response(Body(name=shop.name))


def service(*features: Feature) -> Service:
    return replace(toy.build(toy.Settings(**ADDRESS)), features=features)  # type: ignore[arg-type]


def api(*features: Feature) -> Api:
    return service(*features).api(Signer.generate().verifier())


async def names(app: Api) -> Sequence[str]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        return [(await client.post(path, json={})).json()["name"] for path in ("/cold", "/hot")]


async def test_two_services_share_routes_and_nothing_else() -> None:
    one, other = (api(Feature(routers=[cold, hot], provides=[Shop(name)])) for name in ("one", "other"))
    for _ in range(2):
        assert (await names(one), await names(other)) == (["one", "one"], ["other", "other"])


def test_a_route_without_its_provided_object_is_refused() -> None:
    for router in (cold, hot):
        with pytest.raises(TypeError, match=r"post_(cold|hot): no feature provides Shop"):
            api(Feature(routers=[router]))


def test_two_problems_for_one_exception_are_refused() -> None:
    one, other = (Feature(problems={KeyError: Problem(404, slug, "No such key")}) for slug in ("a", "b"))
    with pytest.raises(TypeError, match="two features name a problem of KeyError"):
        service(one, other)


def test_two_objects_of_one_class_are_refused() -> None:
    with pytest.raises(TypeError, match="two features provide Shop"):
        service(Feature(provides=[Shop("one")]), Feature(provides=[Shop("other")]))


def test_a_service_has_the_jobs_of_all_features() -> None:
    async def tick(unit: Unit) -> None: ...

    async def tock(unit: Unit) -> None: ...

    jobs = service(Feature(jobs=[every(1, tick)]), Feature(jobs=[every(2, tock)])).jobs
    assert [job.name for job in jobs] == [every(1, tick).name, every(2, tock).name, "resolve-dead-letters"]


async def test_a_page_gets_only_requests_that_no_route_takes() -> None:
    async def show(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"page {request.path_params['path']}", headers={"Cache-Control": "max-age=9"})

    pages = [Route("/{path:path}", show)]
    app = Api("shop", [cold], verifier=Signer.generate().verifier(), provides=[Shop("a")], pages=pages)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        assert (await client.post("/cold", json={})).json() == {"name": "a"}
        assert (await client.get("/cold")).status_code == 405
        assert (await client.get("/openapi.json")).json()["paths"].keys() == {"/cold"}
        page = await client.get("/a%2Fb/c")
        assert (page.text, page.headers["cache-control"]) == ("page a%2Fb/c", "max-age=9")
        assert "request-id" in page.headers
