import shlex
from typing import Annotated, Any

import typer

from crossdock_cli import installation
from crossdock_cli.http import asked, client
from crossdock_cli.output import After, AsJson, Limit, moment, print_page

Partner = Annotated[str, typer.Option(help="The partner whose orders these are.")]


def orders(
    partner: Partner = "demo",
    status: Annotated[str | None, typer.Option(help="Only orders with this status: placed, confirmed …")] = None,
    reference: Annotated[str | None, typer.Option(help="Only orders with this reference.")] = None,
    item: Annotated[str | None, typer.Option(help="Only orders that are backordered for this item.")] = None,
    limit: Limit = 20,
    cursor: After = None,
    as_json: AsJson = False,
) -> None:
    """List the orders of a partner, newest first."""
    there = installation.current()
    filters = {"status": status, "reference": reference, "waiting_item": item}
    query = {name: value for name, value in filters.items() if value is not None}
    position = {} if cursor is None else {"cursor": cursor}
    with client(there, partner, ["orders:read"]) as opened:
        url = f"{there.url('order-service')}/v1/orders"
        page = asked(opened.get(url, params={**query, **position, "limit": limit}))
    options = {"partner": partner, "status": status, "reference": reference, "item": item, "limit": limit}
    again = [f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None]
    print_page(
        page,
        {
            "order": lambda row: row["id"],
            "reference": lambda row: row["reference"],
            "status": lambda row: row["status"],
            "placed (UTC)": lambda row: moment(row["placed_at"]),
            "total": lambda row: f"{row['total']} {row['currency']}",
            "waits for": waits_for,
        },
        as_json=as_json,
        none=f"{partner} has no such orders.",
        more=" ".join(["orders", *again]),
    )


def waits_for(order: dict[str, Any]) -> str:
    """Return the items that the order waits for, or the reason of its end."""
    if order.get("waiting") is None:
        return str(order.get("reason") or "")
    lines = order["waiting"].get("lines", ())
    return ", ".join(f"{line['missing']} of {line['item_id']}" for line in lines) or "an answer"
