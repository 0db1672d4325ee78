"""One whole stack for all tests across services: started once, killed in parts, checked again and again."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Harness

from crossdock_local.ports import Ports
from crossdock_local.servers import engine_for_tests
from crossdock_local.stack import Stack

QUIET = {"CROSSDOCK_LOG_LEVEL": "warning"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Crashes come last: what is checked again and again is checked while the log is short."""
    items.sort(key=lambda item: "chaos" in item.path.parts)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """CROSSDOCK_TEST_STACK names the folder of one that runs already; it is used and left as it is."""
    if running := os.environ.get("CROSSDOCK_TEST_STACK"):
        yield Stack(Path(running), Ports.free(), environment=QUIET)
        return
    with tempfile.TemporaryDirectory(prefix="cd-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # the database's user passes through it
        with Stack(Path(folder), Ports.free(), engine=engine_for_tests(), environment=QUIET) as started:
            yield started


@pytest.fixture(scope="session")
def harness(stack: Stack) -> Iterator[Harness]:
    """What earlier runs put on the log of a stack that stays is still there."""
    harness = Harness(stack)
    memory = stack.home.root / "injected.json"
    if memory.exists():
        harness.injected, harness.poison = (
            {tuple(place) for place in places} for places in json.loads(memory.read_text())
        )
    yield harness
    memory.write_text(json.dumps([sorted(harness.injected), sorted(harness.poison)]))
