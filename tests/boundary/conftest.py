"""Build each installed service on an empty database of its own."""

import pytest
from served import Served, installed, operations_of

from crossdock_chassis.testing import Clients, Fresh


@pytest.fixture(params=installed(), ids=lambda each: each.name)
async def served(request: pytest.FixtureRequest, fresh: Fresh, clients: Clients) -> Served:
    """Return a service and the client of a partner with every scope. Each test runs once for each service."""
    module = request.param.load()
    service = await fresh(module.build, module.Settings)
    operations = list(operations_of(service.api().openapi()))
    scopes = {scope for each in operations for scope in each.scopes}
    return Served(service, clients(service, scopes=scopes), operations)
