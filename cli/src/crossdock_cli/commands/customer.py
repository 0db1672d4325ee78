from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from crossdock_cli import installation
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.output import AsJson, console, moment, print_json, print_table

SERVICE = "crm-service"
SCOPES = ["crm:staff", "pii:read"]


def customer(
    id: Annotated[str, typer.Argument(help="The id of the customer, or the id that a partner uses.")],
    as_json: AsJson = False,
) -> None:
    """Show a customer: profile, orders with what they wait for, and cases."""
    there = installation.current()
    with client(there, None, SCOPES) as opened:
        url = f"{there.url(SERVICE)}/v1/customers"
        if not _is_uuid(id):
            found = asked(opened.get(url, params={"external_id": id}))["items"]
            if len(found) != 1:
                raise CommandError(
                    f"{len(found)} customers have the id {id}.", "\n".join(f"{each['id']}" for each in found)
                )
            id = found[0]["id"]
        shown = asked(opened.get(f"{url}/{id}/360"))
    if as_json:
        print_json(shown)
    else:
        _show(shown)


def _show(shown: dict[str, Any]) -> None:
    out, profile = console(), shown["customer"]
    head = f"{profile['name'] or 'no name'} ({profile['kind']}), {profile['id']}"
    out.print(f"{head}, since {moment(profile['registered_at'])}", markup=False)
    for heading, values in (
        ("mail", profile["emails"]),
        ("ordered by", profile["partners"]),
        ("known as", profile["external_ids"]),
    ):
        if values:
            out.print(f"  {heading}: {', '.join(values)}", markup=False)
    table = Table("order", "partner", "status", "since", "total", "waits for", box=None)
    for each in shown["orders"]:
        waits = ", ".join(f"{line['missing']} of {line['item_id']}" for line in each["waits_for"])
        total = f"{each['total']} {each['currency']}"
        cells = (each["reference"], each["partner"], each["status"], moment(each["since"]), total, waits)
        table.add_row(*map(escape, cells))
    print_table(out, table)
    for each in shown["cases"]:
        head = f"case {each['number']}: {each['subject']} ({each['kind'].replace('_', ' ')}, {each['status']})"
        out.print(f"{head}, {each['id']}", markup=False)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
