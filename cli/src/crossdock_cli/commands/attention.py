from rich.markup import escape
from rich.table import Table

from crossdock_cli import installation
from crossdock_cli.attention import SERVICE, Row, fetch
from crossdock_cli.output import AsJson, Limit, console, moment, print_json, print_table


def attention(limit: Limit = 20, as_json: AsJson = False) -> None:
    """List what needs attention, the gravest first: the rows of the console's home page."""
    there = installation.current()
    found = fetch(there)
    if as_json:
        print_json(found)
        return
    out, rows = console(), [Row.of(each) for each in found["rows"]]
    table = Table("cause", "since (UTC)", "what", "explained at", box=None)
    for row in rows[:limit]:
        table.add_row(row.cause, moment(row.since), escape(row.sentence), escape(f"{there.url(SERVICE)}{row.explain}"))
    if rows:
        print_table(out, table)
    else:
        out.print("Nothing needs attention.")
    if len(rows) > limit:
        out.print(f"{len(rows) - limit} more: --limit {min(200, len(rows))}")
    asked = [each["what"] for each in found["checked"] if each["answered"]]
    silent = [each["what"] for each in found["checked"] if not each["answered"]]
    out.print(f"Checked at {moment(found['at'])} UTC: {', '.join(asked)}.", markup=False)
    if silent:
        out.print(f"Without an answer: {', '.join(silent)}.", markup=False)
