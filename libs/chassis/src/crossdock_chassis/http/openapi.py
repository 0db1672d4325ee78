"""The errors of each route in the OpenAPI, derived from the values that the routes answer with.

A route lists its own problems: `responses=errors(NO_SUCH_ITEM, DUPLICATE_ITEM)`. `complete` adds the problems of its
token, body, parameters, `Idempotency-Key` and `If-Match`, and the headers that its dependencies read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from fastapi.params import Form
from fastapi.routing import APIRoute
from pydantic import BaseModel

from crossdock_chassis.http.dependencies import Body, Dependency, Header, dependencies_of
from crossdock_chassis.http.protocol import HEAD_TOO_LARGE
from crossdock_chassis.problems import (
    BAD_CURSOR,
    INTERNAL,
    INVALID,
    MALFORMED_JSON,
    MALFORMED_REQUEST,
    MEDIA_TYPE,
    TOO_LARGE,
    TOO_SLOW,
    UNAVAILABLE,
    UNSUPPORTED_TYPE,
    Problem,
)

Responses = dict[int | str, dict[str, Any]]

OF_EVERY_ROUTE: Final = (MALFORMED_REQUEST, INVALID, HEAD_TOO_LARGE, INTERNAL, UNAVAILABLE)
OF_A_BODY: Final = (TOO_SLOW, TOO_LARGE, UNSUPPORTED_TYPE)
OF_EVERY_LINE: Final = (MALFORMED_JSON, INVALID, TOO_SLOW, TOO_LARGE, INTERNAL, UNAVAILABLE)
OF_A_JSON_BODY: Final = (MALFORMED_JSON, *OF_A_BODY)
SCHEMAS: Final = "#/components/schemas/"


class _Listed(dict[str, Any]):
    """A response for FastAPI, with the problems that it describes."""

    problems: Sequence[Problem] = ()


def errors(*problems: Problem) -> Responses:
    """Return the responses of the problems that a route answers itself, by status."""
    found: Responses = {}
    for status, same in groupby(sorted(problems, key=_status), _status):
        found[status] = _listed({}, list(same))
    return found


def lines(response: Mapping[str, Any], *problems: Problem) -> dict[str, Any]:
    """Return the response of a batch whose lines are JSON and answer these problems; its description lists them."""
    every = dict.fromkeys([*problems, *OF_EVERY_LINE])
    text = f"{response['description']}\n\n`problem` of a line is one of:\n\n{_text(list(every))}"
    return _listed({**response, "description": text}, problems)


def _listed(response: Mapping[str, Any], problems: Sequence[Problem]) -> _Listed:
    listed = _Listed(response)
    listed.problems = problems
    return listed


def listed(route: APIRoute) -> list[Problem]:
    """Return the problems that a route lists itself."""
    return [
        each for response in route.responses.values() if isinstance(response, _Listed) for each in response.problems
    ]


def complete(document: dict[str, Any], routes: Iterable[APIRoute]) -> None:
    """Write the headers and the errors of each route into the OpenAPI document that FastAPI made."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = PROBLEM_SCHEMA
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for route in routes:
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            problems = list(_problems(route, operation.get("parameters", [])))
            _show_dependencies(operation, route)
            _show_errors(operation, problems, schemas)


def _problems(route: APIRoute, parameters: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    yield from OF_EVERY_ROUTE
    for each in dependencies_of(route):
        if isinstance(each, Dependency):
            yield from each.problems
    if route.body_field is not None:
        yield from OF_A_BODY if isinstance(route.body_field.field_info, Form) else OF_A_JSON_BODY
    if any((each["in"], each["name"]) == ("query", "cursor") for each in parameters):
        yield BAD_CURSOR
    for status, response in route.responses.items():
        if isinstance(response, _Listed) and int(status) >= 400:
            yield from response.problems


def _show_dependencies(operation: dict[str, Any], route: APIRoute) -> None:
    found = [each for each in dependencies_of(route) if isinstance(each, Dependency)]
    if headers := dict.fromkeys(each.header for each in found if each.header is not None):
        operation.setdefault("parameters", []).extend(map(_parameter, headers))
    for each in found:
        if each.body is not None:
            operation["requestBody"] = _request_body(each.body)
        if each.security:
            operation["security"] = [dict(requirement) for requirement in each.security]


def _parameter(header: Header) -> dict[str, Any]:
    return {
        "in": "header",
        "name": header.name,
        "required": False,
        "schema": {"type": "string", **header.rules},
        "description": header.description,
    }


def _request_body(body: Body) -> dict[str, Any]:
    schema = {"type": "string", "description": body.description}
    return {"required": True, "content": {each: {"schema": schema} for each in body.media_types}}


def _show_errors(operation: dict[str, Any], problems: Iterable[Problem], schemas: dict[str, Any]) -> None:
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    for status, same in groupby(sorted(dict.fromkeys(problems), key=_status), _status):
        responses[str(status)] = _response(list(same), schemas)


def _response(problems: Sequence[Problem], schemas: dict[str, Any]) -> dict[str, Any]:
    refs = [{"$ref": f"{SCHEMAS}Problem"}]
    for problem in problems:
        if problem.model is not None:
            refs.append({"$ref": f"{SCHEMAS}{_component(problem.model, schemas)}"})
    schema: dict[str, Any] = refs[0] if len(refs) == 1 else {"anyOf": refs}
    made: dict[str, Any] = {"description": _text(problems), "content": {MEDIA_TYPE: {"schema": schema}}}
    names = dict.fromkeys(name for problem in problems for name in problem.headers if name in _HEADERS)
    if names:
        made["headers"] = {name: _HEADERS[name] for name in names}
    return made


def _component(model: type[BaseModel], schemas: dict[str, Any]) -> str:
    schema = model.model_json_schema(ref_template=SCHEMAS + "{model}", mode="serialization")
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    return model.__name__


def _text(problems: Sequence[Problem]) -> str:
    sentences = [f"`{problem.type}`: {problem.title}." for problem in problems]
    return sentences[0] if len(sentences) == 1 else "\n".join(f"- {sentence}" for sentence in sentences)


def _status(problem: Problem) -> int:
    return problem.status


_HEADERS: Final[Mapping[str, dict[str, Any]]] = {
    "Location": {"description": "The existing resource", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds to wait before the next attempt",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimit-Policy": {
        "description": "The route group; `q` requests at once, regained in `w` seconds",
        "schema": {"type": "string", "examples": ['"orders";q=100;w=10']},
    },
    "RateLimit": {
        "description": "The route group; `r` requests left, one more in `t` seconds",
        "schema": {"type": "string", "examples": ['"orders";r=0;t=1']},
    },
}
PROBLEM_SCHEMA: Final = {
    "title": "Problem",
    "description": "An error as in RFC 9457",
    "type": "object",
    "required": ["type", "title", "status", "request_id"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri",
            "description": "Branch on this: its meaning never changes. `urn:crossdock:problem:` and the name that the "
            "response lists",
        },
        "title": {"type": "string", "description": "The same text for every problem of this type"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "The cause in this request"},
        "instance": {"type": "string", "format": "uri-reference"},
        "request_id": {"type": "string", "description": "Name it when you report the problem"},
        "errors": {
            "type": "array",
            "description": "Each field or parameter that breaks a rule",
            "items": {
                "type": "object",
                "required": ["detail", "code"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "format": "json-pointer",
                        "description": "The field of the body (RFC 6901)",
                    },
                    "in": {"type": "string", "enum": ["query", "path", "header", "cookie"]},
                    "parameter": {"type": "string"},
                    "detail": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
    },
}
