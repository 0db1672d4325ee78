"""`crossdock customers`: find customers, decide which of them are the same, and erase them."""

import time
from typing import Annotated, Any
from uuid import uuid4

import typer

from crossdock_cli import installation
from crossdock_cli.bars import bar
from crossdock_cli.commands.customer import SCOPES, SERVICE
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.imports import POLL_SECONDS
from crossdock_cli.output import After, AsJson, Limit, console, print_json, print_page

customers = typer.Typer(help="Find customers, and merge those that are the same.", invoke_without_command=True)
Kept = Annotated[str, typer.Argument(metavar="CUSTOMER", help="The id of the customer that stays.")]
Other = Annotated[str, typer.Argument(metavar="OTHER", help="The id of the other customer.")]


@customers.callback()
def list_(
    context: typer.Context,
    name: Annotated[str | None, typer.Option(help="Parts of the name, in any order.")] = None,
    phone: Annotated[str | None, typer.Option(help="A phone number. Without + it needs --region.")] = None,
    region: Annotated[str | None, typer.Option(help="Where the number is dialled, such as GB.")] = None,
    email: Annotated[str | None, typer.Option(help="A mail address.")] = None,
    order: Annotated[str | None, typer.Option(help="The id of an order.")] = None,
    limit: Limit = 20,
    cursor: After = None,
    as_json: AsJson = False,
) -> None:
    """List customers, the newest first, or find some. The commands below decide about two of them."""
    if context.invoked_subcommand is not None:
        return
    wanted = {"name": name, "phone": phone, "region": region, "email": email, "order_id": order, "cursor": cursor}
    query = {"limit": str(limit), **{key: value for key, value in wanted.items() if value is not None}}
    print_page(
        _get("", query),
        {
            "customer": lambda each: each["id"],
            "kind": lambda each: each["kind"],
            "name": lambda each: each["name"] or "",
            "reached at": lambda each: ", ".join(channel["value"] for channel in each["channels"]),
            "may also be": lambda each: len(each["suspects"]) or "",
        },
        as_json=as_json,
        none="No customer was found.",
        more="customers",
    )


@customers.command()
def suspects(limit: Limit = 20, cursor: After = None, as_json: AsJson = False) -> None:
    """List pairs of customers that may be the same, the likeliest first."""
    query = {"limit": str(limit), **({} if cursor is None else {"cursor": cursor})}
    print_page(
        _get("/suspects", query),
        {
            "customer": lambda each: each["one"],
            "name": lambda each: each["one_name"] or "",
            "other": lambda each: each["other"],
            "other name": lambda each: each["other_name"] or "",
            "score": lambda each: each["score"],
            "because of": lambda each: ", ".join(reason.replace("_", " ") for reason in each["reasons"]),
        },
        as_json=as_json,
        none="No customers are suspected to be the same.",
        more="customers suspects",
    )


@customers.command()
def merge(
    customer: Kept,
    other: Other,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Show both customers and what the merge would give, then merge OTHER into CUSTOMER."""
    preview = _get(f"/{customer}/merge-preview", {"other_id": other})
    for title in ("into", "merged", "result"):
        _print(title, preview[title])
    console().print(f"Reasons: {', '.join(preview['reasons']) or 'none'}", markup=False)
    if not yes:
        typer.confirm("Merge them?", abort=True)
    _decide(customer, "merge", other)
    console().print("Merged. `crossdock customers unmerge` takes it back.", markup=False)


@customers.command()
def unmerge(customer: Kept, other: Other) -> None:
    """Take a merge back: OTHER is on its own again."""
    _decide(customer, "unmerge", other)
    console().print("Both customers are restored.")


@customers.command()
def dismiss(customer: Kept, other: Other) -> None:
    """Keep two customers apart: they are not suspected again."""
    _decide(customer, "dismiss", other)
    console().print("The pair is not suspected again.")


@customers.command()
def erase(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="The id of the customer.")],
    reason: Annotated[str, typer.Option(help="A code of your own.")] = "requested",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase the personal data of a customer, once nothing holds it back. This cannot be undone."""
    if not yes:
        typer.confirm(f"Erase all personal data of {customer} for ever?", abort=True)
    there, headers = installation.current(), {"Idempotency-Key": str(uuid4())}
    with client(there, None, [*SCOPES, "pii:erase"]) as opened:
        url = f"{there.url(SERVICE)}/v1/customers/{customer}:erase"
        made = asked(opened.post(url, json={"reason": reason}, headers=headers))
    for each in made["holds"]:
        console().print(f"It waits for the {each['kind']} {each['of']}, until {each['until']}.", markup=False)
    console().print(f"Asked. `crossdock customers erasure {made['id']}` shows what is missing.", markup=False)


@customers.command()
def erasures(limit: Limit = 20, cursor: After = None, as_json: AsJson = False) -> None:
    """List erasures, the newest first."""
    query = {"limit": str(limit), **({} if cursor is None else {"cursor": cursor})}
    print_page(
        _read("/erasures", query),
        {
            "erasure": lambda each: each["id"],
            "customer": lambda each: each["customer_id"],
            "state": lambda each: each["state"],
            "reason": lambda each: each["reason"],
            "asked by": lambda each: each["who"],
            "rows erased": lambda each: each["erased"],
        },
        as_json=as_json,
        none="Nobody was erased.",
        more="customers erasures",
    )


@customers.command()
def erasure(id: Annotated[str, typer.Argument(metavar="ERASURE", help="The id of the erasure.")]) -> None:
    """Show what holds an erasure back, and what is not erased yet."""
    shown = _read(f"/erasures/{id}", {})
    console().print(f"{shown['state']}, {shown['erased']} rows erased", markup=False)
    for each in shown["holds"]:
        console().print(f"waits for the {each['kind']} {each['of']}, until {each['until']}", markup=False)
    for each in shown["missing"]:
        console().print(f"{each['rows']} rows of {each['store']}", markup=False)


@customers.command("undo-import")
def undo_import(
    id: Annotated[str, typer.Argument(metavar="IMPORT", help="The id of the import, which `crossdock import` shows.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove the customers that an import registered, and give changed ones their former values."""
    if not yes:
        typer.confirm(f"Undo the import {id}? Customers that were changed or used since stay.", abort=True)
    there, wait = installation.current(), {"Prefer": "wait=1"}
    with client(there, None, SCOPES) as opened, bar("undoing") as show:
        url = f"{there.url(SERVICE)}/v1/imports/{id}"
        found = asked(opened.post(f"{url}:undo", headers=wait))
        while found["state"] in ("queued", "running"):
            looked_at = found["undone"] + sum(found["left"].values())
            show(found["state"], looked_at, looked_at + found["to_do"])
            time.sleep(POLL_SECONDS)
            found = asked(opened.get(f"{url}/undo"))
    if as_json:
        print_json(found)
    else:
        console().print(f"{found['undone']} customers were removed or have their former values again.", markup=False)
        for reason, count in found["left"].items():
            console().print(f"{count} stay as they are: {reason.replace('_', ' ')}", markup=False)
    if found["state"] != "done":
        raise CommandError(f"The undoing {found['state']}. The same command lets it go on.")


def _print(title: str, shown: dict[str, Any]) -> None:
    names = ", ".join(filter(None, [shown["name"], *shown["other_names"]])) or "no name"
    reached = ", ".join(channel["value"] for channel in shown["channels"])
    console().print(f"{title}: {names} ({shown['id']}) {reached}", markup=False)


def _get(path: str, query: dict[str, str]) -> dict[str, Any]:
    return _read(f"/customers{path}", query)


def _read(path: str, query: dict[str, str]) -> dict[str, Any]:
    there = installation.current()
    with client(there, None, SCOPES) as opened:
        return asked(opened.get(f"{there.url(SERVICE)}/v1{path}", params=query))


def _decide(customer: str, verb: str, other: str) -> None:
    there, headers = installation.current(), {"Idempotency-Key": str(uuid4())}
    with client(there, None, SCOPES) as opened:
        url = f"{there.url(SERVICE)}/v1/customers/{customer}:{verb}"
        asked(opened.post(url, json={"customer_id": other}, headers=headers))
