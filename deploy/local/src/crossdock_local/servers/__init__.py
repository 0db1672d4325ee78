"""PostgreSQL and Kafka together: local processes, containers, or the user's own servers."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from signal import SIGKILL, Signals
from types import TracebackType
from typing import Literal, Protocol, Self

from crossdock_cli.broker import broker
from crossdock_cli.errors import CommandError
from crossdock_cli.progress import SILENT, Report, step
from crossdock_cli.topics import Topics
from crossdock_local.layout import Home, downloads
from crossdock_local.ports import Ports, require_free
from crossdock_local.servers.kafka import Kafka
from crossdock_local.servers.postgres import Databases, Postgres

Engine = Literal["local", "containers"]


class Handle(Protocol):
    """A process or container that can be watched, killed and restarted."""

    @property
    def name(self) -> str: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def alive(self) -> bool: ...
    @property
    def memory(self) -> int: ...
    def ready(self) -> bool: ...
    def start(self) -> None: ...
    def wait_ready(self, seconds: float | None = None) -> None: ...
    def kill(self, signal: Signals = SIGKILL) -> None: ...
    def stop(self) -> None: ...


class Server(Protocol):
    """The part of PostgreSQL or Kafka that `Servers` uses, for local processes and containers alike."""

    @property
    def title(self) -> str: ...
    @property
    def process(self) -> Handle: ...
    @property
    def ports(self) -> Sequence[int]: ...
    def prepare(self, report: Report = SILENT) -> None: ...
    def wait_ready(self) -> None: ...


class PostgresServer(Server, Protocol):
    @property
    def databases(self) -> Databases: ...


class KafkaServer(Server, Protocol):
    @property
    def topics(self) -> Topics: ...
    @property
    def bootstrap(self) -> str: ...


class Servers:
    """PostgreSQL and Kafka (or PostgreSQL alone) for a stack or for tests.

    >>> with Servers(Path("/somewhere/short"), Ports.free()) as servers:
    ...     dsn = servers.database("order_service")
    ...     servers.topics.ensure([TopicSpec("crossdock.orders.v1", 12)])

    If `up` fails, it stops every server that it started. The servers outlive this interpreter until `down`.
    `own_postgres` (an administrator's DSN) and `own_kafka` (bootstrap servers) name servers to use instead of ours.
    `durable=False` lets a crash of the machine destroy PostgreSQL's data. It is for tests, which make many databases.
    """

    def __init__(
        self,
        home: Path,
        ports: Ports,
        *,
        kafka: bool = True,
        durable: bool = True,
        engine: Engine = "local",
        own_postgres: str | None = None,
        own_kafka: str | None = None,
    ) -> None:
        self.home = Home(home.absolute())
        self.ports = ports.kept_in(self.home.ports)
        self._postgres: PostgresServer | None = None
        self._kafka: KafkaServer | None = None
        self.bootstrap: str | None = own_kafka
        self._databases: Databases
        if own_postgres:
            self._databases = Databases(lambda: own_postgres, self.home, ours=False)
        else:
            self._postgres = self._make_postgres(engine, durable)
            self._databases = self._postgres.databases
        if own_kafka:
            self._topics: Topics | None = Topics(**broker(own_kafka).options)
        elif kafka:
            self._kafka = self._make_kafka(engine)
            self._topics, self.bootstrap = self._kafka.topics, self._kafka.bootstrap
        else:
            self._topics = None

    @property
    def databases(self) -> Databases:
        return self._databases

    @property
    def topics(self) -> Topics:
        if self._topics is None:
            raise CommandError("These servers were requested without Kafka (kafka=False).")
        return self._topics

    @property
    def postgres(self) -> Handle:
        """Return our PostgreSQL. Raise CommandError if it is the user's own server, which is not killed here."""
        if self._postgres is None:
            raise CommandError("PostgreSQL is your own server (CROSSDOCK_POSTGRES): start and stop it yourself.")
        return self._postgres.process

    @property
    def kafka(self) -> Handle:
        """Return our Kafka. Raise CommandError if it is the user's own broker, which is not killed here."""
        if self._kafka is None:
            raise CommandError(
                "Kafka is your own (CROSSDOCK_KAFKA) or was not requested: it cannot be started or stopped here."
            )
        return self._kafka.process

    @property
    def identity(self) -> int | None:
        """Return the identity of both servers' data. None if a server is not ours or has no data yet."""
        if isinstance(self._postgres, Postgres) and isinstance(self._kafka, Kafka):
            return self._postgres.identity
        return None

    @property
    def handles(self) -> list[Handle]:
        return [server.process for server in self._ours()]

    def database(self, name: str) -> str:
        """Return the DSN of the database and role `name`. Create both if necessary."""
        self.databases.ensure([name])
        return self.databases.dsn(name)

    def up(self, databases: Sequence[str] = (), report: Report = SILENT) -> None:
        """Start both servers at the same time and create the databases. Stop what this call started if a step fails."""
        stopped = [server for server in self._ours() if not server.process.alive]
        self.home.make()
        self.ports.keep()
        self.require_free_ports()
        try:
            together([self._started(server, report) for server in self._ours()])
            if databases:
                self.databases.ensure(databases)
        except BaseException:
            together([server.process.stop for server in stopped])
            raise

    def require_free_ports(self) -> None:
        """Raise CommandError if another program holds the port of a server that does not run yet."""
        for server in self._ours():
            if not server.process.alive:
                require_free((server.process.name, port) for port in server.ports)

    def down(self) -> None:
        together([handle.stop for handle in self.handles])

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.down()

    def _ours(self) -> list[Server]:
        return [server for server in (self._postgres, self._kafka) if server is not None]

    @staticmethod
    def _started(server: Server, report: Report) -> Callable[[], None]:
        def start() -> None:
            if server.process.ready():
                return
            if not server.process.alive:  # a running server needs no download
                server.prepare(report)
            with step(report, f"{server.title} started"):
                server.process.start()
                server.wait_ready()

        return start

    def _make_postgres(self, engine: Engine, durable: bool) -> PostgresServer:
        if engine == "containers":
            from crossdock_local.servers.containers import ContainerPostgres  # noqa: PLC0415  (imports Docker: slow, seldom needed)

            return ContainerPostgres(self.home, self.ports.of("postgres"), durable=durable)
        return Postgres(self.home, self.ports.of("postgres"), durable=durable)

    def _make_kafka(self, engine: Engine) -> KafkaServer:
        if engine == "containers":
            from crossdock_local.servers.containers import ContainerKafka  # noqa: PLC0415  (imports Docker: slow, seldom needed)

            return ContainerKafka(self.home, self.ports.of("kafka"))
        return Kafka(self.home, self.ports.of("kafka"), self.ports.of("kafka-controller"), downloads())


def together(work: Sequence[Callable[[], None]]) -> None:
    """Run all functions at the same time. Raise the first error after all functions have ended.

    An interrupt is raised only then, too. Otherwise the caller would stop processes before they have started.
    """
    with ThreadPoolExecutor(max(1, len(work))) as pool:
        try:
            running = [pool.submit(each) for each in work]
            wait(running)
        except BaseException:
            pool.shutdown()
            raise
    for each in running:
        each.result()


def engine_for_tests() -> Engine:
    """Return the engine that CROSSDOCK_TEST_SERVERS names: `local` or `containers`.

    If it is not set, return `containers` if a Docker engine answers, otherwise `local`.
    """
    chosen = os.environ.get("CROSSDOCK_TEST_SERVERS")
    if chosen in ("local", "containers"):
        return "containers" if chosen == "containers" else "local"
    if chosen:
        raise CommandError(f"CROSSDOCK_TEST_SERVERS is {chosen!r}: set it to local or containers.")
    from crossdock_local.servers.containers import engine_answers  # noqa: PLC0415  (imports Docker: slow, seldom needed)

    return "containers" if engine_answers() else "local"
