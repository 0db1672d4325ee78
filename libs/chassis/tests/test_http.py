"""The front door: what ordinary routes and hot ones have in common, and garbage at both."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from crossdock_chassis.database.errors import OutcomeUnknown
from crossdock_chassis.http.application import Api
from crossdock_chassis.http.auth import requires
from crossdock_chassis.http.conventions import accepts, cause, json_response
from crossdock_chassis.http.hot_route import HotRoute, JsonBody
from crossdock_chassis.http.request import Caller, describe
from crossdock_chassis.problems import INVALID, Problem, Refusal
from crossdock_chassis.testing.signing import Signer
from crossdock_events import Cause

ISSUER = Signer.generate()
Writer = Annotated[Caller, requires("write")]


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    item: Annotated[str, Field(min_length=1, max_length=64)]
    quantity: Annotated[int, Field(ge=1, le=1_000_000)]


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reference: Annotated[str, Field(max_length=64)]
    lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=500)]
    metadata: dict[str, str] = {}


class Seen(BaseModel):
    reference: str


class NoSuchThing(Exception):
    """As a pure model would write it: it knows nothing of HTTP."""

    def __init__(self, thing: str) -> None:
        super().__init__(f"no {thing}")
        self.thing, self.extra = thing, {"thing": thing, "status": 200}


class TwoWrongs(Exception):
    errors = ({"pointer": "/lines/0/item", "detail": "unknown", "code": "unknown_item"},)


PROBLEMS: dict[type[Exception], Problem] = {
    NoSuchThing: Problem(404, "no-such-thing", "No such thing", headers={"Location": lambda e: f"/things/{e.thing}"}),
    TwoWrongs: Problem(422, "wrong", "Two wrongs"),
}
RAISED: dict[str, Exception] = {
    "own": NoSuchThing("pen"),
    "fields": TwoWrongs(),
    "refusal": Refusal(INVALID, "because", extra={"limit": 3}),
    "bug": RuntimeError("password is hunter2"),
    "inner": ValueError("1 validation error"),
    "unknown": OutcomeUnknown("secret dsn"),
    "connection": ConnectionRefusedError("10.1.2.3"),
}


def application() -> Api:
    cold, hot = APIRouter(prefix="/v1"), APIRouter(prefix="/v1", route_class=HotRoute)

    @cold.post("/cold", status_code=201)
    async def post_cold(body: Order, caller: Writer) -> Seen:
        return Seen(reference=body.reference)

    @hot.post("/hot", status_code=201, response_model=Seen)
    async def post_hot(body: Order, caller: Writer) -> Response:
        if (error := RAISED.get(body.reference)) is not None:
            raise error
        if body.reference == "model":
            Line(item="", quantity=0)
        return json_response(Seen(reference=body.reference), 201, location="/v1/hot/1")

    @cold.get("/raise/{name}")
    async def get_raise(name: str) -> Seen:
        if name == "model":
            Line(item="", quantity=0)
        raise RAISED[name]

    @cold.get("/query")
    async def get_query(limit: Annotated[int, Query(ge=1, le=10)], id: UUID | None = None) -> Seen:
        return Seen(reference=str(limit))

    @cold.get("/why")
    async def get_why(why: Annotated[Cause, cause]) -> dict[str, str | None]:
        return {"correlation": str(why.correlation_id), "traceparent": why.traceparent}

    order = JsonBody(Order)

    @cold.post("/lines")
    async def post_lines(
        request: Request, _: Annotated[None, accepts("application/x-ndjson", limit=5_000)], caller: Writer
    ) -> list[dict[str, object]]:
        def outcome(line: bytes) -> dict[str, object]:
            try:
                return {"reference": order.parse(line).reference}
            except Exception as error:
                return {"problem": describe(request, error)}

        return [outcome(line) for line in (await request.body()).splitlines()]

    @cold.get("/breaks")
    async def get_breaks() -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("in the middle")

        return StreamingResponse(chunks())

    return Api("tests", [cold, hot], verifier=ISSUER.verifier(), problems=PROBLEMS, max_body_bytes=4096)


@pytest.fixture(scope="module")
def api() -> Api:
    return application()


@pytest.fixture
async def client(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {ISSUER.token('acme', ['write'])}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(api), base_url="http://service", headers=headers
    ) as client:
        yield client


def order(**change: Any) -> dict[str, Any]:
    return {"reference": "PO-1", "lines": [{"item": "SKU-1", "quantity": 1}]} | change


both = pytest.mark.parametrize("path", ["/v1/cold", "/v1/hot"])
JSON = {"Content-Type": "application/json"}


def is_problem(answered: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    document: dict[str, Any] = answered.json()
    assert (answered.status_code, document["type"]) == (status, f"urn:crossdock:problem:{kind}"), answered.text
    assert answered.headers["content-type"] == "application/problem+json"
    assert document["status"] == status and document["title"]
    assert document["request_id"] == answered.headers["request-id"]
    assert document["instance"] == answered.url.raw_path.partition(b"?")[0].decode()
    return document


@both
async def test_a_good_body(client: httpx.AsyncClient, path: str) -> None:
    for media_type in ("application/json", "application/json; charset=utf-8", "application/merge+json"):
        answered = await client.post(path, content=json.dumps(order()), headers={"Content-Type": media_type})
        assert (answered.status_code, answered.json()) == (201, {"reference": "PO-1"})


@both
@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        (
            {"lines": [{"item": "a", "quantity": 1}, {"item": "b", "quantity": 0}]},
            "/lines/1/quantity",
            "greater_than_equal",
        ),
        ({"lines": [{"item": "a", "quantity": "NaN"}]}, "/lines/0/quantity", "int_parsing"),
        ({"lines": [{"item": "a", "quantity": 1.5}]}, "/lines/0/quantity", "int_from_float"),
        ({"lines": [{"item": "a", "quantity": 10**300}]}, "/lines/0/quantity", "less_than_equal"),
        ({"lines": [{"item": "a", "quantity": -1}]}, "/lines/0/quantity", "greater_than_equal"),
        ({"lines": []}, "/lines", "too_short"),
        ({"lines": None}, "/lines", "tuple_type"),
        ({"extra": 1}, "/extra", "extra_forbidden"),
        ({"a/b~c": 1}, "/a~1b~0c", "extra_forbidden"),
        ({"reference": 5}, "/reference", "string_type"),
        ({"metadata": {"k": 1}}, "/metadata/k", "string_type"),
    ],
)
async def test_a_body_against_the_rules_is_422_with_the_place(
    client: httpx.AsyncClient, path: str, change: dict[str, Any], pointer: str, code: str
) -> None:
    answered = await client.post(path, json=order(**change))
    errors = is_problem(answered, 422, "invalid")["errors"]
    assert [(each["pointer"], each["code"]) for each in errors] == [(pointer, code)]


@both
@pytest.mark.parametrize("body", ["[]", "null", "5", '"order"'])
async def test_a_body_that_is_no_object(client: httpx.AsyncClient, path: str, body: str) -> None:
    errors = is_problem(await client.post(path, content=body, headers=JSON), 422, "invalid")["errors"]
    assert errors[0]["pointer"] == ""


NONSENSE = {
    "cut off": b'{"reference": "PO-1", "lines": [',
    "a member twice": b'{"reference": "a", "reference": "b", "lines": [{"item": "x", "quantity": 1}]}',
    "an inner member twice": b'{"reference": "a", "lines": [{"item": "x", "quantity": 1, "quantity": 2}]}',
    "NaN": b'{"reference": "a", "lines": [{"item": "x", "quantity": NaN}]}',
    "Infinity": b'{"reference": "a", "lines": [{"item": "x", "quantity": -Infinity}]}',
    "nested deeply": b"[" * 2_000,
    "nested deeply in a member": b'{"reference": ' + b'{"a":' * 500,
    "a lone surrogate": b'{"reference": "\\ud800", "lines": []}',
    "not UTF-8": b'{"reference": "\xff", "lines": []}',
    "UTF-16": json.dumps(order()).encode("utf-16"),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + json.dumps(order()).encode(),
    "two documents": json.dumps(order()).encode() * 2,
    "a trailing comma": b'{"reference": "a",}',
    "a raw control character": b'{"reference": "\x00"}',
    "NUL bytes": b"\x00" * 100,
    "single quotes": b"{'reference': 'a'}",
}


@both
@pytest.mark.parametrize("name", NONSENSE)
async def test_what_is_not_json_for_everybody_is_400(client: httpx.AsyncClient, path: str, name: str) -> None:
    is_problem(await client.post(path, content=NONSENSE[name], headers=JSON), 400, "malformed-json")


def test_a_number_without_an_end() -> None:
    with pytest.raises(Refusal, match="number out of range"):
        JsonBody(Order).parse(b'{"reference": ' + b"9" * 5_000 + b"}")


async def test_nothing_at_all(client: httpx.AsyncClient) -> None:
    is_problem(await client.post("/v1/hot", content=b"", headers=JSON), 400, "malformed-json")
    is_problem(await client.post("/v1/cold", content=b"", headers=JSON), 422, "invalid")


@both
@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"reference": "a\0b"}, "/reference"),
        ({"metadata": {"k": "\0"}}, "/metadata/k"),
        ({"metadata": {"\0": "v"}}, "/metadata"),
    ],
)
async def test_a_nul_that_the_database_would_choke_on(
    client: httpx.AsyncClient, path: str, change: dict[str, Any], pointer: str
) -> None:
    document = is_problem(await client.post(path, json=order(**change)), 422, "invalid")
    message = "a NUL character cannot be stored"
    assert document["errors"] == [{"pointer": pointer, "detail": message, "code": "nul_character"}]
    assert document["detail"] == f"{pointer}: {message}"


@both
async def test_backslashes_that_only_look_like_a_nul(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.post(path, json=order(reference="\\u0000"))).status_code == 201


@both
@pytest.mark.parametrize(
    "media_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx", ";"]
)
async def test_another_content_type_is_415(client: httpx.AsyncClient, path: str, media_type: str | None) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    is_problem(await client.post(path, content=json.dumps(order()), headers=headers), 415, "unsupported-media-type")


@both
async def test_a_body_announced_too_large_is_not_read(api: Api, path: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("the body was asked for")
        yield b""

    headers = {"Authorization": f"Bearer {ISSUER.token('acme', ['write'])}", "Content-Length": "4097"} | JSON
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://service") as client:
        document = is_problem(await client.post(path, content=body(), headers=headers), 413, "too-large")
    assert document["limit"] == 4096


@both
async def test_a_body_that_grows_too_large_is_stopped(client: httpx.AsyncClient, path: str) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 1
            yield b" " * 1024

    is_problem(await client.post(path, content=body(), headers=JSON), 413, "too-large")
    assert sent < 10


@both
async def test_a_body_in_pieces(client: httpx.AsyncClient, path: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        for byte in json.dumps(order()).encode():
            yield bytes([byte])

    assert (await client.post(path, content=body(), headers=JSON)).status_code == 201


@both
async def test_a_client_that_goes_away_is_answered_nothing(api: Api, path: str) -> None:
    sent: list[Any] = []
    messages = [
        {"type": "http.request", "body": b'{"refer', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    token = f"Bearer {ISSUER.token('acme', ['write'])}".encode()
    await api(
        {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (b"authorization", token)],
        },
        receive,
        send,
    )
    assert sent == []


@both
@pytest.mark.parametrize("count", [100, 101, 400])
async def test_wrong_in_many_places_shows_the_first_hundred(client: httpx.AsyncClient, path: str, count: int) -> None:
    body = json.dumps(order(**{f"x{n}": 1 for n in range(count)}), separators=(",", ":"))
    document = is_problem(await client.post(path, content=body, headers=JSON), 422, "invalid")
    assert len(document["errors"]) == 100
    shown = "; `errors` has the first 100" if count > 100 else ""
    assert document["detail"] == f"/x0: Extra inputs are not permitted, and {count - 1} more errors{shown}"


# --- what is not a body


async def test_wrong_parameters_name_themselves(client: httpx.AsyncClient) -> None:
    document = is_problem(await client.get("/v1/query?limit=11&id=x"), 422, "invalid")
    named = [(each["in"], each["parameter"], each["code"]) for each in document["errors"]]
    assert named == [("query", "limit", "less_than_equal"), ("query", "id", "uuid_parsing")]


@pytest.mark.parametrize("path", ["/v1/query?limit=1%00", "/v1/raise/a%00b"])
async def test_a_nul_in_the_url(client: httpx.AsyncClient, path: str) -> None:
    is_problem(await client.get(path), 400, "malformed-request")


async def test_no_such_page_and_no_such_method(client: httpx.AsyncClient) -> None:
    is_problem(await client.get("/v1/nothing"), 404, "not-found")
    is_problem(await client.get("/v1/query/"), 404, "not-found")
    for path in ("/v1/hot", "/v1/cold"):
        answered = await client.delete(path)
        is_problem(answered, 405, "method-not-allowed")
        assert answered.headers["allow"] == "POST"


# --- what handlers raise


@pytest.mark.parametrize("how", ["cold", "hot"])
@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("own", 404, "no-such-thing"),
        ("fields", 422, "wrong"),
        ("refusal", 422, "invalid"),
        ("bug", 500, "internal"),
        ("inner", 500, "internal"),
        ("model", 500, "internal"),
        ("unknown", 503, "unavailable"),
        ("connection", 503, "unavailable"),
    ],
)
async def test_what_is_raised_becomes_its_problem(
    client: httpx.AsyncClient, how: str, name: str, status: int, kind: str
) -> None:
    raised = client.post("/v1/hot", json=order(reference=name)) if how == "hot" else client.get(f"/v1/raise/{name}")
    answered = await raised
    document = is_problem(answered, status, kind)
    if status >= 500:
        assert set(document) == {"type", "title", "status", "instance", "request_id"}, "nothing of the inside"
    if name == "own":
        assert (document["thing"], document["detail"]) == ("pen", "no pen")
        assert answered.headers["location"] == "/things/pen"
    if name == "fields":
        assert document["errors"] == list(TwoWrongs.errors)
    if name == "refusal":
        assert (document["limit"], document["detail"]) == (3, "because")
    if kind == "unavailable":
        assert answered.headers["retry-after"] == "1"


async def test_half_an_answer_is_not_passed_off_as_a_whole_one(client: httpx.AsyncClient) -> None:
    with pytest.raises(RuntimeError, match="in the middle"):
        await client.get("/v1/breaks")


# --- bodies that routes read themselves


async def test_ndjson_lines_are_validated_like_single_bodies(client: httpx.AsyncClient) -> None:
    wrong = [b'{"reference": "a", "reference": "b"}', json.dumps(order(lines=[{"item": "x", "quantity": 0}])).encode()]
    content = b"\n".join([json.dumps(order()).encode(), *wrong])
    answered = await client.post("/v1/lines", content=content, headers={"Content-Type": "application/x-ndjson"})
    good, malformed, invalid = answered.json()
    assert good == {"reference": "PO-1"}
    assert malformed["problem"]["type"] == "urn:crossdock:problem:malformed-json"
    assert malformed["problem"]["request_id"] == answered.headers["request-id"]
    assert invalid["problem"]["errors"][0]["pointer"] == "/lines/0/quantity"


async def test_such_a_route_has_a_content_type_and_a_limit_of_its_own(client: httpx.AsyncClient) -> None:
    ndjson = {"Content-Type": "application/x-ndjson"}
    is_problem(await client.post("/v1/lines", content=b"\n" * 5_001, headers=ndjson), 413, "too-large")
    is_problem(await client.post("/v1/lines", content=b"{}", headers=JSON), 415, "unsupported-media-type")
    assert (await client.post("/v1/lines", content=b"\n" * 5_000, headers=ndjson)).status_code == 200


# --- the name of the request


async def test_every_answer_names_its_request(client: httpx.AsyncClient) -> None:
    for path in ("/v1/query?limit=1", "/v1/nothing", "/v1/raise/bug"):
        assert UUID((await client.get(path)).headers["request-id"]).version == 7
    assert (await client.get("/v1/nothing", headers={"Request-Id": "their-own.1"})).headers[
        "request-id"
    ] == "their-own.1"


@pytest.mark.parametrize("odd", ["", "a b", "x" * 129, 'a"b', "ä"])
async def test_an_odd_request_id_is_replaced(client: httpx.AsyncClient, odd: str) -> None:
    answered = await client.get("/v1/nothing", headers=[(b"request-id", odd.encode())])
    assert UUID(answered.headers["request-id"])


async def test_the_cause_is_what_the_caller_says_it_is(client: httpx.AsyncClient) -> None:
    theirs, request = "0193f7a0-0000-7000-8000-000000000001", "0193f7a0-0000-7000-8000-000000000002"

    async def correlation(**headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return str((await client.get("/v1/why", headers=named)).json()["correlation"])

    assert await correlation(Correlation_Id=theirs, Request_Id=request) == theirs
    assert await correlation(Request_Id=request) == request
    assert UUID(await correlation(Correlation_Id="nonsense", Request_Id="also")).version == 7
    answered = await client.get("/v1/why")
    assert answered.json()["correlation"] == answered.headers["request-id"]
