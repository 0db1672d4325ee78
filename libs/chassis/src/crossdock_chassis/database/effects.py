"""Write the effects that a unit requested. `crossdock_chassis.effects` performs them after the commit."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from crossdock_chassis.ids import new_id
from crossdock_chassis.observability import tracing

PAYLOAD_LIMIT_BYTES: Final = 256_000
"""A worker holds the payloads of all effects in flight. Refer to a large document instead of including it."""

_NAME: Final = re.compile(r"[\x20-\x7e]{1,255}")

APPEND: Final = """
    INSERT INTO effect (id, kind, target, key, payload, traceparent)
    SELECT id, kind, target, key, payload, traceparent
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::json[], $6::text[])
         WITH ORDINALITY AS new (id, kind, target, key, payload, traceparent, nth)
    ORDER BY nth
"""


class EffectTooLarge(Exception):
    """The payload is larger than PAYLOAD_LIMIT_BYTES."""


class NoPerformer(Exception):
    """The service lists no performer for this kind, so nothing would ever perform the effect."""


@dataclass(frozen=True, slots=True)
class Requested:
    id: UUID
    kind: str
    target: str
    key: str | None
    payload: str
    traceparent: str | None


def request(kind: str, target: str, key: str | None, payload: Mapping[str, object] | BaseModel) -> Requested:
    """Return the row to write. Raise ValueError if a name or the payload cannot be stored, EffectTooLarge."""
    for name in (target, key):
        if name is not None and not _NAME.fullmatch(name):
            raise ValueError(f"{kind}: target and key are 1 to 255 printable ASCII characters, not {name!r}")
    written = to_json(payload)
    if len(written) > PAYLOAD_LIMIT_BYTES:
        raise EffectTooLarge(f"{len(written)} bytes for {kind}, at most {PAYLOAD_LIMIT_BYTES}")
    if not isinstance(from_json(written, allow_inf_nan=False), dict):
        raise ValueError(f"{kind}: the payload is not a JSON object")
    return Requested(new_id(), kind, target, key, written.decode(), tracing.current_traceparent())


async def append(sql: asyncpg.Connection, requested: Sequence[Requested]) -> None:
    await sql.execute(
        APPEND,
        [each.id for each in requested],
        [each.kind for each in requested],
        [each.target for each in requested],
        [each.key for each in requested],
        [each.payload for each in requested],
        [each.traceparent for each in requested],
    )
