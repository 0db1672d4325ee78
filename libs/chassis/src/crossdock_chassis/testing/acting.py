"""Hold that each route on which operators act writes an operator's action, in every test that uses `clients`."""

from collections.abc import Collection
from typing import Final

import httpx
from fastapi.routing import APIRoute

from crossdock_chassis.database.unit import Database
from crossdock_chassis.http.application import Api
from crossdock_chassis.http.auth import OPS_ACT, Guard
from crossdock_chassis.http.dependencies import dependencies_of
from crossdock_chassis.problems import Refusal

COUNT: Final = "SELECT count(*) FROM operator_action"
BEFORE: Final = "actions_before"


class Acting:
    """Counts the actions around each request of an operator that succeeds. A repeated request may change nothing."""

    def __init__(
        self, app: Api, database: Database, scopes: Collection[str], partner: str | None, seen: set[str]
    ) -> None:
        """`seen` has the paths of requests that succeeded. The clients of one application share it."""
        self._app, self._database = app, database
        self._scopes, self._partner = scopes, partner
        self._seen = seen

    async def before(self, request: httpx.Request) -> None:
        if self._acts(request):
            request.extensions[BEFORE] = await self._count()

    async def after(self, response: httpx.Response) -> None:
        request = response.request
        before = request.extensions.get(BEFORE)
        path = request.url.path
        if before is None or not response.is_success or path in self._seen:
            return
        self._seen.add(path)
        assert await self._count() > before, f"{request.method} {path} wrote no operator's action"

    def _acts(self, request: httpx.Request) -> bool:
        if request.method == "GET" or OPS_ACT not in self._scopes or request.url.params.get("dry_run") == "true":
            return False
        route = find_route(self._app, request)
        return route is not None and any(
            isinstance(each, Guard) and each.operators == OPS_ACT and (each.scope is None or not self._partner)
            for each in dependencies_of(route)
        )

    async def _count(self) -> int:
        (row,) = await self._database.fetch(COUNT)
        return int(row[0])


def find_route(app: Api, request: httpx.Request) -> APIRoute | None:
    """Return the route of a request, None for 404, 400 and 405, which belong to no route."""
    scope = {"type": "http", "method": request.method, "raw_path": request.url.raw_path.partition(b"?")[0]}
    try:
        return app.routing.find({**scope, "query_string": b""})
    except Refusal:
        return None
