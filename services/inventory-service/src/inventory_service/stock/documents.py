"""Receipts, adjustments and transfers: each document is kept as it was sent, and its reference makes it count once."""

import json
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from crossdock_chassis import Actor, Content, Unit, WrongQuantity, new_id, record_action
from crossdock_chassis import in_base_units as to_base_units
from crossdock_events import Cause
from inventory_service.stock import store
from inventory_service.stock.model import (
    DuplicateReference,
    Movement,
    Stock,
    UnknownItem,
    UnknownLocation,
    WrongQuantities,
)
from inventory_service.stock.views import DocumentKind, DocumentView, Recorded

CLAIM = """
    INSERT INTO documents (id, kind, partner, reference, body, recorded_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT DO NOTHING RETURNING id
"""

FIND = """
    SELECT id, body::text, base_quantities, recorded_at FROM documents
    WHERE kind = $1 AND partner = $2 AND reference = $3
"""

MEASURE = "UPDATE documents SET base_quantities = $2::bigint[] WHERE id = $1"

KNOWN_LOCATIONS = "SELECT location_id FROM locations WHERE location_id = ANY($1::text[])"


class Part(NamedTuple):
    """A line of a document. Without a unit, the quantity is in base units."""

    item_id: str
    quantity: float
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """`content` is stored. The same reference with other content is refused.

    `owner` is the partner or the operator whose reference it is. `operator` is there if an operator acts.
    """

    kind: DocumentKind
    owner: str
    reference: str
    lines: tuple[Part, ...]
    content: Content
    cause: Cause
    operator: Actor | None = None
    reason: str | None = None


async def record(
    unit: Unit,
    document: Document,
    moves: Sequence[tuple[int, str]],
    locations: Mapping[str, str],
) -> Recorded:
    """Apply each of `moves` to every line, unless the document was recorded before.

    A move is a sign (+1 or -1) and a location. `locations` has the locations by their field in the request.

    Raise DuplicateReference, UnknownLocation, UnknownItem, WrongQuantities or TooMuch. Raise NotEnoughFree if the
    document would take stock that is reserved for orders.
    """
    recorded = await claim(unit, document)
    if recorded.created:
        stock = await lock(unit, document.lines, locations)
        move(stock, await measure(unit, recorded, document), moves)
        stock.check()
        await store.write(unit, stock)
    return recorded


def move(stock: Stock, document: Document, moves: Sequence[tuple[int, str]], reason: str | None = None) -> None:
    """Apply each of `moves` to every line of the document. Its quantities are in base units."""
    why = document.cause.correlation_id
    for item, quantity, _ in document.lines:
        for sign, location in moves:
            moved = Movement(
                item,
                location,
                sign * int(quantity),
                0,
                document.kind,
                document.reference,
                None,
                reason,
                why,
                document.owner,
            )
            stock.move(moved, document.cause)


async def measure(unit: Unit, recorded: Recorded, document: Document) -> Document:
    """Return the document in base units and record them. Locked items keep their units. Raise WrongQuantities."""
    measured = await in_base_units(unit, document)
    if measured is not document:
        quantities = [int(part.quantity) for part in measured.lines]
        await unit.sql.execute(MEASURE, recorded.document.id, quantities)
        recorded.document.measure(quantities)
    return measured


async def in_base_units(unit: Unit, document: Document) -> Document:
    """Return the document with its quantities in base units. Raise UnknownItem or WrongQuantities."""
    parts = document.lines
    if all(part.unit is None and isinstance(part.quantity, int) for part in parts):
        return document
    units = await store.units(unit, {part.item_id for part in parts})
    _check_known(parts, units)
    found, errors = [], []
    for i, part in enumerate(parts):
        try:
            found.append(Part(part.item_id, to_base_units(part.quantity, part.unit, *units[part.item_id])))
        except WrongQuantity as error:
            errors.append({"pointer": f"/lines/{i}/{error.field}", "detail": error.detail, "code": error.code})
    if errors:
        raise WrongQuantities(f"{errors[0]['pointer']}: {errors[0]['detail']}", errors)
    return replace(document, lines=tuple(found))


async def claim(unit: Unit, document: Document) -> Recorded:
    """Insert the document. Return the existing one if it has the same content; raise DuplicateReference if not."""
    kind, reference, sent = document.kind, document.reference, document.content
    id = new_id()
    if await unit.sql.fetchval(CLAIM, id, kind, document.owner, reference, sent.document.decode(), unit.now):
        if document.operator is not None:
            after = {"reference": reference, "lines": len(document.lines)}
            action, target = f"{kind}:record", f"/v1/{kind}s/{id}"
            await record_action(unit, document.operator, action, target, why=document.reason, after=after)
        return Recorded(document=DocumentView.of(id, kind, json.loads(sent.document), unit.now), created=True)
    row = await unit.sql.fetchrow(FIND, kind, document.owner, reference)
    if (place := sent.difference(row["body"])) is not None:
        raise DuplicateReference(
            f"The reference {reference} names a {kind} with another value at {place}", f"/v1/{kind}s/{row['id']}", place
        )
    view = DocumentView.of(row["id"], kind, json.loads(row["body"]), row["recorded_at"])
    view.measure(row["base_quantities"])
    return Recorded(document=view, created=False)


async def lock(unit: Unit, parts: Sequence[Part], locations: Mapping[str, str], others: Collection[str] = ()) -> Stock:
    """Lock and read the stock of the parts' items and of the `others`. Raise UnknownLocation or UnknownItem."""
    known = {row["location_id"] for row in await unit.sql.fetch(KNOWN_LOCATIONS, list(locations.values()))}
    if missing := [field for field, location in locations.items() if location not in known]:
        raise UnknownLocation("No location has this id", [_error(f"/{field}", "unknown_location") for field in missing])
    heads = await store.lock(unit, {part.item_id for part in parts}.union(others))
    _check_known(parts, heads)
    return await store.read(unit, heads)


def _check_known(parts: Sequence[Part], items: Container[str]) -> None:
    if wrong := [i for i, part in enumerate(parts) if part.item_id not in items]:
        raise UnknownItem("No item has this id", [_error(f"/lines/{i}/item_id", "unknown_item") for i in wrong])


def _error(pointer: str, code: str) -> dict[str, str]:
    return {"pointer": pointer, "detail": code.replace("_", " "), "code": code}
