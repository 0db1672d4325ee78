from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from crossdock_cli import installation
from crossdock_cli.commands.customer import SCOPES, SERVICE
from crossdock_cli.http import asked, client
from crossdock_cli.output import AsJson, console, moment, print_json, print_table


def cases(
    status: Annotated[str | None, typer.Option(help="Only cases with this status, such as open.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """List cases, the newest first."""
    there = installation.current()
    query = {"limit": str(limit), **({} if status is None else {"status": status})}
    with client(there, None, SCOPES) as opened:
        found = asked(opened.get(f"{there.url(SERVICE)}/v1/cases", params=query))
    if as_json:
        print_json(found)
        return
    table = Table("number", "kind", "severity", "status", "subject", "opened", "case", box=None)
    for each in found["items"]:
        waits = f" for {each['waiting_for']}" if each["waiting_for"] else ""
        names = (each["kind"].replace("_", " "), each["severity"], each["status"] + waits, each["subject"])
        table.add_row(str(each["number"]), *map(escape, names), moment(each["opened_at"]), each["id"])
    print_table(console(), table)
