"""`crossdock verify` reads a large log without holding it in memory.

CROSSDOCK_LONG_EVENTS is the number of events, 10,000,000 if it is not set. No database contains them, so verify must
find that each is missing: that is the most work and the most differences.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaProducer, TopicPartition
from harness import ORDERS

from crossdock_cli import discovery
from crossdock_cli.verify.reader import Reader
from crossdock_events.orders import OrderEvent, OrderPlaced
from crossdock_local.ports import Ports
from crossdock_local.servers import engine_for_tests
from crossdock_local.stack import Stack

EVENTS = int(os.environ.get("CROSSDOCK_LONG_EVENTS", "10000000"))
MAX_MEGABYTES = 500
BATCH = 500

VERIFY = """
import resource, sys
from crossdock_cli.verify import verify
from crossdock_local.stack import running
report = verify(running())
found = {each.title: found.count for each, found in report.by_check.items()}
print(max(found.values()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


async def test_memory_of_verify_is_bounded() -> None:
    with tempfile.TemporaryDirectory(prefix="cd-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with Stack(Path(folder), Ports.free(), engine=engine_for_tests()) as stack:
            for handle in stack.handles():
                if handle.name.endswith((".api", ".worker")):
                    handle.kill()
            began = time.monotonic()
            await _write_events(stack.kafka)
            await _pretend_consumed(stack)
            print(f"{EVENTS} events written in {time.monotonic() - began:.0f} s", flush=True)
            began = time.monotonic()
            run = subprocess.run(
                [sys.executable, "-c", VERIFY],
                env={**os.environ, **stack.variables, "CROSSDOCK_HOME": folder},
                capture_output=True,
                text=True,
                check=True,
            )
            differences, megabytes = map(int, run.stdout.split())
            print(f"verify took {time.monotonic() - began:.0f} s and {megabytes} MB", flush=True)
    assert differences >= EVENTS
    assert megabytes < MAX_MEGABYTES
