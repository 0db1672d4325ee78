import httpx
import pytest
from mail_desk import Desk

from crossdock_chassis.testing import Clients


@pytest.fixture
def eraser(desk: Desk, clients: Clients) -> httpx.AsyncClient:
    scopes = ["crm:staff", "pii:read", "pii:erase"]
    return clients(desk.service, None, scopes, subject="eve")
