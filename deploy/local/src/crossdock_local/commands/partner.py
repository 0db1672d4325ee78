from typing import Annotated

import typer
from rich.console import Console

from crossdock_cli.errors import CommandError
from crossdock_local.stack import Stack

PARTNER_SCOPES = ["orders:read", "orders:write"]

partner = typer.Typer(no_args_is_help=True, help="Manage the partners that may send orders.")


@partner.command("add")
def add(
    name: str,
    scope: Annotated[list[str] | None, typer.Option(help="Repeatable; without it, orders only.")] = None,
) -> None:
    """Create a client of a partner and show its id and secret, once.

    Give stock scopes to your own staff only, because stock shows the orders of all partners.
    """
    stack, console, scopes = Stack.current(), Console(highlight=False), scope or PARTNER_SCOPES
    from crossdock_local import issuer  # noqa: PLC0415  (takes seconds to import)

    try:
        identifier, secret = issuer.add_partner(stack.home.issuer, name, scopes)
    except ValueError as error:
        raise CommandError(f"{error}.") from error
    console.print(f"client id      {identifier}\nclient secret  {secret}   [dim](shown this once)[/dim]")
    console.print(f"scopes         {' '.join(scopes)}\n\nA token for an hour:", soft_wrap=True)
    console.print(
        f"  curl -s -u {identifier}:{secret} -d grant_type=client_credentials {stack.issuer_url}/oauth/token",
        soft_wrap=True,
    )
