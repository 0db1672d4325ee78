import json
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import httpx
import typer

from crossdock_cli import installation
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.output import console, print_json
from crossdock_cli.progress import runnable
from crossdock_cli.waiting import wait_until

DECIDED_SECONDS = 5
ITEMS_AT_ONCE = 100


def order(
    file: Annotated[Path | None, typer.Argument(help="JSON body of POST /v1/orders, or - for stdin.")] = None,
    partner: Annotated[str, typer.Option(help="The partner that places the order.")] = "demo",
) -> None:
    """Post one order and print it once it is decided. Without a file, post a sample order for an item in stock."""
    out, there = console(), installation.current()
    with client(there, partner, ["orders:read", "orders:write", "stock:read"]) as opened:
        base = there.url("order-service")
        body = _read(file) if file else _sample(opened, there.url("inventory-service"))
        receipt = asked(opened.post(f"{base}/v1/orders", json=body))
        out.print(f"accepted: order {receipt['id']}, {receipt['total']} {receipt['currency']}")
        decided: dict[str, Any] = {}

        def settled() -> bool:
            decided.update(asked(opened.get(f"{base}/v1/orders/{receipt['id']}")))
            return str(decided["status"]) != "placed"

        wait_until(settled, DECIDED_SECONDS)
    print_json(decided)


def _read(file: Path) -> Any:
    try:
        return json.loads(sys.stdin.read() if str(file) == "-" else file.read_text())
    except (OSError, ValueError) as error:
        raise CommandError(f"{file} is not a readable JSON file: {error}") from error


def _sample(opened: httpx.Client, inventory: str) -> dict[str, Any]:
    """Return an order for one unit of an item that is in stock and that no order waits for."""
    line = {"line_id": "1", "item_id": _in_stock(opened, inventory), "quantity": 1, "unit_price": "9.99"}
    return {"reference": f"TRY-{uuid4().hex[:8]}", "currency": "USD", "lines": [line], "total": "9.99"}


def _in_stock(opened: httpx.Client, inventory: str) -> str:
    query: dict[str, Any] = {"status": "active", "limit": ITEMS_AT_ONCE}
    while True:
        page = asked(opened.get(f"{inventory}/v1/items", params=query))
        items = [each["item_id"] for each in page["items"]]
        if not items and "cursor" not in query:
            raise CommandError(
                f"There are no items yet: replay the trading day (`{runnable('crossdock replay')}`), or import some."
            )
        stock = asked(opened.get(f"{inventory}/v1/availability", params={"item_id": items}))["items"] if items else []
        for each in sorted(stock, key=lambda row: -int(row["available"])):
            if each["available"] < 1:
                break
            if not asked(opened.get(f"{inventory}/v1/backorders", params={"item_id": each["item_id"]}))["items"]:
                return str(each["item_id"])
        if not page.get("next"):
            raise CommandError(
                "No item is in stock beyond the backorders: receive goods first "
                f"(`{runnable('crossdock receive ITEM QUANTITY')}`)."
            )
        query["cursor"] = page["next"]
