"""What a route declares decides which errors and headers its OpenAPI shows."""

import json
import re
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from crossdock_chassis.http.application import Api
from crossdock_chassis.http.auth import requires
from crossdock_chassis.http.conventions import (
    COMMAND_PROBLEMS,
    IdempotencyKey,
    IfMatch,
    PageCursor,
    RequiredIfMatch,
    Wait,
    accepts,
    cause,
)
from crossdock_chassis.http.hot_route import HotRoute
from crossdock_chassis.http.openapi import errors, lines, listed
from crossdock_chassis.http.request import Caller
from crossdock_chassis.problems import Problem
from crossdock_chassis.testing.signing import Signer
from crossdock_events import Cause


class Body(BaseModel):
    n: int = 0


class Place(BaseModel):
    row: int


class ManyProblem(BaseModel):
    places: list[Place]


NO_THING = Problem(404, "no-thing", "No thing has this id")
TAKEN = Problem(409, "taken", "Another thing has this name", headers={"Location": lambda error: f"/v1/{error}"})
LOCKED = Problem(409, "locked", "The thing is locked")
MANY = Problem(422, "many", "Many places are wrong", model=ManyProblem)

Guarded = Annotated[Caller, requires("write")]
EVERY = {
    400: {"malformed-request"},
    422: {"invalid"},
    431: {"head-too-large"},
    500: {"internal"},
    503: {"unavailable"},
}
TOKEN = {401: {"unauthenticated"}, 403: {"forbidden"}, 429: {"too-many-at-once"}, 503: {"issuer-unavailable"}}
RAW = {408: {"too-slow"}, 413: {"too-large"}, 415: {"unsupported-media-type"}}
JSON = {400: {"malformed-json"}, **RAW}
COMMAND = {503: {problem.type for problem in COMMAND_PROBLEMS}}
KEY = {400: {"bad-idempotency-key"}, 409: {"request-in-flight"}, 422: {"idempotency-key-reused"}, **COMMAND}
MATCH = {412: {"precondition-failed"}, **COMMAND}


async def nothing() -> None: ...
async def guard(caller: Guarded) -> None: ...
async def body(body: Body) -> None: ...
async def key(key: IdempotencyKey) -> None: ...
async def match(match: IfMatch) -> None: ...
async def required_match(match: RequiredIfMatch) -> None: ...
async def raw(request: Request, body: Annotated[None, accepts("text/csv", description="A file")]) -> None: ...
async def cursor(cursor: PageCursor = None) -> None: ...
async def query(limit: Annotated[int, Query()] = 1) -> None: ...
async def everything(body: Body, caller: Guarded, key: IdempotencyKey, match: IfMatch) -> None: ...


def operation(route: APIRouter, path: str = "/x") -> dict[str, Any]:
    document = Api("tests", [route], verifier=Signer.generate().verifier()).openapi()
    found: dict[str, Any] = document["paths"][path]["post"]
    return found


def shown(operation: dict[str, Any]) -> dict[int, set[str]]:
    """Return the slugs that the description of each error names."""
    found = {int(status): each["description"] for status, each in operation["responses"].items() if status != "200"}
    return {status: set(re.findall(r"^(?:- )?`([a-z-]+)`:", text, re.MULTILINE)) for status, text in found.items()}


def together(*parts: dict[int, set[str]]) -> dict[int, set[str]]:
    return {status: set().union(*(part.get(status, set()) for part in parts)) for part in parts for status in part}


@pytest.mark.parametrize(
    ("endpoint", "parts"),
    [
        (nothing, []),
        (guard, [TOKEN]),
        (body, [JSON]),
        (key, [KEY]),
        (match, [MATCH]),
        (required_match, [MATCH, {428: {"precondition-required"}}]),
        (raw, [RAW]),
        (cursor, [{400: {"bad-cursor"}}]),
        (query, []),
        (everything, [JSON, TOKEN, KEY, MATCH]),
    ],
)
def test_a_route_shows_the_errors_of_what_it_declares(endpoint: Any, parts: list[dict[int, set[str]]]) -> None:
    router = APIRouter()
    router.post("/x")(endpoint)
    assert shown(operation(router)) == together(EVERY, *parts)


def test_a_hot_route_shows_the_errors_of_an_ordinary_one() -> None:
    hot = APIRouter(route_class=HotRoute)
    hot.post("/x", responses=errors(TAKEN))(everything)
    cold = APIRouter()
    cold.post("/x", responses=errors(TAKEN))(everything)
    assert operation(hot) == operation(cold)


def test_own_problems_join_those_of_the_same_status() -> None:
    router = APIRouter()
    router.post("/x", responses=errors(TAKEN, NO_THING, LOCKED))(key)
    found = operation(router)
    assert shown(found) == together(EVERY, KEY, {404: {"no-thing"}, 409: {"taken", "locked"}})
    conflict = found["responses"]["409"]
    assert set(conflict["headers"]) == {"Location", "Retry-After"}
    assert conflict["content"] == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert found["responses"]["404"]["description"] == "`no-thing`: No thing has this id."
    assert "headers" not in found["responses"]["404"]
    assert listed(router.routes[0]) == [NO_THING, TAKEN, LOCKED]  # type: ignore[arg-type]


def test_a_problem_with_a_model_shows_its_members() -> None:
    router = APIRouter()
    router.post("/x", responses=errors(MANY))(body)
    document = Api("tests", [router], verifier=Signer.generate().verifier()).openapi()
    schema = document["paths"]["/x"]["post"]["responses"]["422"]["content"]["application/problem+json"]["schema"]
    assert [each["$ref"].rpartition("/")[2] for each in schema["anyOf"]] == ["Problem", "ManyProblem"]
    schemas = document["components"]["schemas"]
    assert schemas["ManyProblem"]["properties"]["places"]["items"] == {"$ref": "#/components/schemas/Place"}
    assert schemas["Place"]["properties"]["row"]["type"] == "integer"


def test_the_lines_of_a_batch_show_their_problems() -> None:
    router = APIRouter()
    router.post("/x", responses={200: lines({"description": "A line for each line"}, NO_THING)})(raw)
    found = operation(router)
    text = found["responses"]["200"]["description"]
    assert text.startswith("A line for each line\n\n") and "- `no-thing`: No thing has this id.\n" in text
    assert "- `malformed-json`:" in text and "404" not in found["responses"]
    assert listed(router.routes[0]) == [NO_THING]  # type: ignore[arg-type]


def test_the_headers_and_the_raw_body_of_dependencies_are_shown() -> None:
    router = APIRouter()

    @router.post("/x")
    async def post(
        request: Request,
        key: IdempotencyKey,
        match: IfMatch,
        wait: Wait,
        why: Annotated[Cause, cause],
        body: Annotated[None, accepts("text/csv", description="A file")],
    ) -> None: ...

    found = operation(router)
    assert {(each["in"], each["name"], each["required"]) for each in found["parameters"]} == {
        ("header", name, False) for name in ("Idempotency-Key", "If-Match", "Prefer", "Correlation-Id")
    }
    schema = {"type": "string", "description": "A file"}
    assert found["requestBody"] == {"required": True, "content": {"text/csv": {"schema": schema}}}


def test_the_document_shows_scopes_and_no_errors_of_fastapi() -> None:
    router = APIRouter()
    router.post("/x")(everything)
    api = Api("tests", [router], verifier=Signer.generate().verifier())
    document = api.openapi()
    assert document == api.openapi() and document["openapi"].startswith("3.1")
    post = document["paths"]["/x"]["post"]
    assert post["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/Body")
    assert post["security"] == [{"bearer": ["write"]}]
    assert document["components"]["securitySchemes"]["bearer"]["bearerFormat"] == "JWT"
    assert "default" not in post["responses"] and "ValidationError" not in json.dumps(document)
