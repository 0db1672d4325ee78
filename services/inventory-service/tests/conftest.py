import httpx
import pytest
from warehouse import READ, WRITE, Warehouse

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Fresh
from inventory_service.service import Settings, build


@pytest.fixture
async def service(fresh: Fresh) -> Service:
    """Build the service on an empty database of its own."""
    return await fresh(build, Settings)


@pytest.fixture
async def warehouse(service: Service) -> Warehouse:
    return Warehouse(service)


@pytest.fixture
def client(service: Service, clients: Clients) -> httpx.AsyncClient:
    """Return the client of a partner that may read and write stock."""
    return clients(service, scopes=(READ, WRITE))
