"""The launcher's local PostgreSQL and Kafka, even if CROSSDOCK_TEST_SERVERS chooses containers for other tests."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from crossdock_cli.errors import CommandError
from crossdock_events import TopicSpec
from crossdock_local.layout import Home
from crossdock_local.ports import HOST, Ports
from crossdock_local.servers import Servers, engine_for_tests, together
from crossdock_local.servers.kafka import Kafka
from crossdock_local.servers.postgres import Postgres, database_in

ISOLATED = (asyncpg.exceptions.InsufficientPrivilegeError, asyncpg.exceptions.InvalidAuthorizationSpecificationError)


async def ask(dsn: str, question: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def up() -> Iterator[Servers]:
    folder = Path(tempfile.mkdtemp(prefix="cd-"))
    folder.chmod(0o755)
    try:
        with Servers(folder, Ports.free()) as servers:
            yield servers
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_role_enters_its_own_database_and_no_other(up: Servers) -> None:
    up.databases.ensure(["order_service", "inventory_service"])
    own = up.databases.dsn("order_service")
    assert asyncio.run(ask(own, "SELECT current_user || ' ' || current_database()")) == "order_service order_service"
    for other in ("inventory_service", "postgres", "template1"):
        with pytest.raises(ISOLATED):
            asyncio.run(ask(database_in(own, other), "SELECT 1"))


def test_a_role_may_not_make_databases_roles_or_read_files(up: Servers) -> None:
    own = up.database("order_service")
    for forbidden in ("CREATE DATABASE mine", "CREATE ROLE other", "SELECT pg_read_file('PG_VERSION')"):
        with pytest.raises(asyncpg.exceptions.InsufficientPrivilegeError):
            asyncio.run(ask(own, forbidden))


def test_a_wrong_password_is_refused(up: Servers) -> None:
    up.database("order_service")
    guess = f"postgresql://order_service:guess@{HOST}:{up.ports.of('postgres')}/order_service"
    with pytest.raises(asyncpg.exceptions.InvalidPasswordError):
        asyncio.run(ask(guess, "SELECT 1"))


def test_what_is_committed_is_on_the_disk(up: Servers) -> None:
    admin = up.databases.admin_dsn
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert asyncio.run(ask(admin, f"SHOW {setting}")) == "on"


def test_only_loopback_is_listened_on(up: Servers) -> None:
    ours = [psutil.Process(handle.pid) for handle in up.handles]
    addresses = {each.laddr.ip for process in ours for each in process.net_connections() if each.status == "LISTEN"}
    assert {address.removeprefix("::ffff:") for address in addresses} == {HOST}


def test_databases_are_made_once_and_dropped_with_their_role(up: Servers) -> None:
    first = up.database("scratch")
    asyncio.run(ask(first, "CREATE TABLE kept (id int)"))
    assert up.database("scratch") == first
    assert asyncio.run(ask(first, "SELECT count(*) FROM kept")) == 0
    up.databases.drop("scratch")
    with pytest.raises(asyncpg.exceptions.InvalidPasswordError):
        asyncio.run(ask(first, "SELECT 1"))


def test_topics_are_made_when_missing_and_left_alone_when_there(up: Servers) -> None:
    made = up.topics.ensure([TopicSpec("crossdock.a.v1", 3, {"retention.ms": "-1"}), TopicSpec("crossdock.b.v1", 1)])
    assert made == ["crossdock.a.v1", "crossdock.b.v1"]
    assert up.topics.ensure([TopicSpec("crossdock.a.v1", 12)]) == []
    assert up.topics.partitions("crossdock.a.v1") == 3
    assert up.topics.names() >= set(made)


def test_all_topics_are_made_and_too_few_partitions_are_an_error(up: Servers) -> None:
    def create() -> subprocess.CompletedProcess[str]:
        environment = dict(os.environ) | {"CROSSDOCK_KAFKA": up.bootstrap or ""}
        words = [sys.executable, "-m", "crossdock_cli", "topics", "create"]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)

    up.topics.ensure([TopicSpec("crossdock.orders.v1", 3)])
    first = create()
    assert first.returncode == 1
    assert "crossdock.orders.v1: 3 of 12" in first.stderr
    assert up.topics.partitions("crossdock.stock.v1") == 12
    assert [each for each in up.topics.names() if each.endswith(".dlq")]
    assert create().stdout.startswith("0 topics created")


async def test_it_can_be_asked_from_inside_an_event_loop(up: Servers) -> None:
    assert up.topics.cluster_id()
    assert up.database("order_service")


def test_killed_ones_come_back_with_their_data(up: Servers) -> None:
    dsn = up.database("scratch")
    asyncio.run(ask(dsn, "CREATE TABLE survives AS SELECT 42 AS answer"))
    up.topics.ensure([TopicSpec("crossdock.survives.v1", 1)])
    for server in (up.postgres, up.kafka):
        before = server.pid
        server.kill()
        assert not server.alive
        server.start()
        server.wait_ready()
        assert server.pid != before
    assert asyncio.run(ask(dsn, "SELECT answer FROM survives")) == 42
    assert "crossdock.survives.v1" in up.topics.names()


def test_up_finds_what_runs_and_a_second_object_too(up: Servers) -> None:
    before = [handle.pid for handle in up.handles]
    other = Servers(up.home.root, Ports.free())
    other.up()
    assert [handle.pid for handle in other.handles] == before


def test_a_taken_port_is_a_sentence_and_nothing_is_left(home: Path) -> None:
    servers = Servers(home, Ports.free(), kafka=False)
    with socket.create_server((HOST, servers.ports.of("postgres"))):
        with pytest.raises(CommandError, match=r"^Port \d+, needed for postgres, is taken by another program"):
            servers.up()
        assert not (home / "postgres").exists()
    assert not servers.postgres.alive


def test_a_port_taken_at_the_last_moment_is_the_same_sentence(home: Path) -> None:
    server = Postgres(Home(home), Ports.free().of("postgres"))
    server.prepare()
    with socket.create_server((HOST, server.port)):
        server.process.start()
        with pytest.raises(CommandError, match=r"needed for postgres, is taken by another program"):
            server.wait_ready()
    server.process.stop()


def test_a_failing_broker_takes_the_database_down_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Kafka) -> None:
        raise CommandError("Kafka does not want to.")

    monkeypatch.setattr(Kafka, "wait_ready", broken)
    servers = Servers(home, Ports.free())
    with pytest.raises(CommandError, match="does not want to"):
        servers.up()
    assert [handle.alive for handle in servers.handles] == [False, False]


def test_foreign_postgres_on_the_port_is_refused(home: Path, up: Servers) -> None:
    """A copy of this folder already runs on the port that this server is configured to use."""
    postgres = Postgres(Home(home), up.ports.of("postgres"))
    postgres.prepare()
    with pytest.raises(CommandError, match="is answered by a PostgreSQL that is not the one in"):
        asyncio.run(postgres.require_ours())


def test_a_data_folder_is_made_whole_or_not_at_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossdock_local.servers.postgres.OPTIONS", ("--no-such-option",))
    with pytest.raises(CommandError, match="data folder could not be made") as refused:
        Postgres(Home(home), 1).prepare()
    assert "no-such-option" in refused.value.details
    assert not any(each.name.startswith("postgres") for each in home.iterdir())


def test_a_full_disk_is_told_before_it_is_filled(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossdock_local.layout.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(CommandError, match=r"PostgreSQL needs 200 MB and the disk of .* has 0 MB left"):
        Servers(home, Ports.free(), kafka=False).up()
    assert not (home / "postgres").exists()


def test_a_path_longer_than_a_socket_s_may_be_works(home: Path) -> None:
    """A socket path over 107 bytes fails, but no server here has a socket file."""
    deep = home / ("a" * 80) / ("b" * 80)
    with Servers(deep, Ports.free(), kafka=False) as servers:
        assert asyncio.run(ask(servers.database("order_service"), "SELECT 1")) == 1


def test_ones_own_servers_are_used_and_left_alone(home: Path, up: Servers) -> None:
    with Servers(home, Ports.free(), own_postgres=up.databases.admin_dsn, own_kafka=up.bootstrap) as guest:
        assert guest.handles == []
        assert asyncio.run(ask(guest.database("guest_service"), "SELECT current_user")) == "guest_service"
        assert guest.topics.cluster_id() == up.topics.cluster_id()
        with pytest.raises(CommandError, match="CROSSDOCK_POSTGRES"):
            _ = guest.postgres
    assert all(handle.alive for handle in up.handles)


def test_existing_role_on_a_foreign_server_is_not_taken_over(home: Path, up: Servers) -> None:
    theirs = up.database("theirs")
    guest = Servers(home, Ports.free(), own_postgres=up.databases.admin_dsn, own_kafka=up.bootstrap)
    with pytest.raises(CommandError, match="has a role theirs already"):
        guest.database("theirs")
    assert asyncio.run(ask(theirs, "SELECT 1")) == 1


def test_a_broker_can_be_asked_for_only_when_it_was(home: Path) -> None:
    servers = Servers(home, Ports.free(), kafka=False)
    with pytest.raises(CommandError, match="without Kafka"):
        _ = servers.topics


def test_an_interrupt_waits_for_what_is_being_started() -> None:
    """Otherwise the process would start after everything was stopped, and keep running."""
    started = threading.Event()

    def start() -> None:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        started.set()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            together([start])
    finally:
        signal.signal(signal.SIGINT, before)
    assert started.is_set()


def test_the_switch_for_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_TEST_SERVERS", "containers")
    assert engine_for_tests() == "containers"
    monkeypatch.setenv("CROSSDOCK_TEST_SERVERS", "local")
    assert engine_for_tests() == "local"
    monkeypatch.setenv("CROSSDOCK_TEST_SERVERS", "cloud")
    with pytest.raises(CommandError, match="local or containers"):
        engine_for_tests()
    monkeypatch.delenv("CROSSDOCK_TEST_SERVERS")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert engine_for_tests() == "local"


def test_a_docker_engine_is_recognised_by_its_answer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSDOCK_TEST_SERVERS", raising=False)
    address = home / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()

        def answer() -> None:
            engine, _ = listener.accept()
            with engine:
                engine.recv(1000)
                engine.sendall(b"HTTP/1.1 200 OK\r\n\r\nOK")

        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{address}")
        assert engine_for_tests() == "containers"
        thread.join()


def test_all_who_ask_at_once_get_the_same_password(home: Path) -> None:
    for n in range(200):
        together_at = threading.Barrier(6)
        found: list[str] = []

        def take(name: str, barrier: threading.Barrier = together_at, found: list[str] = found) -> None:
            barrier.wait()
            found.append(Home(home).secret(name))

        threads = [threading.Thread(target=take, args=(f"secret-{n}",)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 6 and len(set(found)) == 1 and found[0], found
