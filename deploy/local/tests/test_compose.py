"""docker-compose.yml, as it is committed. `make test-compose` runs it; these tests need no Docker."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

import crossdock_chassis
from crossdock_cli.discovery import installed
from crossdock_cli.installation import Addresses
from crossdock_local.compose import generated
from crossdock_local.dashboard import PANELS, Panel

ROOT = Path(__file__).parents[3]
THIRD = {"postgres", "databases", "kafka", "prometheus", "grafana"}
"""What runs an image of others, which chooses its user and its rights itself."""
OF_EXPORTERS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}


@pytest.fixture(scope="module")
def services() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def test_the_committed_files_are_those_of_the_installed_services() -> None:
    assert {file.name for file, text in generated().items() if file.read_text() != text} == set()


def test_every_service_runs_in_each_of_its_roles(services: Mapping[str, Any]) -> None:
    for each in installed():
        roles = {tuple(one["command"]) for one in services.values() if each.package in one.get("command", ())}
        wanted = {"migrate", "api", "worker"} | ({"runner"} if each.runner else set())
        assert roles == {(each.package, role) for role in wanted}


def test_nothing_is_published_beyond_loopback(services: Mapping[str, Any]) -> None:
    published = [port for each in services.values() for port in each.get("ports", ())]
    assert published and [each for each in published if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", each)] == []
    assert not [name for name, each in services.items() if "network_mode" in each]


def test_own_containers_have_no_rights_that_they_do_not_need(services: Mapping[str, Any]) -> None:
    for name in services.keys() - THIRD:
        own = services[name]
        assert own["read_only"] is True and own["cap_drop"] == ["ALL"], name
        assert own["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "user", "cap_add"} & own.keys(), name


def test_nothing_starts_before_what_it_needs(services: Mapping[str, Any]) -> None:
    for each in installed():
        for name, own in services.items():
            if own.get("command", [""])[0] == each.package and own["command"][1] != "migrate":
                assert own["healthcheck"]["test"]
                needs = {one: condition["condition"] for one, condition in own["depends_on"].items()}
                assert (
                    needs.items()
                    >= {
                        f"{each.name}-migrate": "service_completed_successfully",
                        "topics": "service_completed_successfully",
                    }.items()
                ), name


def test_the_commands_know_the_address_of_every_service(services: Mapping[str, Any]) -> None:
    there = Addresses.read(ROOT / "deploy" / "compose" / "addresses.toml")
    for each in installed():
        host, _, port = there.url(each.name).removeprefix("http://").partition(":")
        assert services[host]["ports"] == [f"127.0.0.1:{port}:{port}"]
        assert there.dsn(each.name) == services[host]["environment"]["CROSSDOCK_POSTGRES"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_panel_of_the_dashboard_names_metrics_of_our_code(panel: Panel) -> None:
    assert crossdock_chassis  # its import registers the metrics
    known = {name for names in REGISTRY._collector_to_names.values() for name in names} | OF_EXPORTERS
    used = set(re.findall(r"\b(crossdock_\w+|process_\w+|up)\b", panel.query))
    assert used and used <= known
