"""Run the measured stack with its items and stock, and send load to it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx

from bench import goods, lifeline
from bench.cpu import Meter, used
from bench.helper import ROOT, Helper
from crossdock_cli.imports import import_file
from crossdock_cli.waiting import in_thread
from crossdock_events.orders import OrderConfirmed
from crossdock_local.ports import Ports
from crossdock_local.processes import Process, Program
from crossdock_local.services import answers_ok
from crossdock_local.signing import AUDIENCE
from crossdock_local.stack import Stack

PARTNER = "bench"
SCOPES = ("orders:read", "orders:write", "stock:read", "stock:write")
SERVICES = ("order-service", "inventory-service")
WORKERS = ("order-service.worker", "inventory-service.worker")
APIS = ("order-service.api", "inventory-service.api")
WAIT_SECONDS = 60.0
PROBE_LINES = 500


GATHERED = """
    SELECT count(*)::float / count(DISTINCT changed_at)
    FROM (SELECT changed_at FROM reservations ORDER BY order_id DESC LIMIT $1) AS last
"""
COUNTED = """
    SELECT xact_commit AS transactions, coalesce((SELECT max(id) FROM outbox), 0) AS messages
    FROM pg_stat_database WHERE datname = current_database()
"""


class BenchFailed(Exception):
    """One sentence for the user of the bench."""


@dataclass(frozen=True, slots=True)
class Load:
    """One run of the loader. `accepted`: time of each order on the monotonic clock. `cpu`: seconds of the loader."""

    started: float
    finished: float
    cpu: float
    accepted: Mapping[str, float]
    posted_to_answered: Sequence[float]

    @property
    def rate(self) -> float:
        return len(self.accepted) / (self.finished - self.started)

    @property
    def loader_share(self) -> float:
        """Return the loader's share of one core during the run."""
        return self.cpu / (self.finished - self.started)


@dataclass(frozen=True, slots=True)
class Flow:
    """A load and its confirmations.

    `cpu`: seconds by process, from the first request to the last confirmation. `counted`: the transactions and the
    messages of each service meanwhile, such as `order-service messages`.
    """

    load: Load
    confirmed: Mapping[str, float]
    cpu: Mapping[str, float]
    counted: Mapping[str, int]

    @property
    def orders(self) -> int:
        return len(self.load.accepted)

    @property
    def seconds(self) -> float:
        return max(self.confirmed[order] for order in self.load.accepted) - self.load.started

    @property
    def rate(self) -> float:
        return self.orders / self.seconds

    @property
    def latencies(self) -> list[float]:
        """Return the seconds from each order's answer to its confirmation at the subscriber, at least zero."""
        return [max(0.0, self.confirmed[order] - at) for order, at in self.load.accepted.items()]


class BenchStack:
    def __init__(self, stack: Stack, helpers: ExitStack, items: int) -> None:
        self.stack, self._helpers, self._items = stack, helpers, items
        self.token = stack.token(PARTNER, SCOPES)
        self.loader = helpers.enter_context(Helper("bench.loader"))
        self._runs, self._name = 0, uuid4().hex[:8]

    def stock(self) -> None:
        """Import the locations, the items and their stock."""
        self._import("locations", goods.locations_csv())
        self.add_items(dict.fromkeys((item.id for item in goods.Assortment(self._items).items), goods.STOCK))

    def add_items(self, units: Mapping[str, int]) -> None:
        """Import items with so many units at each location over HTTP, and wait until order-service knows them."""
        self._import("items", goods.items_csv(units))
        self._import("opening-stock", goods.stock_csv(units, "bench"))
        orders, deadline = self.stack.url("order-service"), time.monotonic() + WAIT_SECONDS
        with self._client() as client:
            for probe in _probes(list(units)):
                while not (answer := client.post(f"{orders}/v1/orders:validate", json=probe)).is_success:
                    if time.monotonic() > deadline:
                        raise BenchFailed(f"order-service does not know the items: {answer.text[:400]}")
                    time.sleep(0.1)

    def _import(self, kind: str, text: str) -> None:
        with self._client() as client:
            import_file(client, self.stack.url("inventory-service"), kind, text.encode())

    def _client(self) -> httpx.Client:
        return httpx.Client(headers={"Authorization": f"Bearer {self.token}"}, timeout=WAIT_SECONDS)

    def subscriber(self, *ce_types: str, topic: str = OrderConfirmed.topic.name) -> Helper:
        """Start a subscriber to these events of the topic, or to all its records."""
        helper = self._helpers.enter_context(Helper("bench.subscriber", self.stack.kafka, topic, *ce_types))
        helper.hear()
        return helper

    def load(
        self,
        count: int,
        *,
        url: str | None = None,
        path: str = "/v1/orders",
        batch: int = 0,
        connections: int,
        rate: float | None = None,
        shape: goods.Shape = goods.PLAIN,
        twice: bool = False,
        tokens: Sequence[str] = (),
        seconds: float = 120.0,
    ) -> Load:
        """Post orders with new references. Raise HelperFailed if one is not accepted."""
        self._runs += 1
        address = urlsplit(url or self.stack.url("order-service"))
        done = self.loader.ask(
            {
                "host": address.hostname,
                "port": address.port,
                "path": f"{path}:batch" if batch else path,
                "tokens": tokens or [self.token],
                "items": self._items,
                "count": count,
                "prefix": f"{self._name}-{self._runs}",
                "seed": self._runs,
                "batch": batch,
                "connections": connections,
                "rate": rate,
                "shape": asdict(shape),
                "twice": twice,
                "seconds": seconds,
            }
        )
        return Load(**done)

    def flow(self, subscriber: Helper, meter: Meter, count: int, seconds: float = 120.0, **load: Any) -> Flow:
        """Post orders and wait until all are confirmed. Raise HelperFailed if that takes longer than `seconds`."""
        counted, before = self._counted(), meter.read()
        done = self.load(count, seconds=seconds, **load)
        confirmed: dict[str, float] = {}
        while missing := len(done.accepted.keys() - confirmed.keys()):  # earlier orders may still be confirmed
            confirmed |= subscriber.ask({"wanted": missing, "seconds": seconds})["seen"]
        cpu, after = used(before, meter.read()), self._counted()
        return Flow(done, confirmed, cpu, {name: now - counted[name] for name, now in after.items()})

    def gathered(self, orders: int) -> float:
        """Return how many of the last `orders` inventory-service reserved in one transaction, on average."""

        async def count() -> float:
            sql = await asyncpg.connect(self.stack.dsn("inventory-service"))
            try:
                mean: float = await sql.fetchval(GATHERED, orders)
                return mean
            finally:
                await sql.close()

        return in_thread(count)

    def _counted(self) -> dict[str, int]:
        """Return the committed transactions of each service so far, and the last message of its outbox."""

        async def count(service: str) -> asyncpg.Record:
            sql = await asyncpg.connect(self.stack.dsn(service))
            try:
                row: asyncpg.Record = await sql.fetchrow(COUNTED)
                return row
            finally:
                await sql.close()

        found = {service: in_thread(partial(count, service)) for service in SERVICES}
        return {f"{service} {name}": value for service, row in found.items() for name, value in row.items()}

    def meter(self, others: Mapping[str, int]) -> Meter:
        """Return a meter for all running processes of the stack, the loader, and `others`."""
        own = {handle.name: handle.pid for handle in self.stack.handles() if handle.pid is not None}
        return Meter(own | {"loader": self.loader.pid} | dict(others))

    def stop(self, *processes: str) -> None:
        """Stop processes for the rest of the bench, so that they take no processor time from later rows."""
        for name in processes:
            self.stack.process(name).stop()

    @contextmanager
    def process(
        self,
        name: str,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        answers: Literal["ops", "http", "nothing"] = "ops",
    ) -> Iterator[tuple[str, int]]:
        """Run another process like those of the stack, and yield its URL and pid.

        `answers`: the port that serves /readyz, CROSSDOCK_OPS_PORT or CROSSDOCK_HTTP_PORT. With "nothing", wait only
        until the process has started.
        """
        port, ops_port = self.stack.ports.of(name), self.stack.ports.of(f"{name}-ops")
        own = {"CROSSDOCK_HTTP_PORT": str(port), "CROSSDOCK_OPS_PORT": str(ops_port), "PYTHONUNBUFFERED": "1"}
        process = Process(
            name,
            self.stack.home,
            lambda: Program(
                argv=[sys.executable, "-m", module, *arguments],
                env=dict(os.environ) | dict(environment) | own,
                cwd=ROOT,
            ),
            ready=lambda: answers == "nothing" or answers_ok(ops_port if answers == "ops" else port, "/readyz"),
        )
        process.start()
        try:
            process.wait_ready()
            pid = process.pid
            assert pid is not None
            yield f"http://127.0.0.1:{port}", pid
        finally:
            process.stop()

    def environment(self, dsn: str) -> dict[str, str]:
        """Return the settings of a process as environment variables."""
        return {
            "CROSSDOCK_POSTGRES": dsn,
            "CROSSDOCK_KAFKA": self.stack.kafka,
            "CROSSDOCK_ISSUER": self.stack.issuer_url,
            "CROSSDOCK_AUDIENCE": AUDIENCE,
            "CROSSDOCK_HOST": "127.0.0.1",
        }

    def database(self, name: str) -> str:
        """Create another database on the stack's server and return its DSN."""
        self.stack.servers.databases.ensure([name])
        return self.stack.servers.databases.dsn(name)

    @cached_property
    def spare(self) -> str:
        """Return the DSN of a database with the tables of order-service, which no service uses."""
        return self.migrated("bench_spare", "order_service")

    def migrated(self, name: str, package: str) -> str:
        """Create another database with the tables of a service, and return its DSN."""
        dsn = self.database(name)
        command = [sys.executable, "-m", package, "migrate"]
        environment = dict(os.environ) | self.environment(dsn)
        subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
        return dsn


def _probes(items: Sequence[str]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(items), PROBE_LINES):
        part = items[start : start + PROBE_LINES]
        lines = [
            {"line_id": str(number), "item_id": item, "quantity": 1, "unit_price": "1.00"}
            for number, item in enumerate(part, start=1)
        ]
        yield {"reference": f"probe-{start}", "currency": "USD", "lines": lines, "total": f"{len(part)}.00"}


@contextmanager
def bench_stack(items: int) -> Iterator[BenchStack]:
    """Start a separate stack on free ports, in a temporary folder."""
    with lifeline.folder() as folder, ExitStack() as helpers:
        stack = helpers.enter_context(Stack(folder, Ports.free(), services=SERVICES))
        built = BenchStack(stack, helpers, items)
        built.stock()
        yield built
