"""Send mistyped, repeated and impossible parameters to each route of each service."""

import base64
import json
import sys
from collections.abc import Iterator
from typing import Any

import httpx
from served import Operation, Served

from crossdock_chassis import Cursor, Feed

BIG = 2**63
EARLY, LATE = "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"
NOT_A_TIME = ("0.5", "1", "today", "2026-07-01", "2026-07-01T12:00:00", EARLY, LATE)
Fault = tuple[str, str]


def faults(answered: httpx.Response) -> set[Fault]:
    """Return (parameter, code) of each error about the query."""
    errors = answered.json().get("errors", []) if answered.status_code == 422 else []
    return {(each["parameter"], each["code"]) for each in errors if each.get("in") == "query"}


async def test_unknown_query_parameter_is_refused_at_every_route(served: Served) -> None:
    for each in served.operations:
        for name in ("dryrun", "DRY_RUN", "limits", "query"):
            answered = await served.send(each, f"{name}=true")
            assert faults(answered) == {(name, "unknown_parameter")}, (str(each), answered.text)
            assert f"query {name}:" in answered.json()["detail"]


async def test_declared_query_parameter_is_known_at_every_route(served: Served) -> None:
    for each in served.operations:
        for name in each.parameters("query"):
            answered = await served.send(each, f"{name}=%20")
            assert (name, "unknown_parameter") not in faults(answered), (str(each), answered.text)


async def test_repeated_query_parameter_is_refused_at_every_route(served: Served) -> None:
    for each in served.operations:
        for name, schema in each.parameters("query").items():
            answered = await served.send(each, f"{name}=1&{name}=2")
            repeated = (name, "repeated_parameter") in faults(answered)
            assert repeated == (schema.get("type") != "array"), (str(each), name, answered.text)


async def test_url_that_is_not_utf8_is_400_at_every_route(served: Served) -> None:
    for each in served.operations:
        assert (await served.send(each, "x=%ff")).status_code == 400, str(each)
        for name, schema in each.parameters("path").items():
            if "enum" not in schema:
                url = httpx.URL(each.url({name: "REPLACED"}).replace("REPLACED", "%ff"))
                answered = await served.client.request(each.method, url, **each.body())
                assert answered.status_code == 400, (str(each), answered.text)


async def test_time_that_is_no_date_time_is_422_at_every_route(served: Served) -> None:
    for each in served.operations:
        for name, schema in each.parameters("query").items():
            if schema.get("format") == "date-time":
                for text in NOT_A_TIME:
                    answered = await served.send(each, f"{name}={text}")
                    assert answered.status_code == 422 and f"query {name}:" in answered.json()["detail"], answered.text


async def test_integer_out_of_range_is_422_at_every_route(served: Served) -> None:
    for each in served.operations:
        for name, schema in each.parameters("query").items():
            if schema.get("type") == "integer":
                for number in (BIG, -BIG - 1, 10**40):
                    assert (await served.send(each, f"{name}={number}")).status_code == 422, str(each)
        for name, schema in each.parameters("path").items():
            if schema.get("type") == "integer":
                for number in (BIG, -BIG - 1, 10**40):
                    assert (await served.send(each, **{name: str(number)})).status_code == 422, str(each)


# --- cursors


def cursors() -> set[Cursor[Any]]:
    """Return all cursors of the chassis and the services: values of their modules."""
    modules = [module for name, module in sys.modules.items() if "_service" in name or "crossdock_chassis" in name]
    found = [each for module in modules for each in vars(module).values()]
    feeds = {each._cursor for each in found if isinstance(each, Feed)}
    return feeds.union(each for each in found if isinstance(each, Cursor))


ODD: tuple[Any, ...] = (
    *(0, -1, 1 << 15, 1 << 31, BIG - 1, BIG, -BIG - 1, 10**400, True, None, 1.5, "", "5", "\0", "\ud800", "x" * 400),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-07-01T12:00:00", "2026-07-01T12:00:00Z"),
    *("infinity", [], {}, [[]]),
)


def text_of(cursor: Cursor[Any], position: Any) -> str:
    document = json.dumps([*cursor._head, position], separators=(",", ":"))
    return base64.urlsafe_b64encode(document.encode()).rstrip(b"=").decode()


def good_position(cursor: Cursor[Any]) -> Any:
    good = valid(cursor._adapter.json_schema())
    if str(cursor._head[0]).endswith("-changes") and isinstance(good, list):
        good[0] = 1  # the generation of a database that was never restored
    return good


def forged(cursor: Cursor[Any]) -> Iterator[str]:
    """Yield cursors with the right name and version, in which one part of a valid position is odd."""
    good = good_position(cursor)
    for place in {(), *places(good)}:
        yield from (text_of(cursor, replaced(good, place, odd)) for odd in ODD)


def valid(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:
    root = root or schema
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "prefixItems" in schema:
        return [valid(each, root) for each in schema["prefixItems"]]
    if schema.get("format") == "date-time":
        return "2026-07-01T12:00:00Z"
    if schema.get("format") == "date":
        return "2026-07-01"
    if schema.get("format") == "uuid":
        return "0193f7a0-0000-7000-8000-000000000001"
    return schema.get("minimum", 0) if schema["type"] == "integer" else "x"


def places(value: Any, above: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    if isinstance(value, list):
        for i, each in enumerate(value):
            yield from places(each, (*above, i))
    elif above:
        yield above


def replaced(value: Any, place: tuple[int, ...], by: Any) -> Any:
    if not place:
        return by
    return [replaced(each, place[1:], by) if i == place[0] else each for i, each in enumerate(value)]


async def test_forged_cursor_is_refused_or_answers_a_page(served: Served) -> None:
    """A position that PostgreSQL can compare answers a page, or 404 for an unknown id: a cursor is not a secret."""
    routes = [each for each in served.operations if "cursor" in each.parameters("query")]
    for each in routes:

        async def status(text: str, each: Operation = each) -> int:
            return (await served.send(each, f"cursor={text}")).status_code

        found = {cursor: await status(text_of(cursor, good_position(cursor))) for cursor in cursors()}
        good = 404 if "{" in each.path else 200  # no resource has the generated id
        assert sorted(found.values()) == sorted([good] + [400] * (len(found) - 1)), (str(each), found)
        (own,) = [cursor for cursor, answered in found.items() if answered == good]
        statuses = {text: await status(text) for text in forged(own)}
        assert {400} <= set(statuses.values()) <= {good, 400, 410, 422}, (str(each), statuses)
