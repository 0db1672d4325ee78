"""The schemas and examples of all events, as the contracts declare them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from crossdock_events import CATALOGUE, Event
from crossdock_events.examples import EXAMPLES


class NoSuchSchema(Exception):
    def __init__(self, ce_type: str) -> None:
        super().__init__(f"No event has the type {ce_type}")


@dataclass(frozen=True, slots=True)
class File:
    """A JSON document and its version, which changes with its bytes."""

    content: bytes
    version: str


@dataclass(frozen=True, slots=True)
class Published:
    """The files of one type. `examples` are structured CloudEvents by their label."""

    contract: type[Event]
    schema: File
    examples: File


@cache
def published() -> Mapping[str, Published]:
    """Return the files by type, in the order of the types. Kept, because to make them takes 85 ms."""
    examples: dict[str, dict[str, Any]] = {}
    for each in EXAMPLES:
        event = json.loads(each.envelope.encode_structured().value)
        examples.setdefault(each.envelope.event.ce_type, {})[each.label] = event
    schemas = CATALOGUE.schemas()
    return {
        ce_type: Published(CATALOGUE[ce_type], _file(schemas[ce_type]), _file(examples.get(ce_type, {})))
        for ce_type in sorted(schemas)
    }


def _file(document: object) -> File:
    content = json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
    return File(content, hashlib.sha256(content).hexdigest()[:32])
