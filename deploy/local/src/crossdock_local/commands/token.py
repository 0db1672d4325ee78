from typing import Annotated

import typer

from crossdock_local.commands.partner import PARTNER_SCOPES
from crossdock_local.stack import Stack

OWN_SCOPES = [*PARTNER_SCOPES, "stock:read", "stock:write"]


def token(
    partner: str,
    scope: Annotated[list[str] | None, typer.Option(help="Repeatable. Default: all except ops.")] = None,
) -> None:
    """Print a bearer token of the partner, and nothing else."""
    print(Stack.current().token(partner, scope or OWN_SCOPES))
