"""Share one stack between all tests across services. Tests kill parts of it and verify it repeatedly."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Harness

from crossdock_chassis.messaging import catch_up
from crossdock_local.ports import Ports
from crossdock_local.servers import engine_for_tests
from crossdock_local.stack import Stack

QUIET = {"CROSSDOCK_LOG_LEVEL": "warning"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of the checker first, while the log that they verify again and again is short, and chaos last."""
    items.sort(key=lambda item: ("chaos" in item.path.parts, item.path.name != "test_verify.py"))


@pytest.fixture
def without_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a service that has no Kafka find so at once, in place of a second after each order with an unknown item."""
    monkeypatch.setattr(catch_up, "PUBLISHED_SECONDS", 0.0)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Yield a running stack. Use the stack in the folder CROSSDOCK_TEST_STACK if it is set, and keep it running."""
    if running := os.environ.get("CROSSDOCK_TEST_STACK"):
        yield Stack(Path(running), Ports.free(), environment=QUIET)
        return
    with tempfile.TemporaryDirectory(prefix="cd-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # the user of PostgreSQL must be able to enter the folder
        with Stack(Path(folder), Ports.free(), engine=engine_for_tests(), environment=QUIET) as started:
            yield started


@pytest.fixture(scope="session")
def harness(stack: Stack) -> Iterator[Harness]:
    """Yield the harness. Remember injected records in a file, because a kept stack still has those of earlier runs."""
    harness = Harness(stack)
    memory = stack.home.root / "injected.json"
    if memory.exists():
        harness.injected, harness.poison = (
            {tuple(place) for place in places} for places in json.loads(memory.read_text())
        )
    yield harness
    memory.write_text(json.dumps([sorted(harness.injected), sorted(harness.poison)]))
