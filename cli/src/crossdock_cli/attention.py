"""Read what needs attention: the rows of the console's home page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import httpx

from crossdock_cli.http import asked, client
from crossdock_cli.installation import Installation

SERVICE = "analytics-service"


@dataclass(frozen=True, slots=True)
class Row:
    cause: str
    service: str | None
    subject: str | None
    count: int | None
    since: str | None
    explain: str
    sentence: str

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Row":
        """Return the row of an answer. A newer service may have more members."""
        found: dict[str, Any] = {each.name: row.get(each.name) for each in fields(cls)}
        return cls(**found)


def fetch(there: Installation) -> dict[str, Any]:
    """Return the answer of `GET /v1/attention`. Raise CommandError if there is none."""
    with client(there, None, ["ops:read"]) as opened:
        return asked(opened.get(f"{there.url(SERVICE)}/v1/attention"))


def looking(there: Installation) -> Callable[[], Sequence[Row] | None]:
    """Return a function that returns the rows, or None if the service does not answer. It makes one token."""
    token, url = there.operator_token(["ops:read"]), f"{there.url(SERVICE)}/v1/attention"

    def look() -> Sequence[Row] | None:
        try:
            answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10)
        except httpx.TransportError:
            return None
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            return None
        return [Row.of(each) for each in asked(answer)["rows"]]

    return look
