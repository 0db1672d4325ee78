import pytest
import toy

from crossdock_chassis import Service
from crossdock_chassis.testing import Fresh


@pytest.fixture
async def service(fresh: Fresh) -> Service:
    return await fresh(toy.build, toy.Settings)
