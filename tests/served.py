"""The installed services, their routes as the OpenAPI shows them, and a request for each route."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any
from urllib.parse import quote

import httpx

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Fresh

Node = dict[str, Any]
METHODS = frozenset({"get", "put", "post", "patch", "delete"})
NO_ID = "00000000-0000-7000-8000-000000000000"


def installed() -> list[EntryPoint]:
    """Return the entry points of all services, so that a new service is tested without an entry here."""
    return sorted(entry_points(group="crossdock.services"), key=lambda each: each.name)


@dataclass(frozen=True)
class Operation:
    """A route of the OpenAPI. `schema` and `parameters` have no references."""

    method: str
    path: str
    node: Node

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def scopes(self) -> list[str]:
        return [scope for each in self.node.get("security", ()) for scopes in each.values() for scope in scopes]

    def parameters(self, where: str) -> dict[str, Node]:
        """Return the schemas of the parameters by name. The schema of an optional parameter is that of its value."""
        found = [each for each in self.node.get("parameters", ()) if each["in"] == where]
        return {each["name"]: _of_value(each["schema"]) for each in found}

    @property
    def media_types(self) -> list[str]:
        return list(self.node.get("requestBody", {}).get("content", {}))

    def url(self, values: Mapping[str, str] | None = None) -> str:
        """Return a path that fits the template. `values` replace the generated values."""
        path = self.path
        for name, schema in self.parameters("path").items():
            value = (values or {}).get(name) or example(schema)
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        return path

    def required_query(self) -> dict[str, str]:
        required = {each["name"] for each in self.node.get("parameters", ()) if each.get("required")}
        return {name: example(schema) for name, schema in self.parameters("query").items() if name in required}

    def body(self) -> dict[str, Any]:
        """Return the arguments of a request with the smallest body of the right content type."""
        if not self.media_types:
            return {}
        kind = self.media_types[0]
        return {"content": b"{}", "headers": {"content-type": kind}}


def operations_of(document: Node) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            yield Operation(method.upper(), path, item[method])


def example(schema: Node) -> str:
    """Return a valid value of a parameter, as text."""
    if "examples" in schema:
        return str(schema["examples"][0])
    if "enum" in schema:
        return str(schema["enum"][0])
    if schema.get("format") == "uuid":
        return NO_ID
    if schema.get("format") == "date-time":
        return "2026-07-01T12:00:00Z"
    match schema.get("type"):
        case "integer" | "number":
            return str(schema.get("minimum", 1))
        case "boolean":
            return "true"
        case "array":
            return example(schema["items"])
        case _:
            return "x"


def _of_value(schema: Node) -> Node:
    for each in schema.get("anyOf", ()):
        if each.get("type") != "null":
            return {**schema, **each}
    return schema


@dataclass(frozen=True)
class Served:
    service: Service
    client: httpx.AsyncClient
    operations: list[Operation]

    async def send(self, operation: Operation, query: str = "", **path: str) -> httpx.Response:
        """Send a request whose required parameters are valid. `query` is added as it is."""
        required = "&".join(f"{name}={quote(value)}" for name, value in operation.required_query().items())
        url = operation.url(path) + "?" + "&".join(filter(None, (required, query)))
        return await self.client.request(operation.method, url, **operation.body())


def caller_of(scopes: Collection[str]) -> str | None:
    """Return the partner whose token opens all routes, or None if some are for staff, who have no partner."""
    return None if "crm:staff" in scopes else "acme"


_operations: dict[str, list[Operation]] = {}
"""The operations by service. All tests share them, because an OpenAPI takes half a second."""


async def serve(service: EntryPoint, fresh: Fresh, clients: Clients) -> Served:
    """Build the service on an empty database. Return it with a client that has every scope."""
    module = service.load()
    built = await fresh(module.build, module.Settings)
    if service.name not in _operations:
        _operations[service.name] = list(operations_of(built.api().openapi()))
    operations = _operations[service.name]
    scopes = {scope for each in operations for scope in each.scopes}
    return Served(built, clients(built, caller_of(scopes), scopes, subject="ann"), operations)
