"""Why a database takes no changes. Reads go on, so the process stays up, is not ready, and tries again."""

import logging
from collections.abc import Mapping
from time import monotonic
from typing import Final

import asyncpg

log = logging.getLogger(__name__)

HELD_SECONDS: Final = 15.0
"""How long readiness is refused after a change failed. Then the next change shows whether it is mended."""
READ_ONLY: Final = "SELECT current_setting('transaction_read_only')::bool"
NAME_THE_PRIMARY: Final = "name the primary in CROSSDOCK_POSTGRES, or set default_transaction_read_only to off"
REMEDIES: Final[Mapping[type[Exception], str]] = {
    asyncpg.DiskFullError: "free or add space on the volume of PostgreSQL",
    asyncpg.ReadOnlySQLTransactionError: NAME_THE_PRIMARY,
}


def unwritable(error: BaseException | None) -> str | None:
    """Return why the database takes no changes, with what to do. None if the error has another cause."""
    while error is not None:
        for kind, remedy in REMEDIES.items():
            if isinstance(error, kind):
                return f"{error.args[0]}: {remedy}"
        error = error.__cause__
    return None


class Changes:
    """Whether the database `name` has taken the last changes."""

    def __init__(self, name: str | None) -> None:
        self._name, self._reason, self._until = name, "", 0.0

    @property
    def refused(self) -> str | None:
        """Return why changes were refused a moment ago."""
        return self._reason if monotonic() < self._until else None

    def failed(self, error: BaseException) -> None:
        """Note an error. Log the first one of a database that takes no changes."""
        if reason := unwritable(error):
            said = f"the database {self._name} takes no changes: {reason}"
            if self.refused != said:
                log.error(said)
            self._reason, self._until = said, monotonic() + HELD_SECONDS
