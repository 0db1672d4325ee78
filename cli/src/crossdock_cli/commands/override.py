"""`crossdock forecast override`: what planners state in place of a forecast."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.markup import escape
from rich.table import Table

from crossdock_cli import installation
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.output import AsJson, console, print_json, print_table

SERVICE = "forecast-service"

override = typer.Typer(no_args_is_help=True, help="Override the forecast of an item, a category or all items.")
override.callback()(lambda: None)


@override.command()
def place(
    first_day: Annotated[str, typer.Option("--from", help="The first day, such as 2026-12-01.")],
    last_day: Annotated[str, typer.Option("--to", help="The last day.")],
    why: Annotated[str, typer.Option(help="The reason. It stays in the database.")],
    item: Annotated[str | None, typer.Option(help="This item.")] = None,
    category: Annotated[str | None, typer.Option(help="All items of this category together.")] = None,
    total: Annotated[bool, typer.Option("--total", help="All items together.")] = False,
    location: Annotated[str | None, typer.Option(help="Only at this location; whole items stay.")] = None,
    absolute: Annotated[float | None, typer.Option(min=0, help="The sum of these days, in base units.")] = None,
    percent: Annotated[float | None, typer.Option(help="The change of each day, such as 20 or -30.")] = None,
    add: Annotated[float | None, typer.Option(help="Base units more, or fewer, in these days together.")] = None,
    expires_at: Annotated[
        str | None, typer.Option(help="From this time on, the forecast is the model's again.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Override a forecast. It is published again at once, and later runs keep the override."""
    targets = {"item": item, "category": category, "total": total or None}
    kinds = {"absolute": absolute, "percent": percent, "add": add}
    (level,) = _one("--item, --category or --total", targets)
    (kind,) = _one("--absolute, --percent or --add", kinds)
    body = {"level": level, "item_id": item, "category": category, "kind": kind, "value": kinds[kind], "why": why}
    body |= {"location_id": location, "first_day": first_day, "last_day": last_day, "expires_at": expires_at}
    there = installation.current()
    with client(there, None, ["ops:read", "ops:act"]) as opened:
        given = {name: value for name, value in body.items() if value is not None}
        url = f"{there.url(SERVICE)}/v1/overrides"
        found = asked(opened.post(url, json=given, headers={"Idempotency-Key": uuid4().hex}))
    if as_json:
        print_json(found)
    else:
        text = f"{found['id']} changes {found['series']} forecasts, which were {found['forecast']:.1f} in sum."
        console().print(text, markup=False)


@override.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Also those that are withdrawn or expired.")] = False,
    item: Annotated[str | None, typer.Option(help="Only those of this item itself.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    as_json: AsJson = False,
) -> None:
    """List overrides, the newest first."""
    there = installation.current()
    query = {"status": None if every else "in_force", "item_id": item, "limit": limit}
    with client(there, None, ["ops:read"]) as opened:
        params = {name: value for name, value in query.items() if value is not None}
        found = asked(opened.get(f"{there.url(SERVICE)}/v1/overrides", params=params))
    if as_json:
        print_json(found)
        return
    table = Table("id", box=None)
    for heading in ("of", "change", "days", "by", "status", "why"):
        table.add_column(heading)
    for each in found["items"]:
        of = each["item_id"] or each["category"] or "all items"
        of += f" at {each['location_id']}" if each["location_id"] else ""
        days = f"{each['first_day']} to {each['last_day']}"
        cells = (each["id"], of, _change(each), days, each["requested_by"], each["status"], each["why"])
        table.add_row(*(escape(cell) for cell in cells))
    print_table(console(), table)


@override.command()
def withdraw(
    id: Annotated[str, typer.Argument(help="The id of the override.")],
    as_json: AsJson = False,
) -> None:
    """Withdraw an override: the forecast is the model's again."""
    there = installation.current()
    with client(there, None, ["ops:read", "ops:act"]) as opened:
        found = asked(opened.post(f"{there.url(SERVICE)}/v1/overrides/{id}:withdraw"))
    if as_json:
        print_json(found)
    else:
        console().print(f"{found['id']} is {found['status']}.", markup=False)


def _one(names: str, given: Mapping[str, object]) -> list[str]:
    found = [name for name, value in given.items() if value is not None]
    if len(found) != 1:
        raise CommandError(f"Give one of {names}.")
    return found


def _change(each: Mapping[str, Any]) -> str:
    match each["kind"]:
        case "absolute":
            return f"{each['value']:g}"
        case "percent":
            return f"{each['value']:+g} %"
        case _:
            return f"{each['value']:+g}"
