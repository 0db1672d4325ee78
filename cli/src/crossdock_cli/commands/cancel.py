from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import typer

from crossdock_cli import installation
from crossdock_cli.commands.orders import Partner
from crossdock_cli.http import asked, client
from crossdock_cli.output import AsJson, console, print_json


def cancel(
    order: Annotated[str, typer.Argument(help="The id of the order, or its reference.")],
    partner: Partner = "demo",
    reason: Annotated[str | None, typer.Option(help="Why, as a code such as customer_request.")] = None,
    note: Annotated[str | None, typer.Option(help="Free text for people. Events do not carry it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Cancel an order. Its stock is released, and orders that wait for this stock are served."""
    there = installation.current()
    why = {name: value for name, value in {"reason": reason, "note": note}.items() if value is not None}
    with client(there, partner, ["orders:read", "orders:write"]) as opened:
        base = f"{there.url('order-service')}/v1/orders"
        order_id = _id(opened, base, order)
        headers = {"Idempotency-Key": uuid4().hex}
        cancelled = asked(opened.post(f"{base}/{order_id}:cancel", json=why or None, headers=headers))
    if as_json:
        print_json(cancelled)
    else:
        console().print(f"order {order_id} ({cancelled['reference']}) is {cancelled['status']}", markup=False)


def _id(opened: httpx.Client, base: str, order: str) -> str:
    try:
        return str(UUID(order))
    except ValueError:
        found: dict[str, Any] = asked(opened.get(f"{base}/by-reference/{quote(order, safe='')}"))
        return str(found["id"])
