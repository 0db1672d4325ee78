"""Send requests to the services of an installation, and turn their problems into sentences."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from crossdock_cli.errors import CommandError
from crossdock_cli.installation import Installation

OPERATOR = "operator"


@contextmanager
def client(installation: Installation, partner: str, scopes: Sequence[str]) -> Iterator[httpx.Client]:
    """Open a client with a token of the partner. Raise CommandError if a service does not answer."""
    token = installation.tokens([partner], scopes)[partner]
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=10) as opened:
        try:
            yield opened
        except httpx.TransportError as error:
            raise CommandError(
                f"{error.request.url.copy_with(path='/', query=None)} does not answer: is everything up?"
            ) from error


def asked(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_success:
        found: dict[str, Any] = answer.json()
        return found
    try:
        problem = answer.json()
        where = ", ".join(str(error["pointer"]) for error in problem.get("errors", ()))
        said = f"{problem['title']}: {problem.get('detail', '')}" + (f" ({where})" if where else "")
    except (ValueError, KeyError, TypeError):
        said = answer.text
    raise CommandError(f"{answer.request.url.path} answered {answer.status_code}. {said}")
