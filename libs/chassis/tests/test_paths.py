"""Identifiers in paths: each route gets the identifier that the client encoded."""

from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Path
from hypothesis import given
from hypothesis import strategies as st

from crossdock_chassis import segment
from crossdock_chassis.http.application import Api
from crossdock_chassis.testing.signing import Signer

identifiers = st.text(st.characters(exclude_categories=("C", "Zl", "Zp", "Zs"), include_characters=" "), min_size=1)
router = APIRouter(prefix="/v1")


@router.get("/things/{name}")
async def get_thing(name: str) -> list[str]:
    return ["thing", name]


@router.post("/things/{name}:close")
async def post_close(name: str) -> list[str]:
    return ["close", name]


@router.get("/things/{name}/parts/{part}")
async def get_part(name: str, part: str) -> list[str]:
    return ["part", name, part]


@router.get("/rest/{name:path}")
async def get_rest(name: Annotated[str, Path()]) -> list[str]:
    return ["rest", name]


API = Api("tests", [router], verifier=Signer.generate().verifier())


async def asked(method: str, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(API), base_url="http://service") as client:
        return await client.request(method, path)


@given(identifiers, identifiers)
async def test_every_route_gets_the_identifier_that_was_encoded(name: str, part: str) -> None:
    for method, path, expected in (
        ("GET", f"/v1/things/{segment(name)}", ["thing", name]),
        ("POST", f"/v1/things/{segment(name)}:close", ["close", name]),
        ("GET", f"/v1/things/{segment(name)}/parts/{segment(part)}", ["part", name, part]),
        ("GET", f"/v1/rest/{segment(name)}", ["rest", name]),
    ):
        assert (await asked(method, path)).json() == expected, path


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/th%69ngs/a", ["thing", "a"]),
        ("GET", "/v1/things/a:b", ["thing", "a:b"]),
        ("GET", "/v1/things/a%2fb", ["thing", "a/b"]),
        ("GET", "/v1/things/%252F", ["thing", "%2F"]),
        ("POST", "/v1/things/a:close:close", ["close", "a:close"]),
        ("GET", "/v1/rest/a/b%2Fc", ["rest", "a/b/c"]),
    ],
)
async def test_encoding_changes_only_the_meaning_of_separators(method: str, path: str, expected: list[str]) -> None:
    assert (await asked(method, path)).json() == expected


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1%2Fthings/a"), ("GET", "/v1/things/a/b")])
async def test_slash_is_part_of_an_identifier_only_if_encoded(method: str, path: str) -> None:
    assert (await asked(method, path)).status_code == 404


async def test_encoded_colon_is_no_action() -> None:
    assert (await asked("POST", "/v1/things/a%3Aclose")).status_code == 405


async def test_path_that_is_not_utf_8_is_malformed() -> None:
    assert (await asked("GET", "/v1/things/%ff")).status_code == 400
