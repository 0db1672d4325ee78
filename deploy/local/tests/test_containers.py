"""The handle of a container, on a fake Docker engine. Runs on machines with Docker cover the real engine."""

import gc
import socket
import threading
import time
from pathlib import Path
from signal import SIGTERM
from types import SimpleNamespace
from typing import Any, cast

import pytest
from docker.errors import APIError, NotFound
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.exceptions import ContainerConnectException

from crossdock_cli.errors import CommandError
from crossdock_local.layout import Home
from crossdock_local.ports import HOST
from crossdock_local.servers.containers import Container, ContainerPostgres, broker_settings, engine_answers, reached
from crossdock_local.servers.kafka import SETTINGS


class Engine:
    """A fake of one container, with the interfaces of docker and testcontainers."""

    def __init__(self) -> None:
        self.attrs: dict[str, Any] = {"State": {"Running": False, "Pid": 0}}
        self.signals: list[str] = []
        self.removed = False

    def start(self) -> None:
        self.attrs = {"State": {"Running": True, "Pid": 4711}}

    def get_wrapped_container(self) -> "Engine":
        return self

    def reload(self) -> None:
        if self.removed:
            raise NotFound("gone")

    def kill(self, signal: str) -> None:
        self.signals.append(signal)
        self.attrs = {"State": {"Running": False, "Pid": 0}}

    def stop(self) -> None:
        self.removed = True

    def stats(self, stream: bool) -> dict[str, Any]:
        return {"memory_stats": {"usage": 5_000_000}}

    def logs(self, tail: int) -> bytes:
        return b"no space left"


@pytest.fixture
def engine() -> Engine:
    return Engine()


def container(engine: Engine, ready: bool = True) -> Container:
    return Container("kafka", cast(DockerContainer, engine), ready=lambda: ready)


def test_container_is_started_killed_and_started_again(engine: Engine) -> None:
    kafka = container(engine)
    assert (kafka.alive, kafka.pid, kafka.memory, kafka.ready()) == (False, None, 0, False)
    kafka.start()
    kafka.wait_ready(1)
    assert (kafka.alive, kafka.pid, kafka.memory, kafka.ready()) == (True, 4711, 5_000_000, True)
    kafka.kill()
    kafka.kill(SIGTERM)
    assert engine.signals == ["SIGKILL"]
    assert not kafka.alive
    kafka.start()
    assert kafka.alive
    kafka.stop()
    assert not kafka.alive


def test_one_that_dies_while_starting_shows_its_log(engine: Engine) -> None:
    kafka = container(engine, ready=False)
    kafka.start()
    engine.kill("SIGKILL")
    with pytest.raises(CommandError, match="container of kafka ended while it was starting") as refused:
        kafka.wait_ready(5)
    assert refused.value.details == "no space left"


def test_one_that_does_not_answer_says_how_long_it_had(engine: Engine) -> None:
    kafka = container(engine, ready=False)
    kafka.start()
    with pytest.raises(CommandError, match="was not ready within 0 s"):
        kafka.wait_ready(0.1)
    assert kafka.alive


def test_one_that_was_made_but_cannot_start_is_removed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program may take the port after the engine created the container. The engine then keeps the container."""

    def start() -> None:
        raise APIError("port is already allocated")

    monkeypatch.setattr(engine, "start", start)
    kafka = container(engine)
    with pytest.raises(CommandError, match="did not start the container of kafka") as refused:
        kafka.start()
    assert "already allocated" in refused.value.details
    kafka.stop()
    assert engine.removed


@pytest.mark.parametrize(
    "trouble",
    [
        ConnectionRefusedError(111, "Connection refused"),
        ContainerConnectException("Could not obtain network details"),
    ],
)
def test_container_that_fails_to_start_reports_the_trouble(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def start() -> None:
        raise trouble

    monkeypatch.setattr(engine, "start", start)
    with pytest.raises(CommandError, match="did not start the container of kafka") as refused:
        container(engine).start()
    assert refused.value.details == f"{type(trouble).__name__}: {trouble}"


def test_without_an_engine_it_is_said_where_one_was_looked_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket of Docker's client stays open. An open socket causes a warning, which is an error in these tests."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{home}/docker.sock")
    with pytest.raises(CommandError, match=f"^No Docker engine answers at unix://{home}/docker.sock; "):
        ContainerPostgres(Home(home), 1)
    gc.collect()


def test_behind_ssh_it_is_enough_that_something_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as listening:
        monkeypatch.setenv("DOCKER_HOST", f"ssh://me@{HOST}:{listening.getsockname()[1]}")
        assert engine_answers()
    assert not engine_answers()


def test_two_never_start_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first start of a run also creates Ryuk, the container that cleans up. Two cannot have its name."""
    inside = 0
    most = 0

    def start() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.1)
        inside -= 1

    engines = [Engine(), Engine()]
    for engine in engines:
        monkeypatch.setattr(engine, "start", start)
    threads = [threading.Thread(target=container(engine).start) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def client(host: str, networks: dict[str, Any] | None) -> DockerClient:
    """Return an engine at `host`. `networks` are those of the container of this process, None if it is in none."""

    def get(name: str) -> SimpleNamespace:
        if networks is None:
            raise NotFound(name)
        return SimpleNamespace(attrs={"NetworkSettings": {"Networks": networks}})

    containers = SimpleNamespace(get=get)
    return cast(DockerClient, SimpleNamespace(host=lambda: host, client=SimpleNamespace(containers=containers)))


@pytest.mark.parametrize(
    ("host", "networks", "where"),
    [
        ("localhost", None, (HOST, HOST)),
        ("localhost", {"bridge": {"Gateway": "172.17.0.1"}}, ("172.17.0.1", "172.17.0.1")),
        ("localhost", {"host": {"Gateway": ""}}, (HOST, HOST)),
        ("10.1.2.3", None, ("10.1.2.3", "")),
    ],
)
def test_a_port_is_published_no_further_than_to_where_it_is_used(
    host: str, networks: dict[str, Any] | None, where: tuple[str, str]
) -> None:
    assert reached(client(host, networks)) == where


def test_container_broker_settings_differ_only_in_addresses() -> None:
    there = broker_settings("127.0.0.1:12345")
    here = dict(
        line.split("=", 1) for line in SETTINGS.format(host=HOST, port=9092, controller=9093, data="").splitlines()
    )
    assert there["advertised.listeners"] == "PLAINTEXT://127.0.0.1:12345"
    assert {name for name in here if there.get(name) != here[name]} == {"listeners", "advertised.listeners", "log.dirs"}


def test_one_that_was_removed_behind_our_back_is_not_alive(engine: Engine) -> None:
    kafka = container(engine)
    kafka.start()
    engine.removed = True
    assert not kafka.alive
