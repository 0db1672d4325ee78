"""The same two servers in containers, for tests on machines with a Docker engine, such as CI runners."""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from signal import SIGKILL, Signals
from typing import Any, cast
from urllib.parse import urlsplit

from docker.errors import DockerException, NotFound
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient, get_docker_host

from crossdock_cli.errors import CommandError
from crossdock_cli.progress import SILENT, Report
from crossdock_cli.topics import Topics
from crossdock_cli.waiting import in_thread, wait_until
from crossdock_local.layout import Home
from crossdock_local.ports import HOST
from crossdock_local.servers.jars import KAFKA
from crossdock_local.servers.kafka import SETTINGS as SETTINGS_OF_THE_BROKER
from crossdock_local.servers.postgres import MAJOR, OPTIONS, SUPERUSER, Databases, answers, settings

# Ryuk, the container that removes the others after a killed test run, is created with the first container that starts.
# Two containers that start at the same time would both create it.
_STARTING = threading.Lock()
WHERE_IT_LISTENS = ("listen_addresses", "unix_socket_directories")


def engine_address() -> str:
    """Return the engine's address as testcontainers finds it: own file, DOCKER_HOST, Docker's context or default."""
    return get_docker_host() or "unix:///var/run/docker.sock"


def engine_answers() -> bool:
    """Return whether a Docker engine answers this user. Behind TLS or SSH only check that its port is open."""
    try:
        address = urlsplit(engine_address())
        if address.scheme == "unix":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as engine:
                engine.settimeout(3)
                engine.connect(address.path)
                return _pings(engine)
        ssh = address.scheme == "ssh"
        port = address.port or (22 if ssh else 2375)
        with socket.create_connection((address.hostname or "", port), timeout=3) as engine:
            return ssh or bool(os.environ.get("DOCKER_TLS_VERIFY")) or _pings(engine)
    except (OSError, ValueError):
        return False


def _pings(engine: socket.socket) -> bool:
    engine.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
    return b" 200 " in engine.recv(64)


class Container:
    """A container with the interface of a process. A killed container restarts with its data and its port."""

    def __init__(self, name: str, made: DockerContainer, ready: Callable[[], bool]) -> None:
        self.name = name
        self._made, self._ready = made, ready
        self._running: Any = None

    @property
    def pid(self) -> int | None:
        """Return the pid in the engine's process space. Do not signal it directly."""
        return int(self._state()["Pid"]) or None if self.alive else None

    @property
    def alive(self) -> bool:
        return bool(self._state().get("Running"))

    @property
    def memory(self) -> int:
        if not self.alive:
            return 0
        return int(self._running.stats(stream=False)["memory_stats"].get("usage", 0))

    def ready(self) -> bool:
        return self.alive and self._ready()

    def start(self) -> None:
        try:
            if self._running is None:
                with _STARTING:
                    self._made.start()
                self._running = self._made.get_wrapped_container()
            elif not self.alive:
                self._running.start()
        except (DockerException, RuntimeError, OSError) as error:
            # RuntimeError and OSError come from Ryuk if it was created and then does not answer.
            raise CommandError(
                f"Docker did not start the container of {self.name}. CROSSDOCK_TEST_SERVERS=local needs no Docker.",
                f"{type(error).__name__}: {error}",
            ) from None

    def wait_ready(self, seconds: float | None = None) -> None:
        limit = 90 if seconds is None else seconds
        if not wait_until(lambda: self._ready() or not self.alive, limit) or not self.alive:
            log = self._running.logs(tail=15).decode(errors="replace") if self._running else ""
            what = f"was not ready within {limit:.0f} s" if self.alive else "ended while it was starting"
            raise CommandError(f"The container of {self.name} {what}.", log)

    def kill(self, signal: Signals = SIGKILL) -> None:
        if self.alive:
            self._running.kill(signal=signal.name)
        if signal == SIGKILL:
            wait_until(lambda: not self.alive, 10)

    def stop(self) -> None:
        """Remove the container and its data, even if it was created and then did not start."""
        with suppress(NotFound):
            self._made.stop()
        self._running = None

    def _state(self) -> dict[str, Any]:
        if self._running is None:
            return {}
        try:
            self._running.reload()
        except NotFound:
            return {}
        return dict(self._running.attrs["State"])


class Published(DockerContainer):
    """A container with one port, published only on the address at which this process reaches it, `host`."""

    def __init__(self, image: str, inside: int, port: int) -> None:
        # Docker's client leaves a socket open if no engine answers, and that ends a test run with a traceback. So ping
        # the engine first.
        absent = f"No Docker engine answers at {engine_address()}; set CROSSDOCK_TEST_SERVERS=local to test without it."
        if not engine_answers():
            raise CommandError(absent)
        try:
            super().__init__(image)
        except DockerException as error:
            raise CommandError(absent, str(error)) from None
        self.host, published = reached(self.get_docker_client())
        # `with_bind_ports` accepts no address, but the engine's client does, so set the mapping directly.
        self.ports[str(inside)] = cast(Any, (published, port))


def reached(engine: DockerClient) -> tuple[str, str]:
    """Return the host at which this process reaches a published port, and the address to publish the port on."""
    host = engine.host()
    if host not in ("localhost", HOST, "::1"):
        return host, ""  # a remote engine: publish on all of its addresses
    with suppress(NotFound):
        # This process runs in a container of the same engine. It reaches other containers by the gateway, not loopback.
        here = engine.client.containers.get(socket.gethostname())
        for network in here.attrs["NetworkSettings"]["Networks"].values():
            if gateway := network["Gateway"]:
                return gateway, gateway
    return HOST, HOST


def broker_settings(advertised: str) -> dict[str, str]:
    """Return the local broker's settings for a container: it listens on all addresses and chooses its data folder."""
    text = SETTINGS_OF_THE_BROKER.format(host=HOST, port=9092, controller=9093, data="")
    settings = dict(line.split("=", 1) for line in text.splitlines())
    del settings["log.dirs"]
    return settings | {
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://{advertised}",
    }


class _InContainer:
    title: str
    process: Container
    ports: tuple[int, ...]

    def prepare(self, report: Report = SILENT) -> None:
        """Do nothing: the engine pulls the image when the container starts."""

    def wait_ready(self) -> None:
        self.process.wait_ready()


class ContainerPostgres(_InContainer):
    def __init__(self, home: Home, port: int, *, durable: bool = True) -> None:
        self.title, self.ports = f"PostgreSQL {MAJOR} (container)", (port,)
        password = home.secret("postgres-superuser")
        made = Published(f"postgres:{MAJOR}", 5432, port).with_env("POSTGRES_PASSWORD", password)
        # The image's defaults for collation and connections differ. Use those of the local server.
        made = made.with_env("POSTGRES_INITDB_ARGS", " ".join(OPTIONS))
        options = [f"--{name}={value}" for name, value in settings(durable).items() if name not in WHERE_IT_LISTENS]
        made = made.with_command(["postgres", *options])
        dsn = f"postgresql://{SUPERUSER}:{password}@{made.host}:{port}/postgres"
        self.databases = Databases(lambda: dsn, home, ours=True)
        self.process = Container("postgres", made, ready=lambda: in_thread(lambda: answers(dsn)))


class ContainerKafka(_InContainer):
    def __init__(self, home: Home, port: int) -> None:
        self.title, self.ports = f"Kafka {KAFKA} (container)", (port,)
        made = Published(f"apache/kafka:{KAFKA}", 9092, port)
        for name, value in broker_settings(f"{made.host}:{port}").items():
            made = made.with_env(f"KAFKA_{name.replace('.', '_').upper()}", value)
        self.bootstrap = f"{made.host}:{port}"
        self.topics = Topics(bootstrap_servers=self.bootstrap)
        self.process = Container("kafka", made, ready=self._ready)

    def _ready(self) -> bool:
        return self.topics.answers()
