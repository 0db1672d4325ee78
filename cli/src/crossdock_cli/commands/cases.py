"""`crossdock cases`: what a clerk does with the cases of customers."""

from typing import Annotated, Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import typer
from rich.markup import escape
from rich.table import Table

from crossdock_cli import installation
from crossdock_cli.commands.customer import SCOPES, SERVICE
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.output import AsJson, console, moment, print_json, print_table

cases = typer.Typer(help="List and work on cases of customers.", invoke_without_command=True)
CaseId = Annotated[str, typer.Argument(metavar="CASE", help="The id of the case, or its number.")]
Words = Annotated[str, typer.Argument(help="The text.")]


@cases.callback()
def list_(
    context: typer.Context,
    status: Annotated[str | None, typer.Option(help="Only cases with this status, such as open.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """List cases, the newest first. The commands below work on one."""
    if context.invoked_subcommand is not None:
        return
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


@cases.command()
def assign(case: CaseId, who: Annotated[str, typer.Argument(help="The person, as in the token.")]) -> None:
    """Give a case to a person."""
    _act(case, "assign", {"to": who})


@cases.command()
def answer(case: CaseId, text: Words) -> None:
    """Answer the customer, by mail if there is an address."""
    _act(case, "answer", {"text": text})


@cases.command()
def note(case: CaseId, text: Words) -> None:
    """Add a note, which no customer and no partner sees."""
    _act(case, "note", {"text": text})


@cases.command()
def escalate(case: CaseId) -> None:
    """Escalate a case by one level."""
    _act(case, "escalate")


@cases.command()
def merge(case: CaseId, into: Annotated[str, typer.Argument(help="The id of the case that goes on.")]) -> None:
    """Merge a case into another one of the same customer, which gets its replies."""
    _act(case, "merge", {"into": into})


@cases.command()
def resolve(case: CaseId) -> None:
    """Resolve a case. A reply reopens it."""
    _act(case, "resolve")


@cases.command()
def close(case: CaseId, cause: Annotated[str, typer.Argument(help="The root cause, such as lost_in_transit.")]) -> None:
    """Close a resolved case with its root cause."""
    _act(case, "close", {"root_cause": cause})


@cases.command()
def queues(as_json: AsJson = False) -> None:
    """Show the queues, and the people who get their cases."""
    there = installation.current()
    with client(there, None, SCOPES) as opened:
        found = asked(opened.get(f"{there.url(SERVICE)}/v1/queues"))
    if as_json:
        print_json(found)
        return
    table = Table("queue", "kind", "category", "skill", box=None)
    for each in found["queues"]:
        table.add_row(*(each[name] or "any" for name in ("name", "kind", "category", "skill")))
    print_table(console(), table)
    table = Table("person", "skills", "cases", "present", "shifts", box=None)
    for each in found["agents"]:
        load, present = f"{each['load']} of {each['capacity']}", "yes" if each["present"] else "no"
        cells = (each["who"], ", ".join(each["skills"]), load, present, each["calendar"] or "always")
        table.add_row(*map(escape, cells))
    print_table(console(), table)


@cases.command()
def rules(as_json: AsJson = False) -> None:
    """List the rules that open cases, and what they did."""
    there = installation.current()
    with client(there, None, SCOPES) as opened:
        found = asked(opened.get(f"{there.url(SERVICE)}/v1/rules"))
    if as_json:
        print_json(found)
        return
    table = Table("rule", "trouble", "after days", "watched", "cases", "told", "not told", box=None)
    for each in found["items"]:
        silent = ", ".join(f"{count} {reason}" for reason, count in each["suppressed"].items())
        counts = (str(each[name]) for name in ("watched", "opened", "told"))
        table.add_row(each["name"], each["trouble"], f"{each['after_days']:g}", *counts, silent)
    print_table(console(), table)


@cases.command()
def rule(
    name: Annotated[str, typer.Argument(help="The name of the rule.")],
    notice: Annotated[str | None, typer.Option(help="The mail that the customer gets first.")] = None,
    after_days: Annotated[float, typer.Option(min=0, max=365, help="How long an order waits for stock.")] = 3,
    subject: Annotated[str, typer.Option()] = "Your order waits for stock",
    severity: Annotated[str, typer.Option(help="low, normal, high or critical.")] = "normal",
    delete: Annotated[bool, typer.Option("--delete", help="Delete the rule. Its cases stay.")] = False,
) -> None:
    """Make, change or delete a rule that opens a case for an order that waits for stock."""
    there = installation.current()
    url = f"{there.url(SERVICE)}/v1/rules/{name}"
    with client(there, None, SCOPES) as opened:
        if delete:
            asked(opened.delete(url))
        elif notice is None:
            raise CommandError("Give the mail with --notice, or use --delete.")
        else:
            body = {"trouble": "backordered", "after_days": after_days, "severity": severity}
            asked(opened.put(url, json=body | {"subject": subject, "notice": notice}))
    console().print(f"The rule {name} {'is deleted' if delete else 'counts from now on'}.", markup=False)


def _act(case: str, verb: str, body: dict[str, Any] | None = None) -> None:
    """Act on a case, and print the case that goes on."""
    there = installation.current()
    with client(there, None, SCOPES) as opened:
        url = f"{there.url(SERVICE)}/v1/cases"
        id = _id_of(opened, url, case)
        headers = {"Idempotency-Key": uuid4().hex}
        found = asked(opened.post(f"{url}/{quote(id, safe='')}:{verb}", json=body, headers=headers))
    to = f", assigned to {found['assignee']}" if found["assignee"] else ""
    console().print(f"Case {found['number']} is {found['status']}{to}.", markup=False)


def _id_of(opened: httpx.Client, url: str, case: str) -> str:
    """Return the id of a case that is named by its id or its number. Raise CommandError if there is none."""
    if not case.isdecimal():
        return case
    found = asked(opened.get(url, params={"number": case}))["items"]
    if not found:
        raise CommandError(f"There is no case {case}.")
    return str(found[0]["id"])
