"""Start real servers for the tests that request them: in containers with a Docker engine, else on loopback."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossdock_local.ports import Ports
from crossdock_local.servers import Servers, engine_for_tests

pytest_plugins = ["crossdock_chassis.testing"]


@pytest.fixture(scope="session")
def postgres_admin() -> Iterator[str]:
    """Yield the administrator's DSN of a PostgreSQL server for this test run."""
    with (
        tempfile.TemporaryDirectory(prefix="cd-", ignore_cleanup_errors=True) as home,
        Servers(Path(home), Ports.free(), kafka=False, durable=False, engine=engine_for_tests()) as servers,
    ):
        yield servers.databases.admin_dsn


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Yield a PostgreSQL and a Kafka server for the tests that kill one of them."""
    with (
        tempfile.TemporaryDirectory(prefix="cd-", ignore_cleanup_errors=True) as home,
        Servers(Path(home), Ports.free(), durable=False, engine=engine_for_tests()) as servers,
    ):
        yield servers
