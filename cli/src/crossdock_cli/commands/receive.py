import shlex
from collections import Counter
from typing import Annotated, Any
from uuid import uuid4

import httpx
import typer

from crossdock_cli import installation
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.output import AsJson, console, print_json
from crossdock_cli.progress import runnable
from crossdock_cli.waiting import wait_until

RELEASED_SECONDS = 10
MOST_PAGES = 10
"""Of more orders that wait for the item than these pages hold, only the first are compared."""
SHOWN = 10


def receive(
    item: str,
    quantity: Annotated[int, typer.Argument(min=1)],
    location: Annotated[str | None, typer.Option(help="Location of the receipt. Default: the first location.")] = None,
    as_json: AsJson = False,
) -> None:
    """Record a receipt of goods, and show the orders that it releases."""
    there = installation.current()
    with client(there, installation.OPERATOR, ["stock:read", "stock:write"]) as opened:
        base = there.url("inventory-service")
        if location is None:
            places = asked(opened.get(f"{base}/v1/locations"))["items"]
            if not places:
                raise CommandError("There is no location to receive at: register one with POST /v1/locations.")
            location = str(places[0]["location_id"])
        before = _waiting(opened, base, item)
        line = {"item_id": item, "quantity": quantity}
        body = {"reference": f"receive-{uuid4().hex[:12]}", "location_id": location, "lines": [line]}
        receipt = asked(opened.post(f"{base}/v1/receipts", json=body, headers={"Idempotency-Key": uuid4().hex}))
        served = not before or wait_until(lambda: _queue_is_empty(opened, base), RELEASED_SECONDS)
        after = _waiting(opened, base, item) if before else before
    released = [order for order in before if order not in after]
    if as_json:
        print_json({"receipt": receipt, "released": released, "waiting": list(after)})
        return
    out = console()
    out.print(f"{quantity} of {item} received at {location}.", markup=False)
    if not before:
        out.print("No order waited for it.")
        return
    more = f" and {len(released) - SHOWN} more" if len(released) > SHOWN else ""
    ids = f": {', '.join(released[:SHOWN])}{more}" if released else ""
    out.print(f"Orders that got what they lacked of it: {len(released)}{ids}", markup=False)
    if after:
        more = f"{runnable('crossdock backorders')} {shlex.quote(item)}"
        out.print(f"Orders that still wait for it: {len(after)}, for {sum(after.values())} units: {more}", markup=False)
    if not served:
        out.print("[yellow]The release goes on: backorders are still being served.[/yellow]")


def _waiting(opened: httpx.Client, base: str, item: str) -> Counter[str]:
    """Return the units that each order lacks of the item, in the order of service."""
    found: Counter[str] = Counter()
    query: dict[str, Any] = {"item_id": item, "limit": 200}
    for _ in range(MOST_PAGES):
        page = asked(opened.get(f"{base}/v1/backorders/orders", params=query))
        for row in page["items"]:
            found[row["order_id"]] += row["quantity"]
        if not page.get("next"):
            break
        query["cursor"] = page["next"]
    return found


def _queue_is_empty(opened: httpx.Client, base: str) -> bool:
    return bool(asked(opened.get(f"{base}/v1/backorders/overdue"))["queued_items"] == 0)
