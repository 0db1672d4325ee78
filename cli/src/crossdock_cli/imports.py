"""Send a file to import, and follow the import until it has ended."""

import time
from collections.abc import Callable, Mapping
from typing import IO, Any, Final
from uuid import uuid4

import httpx

from crossdock_cli.errors import CommandError
from crossdock_cli.http import MOST_ERRORS, asked, place

ENDED: Final = ("done", "refused", "stopped", "failed")
CSV: Final = "text/csv"
MEDIA_TYPES: Final = {
    ".parquet": "application/vnd.apache.parquet",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
"""The media types of files by their suffix. All others are CSV."""
POLL_SECONDS: Final = 0.2
UPLOAD_SECONDS: Final = 300.0


def headers(media_type: str = CSV) -> dict[str, str]:
    """Return the headers of an upload. A repeated request under its key is the same import."""
    return {"Content-Type": media_type, "Idempotency-Key": uuid4().hex, "Prefer": "wait=1"}


def import_file(
    client: httpx.Client,
    service: str,
    kind: str,
    content: bytes | IO[bytes],
    query: Mapping[str, Any] | None = None,
    show: Callable[[Mapping[str, Any]], None] = lambda found: None,
    media_type: str = CSV,
) -> dict[str, Any]:
    """Import a file and return the import at its end. Call `show` with the import while it runs.

    Raise CommandError if the file was refused, or if the import stopped.
    """
    url = f"{service}/v1/{kind}:import"
    answer = client.post(url, params=query, content=content, headers=headers(media_type), timeout=UPLOAD_SECONDS)
    found = asked(answer)
    while found["state"] not in ENDED:
        show(found)
        time.sleep(POLL_SECONDS)
        found = asked(client.get(f"{service}/v1/imports/{found['id']}"))
    check(found)
    return found


def check(found: Mapping[str, Any]) -> None:
    """Raise CommandError with the first errors if the import has ended and was not done."""
    if found["state"] == "done":
        return
    if found["state"] == "refused":
        reason = f"{found['wrong']} rows are wrong, so nothing was imported."
    else:
        after = f"after {found['done']} of {found['rows']} rows; send the file again, and it goes on."
        reason = f"It {'was stopped' if found['state'] == 'stopped' else 'failed'} {after} {found['detail'] or ''}"
    raise CommandError(f"The import of {found['kind']} was not done. {reason}".rstrip(), errors_of(found))


def errors_of(found: Mapping[str, Any]) -> str:
    """Return the first errors, one in a line, and the path of all of them if there are more."""
    lines = [place(error) for error in found["errors"][:MOST_ERRORS]]
    if len(found["errors"]) > MOST_ERRORS:
        lines.append(f"All errors: GET /v1/imports/{found['id']}/errors.csv")
    return "\n".join(lines)
