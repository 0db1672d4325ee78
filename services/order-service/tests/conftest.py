from typing import Any

import pytest
from shop import OpenShop, Shop

from crossdock_chassis.testing import Clients, Deliver, Fresh
from order_service.service import Settings, build

SCOPES = ("orders:read", "orders:write")


@pytest.fixture
def open_shop(fresh: Fresh, clients: Clients, deliver: Deliver, log_ends: dict[int, int]) -> OpenShop:
    async def make(**settings: Any) -> Shop:
        service = await fresh(build, Settings, **settings)
        client, other = clients(service, "acme", SCOPES), clients(service, "globex", SCOPES)
        shop = Shop(service, client, other, deliver)
        await shop.knows("SKU-1", "SKU-2", "SKU-3")
        return shop

    return make


@pytest.fixture
async def shop(open_shop: OpenShop) -> Shop:
    return await open_shop()
