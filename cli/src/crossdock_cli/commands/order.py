import json
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import httpx
import typer
from rich.console import Console

from crossdock_cli import installation
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.waiting import wait_until

DECIDED_SECONDS = 5


def order(
    file: Annotated[Path | None, typer.Argument(help="JSON body of POST /v1/orders, or - for stdin.")] = None,
    partner: Annotated[str, typer.Option(help="The partner that places the order.")] = "demo",
) -> None:
    """Post one order and print it once it is decided. Without a file, post a sample order for an item in stock."""
    console, there = Console(highlight=False), installation.current()
    with client(there, partner, ["orders:read", "orders:write", "stock:read"]) as opened:
        base = there.url("order-service")
        body = _read(file) if file else _sample(opened, there.url("inventory-service"))
        receipt = asked(opened.post(f"{base}/v1/orders", json=body))
        console.print(f"accepted: order {receipt['id']}, {receipt['total']} {receipt['currency']}")
        decided: dict[str, Any] = {}

        def settled() -> bool:
            decided.update(asked(opened.get(f"{base}/v1/orders/{receipt['id']}")))
            return str(decided["status"]) != "placed"

        wait_until(settled, DECIDED_SECONDS)
    console.print_json(json.dumps(decided))


def _read(file: Path) -> Any:
    try:
        return json.loads(sys.stdin.read() if str(file) == "-" else file.read_text())
    except (OSError, ValueError) as error:
        raise CommandError(f"{file} is not a readable JSON file: {error}") from error


def _sample(opened: httpx.Client, inventory: str) -> dict[str, Any]:
    items = asked(opened.get(f"{inventory}/v1/items"))["items"]
    if not items:
        raise CommandError("There are no items yet: replay the trading day (crossdock replay) or register some.")
    line = {"line_id": "1", "item_id": items[0]["item_id"], "quantity": 1, "unit_price": "9.99"}
    return {"reference": f"TRY-{uuid4().hex[:8]}", "currency": "USD", "lines": [line], "total": "9.99"}
