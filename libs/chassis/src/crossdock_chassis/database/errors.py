"""The errors of units, and which errors of the database pass."""

import asyncpg

from crossdock_chassis.database.unwritable import REMEDIES
from crossdock_chassis.deadlines import Interrupted

CONNECTION_LOST = (
    OSError,
    TimeoutError,
    asyncpg.exceptions.InterfaceError,
    asyncpg.exceptions.InternalClientError,  # the server closed the connection between two statements
    asyncpg.PostgresConnectionError,
)
"""The server is away or went away; the statement itself is not at fault."""

SERVER_STOPPING = (
    asyncpg.exceptions.AdminShutdownError,
    asyncpg.exceptions.CrashShutdownError,
    asyncpg.exceptions.CannotConnectNowError,
    asyncpg.exceptions.TooManyConnectionsError,
)

UNWRITABLE = tuple(REMEDIES)
"""The server answers, and takes no changes until somebody mends that: retrying is right, and no event is at fault."""


_CONTENTION = (asyncpg.LockNotAvailableError, asyncpg.TransactionRollbackError)

_PASSING = (
    *_CONTENTION,
    asyncpg.TransactionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)


class OutcomeUnknown(Exception):
    """The connection broke during COMMIT. The unit is not retried: the client retries with its idempotency key."""


class Moved(Exception):
    """What an optimistic unit has read or assumed was no longer so at its end. Nothing was done."""


class Overtaken(Moved):
    """Another unit changed first what this one has read. The same work may succeed at once."""


OVERTAKEN = "CD001"
"""The code of the error that the functions of optimistic units raise for this."""


class NotCommitted(Exception):
    """The server answered COMMIT with a rollback, because the handler continued after a failed statement."""


def is_connection_loss(error: BaseException | None) -> bool:
    """Return whether the server is away, went away, or takes no changes."""
    return _because_of(error, (*CONNECTION_LOST, *SERVER_STOPPING, *UNWRITABLE))


def is_contention(error: BaseException | None) -> bool:
    """Return whether the cause is a lock timeout, a deadlock or a serialisation failure."""
    return _because_of(error, _CONTENTION)


def is_transient(error: BaseException | None) -> bool:
    """Return whether a retry of the same work is likely to succeed."""
    return is_connection_loss(error) or _because_of(error, (OutcomeUnknown, Interrupted, *_PASSING))


def _because_of(error: BaseException | None, kinds: tuple[type[BaseException], ...]) -> bool:
    while error is not None:
        if isinstance(error, kinds):
            return True
        error = error.__cause__
    return False
