"""Find the changes between two OpenAPI 3.1 descriptions that break clients. Pure: two documents in, findings out.

A request may only become looser, and a response only stricter. New fields are compatible: services refuse unknown
fields in requests, and clients ignore unknown fields in responses. A change of a keyword that no rule here covers
counts as a break. Explanations (summaries, examples, tags, `deprecated`) may change. `operationId` may not, because
generated clients name their methods after it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from crossdock_events.compatibility import BACKWARD, FORWARD, Direction, breaking, inlined, target

Node: TypeAlias = Mapping[str, Any]

_PROSE = frozenset({"summary", "description", "externalDocs", "example", "examples", "tags", "deprecated"})
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_ANYBODY: list[Mapping[str, list[str]]] = [{}]


@dataclass(frozen=True, slots=True)
class Break:
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


def breaks(old: Node, new: Node) -> list[Break]:
    return list(_Comparison(old, new).run())


class _Comparison:
    def __init__(self, old: Node, new: Node) -> None:
        self._old, self._new = old, new

    def run(self) -> Iterator[Break]:
        before, after = self._old.get("paths", {}), self._new.get("paths", {})
        for path, item in before.items():
            if path in after:
                yield from self._path(path, _resolved(self._old, item), _resolved(self._new, after[path]))
            else:
                yield Break(path, "the path was removed")
        yield from self._security_schemes()
        yield from self._others("the document", self._old, self._new, {"info", "paths", "components", "security"})

    def _path(self, at: str, old: Node, new: Node) -> Iterator[Break]:
        for method in (each for each in old if each in _METHODS):
            here = f"{method.upper()} {at}"
            if method in new:
                yield from self._operation(here, old[method], new[method])
            else:
                yield Break(here, "the operation was removed")
        yield from self._others(at, old, new, _METHODS)

    def _operation(self, at: str, old: Node, new: Node) -> Iterator[Break]:
        if "operationId" in old and old["operationId"] != new.get("operationId"):
            yield Break(at, f"operationId {old['operationId']} was removed: generated clients use it as a method name")
        yield from self._parameters(at, old.get("parameters", []), new.get("parameters", []))
        yield from self._request(f"{at} request body", old.get("requestBody"), new.get("requestBody"))
        yield from self._responses(at, old.get("responses", {}), new.get("responses", {}))
        yield from self._security(at, old, new)
        yield from self._others(at, old, new, {"operationId", "parameters", "requestBody", "responses", "security"})

    def _parameters(self, at: str, old: list[Node], new: list[Node]) -> Iterator[Break]:
        before = {_identity(each): each for each in (_resolved(self._old, each) for each in old)}
        after = {_identity(each): each for each in (_resolved(self._new, each) for each in new)}
        for name, parameter in before.items():
            here = f"{at} {name}"
            if name not in after:
                yield Break(here, "the parameter was removed")
                continue
            now = after[name]
            if now.get("required") and not parameter.get("required"):
                yield Break(here, "the parameter is required now")
            yield from self._schemas(here, parameter, now, BACKWARD)
            yield from self._others(here, parameter, now, {"name", "in", "required", "schema"})
        for name, parameter in after.items():
            if name not in before and parameter.get("required"):
                yield Break(f"{at} {name}", "a required parameter was added")

    def _request(self, at: str, old: Node | None, new: Node | None) -> Iterator[Break]:
        before, after = _resolved(self._old, old or {}), _resolved(self._new, new or {})
        if after.get("required") and not before.get("required"):
            yield Break(at, "the body is required now")
        yield from self._content(at, before, after, BACKWARD)
        yield from self._others(at, before, after, {"required", "content"})

    def _responses(self, at: str, old: Node, new: Node) -> Iterator[Break]:
        for status in sorted(old.keys() | new.keys()):
            here = f"{at} response {status}"
            before, after = _response(self._old, old, status), _response(self._new, new, status)
            if before is not None and after is not None:
                yield from self._headers(here, before.get("headers", {}), after.get("headers", {}))
                yield from self._content(here, before, after, FORWARD)
                yield from self._others(here, before, after, {"headers", "content"})
            elif before is not None:
                yield Break(here, "the response was removed")

    def _headers(self, at: str, old: Node, new: Node) -> Iterator[Break]:
        after = {name.lower(): _resolved(self._new, header) for name, header in new.items()}
        for name, header in old.items():
            here, before = f"{at} header {name}", _resolved(self._old, header)
            if name.lower() not in after:
                yield Break(here, "the header was removed")
                continue
            now = after[name.lower()]
            if before.get("required") and not now.get("required"):
                yield Break(here, "the header may be missing now")
            yield from self._schemas(here, before, now, FORWARD)
            yield from self._others(here, before, now, {"required", "schema"})

    def _content(self, at: str, old: Node, new: Node, directions: frozenset[Direction]) -> Iterator[Break]:
        before, after = old.get("content", {}), new.get("content", {})
        for media_type in before:
            here = f"{at} {media_type}"
            if media_type in after:
                here = at if len(before) == 1 else here
                yield from self._schemas(here, before[media_type], after[media_type], directions)
                yield from self._others(here, before[media_type], after[media_type], {"schema"})
            else:
                yield Break(here, "the media type was removed")

    def _schemas(self, at: str, old: Node, new: Node, directions: frozenset[Direction]) -> Iterator[Break]:
        documents = (self._old, self._new)
        for change in breaking(old.get("schema", True), new.get("schema", True), directions, documents):
            yield Break(f"{at} {change.pointer or '/'}", change.reason)

    def _security(self, at: str, old: Node, new: Node) -> Iterator[Break]:
        """Yield a break for each alternative that was enough before and is not enough now."""
        allowed = old.get("security", self._old.get("security")) or _ANYBODY
        allows = new.get("security", self._new.get("security")) or _ANYBODY
        for held in allowed:
            if not any(_enough(held, needed) for needed in allows):
                yield Break(at, f"{_show(held)} is no longer enough: it needs {' or '.join(map(_show, allows))}")

    def _security_schemes(self) -> Iterator[Break]:
        before, after = (each.get("components", {}).get("securitySchemes", {}) for each in (self._old, self._new))
        for name, scheme in before.items():
            if name in after:
                yield from self._others(f"security scheme {name}", scheme, after[name], set())
            else:
                yield Break(f"security scheme {name}", "the scheme was removed")

    def _others(self, at: str, old: Node, new: Node, understood: set[str] | frozenset[str]) -> Iterator[Break]:
        for key in sorted((old.keys() | new.keys()) - understood - _PROSE):
            if inlined(self._old, old.get(key)) != inlined(self._new, new.get(key)):
                yield Break(at, f"{key} changed, and no rule covers this keyword")


def _resolved(document: Node, node: Node) -> Node:
    found = target(document, node)
    return found if isinstance(found, Mapping) else {}


def _response(document: Node, responses: Node, status: str) -> Node | None:
    """Return the response of a status. An error status inherits the fields of `default` that it does not define."""
    statuses = ("default", status) if status[0] in "45" else (status,)
    said = [_resolved(document, responses[each]) for each in statuses if each in responses]
    return {key: value for each in said for key, value in each.items()} if said else None


def _identity(parameter: Node) -> str:
    name = parameter["name"].lower() if parameter["in"] == "header" else parameter["name"]
    return f"{parameter['in']} parameter {name}"


def _enough(held: Mapping[str, list[str]], needed: Mapping[str, list[str]]) -> bool:
    return all(scheme in held and set(scopes) <= set(held[scheme]) for scheme, scopes in needed.items())


def _show(requirement: Mapping[str, list[str]]) -> str:
    return " and ".join(" ".join([scheme, *scopes]) for scheme, scopes in requirement.items()) or "no token"
