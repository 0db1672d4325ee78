"""The services that are installed here, found by their entry points, and the processes of each."""

import hashlib
import http.client
import importlib
import importlib.util
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from crossdock_local.errors import Refused
from crossdock_local.kafka import TopicSpec
from crossdock_local.layout import Home
from crossdock_local.ports import HOST, Ports
from crossdock_local.processes import Process, Program

if TYPE_CHECKING:  # the chassis takes seconds to import, and most commands only look at processes
    from crossdock_chassis import Service

GROUP = "crossdock.services"
ROLES = ("api", "worker")
OPS_PORT_AFTER = {"api": 1, "worker": 2}
MIGRATION_SECONDS = 120
START_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Installed:
    """A service by its two names: `order-service` outside; `order_service` for its package, role and database."""

    name: str
    package: str
    module: str

    def build(self, environment: Mapping[str, str]) -> "Service":
        """As its own processes build it; nothing is connected or started. Raises Refused when it cannot be."""
        module = self._imported()
        fields = module.Settings.model_fields
        values = {name: environment[f"CROSSDOCK_{name.upper()}"] for name in ("postgres", "kafka", "issuer")}
        settings = module.Settings(**{name: value for name, value in values.items() if name in fields})
        return cast("Service", module.build(settings))

    @property
    def default_port(self) -> int:
        return int(self._imported().Settings.model_fields["http_port"].default)

    def _imported(self) -> ModuleType:
        try:
            return importlib.import_module(self.module)
        except Exception as error:
            raise Refused(f"{self.name} cannot be loaded: {error}.", traceback.format_exc(limit=-3)) from error


@cache
def installed() -> tuple[Installed, ...]:
    """By name. Looked up once: asking every distribution takes a while, and none comes while this runs."""
    found = [Installed(each.name, each.module.partition(".")[0], each.module) for each in entry_points(group=GROUP)]
    return tuple(sorted(found, key=lambda each: each.name))


def chosen(names: list[str] | None) -> list[Installed]:
    """Those of the names, all of them for None. Raises Refused for one that is not installed."""
    found = {each.name: each for each in installed()}
    for name in names or ():
        if name not in found:
            raise Refused(f"There is no service {name!r} here; there is: {', '.join(found) or 'none'}.")
    return [each for each in found.values() if names is None or each.name in names]


def port_of(ports: Ports, service: Installed, role: str | None = None, number: int = 1) -> int:
    """The API's port, or the ops port of a role's process (`number` counts workers beyond the first)."""
    name = service.name if role is None else f"{service.name}.{role}-ops" + ("" if number == 1 else f"-{number}")
    offset = 0 if role is None else OPS_PORT_AFTER[role] + (0 if number == 1 else 1 + number)
    return ports.of(name, lambda: service.default_port + offset)


def process_of(
    home: Home, ports: Ports, service: Installed, role: str, environment: Mapping[str, str], number: int = 1
) -> Process:
    ops_port = port_of(ports, service, role, number)
    name = f"{service.name}.{role}" + ("" if number == 1 else f"-{number}")

    def program() -> Program:
        own = {"CROSSDOCK_HTTP_PORT": str(port_of(ports, service)), "CROSSDOCK_OPS_PORT": str(ops_port)}
        return Program(argv=_argv(service, role), env={**_inherited(), **environment, **own}, cwd=home.root)

    return Process(
        name,
        home,
        program,
        ready=lambda: answers_ok(ops_port, "/readyz"),
        ready_seconds=START_SECONDS,
        failed_because=lambda log: _taken(name, log),
    )


def migrate(home: Home, service: Installed, environment: Mapping[str, str]) -> None:
    """Brings the service's database to its newest schema. Raises Refused with the end of what it said otherwise."""
    log = home.logs / f"{service.name}.migrate.log"
    with log.open("wb") as stream:
        try:
            code = subprocess.run(
                _argv(service, "migrate"),
                env={**_inherited(), **environment},
                cwd=home.root,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                timeout=MIGRATION_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise Refused(f"The database of {service.name} could not be migrated; the whole log is {log}.", tail)


def dead_letter_topics(service: "Service") -> list[TopicSpec]:
    """A mirror, for people, of what the service's database holds: nothing is lost here, and one partition will do."""
    return [TopicSpec(topic, 1, {"retention.ms": "-1"}) for topic in service.dead_letter_topics()]


def fingerprint(service: Installed) -> str:
    """Changes with every file of the service and of what it stands on; nothing is imported."""
    digest = hashlib.sha256()
    for package in (service.package, "crossdock_chassis", "crossdock_events"):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations if spec else None) or ():
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    found = file.stat()
                    digest.update(f"{file} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


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
    """What the person set reaches the services (a log level, say) unless the stack decides it."""
    return dict(os.environ) | {"PYTHONUNBUFFERED": "1"}


def _taken(name: str, log: str) -> str | None:
    if "address already in use" in log.lower():
        return f"A port that {name} needs is taken by another program."
    return None
