"""`crossdock forecast what-if`: what would be asked for if something changed."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from crossdock_cli import installation
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.output import AsJson, console, print_json, print_table

SERVICE = "forecast-service"
LEADS = (1, 7, 14, 28, 56, 91, 182)
"""Days whose sums are printed, beside all days together."""
WHAT_IF_SECONDS = 60.0


def what_if(
    item: Annotated[str, typer.Argument(help="The id of the item.")],
    driver: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, such as price=1.99 or promotion=1.")] = None,
    since: Annotated[str | None, typer.Option(help="The first day of the drivers. Default: the origin.")] = None,
    until: Annotated[str | None, typer.Option(help="The last day of the drivers. Default: the last one.")] = None,
    closed: Annotated[list[str] | None, typer.Option(help="A day on which nothing is sold.")] = None,
    holiday: Annotated[list[str] | None, typer.Option(help="A day that is a holiday.")] = None,
    ordinary: Annotated[list[str] | None, typer.Option(help="A day that is no holiday and not closed.")] = None,
    like: Annotated[str | None, typer.Option(help="Before its first sale, the item sold like this one.")] = None,
    weight: Annotated[float, typer.Option(help="How many times as much as that item.")] = 1.0,
    location: Annotated[str | None, typer.Option(help="Only what this location serves.")] = None,
    region: Annotated[str | None, typer.Option(help="Only orders to this region, such as US or US-OR.")] = None,
    origin: Annotated[str | None, typer.Option(help="The first day. Default: the first that has not ended.")] = None,
    horizon: Annotated[int, typer.Option(min=1, max=366, help="Days.")] = 28,
    as_json: AsJson = False,
) -> None:
    """Forecast an item as it is, and with another price, promotion, calendar or past. Nothing is stored."""
    kinds = {"closed": closed, "holiday": holiday, "ordinary": ordinary}
    changes = {
        "drivers": [_given({**_driver(each), "first_day": since, "last_day": until}) for each in driver or ()],
        "days": [{"day": day, "kind": kind} for kind, days in kinds.items() for day in days or ()],
        **({} if like is None else {"like_item": {"item_id": like, "weight": weight}}),
    }
    series = {"item_id": item, "location_id": location, "region": region}
    body = _given({**series, "origin": origin, "horizon": horizon, "changes": changes})
    there = installation.current()
    with client(there, None, ["ops:read"]) as opened:
        found = asked(opened.post(f"{there.url(SERVICE)}/v1/what-if", json=body, timeout=WHAT_IF_SECONDS))
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(f"{item} from {found['origin']} on, by {found['changed']['model']}", markup=False)
    print_table(out, _both(found))
    for each in found["warnings"]:
        out.print(f"Warning: {each}", markup=False)


def _driver(text: str) -> dict[str, Any]:
    name, _, value = text.partition("=")
    try:
        return {"name": name, "value": float(value)}
    except ValueError:
        raise CommandError(f"--driver {text} must be NAME=VALUE, such as price=1.99.") from None


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _both(found: Mapping[str, Any]) -> Table:
    """Return the sums of the first days of both forecasts, with their 0.9 quantiles."""
    at = found["levels"].index(0.9)
    table = Table("demand of", box=None)
    for heading in ("as it is", "p90", "with the change", "p90", "difference"):
        table.add_column(heading, justify="right")
    days = len(found["as_is"]["days"])
    for lead in sorted({*(each for each in LEADS if each < days), days}):
        sums, highs = [], []
        for name in ("as_is", "changed"):
            first = found[name]["days"][:lead]
            sums.append(sum(day["mean"] for day in first))
            highs.append(first[-1]["cumulative"][at])
        share = f"{(sums[1] / sums[0] - 1) * 100:+.1f} %" if sums[0] else ""
        cells = [f"{value:.1f}" for pair in zip(sums, highs, strict=True) for value in pair]
        table.add_row(f"{lead} day{'s' if lead > 1 else ''}", *cells, share)
    return table
