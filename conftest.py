"""Start real servers for the tests that request them: in containers with a Docker engine, else on loopback."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crossdock_local.ports import Ports
from crossdock_local.servers import Servers, engine_for_tests

pytest_plugins = ["crossdock_chassis.testing"]

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
def postgres_admin() -> Iterator[str]:
    """Yield the administrator's DSN of a PostgreSQL server for this test run."""
    with (
        _home() as home,
        Servers(home, Ports.free(), kafka=False, durable=False, engine=engine_for_tests()) as servers,
    ):
        yield servers.databases.admin_dsn


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Yield a PostgreSQL and a Kafka server for the tests that kill one of them."""
    with (
        _home() as home,
        Servers(home, Ports.free(), durable=False, engine=engine_for_tests()) as servers,
    ):
        yield servers
