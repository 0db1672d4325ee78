from collections.abc import AsyncIterator

import httpx
import pytest
from mail_desk import Desk, Server

from crm_service.service import Settings, build
from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Fresh


@pytest.fixture
async def service(fresh: Fresh) -> Service:
    """Build the service on an empty database of its own. Partners named store-… share their customer ids."""
    return await fresh(build, Settings, shared_namespaces={"store-*": "stores"})


@pytest.fixture
def staff(service: Service, clients: Clients) -> httpx.AsyncClient:
    """Return the client of a person of the service desk."""
    return clients(service, None, ["crm:staff", "pii:read"], subject="ann")


@pytest.fixture
def partner(service: Service, clients: Clients) -> httpx.AsyncClient:
    """Return the client of the partner `acme`."""
    return clients(service, "acme", ["crm:read", "crm:write"])


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await made.listen()
    yield made
    listening.close()
    await listening.wait_closed()


@pytest.fixture
async def desk(fresh: Fresh, clients: Clients, server: Server) -> AsyncIterator[Desk]:
    service = await fresh(build, Settings, smtp_host="127.0.0.1", smtp_port=server.port, mail_key="k")
    made = Desk(service, server, clients(service, None, ["crm:staff", "pii:read"], subject="ann"))
    yield made
    await made.filing.child.__aexit__(None, None, None)
