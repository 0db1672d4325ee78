from typing import Annotated

import typer

from crossdock_cli.errors import CommandError
from crossdock_local.commands.partner import PARTNER_SCOPES
from crossdock_local.network import here

OWN_SCOPES = [*PARTNER_SCOPES, "stock:read", "stock:write"]
OPERATOR_SCOPES = ["ops:read", "ops:act", "crm:staff", "pii:read", "pii:erase"]


def token(
    partner: Annotated[str | None, typer.Argument(help="The partner. Leave it out for a token of an operator.")] = None,
    operator: Annotated[
        str | None, typer.Option(help="The name of a person: a token without a partner, for operations.")
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="Repeatable. Default: orders and stock; of an operator all of them.")
    ] = None,
) -> None:
    """Print a bearer token of a partner or of an operator, and nothing else."""
    if (partner is None) == (operator is None):
        raise CommandError("Name a partner, or an operator with --operator.")
    if operator is not None:
        print(here().signer.operator_token(scope or OPERATOR_SCOPES, operator))
    elif partner is not None:
        print(here().signer.token(partner, scope or OWN_SCOPES))
