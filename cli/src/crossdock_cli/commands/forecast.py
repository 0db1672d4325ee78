"""`crossdock forecast`: what will be asked for."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from crossdock_cli import installation
from crossdock_cli.http import asked, client
from crossdock_cli.output import AsJson, console, moment, print_json, print_table

SERVICE = "forecast-service"
LEADS = (1, 7, 14, 28, 56, 91, 182, 365)
"""Days of lead time that are printed."""
BAR = 40

forecast = typer.Typer(no_args_is_help=True, help="Show and make forecasts of demand.")
forecast.callback()(lambda: None)


@forecast.command()
def show(
    item: Annotated[str, typer.Argument(help="The id of the item.")],
    location: Annotated[str | None, typer.Option(help="Only what this location serves.")] = None,
    region: Annotated[str | None, typer.Option(help="Only orders to this region, such as US or US-OR.")] = None,
    as_of: Annotated[str | None, typer.Option(help="The forecast that was the last one at this time.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the forecast of an item: each of the next days, and the demand of 7, 14 and more days together."""
    there = installation.current()
    named = {"item_id": item, "location_id": location, "region": region}
    series = {name: value for name, value in named.items() if value is not None}
    with client(there, None, ["ops:read"]) as opened:
        query = series if as_of is None else {**series, "as_of": as_of}
        found = asked(opened.get(f"{there.url(SERVICE)}/v1/forecasts", params=query))
    if as_json:
        print_json(found)
        return
    out = console()
    head = f"{item}: {found['model']}, demand is {found['demand_class']}, made {moment(found['made_at'])}"
    out.print(head, markup=False)
    if found["why"]:
        out.print(found["why"], markup=False)
    print_table(out, _days(found))
    out.print()
    print_table(out, _sums(found))


def _days(found: Mapping[str, Any]) -> Table:
    """Return the first 14 days. The bar is the mean, and the line after it reaches to the 0.9 quantile."""
    at = found["levels"].index(0.9)
    days = found["days"][:14]
    most = max((day["quantiles"][at] for day in days), default=0) or 1
    table = Table("day", box=None)
    for heading in ("mean", "p90", "ordered"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for day in days:
        high = day["quantiles"][at]
        bar = "█" * round(day["mean"] / most * BAR)
        line = "─" * max(0, round(high / most * BAR) - len(bar))
        table.add_row(day["day"], _number(day["mean"]), _number(high), str(day["ordered"]), bar + escape(line))
    return table


def _sums(found: Mapping[str, Any]) -> Table:
    """Return the quantiles of the demand of the first days together."""
    table, days = Table("demand of", box=None), found["days"]
    for level in found["levels"]:
        table.add_column(f"p{level * 100:g}", justify="right")
    for lead in LEADS:
        if lead <= len(days):
            cells = [_number(value) for value in days[lead - 1]["cumulative"]]
            table.add_row(f"{lead} day{'s' if lead > 1 else ''}", *cells)
    return table


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
