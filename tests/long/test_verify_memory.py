"""`crossdock verify` reads a large log without holding it in memory.

CROSSDOCK_LONG_EVENTS is the number of events, 10,000,000 if it is not set. No database contains them, so verify must
find that each is missing: that is the most work and the most differences.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaProducer

from crossdock_cli import discovery
from crossdock_cli.verify.reader import Reader
from crossdock_events.examples import EXAMPLES
from crossdock_events.orders import OrderEvent, OrderPlaced
from crossdock_local.ports import Ports
from crossdock_local.servers import engine_for_tests
from crossdock_local.stack import Stack

EVENTS = int(os.environ.get("CROSSDOCK_LONG_EVENTS", "10000000"))
MAX_MEGABYTES = 400
TOPIC = OrderEvent.topic.name


async def test_memory_of_verify_is_bounded() -> None:
    with tempfile.TemporaryDirectory(prefix="cd-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with Stack(Path(folder), Ports.free(), engine=engine_for_tests()) as stack:
            for handle in stack.handles():
                if handle.name.endswith((".api", ".worker")):
                    handle.kill()
            began = time.monotonic()
            await _write(stack.kafka)
            await _move_positions(stack)
            print(f"{EVENTS} events written in {time.monotonic() - began:.0f} s", flush=True)
            began = time.monotonic()
            report, megabytes = _verify(stack, Path(folder))
            print(f"verify took {time.monotonic() - began:.0f} s and {megabytes} MB", flush=True)
    assert f"events that a group skipped: {EVENTS}" in report
    assert megabytes < MAX_MEGABYTES, report


async def _write(kafka: str) -> None:
    """Write the same placed order under EVENTS keys."""
    message = next(each.envelope for each in EXAMPLES if isinstance(each.envelope.event, OrderPlaced)).encode()
    producer = AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=20, max_batch_size=1 << 19)
    await producer.start()
    try:
        for number in range(EVENTS):
            headers = {**message.headers, "ce_id": str(UUID(int=number + 1)).encode()}
            key = str(UUID(int=(1 << 100) + number)).encode()
            await producer.send(TOPIC, message.value, key=key, headers=list(headers.items()))
    finally:
        await producer.stop()


async def _move_positions(stack: Stack) -> None:
    """Move each group to the end of the log, as if it had handled all events."""
    async with Reader(stack.kafka, [TOPIC]) as reader:
        ends = await reader.ends()
    for service in discovery.installed():
        connection = await asyncpg.connect(stack.dsn(service.name))
        try:
            await connection.executemany(
                "UPDATE consumer_position SET next = $3 WHERE topic = $1 AND partition = $2",
                [(tp.topic, tp.partition, end) for tp, end in ends.items()],
            )
        finally:
            await connection.close()


def _verify(stack: Stack, folder: Path) -> tuple[str, int]:
    """Run the command on the addresses of the stack. Return what it printed and its peak memory in MB."""
    lines = [f'kafka = "{stack.kafka}"', f'issuer = "{stack.issuer_url}"']
    for service in discovery.installed():
        lines += [f"[services.{service.name}]", f'url = "{stack.url(service.name)}"']
        lines += [f'postgres = "{stack.dsn(service.name)}"']
    addresses = folder / "addresses.toml"
    addresses.write_text("\n".join(lines))
    printed = folder / "verify.txt"
    with printed.open("w") as output:
        run = subprocess.Popen(
            [str(Path(sys.executable).with_name("crossdock")), "verify"],
            env={**os.environ, "CROSSDOCK_INSTALLATION": str(addresses), "COLUMNS": "500"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    return printed.read_text(), used.ru_maxrss // 1024
