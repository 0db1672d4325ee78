from typing import Annotated

import typer

from crossdock_local.commands.partner import PARTNER_SCOPES
from crossdock_local.stack import Stack

OWN_SCOPES = [*PARTNER_SCOPES, "stock:read", "stock:write"]


def token(
    partner: str,
    scope: Annotated[list[str] | None, typer.Option(help="Repeatable; without it, all but ops.")] = None,
) -> None:
    """A bearer token in that partner's name for the person at this terminal, alone on stdout."""
    print(Stack.current().token(partner, scope or OWN_SCOPES))
