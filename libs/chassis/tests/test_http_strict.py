"""Parameters, paths and headers that are nearly right are refused, on ordinary routes and on hot ones."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from crossdock_chassis.http.application import Api
from crossdock_chassis.http.conventions import Timestamp, accepts, json_response
from crossdock_chassis.http.hot_route import HotRoute, JsonBody
from crossdock_chassis.testing.signing import Signer

BOM = b"\xef\xbb\xbf"
JSON = {"Content-Type": "application/json"}
ORDER = "0193f7a0-0000-7000-8000-000000000001"


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str


class Filters(BaseModel):
    kind: str | None = None
    limit: int = 50


def application() -> Api:
    cold, hot = APIRouter(prefix="/v1"), APIRouter(prefix="/v1", route_class=HotRoute)
    thing = JsonBody(Thing)

    @hot.post("/things", response_model=Thing)
    async def post_hot(body: Thing) -> Response:
        return json_response(body)

    @cold.get("/things")
    async def get_things(filters: Annotated[Filters, Query()]) -> dict[str, Any]:
        return filters.model_dump()

    @cold.put("/things")
    async def put_things(body: Thing, dry_run: bool = False) -> dict[str, Any]:
        return {"dry_run": dry_run, **body.model_dump()}

    @cold.get("/find")
    async def get_find(item_id: Annotated[list[str], Query()], since: Timestamp | None = None) -> dict[str, Any]:
        return {"items": item_id, "since": since}

    @cold.get("/things/{name}")
    async def get_thing(name: str) -> Thing:
        return Thing(name=name)

    @cold.post("/things/{name}:cancel")
    async def post_cancel(name: str) -> Thing:
        return Thing(name=f"cancelled {name}")

    @cold.get("/orders/{order_id}")
    async def get_order(order_id: UUID) -> Thing:
        return Thing(name=str(order_id))

    @cold.post("/orders/{order_id}:cancel")
    async def post_order_cancel(order_id: UUID) -> Thing:
        return Thing(name=str(order_id))

    @cold.post("/lines")
    async def post_lines(request: Request, _: Annotated[None, accepts("application/x-ndjson")]) -> list[str]:
        return [thing.parse(line).name for line in (await request.body()).splitlines()]

    return Api("tests", [cold, hot], verifier=Signer.generate().verifier())


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application())
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


def refused(answered: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    document: dict[str, Any] = answered.json()
    assert (answered.status_code, document["type"]) == (status, f"urn:crossdock:problem:{kind}"), answered.text
    return document


@pytest.mark.parametrize(
    ("method", "path", "has"),
    [
        ("PUT", "/v1/things?dryrun=true", "it has dry_run"),
        ("PUT", "/v1/things?DRY_RUN=true", "it has dry_run"),
        ("POST", "/v1/things?dryrun", "it has none"),
        ("GET", "/v1/things?limits=1", "it has kind, limit"),
        ("POST", "/v1/things/a:cancel?dryrun=", "it has none"),
    ],
)
async def test_unknown_query_parameter_is_refused(client: httpx.AsyncClient, method: str, path: str, has: str) -> None:
    document = refused(await client.request(method, path, json={"name": "pen"}), 422, "invalid")
    name = path.partition("?")[2].partition("=")[0]
    [error] = document["errors"]
    assert (error["in"], error["parameter"], error["code"]) == ("query", name, "unknown_parameter")
    assert document["detail"] == f"query {name}: The route has no such parameter; {has}"


async def test_repeated_parameter_is_refused_unless_it_is_a_list(client: httpx.AsyncClient) -> None:
    document = refused(await client.put("/v1/things?dry_run=true&dry_run=false", json={"name": "x"}), 422, "invalid")
    assert document["errors"][0]["code"] == "repeated_parameter"
    refused(await client.get("/v1/things?limit=1&limit=1"), 422, "invalid")
    assert (await client.get("/v1/find?item_id=a&item_id=b")).json()["items"] == ["a", "b"]


async def test_known_parameter_still_arrives(client: httpx.AsyncClient) -> None:
    assert (await client.put("/v1/things?dry_run=true", json={"name": "x"})).json()["dry_run"] is True
    assert (await client.get("/v1/things?kind=%C3%A4&limit=7")).json() == {"kind": "ä", "limit": 7}


@pytest.mark.parametrize("query", [b"kind=%ff", b"kind=%ed%a0%80", b"kind=\xc3\xa4", b"%ff=1", b"kind=%00"])
async def test_query_that_is_not_encoded_utf8_is_400(query: bytes) -> None:
    assert await status_of("GET", b"/v1/things", query) == 400


@pytest.mark.parametrize("path", [b"/v1/things/%ff", b"/v1/things/a%ed%a0%80", b"/v1/things/%00"])
async def test_path_that_is_not_encoded_utf8_is_400(path: bytes) -> None:
    assert await status_of("GET", path, b"") == 400


async def status_of(method: str, path: bytes, query: bytes) -> int:
    """Send exactly these bytes, which httpx would encode."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/", "raw_path": path, "query_string": query, "headers": []}
    await application()(scope, receive, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    ("since", "status"),
    [
        ("2026-07-01T12:00:00Z", 200),
        ("2026-07-01t12:00:00.5%2B02:00", 200),
        ("0.5", 422),
        ("1782907200", 422),
        ("2026-07-01", 422),
        ("2026-07-01T12:00:00", 422),
        ("2026-07-01T12:00:00+02:00", 422),
        ("2026-02-30T12:00:00Z", 422),
        ("0001-01-01T00:00:00%2B14:00", 422),
        ("9999-12-31T23:59:59-14:00", 422),
        ("10000-01-01T00:00:00Z", 422),
        ("", 422),
    ],
)
async def test_date_time_parameter_takes_only_date_times(client: httpx.AsyncClient, since: str, status: int) -> None:
    answered = await client.get(f"/v1/find?item_id=a&since={since}")
    assert answered.status_code == status, answered.text
    assert status == 200 or "query since" in answered.json()["detail"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/things"), ("PUT", "/v1/things")])
async def test_byte_order_mark_before_json_is_skipped(client: httpx.AsyncClient, method: str, path: str) -> None:
    content = BOM + json.dumps({"name": "pen"}).encode()
    assert (await client.request(method, path, content=content, headers=JSON)).json()["name"] == "pen"


async def test_byte_order_mark_before_ndjson_is_skipped(client: httpx.AsyncClient) -> None:
    content = BOM + b'{"name": "a"}\n{"name": "b"}\n'
    answered = await client.post("/v1/lines", content=content, headers={"Content-Type": "application/x-ndjson"})
    assert answered.json() == ["a", "b"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/things"), ("PUT", "/v1/things"), ("POST", "/v1/lines")])
@pytest.mark.parametrize(("encoding", "status"), [("gzip", 415), ("gzip, identity", 415), ("", 415), ("Identity", 200)])
async def test_content_encoding_other_than_identity_is_415(
    client: httpx.AsyncClient, method: str, path: str, encoding: str, status: int
) -> None:
    kind = "application/x-ndjson" if path == "/v1/lines" else "application/json"
    headers = {"Content-Type": kind, "Content-Encoding": encoding}
    answered = await client.request(method, path, content=b'{"name": "pen"}', headers=headers)
    assert answered.status_code == status, answered.text
    if status == 415:
        assert "Content-Encoding" in answered.json()["detail"] and answered.headers["accept-encoding"] == "identity"


# --- methods and paths


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/things", "GET, HEAD, POST, PUT"),
        ("PATCH", "/v1/things/a", "GET, HEAD"),
        ("GET", "/v1/things/a:cancel", "POST"),
        ("GET", f"/v1/orders/{ORDER}:cancel", "POST"),
        ("DELETE", "/v1/orders/none:cancel", "POST"),
        ("OPTIONS", f"/v1/orders/{ORDER}", "GET, HEAD"),
        ("HEAD", "/v1/lines", "POST"),
    ],
)
async def test_another_method_is_405_with_every_method(
    client: httpx.AsyncClient, method: str, path: str, allow: str
) -> None:
    answered = await client.request(method, path)
    assert (answered.status_code, answered.headers["allow"]) == (405, allow)
    if method != "HEAD":
        refused(answered, 405, "method-not-allowed")


@pytest.mark.parametrize("path", ["/v1/things/pen", "/v1/things?limit=3", "/v1/things?wrong=1", "/v1/orders/none"])
async def test_head_answers_as_get_without_the_body(client: httpx.AsyncClient, path: str) -> None:
    got, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    for name in ("content-type", "cache-control"):
        assert head.headers[name] == got.headers[name]
    assert head.headers["content-length"] == got.headers["content-length"] or got.is_error


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/things/a%2Fb", "a/b"),
        ("/v1/things/a%3Acancel", "a:cancel"),
        ("/v1/%74hings/%C3%A4%20%23%7c%26", "ä #|&"),
        ("/v1/things/%2e%2e", ".."),
        ("/v1/things/100%25", "100%"),
    ],
)
async def test_encoded_text_in_the_path_is_one_segment(path: str, name: str) -> None:
    transport = httpx.ASGITransport(application())
    async with httpx.AsyncClient(transport=transport) as client:
        url = httpx.URL("http://service").copy_with(raw_path=path.encode())
        assert (await client.get(url)).json() == {"name": name}


async def test_instance_of_a_problem_is_percent_encoded(client: httpx.AsyncClient) -> None:
    for path in ("/v1/nothing/%C3%A4%20%22b%22", "/v1/orders/%7Bx%7D", "/v1/a%2Fb"):
        assert (await client.get(path)).json()["instance"] == path


async def test_no_cache_stores_an_answer_of_a_route(client: httpx.AsyncClient) -> None:
    for answered in (
        await client.get("/v1/things/pen"),
        await client.post("/v1/things", json={"name": "pen"}),
        await client.get("/v1/orders/none"),
    ):
        assert answered.headers["cache-control"] == "no-store"
        assert answered.headers["x-content-type-options"] == "nosniff"
