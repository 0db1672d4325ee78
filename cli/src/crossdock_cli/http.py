"""Send requests to the services of an installation, and turn their problems into sentences."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from crossdock_cli.errors import CommandError
from crossdock_cli.installation import Installation

MOST_ERRORS = 20


@contextmanager
def client(installation: Installation, partner: str | None, scopes: Sequence[str]) -> Iterator[httpx.Client]:
    """Open a client with a token of the partner, or of an operator if it is None.

    Raise CommandError if a service does not answer.
    """
    token = installation.operator_token(scopes) if partner is None else installation.tokens([partner], scopes)[partner]
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=10) as opened:
        try:
            yield opened
        except httpx.TransportError as error:
            raise CommandError(
                f"{error.request.url.copy_with(path='/', query=None)} does not answer: is everything up?"
            ) from error


def asked(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON of the answer. Raise CommandError with the problem if the request was refused."""
    if answer.is_success:
        found: dict[str, Any] = answer.json()
        return found
    details = ""
    try:
        problem = answer.json()
        reason = f"{problem['title']}. {problem.get('detail', '')}"
        details = "\n".join(place(error) for error in problem.get("errors", ())[:MOST_ERRORS])
    except (ValueError, KeyError, TypeError):
        reason = answer.text
    raise CommandError(f"{answer.request.url.path} answered {answer.status_code}. {reason}".rstrip(), details)


def place(error: dict[str, Any]) -> str:
    """Return the place and the text of one error: a field of the body, a parameter, or a row of a file."""
    row = f"row {error['row']}" + (f", {error['column']}" if error.get("column") else "") if "row" in error else ""
    place = row or error.get("pointer") or error.get("parameter")
    return f"{place}: {error['detail']}" if place else str(error["detail"])
