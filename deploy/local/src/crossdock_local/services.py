"""The processes of each installed service on this machine."""

import http.client
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from crossdock_cli.discovery import Installed
from crossdock_cli.errors import CommandError
from crossdock_local.layout import OWNER_ONLY, Home, private
from crossdock_local.ports import HOST, Ports
from crossdock_local.processes import Process, Program

OPS_PORT_AFTER = {"api": 1, "worker": 2, "runner": 3, "all": 1}
SERVING = ("api", "all")
"""The roles that serve HTTP."""
MIGRATION_SECONDS = 120
START_SECONDS = 90


def roles_of(service: Installed, *, together: bool) -> Sequence[str]:
    """Return the roles of the service's processes."""
    if together:
        return ("all",)
    return ("api", "worker", "runner") if service.runner else ("api", "worker")


def port_of(ports: Ports, service: Installed, role: str | None = None, number: int = 1) -> int:
    """Return the API's port, or the ops port of a role. `number` distinguishes several processes of a role."""
    name = service.name if role is None else f"{service.name}.{role}-ops" + ("" if number == 1 else f"-{number}")
    offset = 0 if role is None else OPS_PORT_AFTER[role] + 2 * (number - 1)
    return ports.of(name, lambda: service.default_port + offset)


def process_of(
    home: Home,
    ports: Ports,
    service: Installed,
    role: str,
    environment: Callable[[], Mapping[str, str]],
    number: int = 1,
) -> Process:
    name = f"{service.name}.{role}" + ("" if number == 1 else f"-{number}")

    def ops_port() -> int:  # only when it is needed, because an unknown default costs the import of the service
        return port_of(ports, service, role, number)

    def program() -> Program:
        own = {"CROSSDOCK_HTTP_PORT": str(port_of(ports, service)), "CROSSDOCK_OPS_PORT": str(ops_port())}
        return Program(argv=_argv(service, role), env={**_inherited(), **environment(), **own}, cwd=home.root)

    return Process(
        name,
        home,
        program,
        ready=lambda: answers_ok(ops_port(), "/readyz"),
        ready_seconds=START_SECONDS,
        failed_because=lambda log: _taken(name, log),
    )


def migrate(home: Home, service: Installed, environment: Mapping[str, str]) -> None:
    """Bring the service's database to its newest schema. Raise CommandError with the end of the log if this fails."""
    log = home.logs / f"{service.name}.migrate.log"
    with open(log, "wb", opener=private) as stream:
        try:
            code = subprocess.run(
                _argv(service, "migrate"),
                env={**_inherited(), **environment},
                cwd=home.root,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                timeout=MIGRATION_SECONDS,
                umask=OWNER_ONLY,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise CommandError(f"The database of {service.name} could not be migrated; the whole log is {log}.", tail)


def answers_ok(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _argv(service: Installed, role: str) -> list[str]:
    return [sys.executable, "-m", service.package, role]


def _inherited() -> dict[str, str]:
    """Return the caller's environment, so that its settings (such as a log level) reach the services."""
    return dict(os.environ) | {"PYTHONUNBUFFERED": "1"}


def _taken(name: str, log: str) -> str | None:
    if "address already in use" in log.lower():
        return f"A port that {name} needs is taken by another program: stop that program and start again."
    return None
