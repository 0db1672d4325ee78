"""Import a large file on the real stack: memory stays bounded, and API and worker answer meanwhile.

CROSSDOCK_LONG_ROWS is the number of rows, 100,000 if it is not set.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from crossdock_cli.imports import import_file
from crossdock_local.ports import Ports
from crossdock_local.servers import engine_for_tests
from crossdock_local.stack import Stack

ROWS = int(os.environ.get("CROSSDOCK_LONG_ROWS", "100000"))
MAX_GROWTH = 120 << 20
"""Bytes that a process may grow by, whatever the number of rows."""
SERVICE = "inventory-service"


def test_memory_of_a_large_import_is_bounded() -> None:
    items = "item_id,description\n" + "".join(f"i{n},Item number {n}\n" for n in range(ROWS))
    stock = "location_id,item_id,quantity\n" + "".join(f"north,i{n},{n % 100}\n" for n in range(ROWS))
    with tempfile.TemporaryDirectory(prefix="cd-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with Stack(Path(folder), Ports.free(), engine=engine_for_tests()) as stack:
            token = stack.token("acme", ["stock:read", "stock:write"])
            with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
                import_file(client, stack.url(SERVICE), "locations", b"location_id,name\nnorth,North\n")
                before = memory(stack)
                for kind, text in (("items", items), ("opening-stock", stock)):
                    began = time.monotonic()
                    with largest(stack) as peak:
                        found = import_file(client, stack.url(SERVICE), kind, text.encode())
                    seconds = time.monotonic() - began
                    print(f"{kind}: {ROWS} rows in {seconds:.0f} s, {ROWS / seconds:.0f} rows/s", flush=True)
                    assert (found["created"], found["wrong"]) == (ROWS, 0)
                    growth = {name: peak[name] - before[name] for name in before}
                    print({name: f"+{grown >> 20} MB" for name, grown in growth.items()}, flush=True)
                    assert all(grown < MAX_GROWTH for grown in growth.values()), growth


def memory(stack: Stack) -> dict[str, int]:
    return {role: stack.process(f"{SERVICE}.{role}").memory for role in ("api", "worker")}


@contextmanager
def largest(stack: Stack) -> Iterator[dict[str, int]]:
    """Measure the memory of API and worker twice a second, and yield the most of each."""
    peak, stop = memory(stack), threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            for name, now in memory(stack).items():
                peak[name] = max(peak[name], now)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
