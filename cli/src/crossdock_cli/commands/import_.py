from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from crossdock_cli import installation
from crossdock_cli.errors import CommandError
from crossdock_cli.http import OPERATOR, asked, client
from crossdock_cli.output import AsJson, console, print_json

SECONDS = 120.0
"""A large file takes longer than other requests."""


class Kind(StrEnum):
    LOCATIONS = "locations"
    ITEMS = "items"
    OPENING_STOCK = "opening-stock"


def import_(
    kind: Kind,
    file: Annotated[
        Path | None, typer.Argument(help="A CSV file. Without a file, print a template: the columns and one row.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and import nothing.")] = False,
    reference: Annotated[
        str | None, typer.Option(help="Opening stock: the reference of each row that has none of its own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import a CSV file of locations, items or opening stock. Importing a file again changes nothing."""
    there = installation.current()
    with client(there, OPERATOR, ["stock:read", "stock:write"]) as opened:
        url = f"{there.url('inventory-service')}/v1/imports/{kind.value}"
        if file is None:
            template = opened.get(f"{url}/template")
            print(template.text if template.is_success else asked(template), end="")
            return
        query = {"dry_run": "true"} if dry_run else {}
        if reference is not None:
            query["reference"] = reference
        headers = {"Content-Type": "text/csv", "Idempotency-Key": uuid4().hex}
        answer = opened.post(url, params=query, content=_read(file), headers=headers, timeout=SECONDS)
        result = asked(answer)
    if as_json:
        print_json(result)
        return
    counts = ", ".join(
        f"{value} {name}" for name, value in result.items() if isinstance(value, int) and name != "dry_run"
    )
    done = "checked, nothing imported" if dry_run else "imported"
    console().print(f"{file} {done}: {counts}", markup=False)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
