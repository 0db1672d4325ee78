"""New ids: UUIDv7, so that rows made together lie together."""

from uuid import UUID

import uuid_utils
from asyncpg.pgproto import pgproto


def new_id() -> UUID:
    """Of asyncpg's own class, a `uuid.UUID` like any other whose text and bytes are had in a tenth of the time."""
    id: UUID = pgproto.UUID(uuid_utils.uuid7().bytes)
    return id
