"""Start real servers for the tests that request them: in containers with a Docker engine, else on loopback."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from crossdock_local.ports import Ports
from crossdock_local.servers import Servers, engine_for_tests

pytest_plugins = ["crossdock_chassis.testing"]

# A loaded machine is not a bug: there it takes long to draw an example, and to run it. A test that hangs ends with CI.
settings.register_profile("crossdock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("crossdock")

MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30
"""Bytes that must be free in memory. The servers of each pytest process use up to 500 MB."""


@contextmanager
def _home() -> Iterator[Path]:
    """Yield a folder for servers, in memory if there is room, because a copy of a database makes 300 files."""
    memory = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM else None
    with tempfile.TemporaryDirectory(prefix="cd-", dir=memory, ignore_cleanup_errors=True) as home:
        yield Path(home)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Servers]:
    """Yield the PostgreSQL server of this pytest process, which has the databases of all its tests."""
    with (
        _home() as home,
        Servers(home, Ports.free(), kafka=False, durable=False, engine=engine_for_tests()) as servers,
    ):
        yield servers


@pytest.fixture(scope="session")
def postgres_admin(postgres: Servers) -> str:
    """Return the administrator's DSN of the PostgreSQL server."""
    return postgres.databases.admin_dsn


@pytest.fixture(scope="session")
def servers(postgres_admin: str) -> Iterator[Servers]:
    """Yield a Kafka server beside the PostgreSQL server."""
    with (
        _home() as home,
        Servers(home, Ports.free(), own_postgres=postgres_admin, engine=engine_for_tests()) as servers,
    ):
        yield servers
