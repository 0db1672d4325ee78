"""Print results: lines and tables that are never cut or wrapped, or JSON for scripts."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crossdock_cli.progress import runnable

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON, for scripts.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="The most rows to print.")]
After = Annotated[str | None, typer.Option("--cursor", help="Where to go on; the previous page prints it.")]
Columns = Mapping[str, Callable[[Any], object]]
"""The heading of each column, and the function that takes its value from a row."""


def console() -> Console:
    """Return a console that wraps no line: an address on two lines cannot be copied."""
    return Console(highlight=False, soft_wrap=True)


def print_table(out: Console, table: Table) -> None:
    """Print the table as wide as its content, even if the terminal is narrower."""
    out.width = max(out.width, out.measure(table, options=out.options.update(max_width=10_000)).maximum)
    out.print(table)


def print_json(answer: object) -> None:
    print(json.dumps(answer, indent=2, ensure_ascii=False))


def print_page(page: Mapping[str, Any], columns: Columns, *, as_json: bool, none: str, more: str) -> None:
    """Print one page of a list. `none` is printed instead of an empty list, `more` is the command for the next page."""
    if as_json:
        print_json(page)
        return
    out, table = console(), Table(*columns, box=None)
    for row in page["items"]:
        table.add_row(*(escape(str(value(row))) for value in columns.values()))
    if table.row_count:
        print_table(out, table)
    following = page.get("next")
    if following:
        out.print(f"[dim]There is more:[/dim] {escape(runnable(f'crossdock {more}'))} --cursor {escape(following)}")
    elif not table.row_count:
        out.print(none)


def moment(text: str | None) -> str:
    """Return a time of an answer to the second, without its offset: answers are in UTC."""
    return (text or "")[:19].replace("T", " ")
