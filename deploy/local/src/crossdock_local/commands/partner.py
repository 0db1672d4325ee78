import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from crossdock_cli.errors import CommandError
from crossdock_cli.output import After, AsJson, Limit, console, print_page
from crossdock_cli.progress import runnable
from crossdock_local.layout import private
from crossdock_local.network import Here, here

if TYPE_CHECKING:
    from crossdock_local.issuer import Client

PARTNER_SCOPES = ["orders:read", "orders:write", "catalogue:read", "events:read", "crm:read", "crm:write"]

partner = typer.Typer(no_args_is_help=True, help="Manage the partners that may send orders.")
Named = Annotated[str, typer.Argument(help="The id of the client, or the partner's name if it has one client.")]
File = Annotated[
    Path | None,
    typer.Option(help="Write id and secret to this new file, which only you can read, instead of printing the secret."),
]


@partner.command("add")
def add(
    name: str,
    scope: Annotated[
        list[str] | None, typer.Option(help="Repeatable; without it, orders and the catalogue without quantities.")
    ] = None,
    file: File = None,
) -> None:
    """Create a client of a partner and show its id and secret, once.

    Give stock scopes to your own staff only, because stock shows the orders of all partners.
    """
    from crossdock_local import issuer  # noqa: PLC0415  (takes seconds to import)

    there, scopes = here(), scope or PARTNER_SCOPES
    there.home.make()
    with _target(file) as target:
        try:
            identifier, secret = issuer.add_partner(there.home.issuer, name, scopes)
        except ValueError as error:
            raise CommandError(f"{error}.") from error
        _show(there, identifier, secret, scopes, file, target)


@partner.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(help="Only the clients of this partner.")] = None,
    limit: Limit = 100,
    cursor: After = None,
    as_json: AsJson = False,
) -> None:
    """List the clients of all partners, the oldest first."""
    from crossdock_local import issuer  # noqa: PLC0415

    rows = [
        {"client_id": each.id, "partner": each.partner, "scopes": list(each.scopes)}
        for each in _after(issuer.partners(here().home.issuer), cursor)
        if name in (None, each.partner)
    ]
    print_page(
        {"items": rows[:limit], "next": rows[limit - 1]["client_id"] if len(rows) > limit else None},
        {
            "partner": lambda row: row["partner"],
            "client id": lambda row: row["client_id"],
            "scopes": lambda row: " ".join(row["scopes"]),
        },
        as_json=as_json,
        none=f"There are no clients: `{runnable('crossdock partner add NAME')}` creates one.",
        more=shlex.join(["partner", "list", *([name] if name else []), "--limit", str(limit)]),
    )


def _after(clients: "Sequence[Client]", cursor: str | None) -> "Sequence[Client]":
    """Return the clients behind the one that the cursor names. Raise CommandError if it is gone."""
    if cursor is None:
        return clients
    for position, client in enumerate(clients, 1):
        if client.id == cursor:
            return clients[position:]
    raise CommandError(f"There is no client {cursor} any more: list the clients again without --cursor.")


@partner.command("revoke")
def revoke(client: Named) -> None:
    """Remove a client: it gets no more tokens. Tokens that it has stay valid for up to an hour."""
    from crossdock_local import issuer  # noqa: PLC0415

    home = here().home.issuer
    identifier = _chosen(issuer.partners(home), client)
    issuer.remove_client(home, identifier)
    console().print(f"{identifier} gets no more tokens. Its last token expires within an hour.", markup=False)


@partner.command("rotate")
def rotate(client: Named, file: File = None) -> None:
    """Give a client a new secret and show it, once. The old secret stops working at once."""
    from crossdock_local import issuer  # noqa: PLC0415

    there = here()
    identifier = _chosen(issuer.partners(there.home.issuer), client)
    with _target(file) as target:
        changed, secret = issuer.rotate_secret(there.home.issuer, identifier)
        _show(there, identifier, secret, changed.scopes, file, target)


def _chosen(clients: "Sequence[Client]", name: str) -> str:
    """Return the id of the client. Raise CommandError if there is none, or if the partner has several."""
    found = [each.id for each in clients if name in (each.id, each.partner)]
    if not found:
        raise CommandError(f"There is no client {name}: `{runnable('crossdock partner list')}` shows all clients.")
    if len(found) > 1:
        raise CommandError(f"{name} has {len(found)} clients: name one of {', '.join(found)}.")
    return found[0]


@contextmanager
def _target(file: Path | None) -> Iterator[TextIO | None]:
    """Open the new file for the secret. Remove the file if the block fails."""
    if file is None:
        yield None
        return
    try:
        descriptor = private(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except OSError as error:
        raise CommandError(f"{file} cannot be created: {error.strerror}. Name a new file.") from error
    try:
        with os.fdopen(descriptor, "w") as stream:
            yield stream
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _show(
    there: Here, identifier: str, secret: str, scopes: Sequence[str], file: Path | None, target: TextIO | None
) -> None:
    """Show the client, and a command for a token that leaves the secret out of shell history and process list."""
    out = console()
    out.print(f"client id      {identifier}", markup=False)
    curl = f"-d grant_type=client_credentials {there.shown_issuer}/oauth/token"
    if target is None:
        out.print(f"client secret  {secret}   [dim](shown this once)[/dim]")
        command = f"""read -rs SECRET && printf 'user = "{identifier}:%s"' "$SECRET" | curl -s -K - {curl}"""
        how = "A token for an hour. Paste the secret when the command waits for it; no history stores it:"
    else:
        target.write(f'user = "{identifier}:{secret}"\n')
        out.print(f"client secret  in {file}, which only you can read", markup=False)
        command = f"curl -s -K {shlex.quote(str(file))} {curl}"
        how = "A token for an hour:"
    out.print(f"scopes         {' '.join(scopes)}\n\n{how}\n  {command}", markup=False)
