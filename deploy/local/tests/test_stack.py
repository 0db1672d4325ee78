"""The stack's own behaviour, on real PostgreSQL and Kafka, with a toy service in place of the real ones."""

import json
import os
import signal
import socket
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossdock_cli import discovery
from crossdock_cli.discovery import Installed
from crossdock_cli.errors import CommandError
from crossdock_local.ports import HOST, Ports
from crossdock_local.servers import Servers
from crossdock_local.stack import Stack

SERVICE = """
    import types

    from crossdock_events import TopicSpec

    class Settings:
        model_fields = dict.fromkeys(["postgres", "kafka", "issuer"])
        model_fields["http_port"] = types.SimpleNamespace(default=8410)

        def __init__(self, **values):
            assert set(values) == {"postgres", "kafka", "issuer"}

    def build(settings):
        return types.SimpleNamespace(dead_letter_specs=lambda: [TopicSpec("crossdock.orders.v1.toy-service.dlq", 1)])
"""
MAIN = """
    import asyncio, http.server, os, pathlib, signal, sys
    import asyncpg

    role = sys.argv[1]
    if (pathlib.Path.cwd() / f"break-{role}").exists():
        sys.exit(f"{role} cannot go on")

    async def table(statement):
        connection = await asyncpg.connect(os.environ["CROSSDOCK_POSTGRES"])
        await connection.execute(statement)
        await connection.close()

    if role == "migrate":
        asyncio.run(table("CREATE TABLE IF NOT EXISTS migrated (id int)"))
        sys.exit()
    asyncio.run(table("SELECT * FROM migrated"))

    class Ok(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(os.environ.get("CROSSDOCK_GREETING", "").encode())

        def log_message(self, *_):
            pass

    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    http.server.HTTPServer(("127.0.0.1", int(os.environ["CROSSDOCK_OPS_PORT"])), Ok).serve_forever()
"""


@pytest.fixture
def toy(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    package = home / "code" / "toy_service"
    package.mkdir(parents=True)
    for name, text in (("__init__", ""), ("service", SERVICE), ("__main__", MAIN)):
        (package / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr(
        discovery, "installed", lambda: [Installed("toy-service", "toy_service", "toy_service.service")]
    )
    yield
    for name in ("toy_service", "toy_service.service"):
        sys.modules.pop(name, None)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """Return the files that another user can read, write or list. As root, PostgreSQL's user passes through folders."""
    found = [folder, *folder.rglob("*")]
    return [str(each) for each in found if each.stat().st_mode & (0o076 if each.is_dir() else 0o077)]


def test_stack_starts_is_found_again_recovers_and_stops(
    toy: None, home: Path, open_umask: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Stack(home / "s", Ports.free(), environment={"CROSSDOCK_GREETING": "hello"}) as stack:
        assert stack.running
        names = ["postgres", "kafka", "issuer", "toy-service.api", "toy-service.worker"]
        assert [each.name for each in stack.status()] == names
        assert {each.state for each in stack.status()} == {"ready"}
        assert all(each.memory > 1_000_000 for each in stack.status())
        assert stack.dsn("toy-service").endswith("/toy_service")
        topics = stack.servers.topics.names()
        assert topics >= {"crossdock.orders.v1", "crossdock.stock.v1", "crossdock.orders.v1.toy-service.dlq"}
        assert stack.servers.topics.partitions("crossdock.orders.v1") == 12
        with urllib.request.urlopen(stack.ops_url("toy-service.api")) as answer:
            assert answer.read() == b"hello"

        pids = [each.pid for each in stack.status()]
        again = Stack(home / "s", Ports.free())
        again.up()
        assert [each.pid for each in again.status()] == pids

        monkeypatch.setenv("CROSSDOCK_HOME", str(home / "s"))
        assert Stack.current().running, "a command finds the free ports without CROSSDOCK_PORTS"
        monkeypatch.setenv("CROSSDOCK_PORTS", "fixed")
        assert Stack.current().running, "a running stack keeps its ports"

        worker = again.process("toy-service.worker")
        worker.kill(signal.SIGKILL)
        assert not stack.running
        monkeypatch.setenv("CROSSDOCK_DOWNLOADS", str(home / "downloads"))
        Stack(home / "s", Ports.free()).up()
        assert not (home / "downloads").exists(), "the broker runs, so it needs no download"
        assert worker.pid not in pids
        assert [again.process(name).pid for name in names[:4]] == pids[:4]

        second = stack.another("worker", "toy-service")
        assert second.name == "toy-service.worker-2"
        assert stack.process("toy-service.worker-2").ready()
        assert second.pid != worker.pid
        assert open_to_others(home / "s") == []
    assert not any(handle.alive for handle in stack.handles())
    assert not second.alive


def test_service_in_one_process_is_remembered_until_the_opposite(
    toy: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSDOCK_HOME", str(home / "s"))
    with Stack(home / "s", Ports.free(), together=True) as stack:
        again = Stack.current()
        assert again.running
        assert [each.name for each in again.status()][3:] == ["toy-service.all"]
        assert again.status()[3].url == again.url("toy-service")
        assert again.well(again.process("toy-service.all"))()
        with pytest.raises(CommandError, match=r"^toy-service\.all still run: stop them with `.*crossdock down` first"):
            Stack.current(together=False).up()
        assert again.running
        stack.process("toy-service.all").kill()
        assert not again.running
        again.up()
        assert stack.running
    assert not any(handle.alive for handle in again.handles())
    apart = Stack.current(together=False)
    try:
        apart.up([])
        ready = [each.name for each in apart.status() if each.state == "ready"]
    finally:
        apart.down()
    assert ready == ["postgres", "kafka"], "the servers alone are enough for some"
    assert [each.name for each in Stack.current().handles()][3:] == ["toy-service.api", "toy-service.worker"]


def test_what_is_prepared_is_prepared_again_only_for_other_code(toy: None, home: Path) -> None:
    stack = Stack(home / "s", Ports.free())
    said: list[str] = []

    class Listening:
        def begin(self, what: str) -> None:
            said.append(what)

        def done(self, what: str, seconds: float) -> None:
            said.append(what)

    try:
        stack.up(report=Listening())
        assert "toy-service: database migrated" in said
        stack.down()
        said.clear()
        stack.up(report=Listening())
        assert "toy-service.api started" in said
        assert "toy-service: database migrated" not in said
        stack.down()
        said.clear()
        assert stack.outdated == []
        (home / "code" / "toy_service" / "more.py").touch()
        assert stack.outdated == ["toy-service"]
        stack.up(report=Listening())
        assert "toy-service: database migrated" in said
    finally:
        stack.down()


def test_tokens_are_the_issuer_s_and_unknown_scopes_are_refused(toy: None, home: Path) -> None:
    stack = Stack(home / "s", Ports.free())
    token = stack.token("acme", ["orders:write", "orders:read"])
    assert token.count(".") == 2
    assert set(stack.tokens(["a", "b"], ["ops:read"])) == {"a", "b"}
    with pytest.raises(CommandError, match="No such scope: orders:eat"):
        stack.token("acme", ["orders:eat"])


@pytest.mark.parametrize(
    ("role", "sentence"),
    [
        ("migrate", r"^The database of toy-service could not be migrated; the whole log is "),
        ("worker", r"^toy-service\.worker stopped while starting; its whole log is "),
    ],
)
def test_a_service_that_fails_leaves_nothing_running(toy: None, home: Path, role: str, sentence: str) -> None:
    stack = Stack(home / "s", Ports.free())
    stack.home.make()
    stack.home.root.joinpath(f"break-{role}").touch()
    with pytest.raises(CommandError, match=sentence) as refused:
        stack.up()
    assert refused.value.details == f"{role} cannot go on"
    assert not any(handle.alive for handle in stack.handles())


def test_what_ran_before_a_failed_start_keeps_running(toy: None, home: Path) -> None:
    with Stack(home / "s", Ports.free()) as stack:
        stack.process("toy-service.api").stop()
        stack.home.root.joinpath("break-api").touch()
        with pytest.raises(CommandError, match=r"toy-service\.api stopped while starting"):
            stack.up()
        alive = {handle.name for handle in stack.handles() if handle.alive}
        assert alive == {"postgres", "kafka", "issuer", "toy-service.worker"}


def test_a_service_that_cannot_be_built_is_named(toy: None, home: Path) -> None:
    (home / "code" / "toy_service" / "service.py").write_text("import no_such_module\n")
    stack = Stack(home / "s", Ports.free())
    with pytest.raises(CommandError, match=r"^toy-service cannot be loaded: No module named 'no_such_module'"):
        stack.up()
    assert not any(handle.alive for handle in stack.handles())


@pytest.mark.parametrize("name", ["issuer", "toy-service", "toy-service.worker-ops", "kafka-controller"])
def test_any_taken_port_is_told_before_anything_is_made(toy: None, home: Path, name: str) -> None:
    stack = Stack(home / "s", Ports.free())
    with (
        socket.create_server((HOST, stack.ports.of(name))),
        pytest.raises(
            CommandError, match=rf"^Port {stack.ports.of(name)}, needed for \S+, is taken by another program"
        ),
    ):
        stack.up()
    assert not (home / "s" / "postgres").exists()
    assert not (home / "s" / "broker").exists()


def test_stack_of_named_services_has_no_others(
    toy: None, home: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [*discovery.installed(), Installed("other-service", "other_service", "other_service.service")]
    monkeypatch.setattr(discovery, "installed", lambda: both)
    dsn, kafka = servers.databases.admin_dsn, servers.bootstrap
    with Stack(home / "s", Ports.free(), services=["toy-service"], own_postgres=dsn, own_kafka=kafka) as stack:
        assert stack.running
        assert [each.name for each in stack.handles()][1:] == ["toy-service.api", "toy-service.worker"]
    servers.databases.drop("toy_service")


def test_two_commands_at_once_do_not_mix(toy: None, home: Path) -> None:
    stack = Stack(home / "s", Ports.free())
    with stack._alone(), pytest.raises(CommandError, match="Another crossdock command"):
        Stack(home / "s", Ports.free()).up()


def test_names_that_do_not_exist_are_refused_with_those_that_do(toy: None, home: Path) -> None:
    stack = Stack(home / "s", Ports.free())
    with pytest.raises(CommandError, match=r"toy-service\.worker"):
        stack.process("toy-service.wroker")
    with pytest.raises(CommandError, match="there is: toy-service"):
        stack.url("order-service")


def test_default_ports_are_those_of_the_plan(toy: None, home: Path) -> None:
    stack = Stack(home / "s", Ports.fixed())
    stack.home.make()
    assert stack.issuer_url == "http://127.0.0.1:8400"
    assert stack.url("toy-service") == "http://127.0.0.1:8410"
    assert stack.ops_url("toy-service.api") == "http://127.0.0.1:8411"
    assert stack.ops_url("toy-service.worker") == "http://127.0.0.1:8412"
    assert stack.ops_url("toy-service.all") == "http://127.0.0.1:8411"
    assert stack.kafka == "127.0.0.1:8492"
    assert json.loads((home / "s" / "ports.json").read_text())["toy-service"] == 8410


def test_service_with_a_runner_has_its_process(toy: None, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computing = Installed("toy-service", "toy_service", "toy_service.service", runner=True)
    monkeypatch.setattr(discovery, "installed", lambda: [computing])
    stack = Stack(home / "s", Ports.fixed())
    stack.home.make()
    own = [f"toy-service.{role}" for role in ("api", "worker", "runner")]
    assert [each.name for each in stack.handles()][3:] == own
    assert [each.name for each in Stack(home / "s", Ports.fixed(), together=True).handles()][3:] == ["toy-service.all"]
    others = [*own[1:], "toy-service.worker-2", "toy-service.runner-2", "toy-service.worker-3"]
    assert [stack.ops_url(name)[-4:] for name in others] == ["8412", "8413", "8414", "8415", "8416"]


def test_one_s_own_servers_come_from_the_environment(toy: None, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_KAFKA", "10.1.1.1:9092")
    monkeypatch.setenv("CROSSDOCK_POSTGRES", "postgresql://admin:pw@10.1.1.2:5432/postgres")
    monkeypatch.setenv("CROSSDOCK_HOME", str(home / "s"))
    monkeypatch.setenv("CROSSDOCK_PORTS", "free")
    stack = Stack.current()
    assert stack.kafka == "10.1.1.1:9092"
    assert stack.dsn("toy-service").rpartition("@")[2] == "10.1.1.2:5432/toy_service"
    assert [handle.name for handle in stack.handles()] == ["issuer", "toy-service.api", "toy-service.worker"]
    assert "CROSSDOCK_KAFKA" in os.environ
