"""Find the route of a request, by its undecoded path and its method.

starlette matches the decoded path. There `A%2FB` becomes two segments, and `A%3Acancel` becomes a command. It also
names in `Allow` only the methods of the first route with the path.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args, get_origin
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.types import Scope

from crossdock_chassis.problems import INVALID, MALFORMED_REQUEST, METHOD_NOT_ALLOWED, Refusal, fault


@dataclass(frozen=True, slots=True)
class Resource:
    """A path template and its routes by method. HEAD has the route of GET."""

    pattern: re.Pattern[str]
    routes: dict[str, APIRoute] = field(default_factory=dict)


class Routes:
    """The routes of an application. If a path fits several templates, the one with the most literal text counts."""

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        resources: dict[str, Resource] = {}
        self._parameters: dict[int, Mapping[str, bool]] = {}  # by id, because starlette's routes cannot be hashed
        for route in routes:
            resource = resources.setdefault(route.path_format, Resource(route.path_regex))
            for method in route.methods or ():
                resource.routes.setdefault(method, route)
            self._parameters[id(route)] = query_parameters(route.dependant)
        for resource in resources.values():
            if "GET" in resource.routes:
                resource.routes.setdefault("HEAD", resource.routes["GET"])
        self._fixed = {path.encode(): each for path, each in resources.items() if "{" not in path}
        ranked = sorted(resources, key=lambda path: -len(_PLACEHOLDER.sub("", path)))
        self._templates = [resources[path] for path in ranked if "{" in path]

    def find(self, scope: Scope) -> APIRoute | None:
        """Return the route, and store it with its path parameters in the scope. Return None if no template fits.

        Raise Refusal 400 for a path or a query that is not UTF-8, 405 for another method, 422 for a query parameter
        that the route does not have.
        """
        raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        resource = self._fixed.get(raw)
        if resource is None:
            resource = self._search(scope, raw)
            if resource is None:
                return None
        route = resource.routes.get(scope["method"])
        if route is None:
            allowed = ", ".join(sorted(resource.routes))
            raise Refusal(METHOD_NOT_ALLOWED, f"The methods of this path are {allowed}", headers={"Allow": allowed})
        scope["route"] = route
        if scope["query_string"]:
            _check_query(scope["query_string"], self._parameters[id(route)])
        return route

    def _search(self, scope: Scope, raw: bytes) -> Resource | None:
        path = raw.decode("ascii", "replace")
        if "%" in path:
            path = _ENCODED.sub(_without_needless_encoding, path)
            if (resource := self._fixed.get(path.encode())) is not None:
                return resource
        for resource in self._templates:
            if found := resource.pattern.match(path):
                scope["path_params"] = {name: _decoded(value) for name, value in found.groupdict().items()}
                return resource
        return None


def segment(identifier: str) -> str:
    """Return an identifier as one segment of a path."""
    encoded = quote(identifier, safe="")
    return encoded.replace(".", "%2E") if encoded in (".", "..") else encoded  # a client removes `..` from a path


_PLACEHOLDER: Final = re.compile(r"{[^}]*}")
_ENCODED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")


def _without_needless_encoding(encoded: re.Match[str]) -> str:
    character = chr(int(encoded[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else encoded[0]


def _decoded(value: str) -> str:
    try:
        text = unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise Refusal(MALFORMED_REQUEST, "The path is not percent-encoded UTF-8") from None
    if "\0" in text:
        raise Refusal(MALFORMED_REQUEST, "The path contains a NUL character")
    return text


def query_parameters(dependant: Dependant) -> dict[str, bool]:
    """Return the names of a route's query parameters, each with whether it may be repeated."""
    found: dict[str, bool] = {}
    for each in dependant.query_params:
        kind = each.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= {info.alias or name: _is_list(info.annotation) for name, info in kind.model_fields.items()}
        else:
            found[each.alias] = _is_list(kind)
    for sub in dependant.dependencies:
        found |= query_parameters(sub)
    return found


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is list or any(map(_is_list, get_args(kind)))


def _check_query(query: bytes, known: Mapping[str, bool]) -> None:
    """Raise Refusal for a parameter that is unknown: a mistyped `dry_run` would otherwise act for real."""
    try:
        names = [name for name, value in parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")]
    except ValueError:
        raise Refusal(MALFORMED_REQUEST, "The query is not percent-encoded UTF-8") from None
    if b"%00" in query:
        raise Refusal(MALFORMED_REQUEST, "The query contains a NUL character")
    has = f"it has {', '.join(sorted(known))}" if known else "it has none"
    errors = [
        fault("query", name, f"The route has no such parameter; {has}", "unknown_parameter")
        for name in dict.fromkeys(names)
        if name not in known
    ]
    errors += [
        fault("query", name, "The parameter was sent twice", "repeated_parameter")
        for name, repeatable in known.items()
        if not repeatable and names.count(name) > 1
    ]
    if errors:
        raise Refusal(INVALID, errors=errors)
