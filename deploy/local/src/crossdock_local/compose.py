"""The files of Docker Compose that name the installed services: `python -m crossdock_local.compose [write]`."""

import difflib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from crossdock_cli.clone import checkout
from crossdock_cli.discovery import Installed, installed
from crossdock_local.dashboard import dashboard
from crossdock_local.people.console import SERVICE as CONSOLE
from crossdock_local.posting import DOMAIN
from crossdock_local.posting import SERVICE as DESK
from crossdock_local.servers.jars import KAFKA
from crossdock_local.servers.postgres import MAJOR, OPTIONS
from crossdock_local.services import roles_of

WRITTEN: Final = "# Written by `make generate` from the installed services and {source}.\n"
DEVELOPMENT_KEY: Final = "ZGV2ZWxvcG1lbnQtZGV2ZWxvcG1lbnQtZGV2ZWxvcG0="
"""`development-development-developm` in base64: 32 bytes that nobody takes for a secret."""


def generated() -> dict[Path, str]:
    """Return the text of each file."""
    root, services = checkout(), installed()
    folder = root / "deploy" / "compose"
    return {
        root / "docker-compose.yml": _written("deploy/compose/head.yml") + _compose(folder / "head.yml", services),
        folder / "addresses.toml": _written() + addresses(services),
        folder / "prometheus.yml": _written() + _prometheus(services),
        folder / "grafana" / "dashboards" / "crossdock.json": dashboard() + "\n",
    }


def _written(source: str = "deploy/local/src/crossdock_local/compose.py") -> str:
    return WRITTEN.format(source=source)


def _compose(head: Path, services: Sequence[Installed]) -> str:
    values = {
        "{console}": _published(services, CONSOLE),
        "{databases}": " ".join(each.package for each in services),
        "{desk}": _url(services, DESK),
        "{domain}": DOMAIN,
        "{initdb}": " ".join(OPTIONS),
        "{kafka}": KAFKA,
        "{postgres}": str(MAJOR),
    }
    text = head.read_text()
    for name, value in values.items():
        text = text.replace(name, value)
    everything = [_process(each, role) for each in services for role in roles_of(each, together=False)]
    ready = _needs(dict.fromkeys([*everything, "post-office"], "service_healthy"), 6)
    return text + "".join(_service(each, services) for each in services) + LAST.replace("{ready}", ready)


def _service(service: Installed, services: Sequence[Installed]) -> str:
    port, job = service.default_port, f"{service.name}-migrate"
    own = {
        "CROSSDOCK_POSTGRES": f"postgresql://{service.package}@postgres:5432/{service.package}",
        "CROSSDOCK_OPS_PORT": f'"{port + 1}"',
        **(_of_console(services) if service.name == CONSOLE else {}),
        **(_of_desk(port) if service.name == DESK else {}),
    }
    lines = [
        f"  {job}:",
        "    <<: *job",
        f"    command: [{service.package}, migrate]",
        f"    environment: &{service.name}",
        "      <<: *settings",
        *(f"      {name}: {value}" for name, value in own.items()),
        "    depends_on: {databases: {condition: service_completed_successfully}}",
        "",
    ]
    first = {job: "service_completed_successfully", "topics": "service_completed_successfully"}
    for role in roles_of(service, together=False):
        lines += [
            f"  {_process(service, role)}:",
            "    <<: *service",
            f"    command: [{service.package}, {role}]",
            f"    environment: *{service.name}",
            *([f'    ports: ["127.0.0.1:{port}:{port}"]'] if role == "api" else []),
            "    healthcheck: *ready",
            "    depends_on:",
            _needs(first | ({"issuer": "service_healthy"} if role == "api" else {}), 6),
            "",
        ]
    return "\n".join(lines) + "\n"


def _process(service: Installed, role: str) -> str:
    return service.name if role == "api" else f"{service.name}-{role}"


def _needs(conditions: dict[str, str], indent: int) -> str:
    return "\n".join(f"{' ' * indent}{name}: {{condition: {condition}}}" for name, condition in conditions.items())


def _of_console(services: Sequence[Installed]) -> dict[str, str]:
    urls = {each.name: _url(services, each.name) for each in services}
    return {
        "CROSSDOCK_CONSOLE_URL": "*console",
        "CROSSDOCK_SIGN_IN_SECRET": "*sign-in",
        "CROSSDOCK_SIGN_IN_KEY": f'"${{CROSSDOCK_SIGN_IN_KEY:-{DEVELOPMENT_KEY}}}"',
        "CROSSDOCK_SERVICES": f"'{json.dumps(urls)}'",
    }


def _of_desk(port: int) -> dict[str, str]:
    return {
        "CROSSDOCK_SMTP_HOST": "${CROSSDOCK_SMTP_HOST:-post-office}",
        "CROSSDOCK_SMTP_PORT": '"${CROSSDOCK_SMTP_PORT:-8480}"',
        "CROSSDOCK_MAIL_DOMAIN": f"${{CROSSDOCK_MAIL_DOMAIN:-{DOMAIN}}}",
        "CROSSDOCK_MAIL_KEY": '"${CROSSDOCK_MAIL_KEY:-development}"',
        "CROSSDOCK_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "CROSSDOCK_SHARED_NAMESPACES": """'{"store-*": "stores"}'""",
    }


def _url(services: Sequence[Installed], name: str) -> str:
    return f"http://{name}:{_published(services, name)}"


def _published(services: Sequence[Installed], name: str) -> str:
    return str(next(each.default_port for each in services if each.name == name))


def addresses(services: Sequence[Installed]) -> str:
    """Return the file of addresses inside a network where each service has its own name: also that of a namespace."""
    lines = ['kafka = "kafka:9092"', 'issuer = "http://issuer:8400"']
    for each in services:
        lines += ["", f"[services.{each.name}]", f'url = "{_url(services, each.name)}"']
        lines.append(f'postgres = "postgresql://{each.package}@postgres:5432/{each.package}"')
    return "\n".join(lines) + "\n"


def _prometheus(services: Sequence[Installed]) -> str:
    lines = [
        "global:",
        "  scrape_interval: 15s",
        "  external_labels: {crossdock_docs: docs}",
        "rule_files: [/etc/prometheus/crossdock.rules.yml]",
        "scrape_configs:",
    ]
    for each in services:
        names = ", ".join(_process(each, role) for role in roles_of(each, together=False))
        lines += [f"  - job_name: {each.name}", "    dns_sd_configs:"]
        lines.append(f"      - {{names: [{names}], type: A, port: {each.default_port + 1}}}")
    return "\n".join(lines) + "\n"


LAST: Final = """\
  # `docker compose run --rm demo` replays the recorded day and verifies. `demo --fast`: as fast as possible.
  demo:
    <<: *command
    entrypoint: [python, -m, crossdock_cli, replay]
    depends_on:
{ready}

  # `docker compose run --rm crossdock verify`, and every other command.
  crossdock:
    <<: *command
    entrypoint: [python, -m, crossdock_cli]

volumes: {postgres: {}, kafka: {}, home: {}, prometheus: {}, grafana: {}}
"""


def _difference(file: Path, text: str) -> Iterator[str]:
    committed = file.read_text() if file.exists() else ""
    yield from difflib.unified_diff(committed.splitlines(), text.splitlines(), str(file), "generated", lineterm="")


def main(arguments: Sequence[str]) -> int:
    """Write the files, or return 1 and show a difference if a committed one differs."""
    made = generated()
    if list(arguments) == ["write"]:
        for file, text in made.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return 0
    found = [line for file, text in made.items() for line in _difference(file, text)]
    if found:
        print(*found[:60], "Run `make generate` and review the difference.", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
