"""docker-compose.yml on the Docker engine of this machine: `make test-compose` builds the images first.

POSTGRES_IMAGE and so on name the images of the servers. Prometheus and Grafana are left
out, by name, if their image is neither here nor can be pulled.
"""

import json
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest
import yaml

from crossdock_cli.discovery import installed
from crossdock_local.dashboard import PANELS
from crossdock_local.services import roles_of

ROOT = Path(__file__).parents[2]
PROJECT = "crossdock-test"
OPTIONAL = {"prometheus", "grafana"}
KILLS = 8
OF_TROUBLE = {
    "Answers 429 and 5xx a second",
    "Dead letters and parked keys",
    "Mails and other effects that wait",
}
CLEAN = "0 lost · 0 oversold · 0 duplicated"


def compose(*words: str, seconds: float = 600) -> subprocess.CompletedProcess[str]:
    """Run Compose v2, or v1 if the engine has no plugin. CROSSDOCK_COMPOSE names one: `docker-compose`."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    program = os.environ.get("CROSSDOCK_COMPOSE", "docker compose" if plugin else "docker-compose").split()
    return subprocess.run(
        [*program, "-p", PROJECT, *words], cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
    )


def command(*words: str) -> str:
    done = compose("run", "--rm", "-T", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}\n{compose('ps').stdout}"
        time.sleep(1)


def image_of(name: str) -> dict[str, Any] | None:
    done = subprocess.run(["docker", "image", "inspect", name], capture_output=True, text=True, check=False)
    found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
    return found[0] if found else None


def pulled(image: str) -> bool:
    return subprocess.run(["docker", "pull", "-q", image], capture_output=True, check=False).returncode == 0


def wanted() -> list[str]:
    """Return the services to start, without those whose image cannot be had. Print what a stand-in runs."""
    config = yaml.safe_load(compose("config").stdout)["services"]
    names = []
    for name, each in config.items():
        if "profiles" in each:
            continue
        found = image_of(each["image"])
        if found is None and name in OPTIONAL and not pulled(each["image"]):
            print(f"left out, because there is no image {each['image']}: {name}")
            continue
        title = str((found or {}).get("Config", {}).get("Labels", {}).get("org.opencontainers.image.title", ""))
        if title.startswith("stand-in"):
            print(f"{name}: {title}")
        names.append(name)
    return names


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


def container(service: str) -> str:
    """Return the id of the service's container, without Compose, which takes a second to start."""
    labels = {"project": PROJECT, "service": service, "oneoff": "False"}
    filters = [word for name, value in labels.items() for word in ("-f", f"label=com.docker.compose.{name}={value}")]
    return docker("ps", "-aq", *filters)


def healthy(service: str) -> bool:
    return docker("inspect", "-f", "{{.State.Health.Status}}", container(service)) == "healthy"


def processes() -> list[str]:
    named = [(each.name, role) for each in installed() for role in roles_of(each, together=False)]
    return [name if role == "api" else f"{name}-{role}" for name, role in named]


def start() -> None:
    done = compose("up", "-d", *wanted())
    assert done.returncode == 0, done.stderr[-3000:]
    for each in processes():
        until(partial(healthy, each), 300, f"{each} is not healthy")


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    begun = time.monotonic()
    try:
        start()
        print(f"everything is healthy after {time.monotonic() - begun:.0f} s")
        yield
    finally:
        if not os.environ.get("CROSSDOCK_KEEP"):
            compose("down", "-v", "--remove-orphans")


def order(client: httpx.Client, number: int) -> httpx.Response:
    line = {"line_id": "1", "item_id": "1082185", "quantity": 1, "unit_price": "0.99"}
    body = {"reference": f"C-{number}", "currency": "USD", "lines": [line], "total": "0.99"}
    return client.post("/v1/orders", json=body, headers={"Idempotency-Key": f"compose-{number}"})


@pytest.fixture(scope="module")
def client(running: None) -> Iterator[httpx.Client]:
    token = command("crossdock", "token", "acme").strip()
    with httpx.Client(
        base_url="http://127.0.0.1:8410", headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
    ) as made:
        yield made


def test_the_demo_replays_the_day_and_verifies() -> None:
    shown = command("demo", "--fast")
    assert CLEAN in shown, shown
    assert "558" in shown


def test_orders_survive_killed_containers(client: httpx.Client) -> None:
    accepted: list[str] = []
    stop = Event()

    def load() -> None:
        number = 0
        while not stop.is_set():
            try:
                answer = order(client, number)
            except httpx.HTTPError:
                time.sleep(0.2)
                continue  # the same key again
            if answer.status_code in (200, 201):
                accepted.append(answer.json()["id"])
                number += 1
            else:
                assert answer.status_code >= 500 or answer.status_code == 429, answer.text
                time.sleep(0.2)

    loader = Thread(target=load)
    loader.start()
    try:
        chosen = random.Random(13)
        for victim in chosen.choices([*processes(), "kafka", "postgres"], k=KILLS):
            before = len(accepted)
            killed = container(victim)
            docker("kill", killed)
            docker("start", killed)
            until(partial(healthy, victim), 180, f"{victim} is not back")
            until(lambda before=before: len(accepted) > before, 60, "no order is accepted")  # type: ignore[misc]
    finally:
        stop.set()
        loader.join(60)
    print(f"{len(accepted)} orders through {KILLS} kills")
    assert len(accepted) == len(set(accepted)) > KILLS
    assert CLEAN in command("crossdock", "verify")


def test_everything_is_there_after_down_and_up(client: httpx.Client) -> None:
    placed = order(client, 1_000_000).json()["id"]
    assert compose("down").returncode == 0
    start()
    assert client.get(f"/v1/orders/{placed}").status_code == 200
    assert CLEAN in command("crossdock", "verify")


@pytest.fixture
def prometheus() -> Iterator[httpx.Client]:
    if not container("prometheus"):
        pytest.skip("there is no image of Prometheus here")
    with httpx.Client(base_url="http://127.0.0.1:8490/api/v1", trust_env=False) as made:
        yield made


def test_prometheus_scrapes_every_process(prometheus: httpx.Client) -> None:
    def up() -> int:
        targets = prometheus.get("/targets", params={"state": "active"}).json()["data"]["activeTargets"]
        return sum(each["health"] == "up" for each in targets)

    until(lambda: up() == len(processes()), 90, "Prometheus does not reach each process")


def test_each_panel_of_the_dashboard_shows_something(client: httpx.Client, prometheus: httpx.Client) -> None:
    """Under load. Panels of troubles stay empty while all is well, so Prometheus must know what they ask for."""
    known = {name.removesuffix("_total") for name in prometheus.get("/metadata").json()["data"]}
    asked = {name for each in PANELS for name in re.findall(r"\b(?:crossdock|process)_\w+", each.query)}
    assert {re.sub("_(total|bucket)$", "", name) for name in asked} <= known
    numbers = count(2_000_000)

    def empty() -> set[str]:
        assert order(client, next(numbers)).status_code in (200, 201)
        return {
            each.title
            for each in PANELS
            if not prometheus.get("/query", params={"query": each.query}).json()["data"]["result"]
        }

    until(lambda: empty() <= OF_TROUBLE, 120, f"a panel is empty: {empty() - OF_TROUBLE}")
