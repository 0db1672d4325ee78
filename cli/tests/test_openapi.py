"""Test for each kind of change of an OpenAPI description whether it breaks clients."""

import json
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import pytest

from crossdock_cli.clone import checkout
from crossdock_cli.contracts.openapi import breaks

TEXT: dict[str, Any] = {"type": "string", "maxLength": 8}
LABELS: dict[str, Any] = {"type": "object", "propertyNames": {"$ref": "#/components/schemas/Names"}}
FILTER: dict[str, Any] = {"$ref": "#/components/schemas/Filter"}
DRAFT: dict[str, Any] = {
    "type": "object",
    "properties": {"reference": TEXT, "note": TEXT, "priority": {"enum": ["low", "high"]}, "labels": LABELS},
    "required": ["reference"],
    "additionalProperties": False,
}
VIEW: dict[str, Any] = {
    "type": "object",
    "properties": {"id": TEXT, "state": {"enum": ["open", "done"]}, "lines": {"$ref": "#/components/schemas/Lines"}},
    "required": ["id", "state"],
    "additionalProperties": False,
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "shop", "version": "1"},
    "paths": {
        "/v1/orders": {
            "get": {
                "operationId": "list_orders",
                "deprecated": True,
                "parameters": [
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 9}},
                    {"name": "If-Match", "in": "header", "schema": TEXT},
                    {"$ref": "#/components/parameters/Cursor"},
                    {"name": "filter", "in": "query", "content": {"application/json": {"schema": FILTER}}},
                ],
                "responses": {"200": {"content": {"application/json": {"schema": {"type": "array", "items": VIEW}}}}},
            },
            "post": {
                "operationId": "post_order",
                "summary": "Place an order",
                "security": [{"bearer": ["orders:write"]}, {"bearer": ["ops"]}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Draft"}}}},
                "responses": {
                    "201": {
                        "description": "Taken",
                        "headers": {"Location": {"required": True, "schema": TEXT}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/View"}}},
                    },
                    "409": {"description": "Another", "headers": {"Location": {"schema": TEXT}}},
                    "422": {"description": "No order"},
                    "default": {"content": {"application/problem+json": {"schema": {"type": "object"}}}},
                },
            },
        },
        "/readyz": {"$ref": "#/components/pathItems/Ready"},
        "/livez": {"get": {"responses": {"200": {"content": {"text/plain": {}, "application/json": {}}}}}},
    },
    "components": {
        "schemas": {
            "Draft": DRAFT,
            "View": VIEW,
            "Lines": {"type": "array", "items": TEXT},
            "Names": TEXT,
            "Filter": TEXT,
        },
        "parameters": {"Cursor": {"name": "cursor", "in": "query", "schema": TEXT}},
        "pathItems": {"Ready": {"get": {"responses": {"200": {"$ref": "#/components/responses/Ready"}}}}},
        "responses": {"Ready": {"content": {"text/plain": {"schema": TEXT}}}},
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "A token"}},
    },
}

GONE: Any = object()
PATHS = "paths"
LIST, POST = (PATHS, "/v1/orders", "get"), (PATHS, "/v1/orders", "post")
BODY, CREATED = (*POST, "requestBody"), (*POST, "responses", "201")
LOCATION, PROBLEM = (*CREATED, "headers", "Location"), (*POST, "responses", "default")
SCHEMAS = ("components", "schemas")
DRAFT_AT, VIEW_AT = (*SCHEMAS, "Draft"), (*SCHEMAS, "View")
JSON = ("content", "application/json")


def changed(*edits: tuple[tuple[Any, ...], Any], document: dict[str, Any] = DOCUMENT) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(document))  # a deep copy, so that an edit changes only one place
    for (*way, last), value in edits:
        at: Any = made
        for step in way:
            at = at[step]
        if value is GONE:
            del at[last]
        elif isinstance(at, list) and last == len(at):
            at.append(value)
        else:
            at[last] = value
    return made


BREAKS: list[tuple[str, list[tuple[tuple[Any, ...], Any]], str]] = [
    ("a path goes", [((PATHS, "/v1/orders"), GONE)], "/v1/orders: the path was removed"),
    ("an operation goes", [(POST, GONE)], "POST /v1/orders: the operation was removed"),
    ("a deprecated operation goes", [(LIST, GONE)], "GET /v1/orders: the operation was removed"),
    (
        "an operation is renamed",
        [((*POST, "operationId"), "order")],
        "POST /v1/orders: operationId post_order was removed",
    ),
    (
        "an operation loses its name",
        [((*POST, "operationId"), GONE)],
        "POST /v1/orders: operationId post_order was removed",
    ),
    ("what no rule knows comes", [((*POST, "callbacks"), {})], "POST /v1/orders: callbacks changed"),
    ("parameters of a whole path come", [((PATHS, "/v1/orders", "parameters"), [])], "/v1/orders: parameters changed"),
    ("the document moves", [(("servers",), [{"url": "/api"}])], "the document: servers changed"),
    (
        "a parameter goes",
        [((*LIST, "parameters", 0), GONE)],
        "GET /v1/orders query parameter limit: the parameter was removed",
    ),
    (
        "a parameter behind a reference goes",
        [((*LIST, "parameters", 2), GONE)],
        "GET /v1/orders query parameter cursor: the parameter was removed",
    ),
    (
        "a parameter moves to the headers",
        [((*LIST, "parameters", 0, "in"), "header")],
        "GET /v1/orders query parameter limit: the parameter was removed",
    ),
    (
        "a parameter is required",
        [((*LIST, "parameters", 0, "required"), True)],
        "GET /v1/orders query parameter limit: the parameter is required now",
    ),
    (
        "a required parameter comes",
        [((*LIST, "parameters", 4), {"name": "from", "in": "query", "required": True})],
        "GET /v1/orders query parameter from: a required parameter was added",
    ),
    (
        "a parameter tightens",
        [((*LIST, "parameters", 0, "schema", "maximum"), 8)],
        "GET /v1/orders query parameter limit /maximum: maximum changed from 9 to 8",
    ),
    (
        "a parameter tightens behind its reference",
        [(("components", "parameters", "Cursor", "schema", "maxLength"), 7)],
        "GET /v1/orders query parameter cursor /maxLength: ",
    ),
    (
        "a parameter is written otherwise",
        [((*LIST, "parameters", 0, "style"), "pipeDelimited")],
        "GET /v1/orders query parameter limit: style changed",
    ),
    (
        "what no rule knows changes in a parameter, behind a reference",
        [((*SCHEMAS, "Filter", "maxLength"), 9)],
        "GET /v1/orders query parameter filter: content changed",
    ),
    ("a body is required", [((*BODY, "required"), True)], "POST /v1/orders request body: the body is required now"),
    (
        "a required body comes",
        [((*LIST, "requestBody"), {"required": True, "content": {}})],
        "GET /v1/orders request body: the body is required now",
    ),
    ("a body goes", [(BODY, GONE)], "POST /v1/orders request body application/json: the media type was removed"),
    (
        "a body is no longer taken in a media type",
        [((*BODY, "content"), {"text/csv": {}})],
        "POST /v1/orders request body application/json: the media type was removed",
    ),
    (
        "the parts of a body are encoded otherwise",
        [((*BODY, *JSON, "encoding"), {})],
        "POST /v1/orders request body: encoding changed",
    ),
    (
        "what no rule knows comes with a body",
        [((*BODY, "x-signed"), True)],
        "POST /v1/orders request body: x-signed changed",
    ),
    (
        "a field is no longer taken",
        [((*DRAFT_AT, "properties", "note"), GONE)],
        "POST /v1/orders request body /properties/note: note went",
    ),
    (
        "a field is required",
        [((*DRAFT_AT, "required", 1), "note")],
        "POST /v1/orders request body /required: note must be there now",
    ),
    (
        "a field tightens",
        [((*DRAFT_AT, "properties", "note", "maxLength"), 7)],
        "POST /v1/orders request body /properties/note/maxLength: maxLength changed from 8 to 7",
    ),
    (
        "a value is no longer taken",
        [((*DRAFT_AT, "properties", "priority", "enum"), ["low"])],
        'POST /v1/orders request body /properties/priority/enum: value "high" went',
    ),
    ("a success goes", [(CREATED, GONE)], "POST /v1/orders response 201: the response was removed"),
    ("what all errors are goes", [(PROBLEM, GONE)], "POST /v1/orders response default: the response was removed"),
    (
        "an error is no longer told by a header",
        [((*POST, "responses", "409"), GONE)],
        "POST /v1/orders response 409 header Location: the header was removed",
    ),
    (
        "an error is told in another media type",
        [((*POST, "responses", "422", "content"), {"application/json": {}})],
        "POST /v1/orders response 422 application/problem+json: the media type was removed",
    ),
    (
        "another error is told in another media type",
        [((*POST, "responses", "404"), {"content": {"application/json": {}}})],
        "POST /v1/orders response 404 application/problem+json: the media type was removed",
    ),
    (
        "a response has no body any more",
        [((*CREATED, "content"), GONE)],
        "POST /v1/orders response 201 application/json: the media type was removed",
    ),
    (
        "one of two media types goes",
        [((PATHS, "/livez", "get", "responses", "200", "content", "text/plain"), GONE)],
        "GET /livez response 200 text/plain: the media type was removed",
    ),
    (
        "a response loosens behind two references",
        [(("components", "responses", "Ready", "content", "text/plain", "schema", "maxLength"), 9)],
        "GET /readyz response 200 /maxLength: ",
    ),
    (
        "what no rule knows changes behind a reference",
        [((*SCHEMAS, "Names", "maxLength"), 7)],
        "POST /v1/orders request body /properties/labels/propertyNames: ",
    ),
    ("links come", [((*CREATED, "links"), {})], "POST /v1/orders response 201: links changed"),
    (
        "a header goes",
        [((*CREATED, "headers"), GONE)],
        "POST /v1/orders response 201 header Location: the header was removed",
    ),
    (
        "a header may be missing",
        [((*LOCATION, "required"), False)],
        "POST /v1/orders response 201 header Location: the header may be missing now",
    ),
    (
        "a header loosens",
        [((*LOCATION, "schema", "maxLength"), 9)],
        "POST /v1/orders response 201 header Location /maxLength: ",
    ),
    (
        "a header is written otherwise",
        [((*LOCATION, "explode"), True)],
        "POST /v1/orders response 201 header Location: explode changed",
    ),
    (
        "a property goes",
        [((*VIEW_AT, "properties", "lines"), GONE)],
        "POST /v1/orders response 201 /properties/lines: lines went",
    ),
    (
        "a property may be missing",
        [((*VIEW_AT, "required"), ["id"])],
        "POST /v1/orders response 201 /required: state may be missing now",
    ),
    (
        "a property becomes another",
        [((*VIEW_AT, "properties", "id"), {"type": "integer"})],
        "POST /v1/orders response 201 /properties/id/type: type integer came",
    ),
    (
        "a property may be null",
        [((*VIEW_AT, "properties", "id"), {"anyOf": [TEXT, {"type": "null"}]})],
        "POST /v1/orders response 201 /properties/id/anyOf/1: an alternative came",
    ),
    (
        "a closed enum grows",
        [((*VIEW_AT, "properties", "state", "enum"), ["open", "done", "held"])],
        'POST /v1/orders response 201 /properties/state/enum: value "held" came',
    ),
    (
        "a property loosens behind two references",
        [((*SCHEMAS, "Lines", "items", "maxLength"), 9)],
        "POST /v1/orders response 201 /properties/lines/items/maxLength: ",
    ),
    (
        "another scope is needed",
        [((*POST, "security"), [{"bearer": ["orders:write", "orders:read"]}, {"bearer": ["ops"]}])],
        "POST /v1/orders: bearer orders:write is no longer enough",
    ),
    (
        "one of two scopes is no longer enough",
        [((*POST, "security", 1), GONE)],
        "POST /v1/orders: bearer ops is no longer enough",
    ),
    (
        "another scheme is needed too",
        [((*POST, "security"), [{"bearer": ["orders:write"], "key": []}, {"bearer": ["ops"]}])],
        "POST /v1/orders: bearer orders:write is no longer enough: it needs bearer orders:write and key or bearer ops",
    ),
    (
        "a token is needed",
        [((*LIST, "security"), [{"bearer": []}])],
        "GET /v1/orders: no token is no longer enough: it needs bearer",
    ),
    (
        "a token is needed everywhere",
        [(("security",), [{"bearer": []}])],
        "GET /v1/orders: no token is no longer enough: it needs bearer",
    ),
    (
        "tokens are shown otherwise",
        [(("components", "securitySchemes", "bearer", "scheme"), "basic")],
        "security scheme bearer: scheme changed",
    ),
    (
        "a security scheme goes",
        [(("components", "securitySchemes"), {})],
        "security scheme bearer: the scheme was removed",
    ),
]

ADDITIONS: list[tuple[str, list[tuple[tuple[Any, ...], Any]]]] = [
    ("nothing changes", []),
    ("a path comes", [((PATHS, "/v1/items"), {"get": {"responses": {}}})]),
    ("an operation comes", [((PATHS, "/v1/orders", "patch"), {"responses": {}})]),
    ("an operation is named", [((PATHS, "/livez", "get", "operationId"), "livez")]),
    ("an operation is deprecated", [((*POST, "deprecated"), True)]),
    (
        "prose",
        [
            (("info", "version"), "2"),
            ((*POST, "summary"), "Order"),
            ((*POST, "tags"), ["shop"]),
            ((*CREATED, "description"), "Here"),
            ((*LOCATION, "description"), "Where"),
            ((*BODY, *JSON, "example"), {}),
            ((*DRAFT_AT, "title"), "Order"),
            (("components", "securitySchemes", "bearer", "description"), "Another"),
        ],
    ),
    ("an optional parameter comes", [((*LIST, "parameters", 4), {"name": "from", "in": "query"})]),
    ("a parameter loosens", [((*LIST, "parameters", 0, "schema", "maximum"), 10)]),
    ("a parameter may be missing", [((*LIST, "parameters", 0, "required"), False)]),
    ("a parameter of the headers changes its case", [((*LIST, "parameters", 1, "name"), "if-match")]),
    ("a header changes its case", [((*CREATED, "headers"), {"location": {"required": True, "schema": TEXT}})]),
    ("parameters change places", [((*LIST, "parameters"), DOCUMENT["paths"]["/v1/orders"]["get"]["parameters"][::-1])]),
    ("an optional body comes", [((*LIST, "requestBody"), {"content": {"application/json": {}}})]),
    ("a body is taken in another media type too", [((*BODY, "content", "text/csv"), {})]),
    ("an optional field is taken", [((*DRAFT_AT, "properties", "gift"), {"type": "boolean"})]),
    ("a field may be missing", [((*DRAFT_AT, "required"), [])]),
    ("a field loosens", [((*DRAFT_AT, "properties", "note", "maxLength"), 9)]),
    ("a field may be null", [((*DRAFT_AT, "properties", "note"), {"anyOf": [TEXT, {"type": "null"}]})]),
    ("another value is taken", [((*DRAFT_AT, "properties", "priority", "enum"), ["low", "high", "top"])]),
    ("requests may hold anything more", [((*DRAFT_AT, "additionalProperties"), True)]),
    ("another success comes", [((*POST, "responses", "202"), {"content": {"application/json": {}}})]),
    ("an error is told of", [((*POST, "responses", "404"), {"description": "None such"})]),
    ("an error comes where none was told of", [((*LIST, "responses", "404"), {"content": {"text/plain": {}}})]),
    ("an error is no longer told of", [((*POST, "responses", "422"), GONE)]),
    ("an answer comes in another media type too", [((*CREATED, "content", "text/csv"), {})]),
    ("a header comes", [((*CREATED, "headers", "ETag"), {"schema": TEXT})]),
    ("a header is always there", [((*POST, "responses", "409", "headers", "Location", "required"), True)]),
    ("a property comes in a closed response", [((*VIEW_AT, "properties", "total"), TEXT)]),
    (
        "a required one comes",
        [((*VIEW_AT, "properties", "total"), TEXT), ((*VIEW_AT, "required", 2), "total")],
    ),
    ("a property is always there", [((*VIEW_AT, "required", 2), "lines")]),
    ("a property tightens", [((*VIEW_AT, "properties", "id", "maxLength"), 7)]),
    ("a closed enum shrinks", [((*VIEW_AT, "properties", "state", "enum"), ["done"])]),
    ("a response opens", [((*VIEW_AT, "additionalProperties"), GONE)]),
    (
        "a schema moves behind a reference",
        [((*SCHEMAS, "Id"), TEXT), ((*VIEW_AT, "properties", "id"), {"$ref": "#/components/schemas/Id"})],
    ),
    ("another scope is enough too", [((*POST, "security", 2), {"bearer": ["admin"]})]),
    ("no token is needed", [((*POST, "security"), [])]),
    ("any token is enough", [((*POST, "security"), [{"bearer": []}])]),
    ("another security scheme comes", [(("components", "securitySchemes", "key"), {"type": "apiKey"})]),
]


@pytest.mark.parametrize(("edits", "said"), [each[1:] for each in BREAKS], ids=[each[0] for each in BREAKS])
def test_a_break_is_found_and_told_where_it_is(edits: list[Any], said: str) -> None:
    found = [str(each) for each in breaks(DOCUMENT, changed(*edits))]
    assert [each for each in found if each.startswith(said)], found


@pytest.mark.parametrize("edits", [each[1] for each in ADDITIONS], ids=[each[0] for each in ADDITIONS])
def test_an_addition_breaks_nobody(edits: list[Any]) -> None:
    assert breaks(DOCUMENT, changed(*edits)) == []


COMMITTED = sorted((checkout() / "docs" / "generated").glob("*.openapi.json"))


@pytest.fixture(params=COMMITTED, ids=lambda file: file.name)
def committed(request: pytest.FixtureRequest) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(request.param.read_text())
    return document


def test_what_is_committed_breaks_nobody_who_knows_it(committed: dict[str, Any]) -> None:
    assert breaks(committed, changed(document=committed)) == []


def test_each_committed_operation_is_missed(committed: dict[str, Any]) -> None:
    for path, item in committed["paths"].items():
        alone = _only(committed, path)
        (gone,) = breaks(alone, changed(((PATHS, path), GONE), document=alone))
        assert str(gone) == f"{path}: the path was removed"
        for method in item:
            (gone,) = breaks(alone, changed(((PATHS, path, method), GONE), document=alone))
            assert str(gone) == f"{method.upper()} {path}: the operation was removed"


def test_each_property_of_a_committed_response_is_missed(committed: dict[str, Any]) -> None:
    properties: dict[tuple[str, ...], str] = {}  # and a path that has it in a response
    for path, item in committed["paths"].items():
        ways = [way for way in _ways(item, (PATHS, path)) if "responses" in way]
        for name in _reached(committed, [name for way in ways for name in _referred(_at(committed, way))]):
            ways += _ways(_at(committed, (*SCHEMAS, name)), (*SCHEMAS, name))
        properties.update((way, path) for way in ways if _is_property(way))
    assert len(properties) > 50
    for way, path in properties.items():
        alone = _only(committed, path)
        found = breaks(alone, changed((way, GONE), document=alone))
        assert any(" response " in each.place and f"{way[-1]} went" in each.reason for each in found), way


def _only(document: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the document with one path and its schemas: to copy and compare all for each edit takes a minute."""
    components = document["components"]
    needed = _reached(document, _referred(document[PATHS][path]))
    schemas = {name: each for name, each in components["schemas"].items() if name in needed}
    return document | {PATHS: {path: document[PATHS][path]}, "components": components | {"schemas": schemas}}


def _reached(document: dict[str, Any], pending: list[str]) -> set[str]:
    reached: set[str] = set()
    while pending:
        if (name := pending.pop()) not in reached:
            reached.add(name)
            pending += _referred(document["components"]["schemas"][name])
    return reached


def _ways(node: Any, at: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield at
    if isinstance(node, dict):
        for key, each in node.items():
            yield from _ways(each, (*at, key))


def _is_property(way: tuple[str, ...]) -> bool:
    """A schema can have a property that is named `properties`: what follows it is no property, but a keyword."""
    return len(list(takewhile(lambda step: step == "properties", reversed(way[:-1])))) % 2 == 1


def _at(node: Any, way: tuple[str, ...]) -> Any:
    for step in way:
        node = node[step]
    return node


def _referred(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"].rpartition("/")[2]] if "$ref" in node else []
        return own + [name for each in node.values() for name in _referred(each)]
    return [name for each in node for name in _referred(each)] if isinstance(node, list) else []
