"""The whole stack on one machine: servers, issuer and services. `make up`, tests, benchmarks and chaos runs use it."""

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self

from crossdock_cli import discovery
from crossdock_cli.discovery import Installed
from crossdock_cli.errors import CommandError
from crossdock_cli.progress import SILENT, Report, runnable, step
from crossdock_cli.topics import of_catalogue, of_dead_letters
from crossdock_events import TopicSpec
from crossdock_local import posting, services
from crossdock_local.holds import Holds
from crossdock_local.layout import Home, default_home, private, write
from crossdock_local.people import console
from crossdock_local.ports import HOST, Ports, require_free
from crossdock_local.processes import Process, Program, State
from crossdock_local.servers import Engine, Handle, Servers, together
from crossdock_local.signing import AUDIENCE, Signer

PREPARED = "prepared.json"
SERVES_SCHEMAS = "analytics-service"
START_SECONDS = 300.0
"""The longest time in which `up` starts everything."""


class Stack:
    """A whole Crossdock below one folder. Its processes outlive this object.

    Another `Stack` on the same folder finds them.

    >>> with Stack(Path("/somewhere/short"), Ports.free()) as stack:
    ...     token = stack.token("acme", ["orders:write"])
    ...     httpx.post(stack.url("order-service") + "/v1/orders", headers={"Authorization": f"Bearer {token}"}, json=…)
    ...     stack.process("order-service.worker").kill()

    `environment` reaches every service process: a test can shorten a deadline with it. `services` are the services that
    belong to the stack: None means all installed ones. `together`: each service is one process, `order-service.all`;
    None means as at the last start in this folder, by default a process for each role.
    """

    def __init__(
        self,
        home: Path,
        ports: Ports,
        *,
        engine: Engine = "local",
        own_postgres: str | None = None,
        own_kafka: str | None = None,
        environment: Mapping[str, str] | None = None,
        services: Sequence[str] | None = None,
        together: bool | None = None,
    ) -> None:
        self.servers = Servers(home, ports, engine=engine, own_postgres=own_postgres, own_kafka=own_kafka)
        self.home: Home = self.servers.home
        self.ports = ports
        self._environment = dict(environment or {})
        self._services = None if services is None else list(services)
        self._together = together
        self._extra: dict[str, Process] = {}

    @classmethod
    def current(cls, *, together: bool | None = None) -> Self:
        """Return the stack that the environment variables describe. `together` is as for `Stack`.

        CROSSDOCK_HOME names its folder. CROSSDOCK_PORTS=free gives a second stack its own ports; the folder remembers
        them, and a running stack keeps its ports. CROSSDOCK_POSTGRES and CROSSDOCK_KAFKA name your own servers; the
        stack then starts none.
        """
        home, asked = default_home(), os.environ.get("CROSSDOCK_PORTS") or None
        if asked not in (None, "fixed", "free"):
            raise CommandError(f"CROSSDOCK_PORTS is {asked!r}: set it to free or fixed, or do not set it.")

        own_postgres = os.environ.get("CROSSDOCK_POSTGRES") or None
        own_kafka = os.environ.get("CROSSDOCK_KAFKA") or None
        build = partial(cls, home, own_postgres=own_postgres, own_kafka=own_kafka, together=together)
        found = build(Ports.of_home(Home(home).ports))
        if asked in (None, found.ports.kind) or any(handle.alive for handle in found.handles()):
            return found
        return build(Ports.free() if asked == "free" else Ports.fixed())

    # Addresses and processes

    @property
    def kafka(self) -> str:
        """Return the bootstrap servers."""
        assert self.servers.bootstrap is not None
        return self.servers.bootstrap

    @property
    def issuer_url(self) -> str:
        return f"http://{HOST}:{self.ports.of('issuer')}"

    shown_issuer = issuer_url

    @property
    def post_office(self) -> tuple[str, int]:
        return HOST, self.ports.of(posting.NAME)

    def url(self, service: str) -> str:
        """Return the URL of the service's HTTP API, without a slash at the end."""
        return f"http://{HOST}:{services.port_of(self.ports, self._installed(service))}"

    @property
    def together(self) -> bool:
        """Return whether each service runs as one process."""
        return self.home.together.exists() if self._together is None else self._together

    def ops_url(self, process: str) -> str:
        """Return the URL of a process's ops port: /livez, /readyz, /metrics. `process` is like `order-service.api`."""
        service, _, role = process.partition(".")
        role, _, number = role.partition("-")
        port = services.port_of(self.ports, self._installed(service), role, int(number or 1))
        return f"http://{HOST}:{port}"

    def dsn(self, service: str) -> str:
        """Return the DSN of the service's own database, as the service's own role."""
        return self.servers.databases.dsn(self._installed(service).package)

    def process(self, name: str) -> Handle:
        """Return the process `name`: `postgres`, `kafka`, `issuer`, `order-service.api`, `order-service.worker-2` …"""
        if name == "postgres":
            return self.servers.postgres
        if name == "kafka":
            return self.servers.kafka
        own: dict[str, Process] = {each.name: each for each in [*self._own, *self._service_processes(), *self.extra]}
        if name not in own:
            raise CommandError(f"There is no process {name!r}; there is: postgres, kafka, {', '.join(own)}.")
        return own[name]

    @property
    def extra(self) -> list[Process]:
        """Return the additional workers and runners that this object started."""
        return list(self._extra.values())

    def handles(self) -> list[Handle]:
        """Return all processes of this stack, each after the processes that it needs."""
        return [*self.servers.handles, *self._own, *self._service_processes(), *self.extra]

    @property
    def running(self) -> bool:
        """Return whether every process of the stack is ready."""
        return all(handle.ready() for handle in self.handles())

    @property
    def outdated(self) -> list[str]:
        """Return the services whose files changed since `up` prepared them. The running code may be older."""
        prepared = self._prepared()
        return [
            service.name
            for service in discovery.installed()
            if service.name in prepared and prepared[service.name] != discovery.fingerprint(service)
        ]

    @property
    def started_at(self) -> float | None:
        """Return when the oldest process of issuer and services was started, in seconds since the epoch."""
        started = [each.started_at for each in [*self._own, *self._service_processes()]]
        return min((at for at in started if at is not None), default=None)

    def status(self) -> list[State]:
        return [
            State(
                handle.name,
                "ready" if handle.ready() else "running, not ready" if handle.alive else "stopped",
                handle.pid,
                handle.memory,
                self._address(handle.name),
            )
            for handle in self.handles()
        ]

    # Tokens

    @property
    def signer(self) -> Signer:
        """Return what signs like the stack's issuer, because its folder is here."""
        self.home.make()
        return Signer(self.home.issuer, self.issuer_url)

    def token(self, partner: str, scopes: Sequence[str]) -> str:
        return self.signer.token(partner, scopes)

    def tokens(self, partners: Iterable[str], scopes: Sequence[str]) -> dict[str, str]:
        return self.signer.tokens(partners, scopes)

    def operator_token(self, scopes: Sequence[str], subject: str | None = None) -> str:
        return self.signer.operator_token(scopes, subject)

    def note_replayed(self) -> None:
        """Note that the trading day is in the databases, so that the next `up` does not replay it."""
        write(self.home.replayed, json.dumps({"at": datetime.now().astimezone().isoformat()}))

    # Up and down

    def up(self, names: list[str] | None = None, report: Report = SILENT) -> None:
        """Start all processes that do not run, each step as early as possible.

        `names` are the services to start: None means all of the stack, [] means none. Raise CommandError with one
        sentence if a step fails; then every process that this call started is stopped again.
        """
        with self._alone(), self.holds.released("crossdock up", START_SECONDS):
            self._keep_together()
            before = {handle.name for handle in self.handles() if handle.alive}
            if not before:
                self.ports.forget()
            self.ports.keep()
            wanted = discovery.chosen(self._services if names is None else names)
            self._require_free_ports(wanted, before)
            try:
                self._start(wanted, report)
            except BaseException:
                self._stop([handle for handle in self.handles() if handle.name not in before])
                raise

    def down(self) -> None:
        """Stop everything; the data stays."""
        if not self.home.root.exists():
            return
        with self._alone():
            self.supervisor.stop()
            self._stop(self.handles())
            for hold in self.holds.all():
                self.holds.drop(hold.name)

    # Watched over

    @cached_property
    def supervisor(self) -> Process:
        """Return the process that restarts the others. Only `crossdock up` starts it, so `handles()` leaves it out."""
        environment = dict(os.environ) | {"CROSSDOCK_HOME": str(self.home.root)}
        return Process(
            "supervisor",
            self.home,
            lambda: Program(
                argv=[sys.executable, "-m", "crossdock_local.supervisor"], env=environment, cwd=self.home.root
            ),
            ready=lambda: self.restarts_file.exists(),
        )

    @property
    def holds(self) -> Holds:
        """Return the processes that a drill holds back from the supervisor."""
        return Holds(self.home.run / "held")

    def heal(self) -> None:
        """Start the processes that an ended drill left behind, if no supervisor runs that would do so."""
        for hold in [] if self.supervisor.alive else self.holds.all():
            if not hold.valid:
                self.process(hold.name).start()
                self.holds.drop(hold.name)

    @property
    def restarts_file(self) -> Path:
        return self.home.run / "restarts.txt"

    def well(self, handle: Handle) -> Callable[[], bool]:
        """Return the question whether the process makes progress: `/livez` of a service, else whether it is ready."""
        if handle.name in {each.name for each in self._service_processes()}:
            port = int(self.ops_url(handle.name).rpartition(":")[2])
            return lambda: services.answers_ok(port, "/livez")
        return handle.ready

    def another(self, role: str, service: str) -> Process:
        """Start one more `worker` or `runner` of the service and return it when it is ready. `down` stops it too."""
        installed = self._installed(service)
        number = 2 + sum(name.startswith(f"{service}.{role}-") for name in self._extra)
        process = services.process_of(
            self.home, self.ports, installed, role, lambda: self._environment_of(installed), number
        )
        self._extra[process.name] = process
        process.start()
        process.wait_ready()
        return process

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.down()

    # Implementation

    def _start(self, wanted: list[Installed], report: Report) -> None:
        prepared = self._prepared()
        fresh = [service for service in wanted if prepared.get(service.name) != discovery.fingerprint(service)]
        dead_letters: list[TopicSpec] = []

        def servers() -> None:
            self.servers.up([service.package for service in fresh], report)

        def issuer() -> None:
            if any(service.name == console.SERVICE for service in wanted):
                console.register(self.home.issuer, self.url(console.SERVICE), console.secret(self.home))
            if wanted and not self._issuer.ready():
                with step(report, "issuer started"):
                    self._issuer.start()
                    self._issuer.wait_ready()

        def topics() -> None:
            dead_letters.extend(of_dead_letters(fresh))

        together([servers, issuer, topics])
        if fresh:
            migrations = [self._migration(service, report) for service in fresh]
            together([lambda: self._create_topics(dead_letters, report), *migrations])
            self._keep_prepared(prepared | {service.name: discovery.fingerprint(service) for service in fresh})
        post = [self._post_office] if posting.SERVICE in {service.name for service in wanted} else []
        together([self._started(process, report) for process in [*post, *self._processes_of(wanted)]])

    def _prepared(self) -> dict[str, str]:
        """Return, by service, the fingerprint of the code for which `up` migrated the database and created the topics.

        The fingerprints are stored with the broker's data, and only for our own servers, because nobody else empties
        them. A start without changes then imports no service and starts two processes fewer, which is most of its time.
        """
        try:
            kept = json.loads((self.home.broker / PREPARED).read_text())
        except (FileNotFoundError, ValueError):
            return {}
        found: dict[str, str] = kept["services"] if kept["databases"] == self.servers.identity else {}
        return found

    def _keep_prepared(self, found: Mapping[str, str]) -> None:
        if self.servers.identity is not None:
            kept = {"databases": self.servers.identity, "services": found}
            write(self.home.broker / PREPARED, json.dumps(kept, indent=1))

    def _create_topics(self, dead_letters: list[TopicSpec], report: Report) -> None:
        own = of_catalogue()
        with step(report, f"{len(own)} topics, {len(dead_letters)} for dead letters"):
            self.servers.topics.ensure([*own, *dead_letters])

    def _migration(self, service: Installed, report: Report) -> Callable[[], None]:
        def migrate() -> None:
            with step(report, f"{service.name}: database migrated"):
                services.migrate(self.home, service, self._environment_of(service))

        return migrate

    def _started(self, process: Process, report: Report) -> Callable[[], None]:
        def start() -> None:
            if process.ready():
                return
            with step(report, f"{process.name} started"):
                process.start()
                process.wait_ready()

        return start

    def _stop(self, handles: list[Handle]) -> None:
        """Stop the services first, then the servers that they use."""
        servers = {handle.name for handle in self.servers.handles}
        together([handle.stop for handle in handles if handle.name not in servers])
        together([handle.stop for handle in handles if handle.name in servers])

    def _require_free_ports(self, wanted: list[Installed], running: set[str]) -> None:
        self.servers.require_free_ports()
        ports: list[tuple[str, int]] = []
        if wanted and "issuer" not in running:
            ports.append(("issuer", self.ports.of("issuer")))
        if posting.SERVICE in {service.name for service in wanted} and posting.NAME not in running:
            ports.append((posting.NAME, self.ports.of(posting.NAME)))
        for service in wanted:
            for role in services.roles_of(service, together=self.together):
                if (name := f"{service.name}.{role}") not in running:
                    ports.append((name, services.port_of(self.ports, service, role)))
                    if role in services.SERVING:
                        ports.append((name, services.port_of(self.ports, service)))
        require_free(ports)

    def _environment_of(self, service: Installed) -> dict[str, str]:
        serves_console = service.name == console.SERVICE
        urls = {each.name: self.url(each.name) for each in discovery.chosen(self._services)} if serves_console else {}
        return self._environment | {
            "CROSSDOCK_POSTGRES": self.servers.databases.dsn(service.package),
            "CROSSDOCK_KAFKA": self.kafka,
            "CROSSDOCK_ISSUER": self.issuer_url,
            "CROSSDOCK_AUDIENCE": AUDIENCE,
            "CROSSDOCK_HOST": HOST,
            "CROSSDOCK_CONSOLE": str(self.home.console),
            "CROSSDOCK_SHARED_NAMESPACES": '{"store-*": "stores"}',  # the replayed stores share their households
            **(posting.settings(self.home, self.ports) if service.name == posting.SERVICE else {}),
            **self._schemas,
            **(console.environment(self.home, urls) if serves_console else {}),
        }

    @property
    def _own(self) -> list[Process]:
        """Return the issuer, and the post office if a service has mails."""
        has_mail = posting.SERVICE in {each.name for each in discovery.chosen(self._services)}
        return [self._issuer, self._post_office] if has_mail else [self._issuer]

    @property
    def _schemas(self) -> dict[str, str]:
        """Return the setting with the address of the schemas, or none if no service of this stack serves them."""
        if SERVES_SCHEMAS in {each.name for each in discovery.chosen(self._services)}:
            return {"CROSSDOCK_SCHEMAS_URL": f"{self.url(SERVES_SCHEMAS)}/v1/schemas"}
        return {}

    def _keep_together(self) -> None:
        """Remember in the folder whether each service is one process. Raise CommandError if the others still run."""
        others = self._processes_of(discovery.chosen(self._services), together=not self.together)
        if left := [each.name for each in others if each.alive]:
            raise CommandError(f"{', '.join(left)} still run: stop them with `{runnable('crossdock down')}` first.")
        if self.together:
            write(self.home.together, json.dumps({"at": datetime.now().astimezone().isoformat()}))
        else:
            self.home.together.unlink(missing_ok=True)

    def _processes_of(self, wanted: Sequence[Installed], *, together: bool | None = None) -> list[Process]:
        together = self.together if together is None else together
        return [
            services.process_of(self.home, self.ports, service, role, partial(self._environment_of, service))
            for service in wanted
            for role in services.roles_of(service, together=together)
        ]

    def _service_processes(self) -> list[Process]:
        return self._processes_of(discovery.chosen(self._services))

    @cached_property
    def _issuer(self) -> Process:
        port = self.ports.of("issuer")
        environment = dict(os.environ) | {
            "CROSSDOCK_ISSUER_HOME": str(self.home.issuer),
            "CROSSDOCK_ISSUER_PORT": str(port),
            "CROSSDOCK_ISSUER": self.issuer_url,
            "CROSSDOCK_AUDIENCE": AUDIENCE,
        }
        return Process(
            "issuer",
            self.home,
            lambda: Program(argv=[sys.executable, "-m", "crossdock_local.issuer"], env=environment, cwd=self.home.root),
            ready=lambda: services.answers_ok(port, "/.well-known/openid-configuration"),
        )

    @cached_property
    def _post_office(self) -> Process:
        return posting.process_of(self.home, self.ports, partial(self.url, posting.SERVICE), self.issuer_url, AUDIENCE)

    def _installed(self, name: str) -> Installed:
        return discovery.chosen([name])[0]

    def _address(self, name: str) -> str:
        if name == "postgres":
            return f"{HOST}:{self.ports.of('postgres')}"
        if name == "kafka":
            return self.kafka
        if name == "issuer":
            return self.issuer_url
        if name == posting.NAME:
            return f"{HOST}:{self.ports.of(name)}"
        service, _, role = name.partition(".")
        return self.url(service) if role in services.SERVING else self.ops_url(name)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one command at a time change the stack. Raise CommandError if another command does."""
        self.home.make()
        with open(self.home.run / "lock", "w", opener=private) as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandError(
                    f"Another crossdock command is starting or stopping {self.home.root}: wait until it ends."
                ) from None
            yield


def running() -> Stack:
    """Return `Stack.current()` for commands that need no local stack. Raise CommandError if no process of it runs."""
    stack = Stack.current()
    if not any(handle.alive for handle in stack.handles()):
        raise CommandError("Crossdock is not running: `make up` starts it.")
    return stack
