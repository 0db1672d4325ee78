import pytest

from analytics_service.service import Settings, build
from crossdock_chassis import Service
from crossdock_chassis.testing import Fresh


@pytest.fixture
async def service(fresh: Fresh) -> Service:
    """Build the service on an empty database of its own."""
    return await fresh(build, Settings)
