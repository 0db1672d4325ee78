"""Bodies that are made to cost time: work is linear in their size, and bounded."""

import gc
import json
from collections.abc import Callable
from functools import partial

import httpx
import pytest
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Message

from crossdock_chassis import HotRoute, JsonBody, Refusal
from crossdock_chassis.http.application import Api
from crossdock_chassis.http.hot_route import FEW_VALUES, MAX_VALUES, read_body, strict_json
from crossdock_chassis.problems import Problems
from crossdock_chassis.testing import assert_linear
from crossdock_chassis.testing.signing import Signer


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    item: str


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reference: str
    lines: list[Line] = Field(max_length=500)
    notes: str = ""


def members(count: int) -> bytes:
    return b",".join(b'"%05x":1' % number for number in range(count))


GARBAGE: dict[str, Callable[[int], bytes]] = {
    "unknown members": lambda n: b"{%s}" % members(n),
    "unknown members of lines": lambda n: b'{"lines":[%s]}' % b",".join([b"{%s}" % members(49)] * (n // 50)),
    "elements": lambda n: b'{"lines":[%s]}' % b",".join([b"{}"] * n),
    "a NUL behind many values": lambda n: b'{"lines":[%s"\\u0000"]}' % (b"1," * n),
    "an open quote": lambda n: b'{"notes":"' + b'\\",' * (50 * n),
    "commas in a text": lambda n: b'{"notes":"%s"}' % (b",[{" * (50 * n)),
    "blanks": lambda n: b" " * (50 * n),
}


def refused(raw: bytes) -> dict[str, object]:
    try:
        JsonBody(Order).parse(raw)
    except Exception as error:
        return Problems().document(error, request_id="")
    raise AssertionError("accepted")


@pytest.mark.parametrize("kind", GARBAGE)
def test_time_for_garbage_in_json_is_linear(kind: str) -> None:
    assert_linear(lambda size: partial(refused, GARBAGE[kind](size)), MAX_VALUES // 8)


def client() -> httpx.AsyncClient:
    hot, ordinary = APIRouter(route_class=HotRoute), APIRouter()

    @hot.post("/hot")
    async def post_hot(body: Order) -> Response:
        return Response(body.reference)

    @ordinary.post("/ordinary")
    async def post_ordinary(body: Order) -> str:
        return body.reference

    api = Api("tests", [hot, ordinary], verifier=Signer.generate().verifier())
    return httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://tests", headers=JSON)


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("path", ["/hot", "/ordinary"])
async def test_refused_body_leaves_nothing_to_the_collector(path: str) -> None:
    """A collection stops the event loop, for 100 ms after some bodies of 19,000 unknown members."""
    async with client() as http:
        await http.post(path, content=b"{}")
        gc.collect()
        gc.disable()
        try:
            answer = await http.post(path, content=GARBAGE["unknown members"](2_000))
            assert answer.status_code == 422 and gc.collect() < 1_000
        finally:
            gc.enable()


@pytest.mark.parametrize("path", ["/hot", "/ordinary"])
@pytest.mark.parametrize("kind", ["unknown members", "elements", "brackets"])
async def test_json_of_too_many_values_is_413(path: str, kind: str) -> None:
    raw = b"[" * (MAX_VALUES + 1) if kind == "brackets" else GARBAGE[kind](MAX_VALUES)
    async with client() as http:
        answer = await http.post(path, content=raw)
        many = json.dumps({"reference": "x", "lines": [{"item": "y"}] * 500, "notes": "," * 100_000 + '"'})
        accepted = await http.post(path, content=many)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:crossdock:problem:too-large")
    assert f"{MAX_VALUES if path == '/hot' else FEW_VALUES}" in answer.json()["detail"]
    assert accepted.status_code == 200


def test_text_with_commas_and_brackets_is_one_value() -> None:
    strict_json(json.dumps({"value": json.dumps([[1, 2, '"', {}]] * MAX_VALUES)}).encode())
    with pytest.raises(Refusal, match="at most"):
        strict_json(json.dumps([1] * (MAX_VALUES + 1)).encode())


def test_body_in_single_bytes_takes_linear_time() -> None:
    async def read(size: int) -> bytes:
        parts = iter(range(size, -1, -1))

        async def receive() -> Message:
            return {"type": "http.request", "body": b"x", "more_body": next(parts) > 0}

        return await read_body(Request({"type": "http"}, receive))

    def run(size: int) -> Callable[[], object]:
        def once() -> None:
            body = read(size)
            with pytest.raises(StopIteration) as ended:
                body.send(None)
            assert len(ended.value.value) == size + 1

        return once

    assert_linear(run, 25_000)
