"""Extend schemathesis: NDJSON and CSV bodies, ids that exist, and checks of the conventions of Crossdock.

schemathesis runs in a process of its own and imports this file. `CROSSDOCK_SEEDS` has what the test has prepared.
"""

import json
import os
import re
from typing import Any, get_args

import jsonschema
import schemathesis
from hypothesis import strategies as st
from pydantic_core.core_schema import ErrorType
from schemathesis import Case, CheckContext, HookContext, Response

SEEDS: dict[str, Any] = json.loads(os.environ["CROSSDOCK_SEEDS"])
NDJSON, CSV, PROBLEM = "application/x-ndjson", "text/csv", "application/problem+json"
MAIL, OCTETS = "message/rfc822", "application/octet-stream"

existing: dict[str, str] = dict(SEEDS["ids"])
"""The id that a path parameter last had in a `Location`, by the path up to the parameter."""

# --- bodies that are not one JSON document

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
documents = st.sampled_from(SEEDS["documents"])
lines = st.one_of(
    documents.map(json.dumps),
    st.builds(
        lambda whole, name, value: json.dumps(whole | {name: value}), documents, st.text(max_size=8), json_values
    ),
    json_values.map(json.dumps),
    st.text(max_size=20),
)
cells = st.one_of(st.text(max_size=20), st.integers().map(str), st.sampled_from(["", '"', '"a""b"', "\ufeff", "\r"]))
rows = st.lists(cells, min_size=1, max_size=5).map(",".join)
files = st.builds(
    lambda template, more: "\n".join([template, *more]), st.sampled_from(SEEDS["files"]), st.lists(rows, max_size=3)
)
schemathesis.openapi.media_type(NDJSON, st.lists(lines, max_size=4).map(lambda each: "\n".join(each).encode()))
schemathesis.openapi.media_type(CSV, files.map(str.encode))
schemathesis.openapi.media_type(MAIL, st.binary(max_size=200).map(b"From: a@b.c\r\n".__add__))
schemathesis.openapi.media_type(OCTETS, st.binary(max_size=200))


@schemathesis.serializer(NDJSON, CSV, MAIL, OCTETS)
def as_it_is(context: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


# --- ids that exist


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Use an id that exists in a request that is meant to be valid. Random ids would all be 404."""
    if not _is_valid(case) or not case.path_parameters:
        return
    before, name = case.operation.path.split("{")[0], case.operation.path.split("{")[1].split("}")[0]
    if before in existing:
        case.path_parameters[name] = existing[before]


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    for location in response.headers.get("location", ()):
        before, _, id = location.rpartition("/")
        existing[before + "/"] = id


def _is_valid(case: Case[Any]) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


# --- checks

SCHEMA_CODES = set(get_args(ErrorType)) - {"value_error"} | {"whole_number", "bad_key"}
"""Codes of rules that a JSON schema can show. `value_error` is a rule that it cannot."""


@schemathesis.check
def valid_request_is_not_refused_by_a_rule_of_its_schema(
    ctx: CheckContext, response: Response, case: Case[Any]
) -> bool | None:
    if not _is_valid(case) or response.status_code not in (400, 422):
        return True
    broken = [each for each in _problem(response).get("errors", ()) if each.get("code") in SCHEMA_CODES]
    assert not broken, f"the OpenAPI does not show a rule: {_stable(broken[0])}"
    return None


@schemathesis.check
def problem_names_its_place(ctx: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    if not 400 <= response.status_code < 500 or not response.content:
        return True
    problem = _problem(response)
    assert problem.get("detail"), f"{problem['type']} has no detail"
    for error in problem.get("errors", ())[:1]:
        parameter = f"{error['in']} {error['parameter']}" if "in" in error else None
        place = error.get("pointer") or parameter or error.get("row") or "The body"
        assert str(place) in problem["detail"], f"the detail of {problem['type']} does not name {place}"
    return None


@schemathesis.check
def answer_is_private(ctx: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    for name, value in (("cache-control", "no-store"), ("x-content-type-options", "nosniff")):
        assert response.headers.get(name) == [value], f"{name} is not {value}"
    return None


@schemathesis.check
def lines_match(ctx: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    if response.headers.get("content-type") != [NDJSON]:
        return True
    schema = case.operation.definition.raw["responses"]["200"]["content"][NDJSON]["schema"]
    for line in response.content.splitlines():
        jsonschema.validate(json.loads(line), schema)
    return None


def _problem(response: Response) -> dict[str, Any]:
    found: dict[str, Any] = response.json()
    return found


def _stable(error: dict[str, str]) -> str:
    """Return the place and code without numbers, so that an accepted failure stays the same."""
    place = error.get("pointer") or f"{error.get('in')} {error.get('parameter')}"
    return f"{re.sub(r'[0-9]+', 'N', place)} {error['code']}"
