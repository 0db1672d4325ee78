from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from crossdock_cli import installation
from crossdock_cli.bars import Show, bar
from crossdock_cli.commands.customer import SCOPES, SERVICE
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.imports import CSV, MEDIA_TYPES, errors_of, import_file
from crossdock_cli.output import AsJson, console, print_json


class Kind(StrEnum):
    LOCATIONS = "locations"
    ITEMS = "items"
    OPENING_STOCK = "opening-stock"
    DEMAND = "demand"
    DRIVERS = "drivers"
    CUSTOMERS = "customers"


SERVICES = {kind: ("forecast-service", "forecasts") for kind in (Kind.DEMAND, Kind.DRIVERS)}
"""The service of a kind, and the name of its scopes. All others are of inventory-service."""


def import_(
    kind: Kind,
    file: Annotated[
        Path | None,
        typer.Argument(help="A CSV file; of demand also .parquet, of customers .xlsx. Without it, print a template."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and import nothing.")] = False,
    reference: Annotated[
        str | None, typer.Option(help="Opening stock: the reference of each row that has none of its own.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Customers: how the file names a column, name=Header. skip=Header leaves one out."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import a file of locations, items, opening stock, demand, drivers or customers. Again, it changes nothing."""
    there = installation.current()
    name, scope = SERVICES.get(kind, ("inventory-service", "stock"))
    partner: str | None = installation.OPERATOR
    scopes = [f"{scope}:read", f"{scope}:write"]
    if kind is Kind.CUSTOMERS:
        name, partner, scopes = SERVICE, None, SCOPES
    with client(there, partner, scopes) as opened:
        service = there.url(name)
        if file is None:
            template = opened.get(f"{service}/v1/{kind.value}:template")
            print(template.text if template.is_success else asked(template), end="")
            return
        query: dict[str, Any] = {"dry_run": "true"} if dry_run else {}
        if reference is not None:
            query["reference"] = reference
        if column:
            query["columns"] = column
        try:
            with file.open("rb") as content, bar("sending") as show:
                media_type = MEDIA_TYPES.get(file.suffix.lower(), CSV)
                look = partial(_show, show=show)
                result = import_file(opened, service, kind.value, content, query, look, media_type)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
    if as_json:
        print_json(result)
        return
    counts = ", ".join(f"{result[name]} {name}" for name in ("rows", "created", "changed", "unchanged", "wrong"))
    done = "checked, nothing imported" if dry_run else "imported"
    console().print(f"{file} {done}: {counts}", markup=False)
    if result["suspected"]:
        where = f"GET /v1/customers/suspects?import_id={result['id']}"
        console().print(f"{result['suspected']} rows may be customers that are known: {where}", markup=False)
    if kind is Kind.CUSTOMERS and not dry_run:
        console().print(f"`crossdock customers undo-import {result['id']}` takes it back.", markup=False)
    if result["wrong"]:
        console().print(errors_of(result), markup=False)


def _show(found: Mapping[str, Any], show: Show) -> None:
    """Show how far an import is: each row is tried, and then applied."""
    steps = found["checked"] + found["done"] + found["wrong"]
    show(found["state"], steps, found["rows"] * (1 if found["dry_run"] else 2) if steps else None)
