"""Build each installed service on an empty database of its own."""

import pytest
from served import Served, installed, serve

from crossdock_chassis.testing import Clients, Fresh


@pytest.fixture(params=installed(), ids=lambda each: each.name)
async def served(request: pytest.FixtureRequest, fresh: Fresh, clients: Clients) -> Served:
    """Return a service and a client with every scope. Each test runs once for each service."""
    return await serve(request.param, fresh, clients)
