"""What docs/operations.md promises: backups taken under load restore everything, and partitions can be added.

Each test has a stack of its own, because it deletes databases or changes topics.
"""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from commanding import crossdock
from harness import Harness, eventually, order
from load import load
from remains import dump
from rich.console import Console

from crossdock_cli.growing import grow
from crossdock_local.ports import Ports
from crossdock_local.servers.postgres import _account, _binaries, database_in
from crossdock_local.stack import Stack

ORDERS_UNDER_LOAD = 600
ARCHIVE = "archive"


@pytest.fixture
def own() -> Iterator[Harness]:
    with tempfile.TemporaryDirectory(prefix="cd-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with Stack(Path(folder), Ports.free()) as stack:
            yield Harness(stack)


@asynccontextmanager
async def admin(harness: Harness) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(harness.stack.servers.databases.admin_dsn)
    try:
        yield connection
    finally:
        await connection.close()


def program(harness: Harness, *words: str) -> list[str]:
    """Return a program of PostgreSQL with the address of the server, for the user of the server."""
    dsn = harness.stack.servers.databases.admin_dsn
    return [str(_binaries() / words[0]), *words[1:], "-d", f"{dsn}?application_name={ARCHIVE}"]


@asynccontextmanager
async def archived(harness: Harness, folder: Path) -> AsyncIterator[None]:
    """Let each commit wait until its WAL is in the folder too, as with a synchronous standby."""
    async with admin(harness) as sql:
        await sql.execute("SELECT pg_create_physical_replication_slot($1, true)", ARCHIVE)
        receiver = await asyncio.create_subprocess_exec(
            *program(harness, "pg_receivewal", "-D", str(folder), "--slot", ARCHIVE, "--synchronous", "--no-loop")
        )
        await eventually(lambda: sql.fetchval("SELECT 1 FROM pg_stat_replication"))
        await sql.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{ARCHIVE}'")
        await sql.execute("SELECT pg_reload_conf()")
        await eventually(lambda: sql.fetchval("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"))
    try:
        yield
    finally:
        await receiver.wait()  # the server was killed, so it ends by itself


def restore(harness: Harness, base: Path, archive: Path) -> None:
    """Replace the data of the server by the base backup and all WAL that was archived."""
    data = harness.stack.home.postgres
    shutil.rmtree(data)
    shutil.copytree(base, data)
    (data / "recovery.signal").touch()
    fetch = f"cp {archive}/%f %p || cp {archive}/%f.partial %p"
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"restore_command = '{fetch}'\nsynchronous_standby_names = ''\n")
    data.chmod(0o700)
    account = _account()
    if account is not None:
        for path in [data, archive, *data.rglob("*"), *archive.rglob("*")]:
            os.chown(path, account.pw_uid, account.pw_gid)


async def test_base_backup_and_archived_wal_lose_nothing(own: Harness) -> None:
    base, archive = own.stack.home.root / "base", own.stack.home.root / "archive"
    archive.mkdir(mode=0o755)
    async with load(own, ORDERS_UNDER_LOAD) as running:
        async with archived(own, archive):
            await running.until(ORDERS_UNDER_LOAD // 6)
            backup = program(own, "pg_basebackup", "-D", str(base), "-X", "none", "-c", "fast")
            await asyncio.to_thread(subprocess.run, backup, check=True)
            await running.until(ORDERS_UNDER_LOAD // 2)
            for handle in own.stack.handles():
                if handle.name not in ("kafka", "issuer", "postgres"):
                    handle.kill()
            own.stack.process("postgres").kill()
        await asyncio.to_thread(restore, own, base, archive)
        await asyncio.to_thread(own.stack.up)
        outcome = await running.end()
    assert not outcome.refused and not outcome.clashes
    assert len(outcome.answered) == ORDERS_UNDER_LOAD
    await own.adds_up()


async def test_topic_grows_under_load_and_each_key_stays_in_order(own: Harness) -> None:
    async with load(own, ORDERS_UNDER_LOAD) as running:
        await running.until(ORDERS_UNDER_LOAD // 4)
        for topic in ("crossdock.orders.v1", "crossdock.reservations.v1"):
            await asyncio.to_thread(grow, own.stack, topic, 16, Console(quiet=True))
        outcome = await running.end()
    assert not outcome.refused and not outcome.clashes
    log = await own.log("crossdock.orders.v1")
    assert {entry.partition for entry in log.everything()} > set(range(12)), "no event is in a new partition"
    await own.adds_up()


@pytest.mark.parametrize("service", ["analytics-service", "forecast-service"])
async def test_service_restored_alone_reads_what_it_missed(own: Harness, service: str) -> None:
    async with load(own, 100) as running:
        await running.until(30)
        old = await asyncio.to_thread(dump, own, _database(service), "-Fc")
        await running.end()
    await restored_alone(own, service, old)
    await own.adds_up()


async def test_order_service_restored_alone_names_the_lost_orders(
    own: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answers about lost orders become dead letters, and new orders are confirmed. The tables of others add up.

    `crossdock lost-orders` names them, gives their stock back, and they can be sent again.
    """
    monkeypatch.setenv("CROSSDOCK_HOME", str(own.stack.home.root))
    items = await own.items(3, on_hand=1_000)
    async with own.client() as shop:
        kept = [await own.post(shop, order(f"KEPT-{n}", (items[n % 3], 1))) for n in range(10)]
        for each in kept:
            await own.until(shop, each["id"], "confirmed")
        old = await asyncio.to_thread(dump, own, "order_service", "-Fc")
        lost = [await own.post(shop, order(f"LOST-{n}", (items[n % 3], 1))) for n in range(40)]
        for each in lost:
            await own.until(shop, each["id"], "confirmed")
        await restored_alone(own, "order-service", old)
        new = [await own.post(shop, order(f"NEW-{n}", (items[n % 3], 1))) for n in range(10)]
        for each in new:
            await own.until(shop, each["id"], "confirmed")
        assert (await shop.get(f"/v1/orders/{lost[0]['id']}")).status_code == 404

        async def letters() -> bool:
            async with own.database("order-service") as sql:
                keys = {row["key"].decode() for row in await sql.fetch("SELECT key FROM dead_letter")}
            return keys == {each["id"] for each in lost}

        await eventually(letters)
        listed = await lost_orders()
        assert {each["reference"] for each in listed} == {f"LOST-{n}" for n in range(40)}
        given = await lost_orders("--give-back", "restored")
        assert given == listed

        async def none_left() -> bool:
            return not await lost_orders()

        await eventually(none_left)
        assert await reserved(own) == 20, "only kept and new orders hold stock"
        again = [await own.post(shop, order(f"LOST-{n}", (items[n % 3], 1))) for n in range(40)]
        for each in again:
            await own.until(shop, each["id"], "confirmed")
        assert await reserved(own) == 60
    assert "0 oversold" in str(await own.verify())


async def lost_orders(*options: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(await crossdock("lost-orders", "--json", *options))
    return found


async def reserved(own: Harness) -> int:
    async with own.database("inventory-service") as sql:
        return int(await sql.fetchval("SELECT sum(reserved) FROM levels"))


def _database(service: str) -> str:
    return service.replace("-", "_")


async def restored_alone(own: Harness, service: str, old: bytes) -> None:
    """Stop the service, replace its database by the older dump, and start it."""
    processes = [each for each in own.stack.handles() if each.name.startswith(f"{service}.")]
    for each in processes:
        await asyncio.to_thread(each.stop)
    name = _database(service)
    async with admin(own) as sql:
        await sql.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await sql.execute(f"CREATE DATABASE {name} OWNER {name}")
        await sql.execute(f"REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC")
    words = [str(_binaries() / "pg_restore"), "-d", database_in(own.stack.servers.databases.admin_dsn, name)]
    await asyncio.to_thread(lambda: subprocess.run(words, input=old, check=True))
    for each in processes:
        each.start()
    for each in processes:
        await asyncio.to_thread(each.wait_ready)
