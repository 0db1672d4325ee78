import pytest
from warehouse import Warehouse

from crossdock_chassis import Service
from crossdock_chassis.testing import Fresh
from inventory_service.service import Settings, build


@pytest.fixture
async def service(fresh: Fresh) -> Service:
    """On an empty database of its own."""
    return await fresh(build, Settings)


@pytest.fixture
async def warehouse(service: Service) -> Warehouse:
    return Warehouse(service)
