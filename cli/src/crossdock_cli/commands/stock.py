import shlex
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from crossdock_cli import installation
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.output import AsJson, console, print_json, print_table
from crossdock_cli.progress import runnable


def stock(
    item: Annotated[str, typer.Argument(help="The id of the item.")],
    as_json: AsJson = False,
) -> None:
    """Show the stock of an item at each location, and the orders that wait for it."""
    there = installation.current()
    with client(there, installation.OPERATOR, ["stock:read"]) as opened:
        base = there.url("inventory-service")
        (found,) = asked(opened.get(f"{base}/v1/availability", params={"item_id": item}))["items"]
        waiting = asked(opened.get(f"{base}/v1/backorders", params={"item_id": item}))["items"]
    if found.get("problem"):
        raise CommandError(f"There is no item {item}: register it with POST /v1/items or a CSV import.")
    if as_json:
        print_json({**found, "backorders": waiting[0] if waiting else None})
        return
    out, table = console(), Table("location", box=None)
    for heading in ("on hand", "reserved", "available"):
        table.add_column(heading, justify="right")
    for each in [*found["locations"], {**found, "location_id": "all"}]:
        table.add_row(escape(each["location_id"]), *_quantities(each))
    out.print(f"{item} is {found['status']}", markup=False)
    print_table(out, table)
    for each in waiting:
        more = f"{runnable('crossdock backorders')} {shlex.quote(item)}"
        out.print(f"Orders that wait for it: {each['orders']}, for {each['units_missing']} units: {more}", markup=False)


def _quantities(row: dict[str, Any]) -> list[str]:
    return [str(row[name]) for name in ("on_hand", "reserved", "available")]
