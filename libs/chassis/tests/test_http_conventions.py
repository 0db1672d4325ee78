"""Keys, cursors, versions, waits: small promises that clients build on."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Response
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from crossdock_chassis.http.application import Api
from crossdock_chassis.http.auth import requires
from crossdock_chassis.http.conventions import (
    Cursor,
    IdempotencyKey,
    IfMatch,
    IfNoneMatch,
    Page,
    PageCursor,
    PageLimit,
    RequiredIfMatch,
    Wait,
    etag,
    json_response,
)
from crossdock_chassis.http.hot_route import HotRoute
from crossdock_chassis.http.request import Caller
from crossdock_chassis.problems import Refusal, pointer
from crossdock_chassis.testing.signing import Signer

ISSUER = Signer.generate()
THINGS = Cursor("things", tuple[datetime, UUID])
Writer = Annotated[Caller, requires("write")]


class Thing(BaseModel):
    name: str
    size: int = 1


class Claim(BaseModel):
    partner: str
    route: str
    key: str
    fingerprint: str


def application() -> Api:
    cold, hot = APIRouter(prefix="/v1"), APIRouter(prefix="/v1", route_class=HotRoute)

    def claimed(key: Any, body: Thing) -> Response:
        request = key.of(body)
        if request is None:
            return Response(status_code=204)
        claim = Claim(
            partner=request.partner, route=request.route, key=request.key, fingerprint=request.fingerprint.hex()
        )
        return json_response(claim, replayed=True)

    @hot.post("/things", response_model=Claim)
    async def post_thing(body: Thing, key: IdempotencyKey, caller: Writer) -> Response:
        return claimed(key, body)

    @cold.post("/things/{thing}:change", response_model=Claim)
    async def post_change(thing: str, body: Thing, key: IdempotencyKey, caller: Writer) -> Response:
        return claimed(key, body)

    @cold.put("/things/{version}")
    async def put_thing(version: int, match: IfMatch) -> Response:
        match.check(version)
        return json_response(Thing(name="x"), etag=etag(version + 1))

    @cold.delete("/things/{version}")
    async def delete_thing(version: int, match: RequiredIfMatch) -> Response:
        match.check(version)
        return Response(status_code=204)

    @cold.get("/files/{version}")
    async def get_file(version: int, copy: IfNoneMatch) -> Response:
        return copy.answer(etag(version), b"{}", "application/schema+json")

    @cold.get("/wait")
    async def get_wait(wait: Wait) -> float:
        return wait

    @cold.get("/page")
    async def get_page(limit: PageLimit = 50, cursor: PageCursor = None) -> Page[int]:
        after = THINGS.decode(cursor)
        return Page(items=[limit], next=None if after is None else THINGS.encode(after))

    return Api("tests", [cold, hot], verifier=ISSUER.verifier())


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {ISSUER.token('acme', ['write'])}"}
    transport = httpx.ASGITransport(application())
    async with httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers) as client:
        yield client


async def claim(client: httpx.AsyncClient, path: str = "/v1/things", **body: Any) -> dict[str, str]:
    answered = await client.post(path, json={"name": "pen", **body}, headers={"Idempotency-Key": "k-1"})
    assert answered.status_code == 200, answered.text
    assert answered.headers["idempotent-replayed"] == "true"
    found: dict[str, str] = answered.json()
    return found


async def test_a_key_is_the_partners_and_the_routes(client: httpx.AsyncClient) -> None:
    first = await claim(client)
    assert (first["partner"], first["route"], first["key"]) == ("acme", "POST /v1/things", "k-1")
    changed = await claim(client, "/v1/things/7:change")
    assert changed["route"] == "POST /v1/things/{thing}:change"


async def test_fingerprint_ignores_how_the_body_was_written(client: httpx.AsyncClient) -> None:
    first = await claim(client)
    assert await claim(client, size=1) == first, "a default written out is the same request"
    raw = b'{ "size":1,\n "name":"\\u0070en" }'
    headers = {"Idempotency-Key": "k-1", "Content-Type": "application/json"}
    assert (await client.post("/v1/things", content=raw, headers=headers)).json() == first
    assert (await claim(client, size=2))["fingerprint"] != first["fingerprint"]
    one, other = await claim(client, "/v1/things/1:change"), await claim(client, "/v1/things/2:change")
    assert one["fingerprint"] != other["fingerprint"], "the same body for another thing is another request"


async def test_without_a_key_there_is_none(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/things", json={"name": "pen"})).status_code == 204


@pytest.mark.parametrize("key", ["", "x" * 256, "ä", "tab\there", "\x7f"])
async def test_a_key_that_cannot_be(client: httpx.AsyncClient, key: str) -> None:
    answered = await client.post("/v1/things", json={"name": "pen"}, headers=[(b"idempotency-key", key.encode())])
    assert (answered.status_code, answered.json()["type"]) == (400, "urn:crossdock:problem:bad-idempotency-key")


async def test_two_keys_are_one_too_many(client: httpx.AsyncClient) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert (await client.post("/v1/things", json={"name": "pen"}, headers=headers)).status_code == 400


# --- versions


@pytest.mark.parametrize(
    ("sent", "status"),
    [(None, 200), ('"3"', 200), ('"1", "3"', 200), ("*", 200), ('"2"', 412), ("3", 412), ('W/"3"', 412), ("", 412)],
)
async def test_if_match(client: httpx.AsyncClient, sent: str | None, status: int) -> None:
    answered = await client.put("/v1/things/3", headers={} if sent is None else {"If-Match": sent})
    assert answered.status_code == status
    assert answered.headers["etag"] == ('"4"' if status == 200 else '"3"')


async def test_a_version_that_must_be_named(client: httpx.AsyncClient) -> None:
    answered = await client.delete("/v1/things/3")
    assert (answered.status_code, answered.json()["type"]) == (428, "urn:crossdock:problem:precondition-required")
    for tag, status in (('"2"', 412), ('"3"', 204)):
        assert (await client.delete("/v1/things/3", headers={"If-Match": tag})).status_code == status


@pytest.mark.parametrize(
    ("sent", "status"),
    [(None, 200), ('"2"', 200), ("3", 200), ("", 200), ('"3"', 304), ('W/"3"', 304), ('"1", "3"', 304), ("*", 304)],
)
async def test_current_copy_is_not_sent_again(client: httpx.AsyncClient, sent: str | None, status: int) -> None:
    answered = await client.get("/v1/files/3", headers={} if sent is None else {"If-None-Match": sent})
    assert (answered.status_code, answered.headers["etag"]) == (status, '"3"')
    assert answered.content == (b"" if status == 304 else b"{}")


# --- lists

AT = (datetime(2026, 1, 1, tzinfo=UTC), UUID(int=7))


@given(st.tuples(st.datetimes(timezones=st.just(UTC)), st.uuids()))
def test_a_cursor_comes_back_as_it_went(position: tuple[datetime, UUID]) -> None:
    text = THINGS.encode(position)
    assert THINGS.decode(text) == position
    assert text.isascii() and not set(text) & set("+/=&?%")


def written(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "ä",
        "!!!!",
        written([]),
        written({}),
        written(5),
        written(["things", 1]),
        written(["things", 1, [1, 2]]),
        written(["things", 2, ["2026-01-01T00:00:00Z", str(UUID(int=7))]]),
        Cursor("others", tuple[datetime, UUID]).encode(AT),
        Cursor("things", tuple[datetime, UUID], version=2).encode(AT),
        base64.urlsafe_b64encode(b"[" * 700).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
async def test_a_cursor_that_is_not_ours(client: httpx.AsyncClient, text: str) -> None:
    answered = await client.get("/v1/page", params={"cursor": text})
    assert (answered.status_code, answered.json()["type"]) == (400, "urn:crossdock:problem:bad-cursor")


@given(st.text(max_size=60))
def test_no_text_breaks_a_cursor(text: str) -> None:
    with pytest.raises(Refusal, match=r"^$"):
        THINGS.decode(text)


async def test_pages(client: httpx.AsyncClient) -> None:
    text = THINGS.encode(AT)
    assert (await client.get("/v1/page", params={"cursor": text})).json() == {"items": [50], "next": text}
    assert (await client.get("/v1/page?limit=200")).json() == {"items": [200], "next": None}
    for limit in ("0", "201", "x", "1e3", "-1", "9" * 5000):
        assert (await client.get("/v1/page", params={"limit": limit})).status_code == 422


# --- patience


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0),
        ("wait=2", 2),
        ("respond-async, wait=5", 5),
        ('wait="3"', 3),
        ("Wait = 4; x", 4),
        ("wait=99999", 10),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait=NaN", 0),
        ("wait=" + "9" * 50, 0),
        ("await=5", 0),
        ("", 0),
    ],
)
async def test_prefer_wait(client: httpx.AsyncClient, prefer: str | None, seconds: float) -> None:
    answered = await client.get("/v1/wait", headers={} if prefer is None else {"Prefer": prefer})
    assert answered.json() == seconds


@pytest.mark.parametrize(
    ("location", "text"), [((), ""), (("lines", 0, "a"), "/lines/0/a"), (("a/b", "c~d"), "/a~1b/c~0d"), (("",), "/")]
)
def test_pointers_are_rfc_6901(location: tuple[str | int, ...], text: str) -> None:
    assert pointer(location) == text
