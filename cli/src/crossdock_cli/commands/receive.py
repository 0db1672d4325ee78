from typing import Annotated
from uuid import uuid4

import typer
from rich.console import Console

from crossdock_cli import installation
from crossdock_cli.errors import CommandError
from crossdock_cli.http import OPERATOR, asked, client


def receive(
    item: str,
    quantity: Annotated[int, typer.Argument(min=1)],
    location: Annotated[str | None, typer.Option(help="Location of the receipt. Default: the first location.")] = None,
) -> None:
    """Record a receipt of goods. This releases orders that wait for the item."""
    there = installation.current()
    with client(there, OPERATOR, ["stock:read", "stock:write"]) as opened:
        base = there.url("inventory-service")
        if location is None:
            places = asked(opened.get(f"{base}/v1/locations"))["items"]
            if not places:
                raise CommandError("There is no location to receive at: register one with POST /v1/locations.")
            location = str(places[0]["location_id"])
        line = {"item_id": item, "quantity": quantity}
        body = {"reference": f"receive-{uuid4().hex[:12]}", "location_id": location, "lines": [line]}
        asked(opened.post(f"{base}/v1/receipts", json=body, headers={"Idempotency-Key": uuid4().hex}))
    said = f"{quantity} of {item} received at {location}. Orders that waited for it are being released."
    Console(highlight=False).print(said, markup=False, soft_wrap=True)
