"""Find the installed services by their entry points."""

import hashlib
import importlib
import importlib.util
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from crossdock_cli.errors import CommandError

if TYPE_CHECKING:  # importing the chassis takes seconds, and most commands do not need it
    from crossdock_chassis import Service

GROUP = "crossdock.services"
RUNNERS = "crossdock.runners"
"""The entry points of the services that have a runner, so that nothing needs to be imported to know it."""

NOWHERE = {
    "CROSSDOCK_POSTGRES": "postgresql://nobody@127.0.0.1:1/none",
    "CROSSDOCK_KAFKA": "127.0.0.1:1",
    "CROSSDOCK_ISSUER": "http://127.0.0.1:1",
}
"""Settings with which a service is built to be asked about itself. It cannot connect."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A service and its two names: `order-service`, and `order_service` for its package, database role and database.

    `runner` states that a process with the role `runner` belongs to it.
    """

    name: str
    package: str
    module: str
    runner: bool = False

    def build(self, environment: Mapping[str, str]) -> "Service":
        """Build the service as its own processes do, without connecting. Raise CommandError if it cannot be built."""
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
            raise CommandError(f"{self.name} cannot be loaded: {error}.", traceback.format_exc(limit=-3)) from error


@cache
def installed() -> tuple[Installed, ...]:
    """Return the services in the order of their names. Cached, because reading all distributions is slow."""
    runners = {each.name for each in entry_points(group=RUNNERS)}
    found = [
        Installed(each.name, each.module.partition(".")[0], each.module, each.name in runners)
        for each in entry_points(group=GROUP)
    ]
    return tuple(sorted(found, key=lambda each: each.name))


def chosen(names: list[str] | None) -> list[Installed]:
    """Return the services with these names, or all for None. Raise CommandError if one is not installed."""
    found = {each.name: each for each in installed()}
    for name in names or ():
        if name not in found:
            raise CommandError(f"There is no service {name!r} here; there is: {', '.join(found) or 'none'}.")
    return [each for each in found.values() if names is None or each.name in names]


def fingerprint(service: Installed) -> str:
    """Return a digest that changes with every file of the service, the chassis or the events. Import nothing."""
    digest = hashlib.sha256()
    for package in (service.package, "crossdock_chassis", "crossdock_events"):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations if spec else None) or ():
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    found = file.stat()
                    digest.update(f"{file} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()
