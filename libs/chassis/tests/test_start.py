"""What is wrong with a database is one sentence in the log, and the process ends or is not ready."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
import toy
from on_kafka import eventually
from pgbouncer import pooling
from secured_kafka import certify
from sqlalchemy import text

from crossdock_chassis import Broker, Service
from crossdock_chassis.database import fit
from crossdock_chassis.database.connect import reason_of
from crossdock_chassis.database.unit import schema_change
from crossdock_chassis.messaging import clients
from crossdock_chassis.roles import _ready
from crossdock_chassis.unfit import Unfit
from crossdock_local.servers import Servers

CHILD = Path(__file__).with_name("role_child.py")


def environment(service: Service, **others: str) -> dict[str, str]:
    return {
        **os.environ,
        "CROSSDOCK_NAME": service.name,
        "CROSSDOCK_POSTGRES": service.settings.postgres,
        "CROSSDOCK_KAFKA": "127.0.0.1:1",
        "CROSSDOCK_ISSUER": "http://127.0.0.1:1",
        "CROSSDOCK_HTTP_PORT": "0",
        "CROSSDOCK_OPS_PORT": "0",
        **others,
    }


def started(service: Service, role: str, **others: str) -> tuple[int, str]:
    """Run a process to its end, and return its code and its log."""
    settings = environment(service, **others)
    done = subprocess.run([sys.executable, CHILD, role], env=settings, capture_output=True, text=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE crossdock_version SET version_num = '9999'", "is at revision 9999, and this build knows 0001: deploy"),
        ("UPDATE crossdock_chassis_version SET version_num = '0001'", "is at revision 0001, and this build needs"),
        ("DROP TABLE crossdock_version", "is not migrated, and this build needs 0001: run the role migrate first"),
    ],
)
async def test_schema_of_another_build_ends_the_process(service: Service, change: str, said: str) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(change)
    code, log = started(service, "api")
    assert (code, said in log, "Traceback" in log) == (1, True, False), log
    with pytest.raises(Unfit, match=said):
        await _ready(service)()


async def test_newer_schema_is_not_migrated_by_an_older_build(service: Service) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE crossdock_version SET version_num = '9999'")
    code, log = started(service, "migrate")
    assert (code, "deploy the image that migrated it, or a newer one" in log, "Traceback" in log) == (1, True, False)


async def test_old_server_is_refused(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "OLDEST", 99)
    with pytest.raises(Unfit, match="is too old: upgrade the server to 99 or newer"):
        await service.fit().check()


async def test_worker_names_a_kafka_that_is_away(service: Service) -> None:
    code, log = started(service, "worker")
    assert code == 1
    assert "Kafka at 127.0.0.1:1 cannot be reached" in log


async def test_wrong_password_is_named_by_readiness(service: Service) -> None:
    parts = urlsplit(service.settings.postgres)
    wrong = parts._replace(netloc=f"{parts.username}:guess@{parts.hostname}:{parts.port}").geturl()
    with pytest.raises(
        ConnectionError, match=r"password authentication failed .* correct CROSSDOCK_POSTGRES"
    ) as failed:
        await _reached(wrong)
    assert "guess" not in str(failed.value)


def _settings(dsn: str) -> toy.Settings:
    return toy.Settings(postgres=dsn, kafka="127.0.0.1:1", issuer="http://127.0.0.1:1")


async def _reached(dsn: str) -> None:
    """Connect as a service does."""
    database = toy.build(_settings(dsn)).database
    try:
        async with database.unit() as unit:
            assert await unit.sql.fetchval("SELECT 1") == 1
    finally:
        await database.close()


async def _ask(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_certificate_of_the_server_is_checked(service: Service, tmp_path: Path) -> None:
    """Units, migrations and connections outside the pool take the same DSN. The TLS is that of PgBouncer."""
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        certify(tmp_path / name)
    with pooling(service.settings.postgres, tmp_path / "own") as dsn:
        right = f"{dsn}?sslmode=verify-full&sslrootcert={tmp_path}/own/ca.pem"
        await _reached(right)
        async with schema_change(right) as connection:
            assert await connection.scalar(text("SELECT 1")) == 1
        assert await _ask(toy.build(_settings(right)).database.dsn, "SELECT 1") == 1
        for wrong, said in (
            (right.replace("own/ca.pem", "other/ca.pem"), "is not trusted: .*: correct sslrootcert or the host"),
            (right.replace("127.0.0.1", "localhost"), "is not trusted: Hostname mismatch"),
            (right.replace("ca.pem", "none.pem"), "the file of sslrootcert is missing"),
            (f"{dsn}?sslmode=disable", "SSL required"),
        ):
            with pytest.raises(ConnectionError, match=f"^the database .* cannot be reached: .*{said}"):
                await _reached(wrong)


async def test_sigterm_under_load_loses_no_request(
    service: Service, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """A load balancer has two seconds to see that the process is not ready. Until then it sends requests."""
    http, ops = unused_tcp_port_factory(), unused_tcp_port_factory()
    ports = {"CROSSDOCK_HTTP_PORT": str(http), "CROSSDOCK_OPS_PORT": str(ops), "CROSSDOCK_UNREADY_SECONDS": "2"}
    process = subprocess.Popen([sys.executable, CHILD, "api"], env=environment(service, **ports))
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:

            async def ready() -> bool:
                try:
                    return (await client.get(f"http://127.0.0.1:{ops}/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            async def load() -> None:
                while balanced:
                    answers.append((await client.get(f"http://127.0.0.1:{http}/v1/operations")).status_code)

            await eventually(ready)
            answers, balanced = list[int](), True
            loads = [asyncio.create_task(load()) for _ in range(8)]
            process.send_signal(signal.SIGTERM)
            while await ready():
                await asyncio.sleep(0.01)
            seen = len(answers)
            while len(answers) < seen + 20 and not any(each.done() for each in loads):  # a balancer looks now and then
                await asyncio.sleep(0.01)
            balanced = False
            await asyncio.gather(*loads)
        assert set(answers) == {401}, "each request was answered: it had no token"
        assert await asyncio.to_thread(process.wait, 20) == 0
    finally:
        process.kill()
        process.wait()


async def test_old_kafka_is_refused(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(servers.bootstrap or "")
    await clients.reach(broker)
    monkeypatch.setattr(clients, "OLDEST_FETCH", 99)
    with pytest.raises(Unfit, match=r"^Kafka at .* is older than 3\.1: upgrade it$"):
        await clients.reach(broker)


async def test_server_that_does_not_answer_is_named() -> None:
    with pytest.raises(TimeoutError) as late:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    assert reason_of(late.value) == "no answer in time: correct CROSSDOCK_POSTGRES, or start PostgreSQL"
