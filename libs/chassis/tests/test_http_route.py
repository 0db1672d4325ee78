"""What a hot route may be, checked when it is declared and not when the first order comes."""

from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from pydantic import BaseModel
from starlette.middleware.gzip import GZipMiddleware

from crossdock_chassis.http.application import Api
from crossdock_chassis.http.conventions import json_response
from crossdock_chassis.http.hot_route import HotRoute
from crossdock_chassis.testing.signing import Signer


class Body(BaseModel):
    n: int = 0


async def of_the_request(request: Request) -> str:
    return request.method


def not_async(request: Request) -> str:
    return "x"


async def of_a_query(limit: int) -> int:
    return limit


async def of_a_header(x: Annotated[str, Header()]) -> str:
    return x


async def of_another(value: Annotated[str, Depends(of_the_request)], request: Request) -> str:
    return value


async def of_nothing() -> str:
    return "x"


async def of_the_response(request: Request, response: Response) -> str:
    return "x"


@pytest.mark.parametrize("dependency", [not_async, of_a_query, of_a_header, of_another, of_nothing, of_the_response])
def test_dependency_with_more_than_the_request_is_refused(dependency: Any) -> None:
    router = APIRouter(route_class=HotRoute)
    with pytest.raises(TypeError, match=f"endpoint: the dependency {dependency.__name__}"):

        @router.post("/x")
        async def endpoint(body: Body, value: Annotated[Any, Depends(dependency)]) -> Response:
            return json_response(body)


def no_body() -> Any:
    async def endpoint() -> Response:
        return Response()

    return endpoint


def two_bodies() -> Any:
    async def endpoint(one: Body, two: Body) -> Response:
        return Response()

    return endpoint


def a_list() -> Any:
    async def endpoint(body: list[Body]) -> Response:
        return Response()

    return endpoint


def an_optional_body() -> Any:
    async def endpoint(body: Body | None = None) -> Response:
        return Response()

    return endpoint


def a_default_body() -> Any:
    async def endpoint(body: Body = Body()) -> Response:  # noqa: B008
        return Response()

    return endpoint


def a_query() -> Any:
    async def endpoint(body: Body, limit: Annotated[int, Query()] = 1) -> Response:
        return Response()

    return endpoint


def the_request() -> Any:
    async def endpoint(body: Body, request: Request) -> Response:
        return Response()

    return endpoint


def not_a_coroutine() -> Any:
    def endpoint(body: Body) -> Response:
        return Response()

    return endpoint


@pytest.mark.parametrize(
    "make",
    [no_body, two_bodies, a_list, an_optional_body, a_default_body, a_query, the_request, not_a_coroutine],
)
def test_endpoint_with_more_than_a_body_is_refused(make: Any) -> None:
    with pytest.raises(TypeError, match="endpoint: "):
        APIRouter(route_class=HotRoute).post("/x")(make())


def test_a_parameter_in_the_path_is_refused() -> None:
    with pytest.raises(TypeError, match="reads nothing but its body"):

        @APIRouter(route_class=HotRoute).post("/x/{id}")
        async def endpoint(id: str, body: Body) -> Response:
            return json_response(body)


async def test_router_dependencies_run_and_methods_share_a_path() -> None:
    ran: list[str] = []

    async def note(request: Request) -> None:
        ran.append(request.method)

    router = APIRouter(route_class=HotRoute, dependencies=[Depends(note)])

    @router.post("/x")
    async def post(body: Body, method: Annotated[str, Depends(of_the_request)]) -> Response:
        return json_response(Body(n=body.n + len(method)))

    @router.put("/x")
    async def put(body: Body) -> Response:
        return json_response(body)

    api = Api("tests", [router], verifier=Signer.generate().verifier())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://service") as client:
        assert (await client.post("/x", json={"n": 1})).json() == {"n": 5}
        assert (await client.put("/x", json={"n": 1})).json() == {"n": 1}
        refused = await client.get("/x")
        assert refused.status_code == 405
    assert ran == ["POST", "PUT"]


def test_middleware_and_handlers_of_ones_own_are_refused() -> None:
    one, other = [Api("tests", [], verifier=Signer.generate().verifier()) for _ in range(2)]
    one.add_middleware(GZipMiddleware)
    other.add_exception_handler(KeyError, lambda request, error: Response())
    for api in (one, other):
        with pytest.raises(TypeError, match="belongs in the chassis"):
            api.build_middleware_stack()


async def test_hot_route_in_a_foreign_application_raises() -> None:
    app, router = FastAPI(), APIRouter(route_class=HotRoute)

    @router.post("/x")
    async def post(body: Body) -> Response:
        return json_response(body)

    app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        with pytest.raises(RuntimeError, match="not built by crossdock_chassis"):
            await client.post("/x", json={})
