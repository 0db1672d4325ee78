"""A database that takes no changes is named, and what it refused is done once it is mended."""

import asyncio
import logging
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
import toy
from examples import placed
from on_kafka import all_published, eventually, from_now_on, publish, relay, running
from test_start import started

from crossdock_chassis import Service
from crossdock_chassis.database import unwritable
from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.roles import _ready
from crossdock_local.layout import Home
from crossdock_local.ports import Ports
from crossdock_local.servers import Servers
from crossdock_local.servers.postgres import Postgres

SUDO = [] if os.geteuid() == 0 else ["sudo", "-n"]


@contextmanager
def _volume(folder: Path, size: str, owner: int = 0) -> Iterator[Path]:
    """Mount a file system of this size. It takes root, or sudo without a password."""
    folder.mkdir()
    options = f"size={size},mode=700,uid={owner}"
    done = subprocess.run(
        [*SUDO, "mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"no volume can be mounted here: {done.stderr}")
    try:
        yield folder
    finally:
        subprocess.run([*SUDO, "umount", folder], check=True)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the administrator's DSN of a server that has a small volume as the tablespace `small`."""
    home = Home(tmp_path_factory.mktemp("small"))
    home.make()
    server = Postgres(home, Ports.free().of("postgres"), durable=False)
    server.prepare()
    with _volume(home.root / "volume", "48m", home.postgres.stat().st_uid) as volume:
        server.process.start()
        try:
            server.process.wait_ready()
            dsn = server.databases.admin_dsn
            asyncio.run(_as_admin(dsn, f"CREATE TABLESPACE small LOCATION '{volume}'"))
            yield dsn
        finally:
            server.process.stop()


async def _as_admin(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for each in statements:
            await connection.execute(each)
    finally:
        await connection.close()


@pytest.fixture
async def service(small: str, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    monkeypatch.setattr(unwritable, "HELD_SECONDS", 0.5)
    name = f"t_{uuid4().hex}"
    await _as_admin(small, f'CREATE DATABASE "{name}" TABLESPACE small')
    dsn = urlsplit(small)._replace(path=f"/{name}").geturl()
    made = toy.build(toy.Settings(postgres=dsn, kafka=servers.bootstrap or "", issuer="http://127.0.0.1:1"))
    made = replace(made, name=f"toy-{uuid4().hex[:8]}", projections=())
    servers.topics.ensure(made.topic_specs())
    await made.migrate()
    yield made
    await made.database.close()
    await _as_admin(small, f'DROP DATABASE "{name}" WITH (FORCE)')


@asynccontextmanager
async def full(service: Service) -> AsyncIterator[str]:
    """Fill the volume, and free it at the end."""
    ballast = "INSERT INTO ballast SELECT repeat(md5(i::text), 60) FROM generate_series(1, {}) AS i"
    await _as_admin(service.database.dsn, "CREATE TABLE ballast (content text)")
    for rows in (8_000, 1_000, 100, 10, 1):
        with pytest.raises(asyncpg.DiskFullError):
            while True:
                await _as_admin(service.database.dsn, ballast.format(rows))
    yield "No space left on device: free or add space on the volume of PostgreSQL"
    await _as_admin(service.database.dsn, "DROP TABLE ballast", "CHECKPOINT")


@asynccontextmanager
async def read_only(service: Service) -> AsyncIterator[str]:
    """Let the server refuse changes, as a standby does until it is promoted."""
    admin = urlsplit(service.settings.postgres)._replace(path="/postgres").geturl()
    await _as_admin(admin, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    yield "in a read-only transaction: name the primary in CROSSDOCK_POSTGRES"
    await _as_admin(admin, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")


@pytest.mark.parametrize("trouble", [full, read_only])
async def test_events_wait_until_changes_are_taken(
    service: Service, caplog: pytest.LogCaptureFixture, trouble: Callable[[Service], AbstractAsyncContextManager[str]]
) -> None:
    ready = _ready(service)
    assert await ready() is None
    await from_now_on(service)
    await publish(service, (placed("PO-1"), 1))
    async with running(relay(service)):
        await eventually(lambda: all_published(service))
    async with trouble(service) as said, running(*service.consumers()):

        async def named() -> bool:
            return "takes no changes: " in caplog.text and said in caplog.text

        with caplog.at_level(logging.ERROR):
            await eventually(named)
        assert await ready() is not None
        with pytest.raises(Exception) as refused:
            await publish(service, *((placed(f"PO-{n}"), n) for n in range(2, 2_000)))
        assert is_transient(refused.value), "an API answers 503, no 500"
    async with running(*service.consumers()):

        async def marked() -> bool:
            return "PO-1" in await toy.marks(service)

        await eventually(marked)

    async def mended() -> bool:
        return await ready() is None

    await eventually(mended)
    assert await service.database.fetch("SELECT 1 FROM dead_letter") == []


@pytest.mark.parametrize("trouble", [full, read_only])
async def test_migration_ends_with_one_sentence(
    service: Service, trouble: Callable[[Service], AbstractAsyncContextManager[str]]
) -> None:
    await _as_admin(service.database.dsn, "DROP TABLE crossdock_version, mark")
    async with trouble(service) as said:
        code, log = await asyncio.to_thread(started, service, "migrate")
    assert (code, said in log, "Traceback" in log) == (1, True, False), log


def test_full_volume_for_temporary_files_is_named(tmp_path: Path) -> None:
    service = toy.build(toy.Settings(postgres="postgresql://x@127.0.0.1:1/x", kafka="127.0.0.1:1", issuer="http://x"))
    with _volume(tmp_path / "temporary", "16k", os.getuid()) as folder:
        code, log = started(service, "api", TMPDIR=str(folder))
    said = "no temporary file can be written: No space left on device: let TMPDIR name a writable folder"
    assert (code, said in log, "Traceback" in log) == (1, True, False), log
