"""New ids. UUIDv7 sorts by time, so rows made together are close together in an index."""

from uuid import UUID

import uuid_utils
from asyncpg.pgproto import pgproto


def new_id() -> UUID:
    """Return a UUIDv7 of asyncpg's subclass of `uuid.UUID`, which yields its text and bytes in a tenth of the time."""
    id: UUID = pgproto.UUID(uuid_utils.uuid7().bytes)
    return id
