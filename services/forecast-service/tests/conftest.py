import httpx
import pytest

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Fresh
from forecast_service.service import Settings, build


@pytest.fixture
async def service(fresh: Fresh) -> Service:
    """Build the service on an empty database of its own."""
    return await fresh(build, Settings)


@pytest.fixture
def client(service: Service, clients: Clients) -> httpx.AsyncClient:
    """Return the client of a system of the company that reads and imports demand."""
    return clients(service, scopes=("forecasts:read", "forecasts:write"))
