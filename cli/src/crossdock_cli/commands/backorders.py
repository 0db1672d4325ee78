import shlex
from typing import Annotated

import typer

from crossdock_cli import installation
from crossdock_cli.http import asked, client
from crossdock_cli.output import After, AsJson, Limit, moment, print_page


def backorders(
    item: Annotated[str | None, typer.Argument(help="List the orders that wait for this item instead.")] = None,
    limit: Limit = 20,
    cursor: After = None,
    as_json: AsJson = False,
) -> None:
    """List the items that orders wait for, or the orders that wait for one item, in their turn."""
    there = installation.current()
    position = {} if cursor is None else {"cursor": cursor}
    with client(there, installation.OPERATOR, ["stock:read"]) as opened:
        url = f"{there.url('inventory-service')}/v1/backorders"
        if item is None:
            page = asked(opened.get(url, params={**position, "limit": limit}))
        else:
            page = asked(opened.get(f"{url}/orders", params={**position, "limit": limit, "item_id": item}))
    if item is None:
        print_page(
            page,
            {
                "item": lambda row: row["item_id"],
                "orders": lambda row: row["orders"],
                "units missing": lambda row: row["units_missing"],
                "available": lambda row: row["available"],
                "oldest since (UTC)": lambda row: moment(row["oldest_since"]),
            },
            as_json=as_json,
            none="No order waits for stock.",
            more=f"backorders --limit {limit}",
        )
    else:
        print_page(
            page,
            {
                "order": lambda row: row["order_id"],
                "line": lambda row: row["line_id"],
                "missing": lambda row: f"{row['quantity']} of {row['requested']}",
                "priority": lambda row: row["priority"],
                "since (UTC)": lambda row: moment(row["since"]),
            },
            as_json=as_json,
            none=f"No order waits for {item}.",
            more=f"backorders {shlex.quote(item)} --limit {limit}",
        )
