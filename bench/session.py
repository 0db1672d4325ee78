"""Run a measurement: announce its parts, note how long it took, and give it a stack of one service."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console

from bench import lifeline, results
from bench.results import Results
from crossdock_local.ports import Ports
from crossdock_local.servers import jars
from crossdock_local.servers.postgres import MAJOR
from crossdock_local.stack import Stack

Stage = Callable[[str], None]
SERVERS: Final = str(MAJOR), jars.KAFKA
"""The versions of PostgreSQL and Kafka that a stack runs."""


@contextmanager
def timed(found: Results, console: Console) -> Iterator[Stage]:
    """Yield a function that announces a part. At the end of the block, note its seconds and the load in `found`."""
    began = time.monotonic()
    found.load_before = results.load_average()

    def stage(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s  {what}[/]", highlight=False)

    yield stage
    found.seconds, found.load_after = time.monotonic() - began, results.load_average()


@contextmanager
def alone(service: str, found: Results, console: Console) -> Iterator[tuple[Stack, Stage]]:
    """Yield a stack of this service alone, timed from before its start until it has stopped."""
    with timed(found, console) as stage:
        stage(f"starting PostgreSQL, Kafka and {service}")
        with lifeline.folder() as folder, Stack(folder, Ports.free(), services=[service]) as stack:
            yield stack, stage
            stage("stopping")
