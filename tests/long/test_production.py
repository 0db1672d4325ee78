"""All services under load with a login, TLS and access control lists at Kafka, and order-service behind PgBouncer."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from harness import ORDERS, Harness
from load import load
from pgbouncer import pooling
from secured_kafka import ADMIN, SecuredKafka

from crossdock_cli import discovery
from crossdock_cli.discovery import Installed
from crossdock_cli.waiting import in_thread
from crossdock_local.layout import downloads
from crossdock_local.ports import Ports
from crossdock_local.stack import Stack

COUNT = 3_000


class Secured(Stack):
    """A stack whose services log in to Kafka, each as itself. `pooled` has DSNs through a pooler, by service."""

    kafka_server: SecuredKafka
    pooled: dict[str, str]

    def _environment_of(self, service: Installed) -> dict[str, str]:
        own = super()._environment_of(service) | self.kafka_server.environment(service.name)
        if service.name in self.pooled:
            own |= {
                "CROSSDOCK_POSTGRES": self.pooled[service.name],
                "CROSSDOCK_POSTGRES_DIRECT": self.dsn(service.name),
            }
        return own


@pytest.fixture
def secured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    with tempfile.TemporaryDirectory(prefix="cd-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # the user of PostgreSQL must be able to enter the folder
        services = discovery.installed()
        kafka = SecuredKafka(folder / "kafka", downloads(), [each.name for each in services])
        kafka.prepare()
        kafka.process.start()
        try:
            kafka.wait_ready()
            for each in services:
                grants = each.build(discovery.NOWHERE).grants()
                in_thread(partial(kafka.grant, each.name, grants))
            for variable, value in kafka.environment(ADMIN).items():  # of the commands that the test runs
                monkeypatch.setenv(variable, value)
            stack = Secured(folder / "stack", Ports.free(), own_kafka=kafka.bootstrap)
            stack.home.make()
            stack.kafka_server, stack.pooled = kafka, {}
            with pooling(stack.dsn(ORDERS)) as dsn:
                stack.pooled[ORDERS] = dsn
                with stack:
                    yield Harness(stack)
        finally:
            kafka.process.stop()


async def test_secured_installation_loses_nothing_under_load(secured: Harness) -> None:
    async with load(secured, COUNT) as running:
        outcome = await running.end()
    assert not outcome.refused, outcome.refused[:3]
    assert not outcome.clashes
    assert len(outcome.answered) == COUNT
    await secured.adds_up()
    logs = "".join(each.read_text() for each in secured.stack.home.logs.glob("*-service.*.log"))
    assert "Kafka forbids" not in logs and "Traceback" not in logs
