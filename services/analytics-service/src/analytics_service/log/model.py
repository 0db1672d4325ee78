"""Read from a record the attributes by which it is found. Any bytes are a record, so nothing here raises."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from pydantic_core import from_json

from crossdock_events import CATALOGUE, Envelope, Message

MAX_SEQUENCE: Final = 2**63 - 1
TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-", re.ASCII)
MAX_PARTNER: Final = 200
"""An index row of PostgreSQL could not hold a name of any length. No partner has a longer one."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The attributes of a record. Each is None if the record does not have it in a readable form."""

    type: str | None = None
    event_id: UUID | None = None
    source: str | None = None
    sequence: int | None = None
    correlation_id: UUID | None = None
    causation_id: UUID | None = None
    order_id: UUID | None = None
    partner: str | None = None
    trace_id: UUID | None = None


def facts_of(message: Message) -> Facts:
    """Return the attributes of a record, in binary or structured mode."""
    headers = message.headers
    data = document_of(message.value)
    if "ce_id" not in headers and "ce_type" not in headers:
        return _decoded(message)
    sequence = _text(headers.get("ce_sequence")) or ""
    number = int(sequence) if sequence.isascii() and sequence.isdigit() and len(sequence) <= 20 else None
    return Facts(
        _text(headers.get("ce_type")),
        _uuid(_text(headers.get("ce_id"))),
        _text(headers.get("ce_source")),
        number if number is not None and number <= MAX_SEQUENCE else None,
        _uuid(_text(headers.get("ce_correlationid"))),
        _uuid(_text(headers.get("ce_causationid"))),
        _uuid(data.get("order_id")),
        _partner(data.get("partner")),
        _trace(_text(headers.get("traceparent"))),
    )


def document_of(value: bytes) -> Mapping[str, Any]:
    """Return the data of a record, empty if it is no JSON object."""
    try:
        found = from_json(value)
    except ValueError:
        return {}
    return cast(Mapping[str, Any], found) if isinstance(found, dict) else {}


def _decoded(message: Message) -> Facts:
    decoded = CATALOGUE.decode(message)
    if not isinstance(decoded, Envelope):
        return Facts()
    event, cause = decoded.event, decoded.cause
    return Facts(
        event.ce_type,
        decoded.id,
        decoded.source,
        decoded.sequence,
        cause.correlation_id,
        cause.causation_id,
        _uuid(str(getattr(event, "order_id", ""))),
        _partner(getattr(event, "partner", None)),
        _trace(cause.traceparent),
    )


def _text(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        found = value.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in found else found


def _trace(parent: str | None) -> UUID | None:
    """Return the trace of a W3C `traceparent`."""
    found = TRACEPARENT.match(parent or "")
    return None if found is None else UUID(found[1])


def _uuid(value: object) -> UUID | None:
    if not isinstance(value, str) or len(value) != 36:
        return None
    try:
        return UUID(value)
    except ValueError:
        return None


def _partner(value: object) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_PARTNER:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return None if "\0" in value else value
