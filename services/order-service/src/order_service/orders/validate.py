"""Validate orders without placing them."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from crossdock_chassis import Unit
from order_service.orders import store
from order_service.orders.draft import Draft
from order_service.orders.model import DuplicateReference
from order_service.orders.place import document_of, fingerprint_of, refusals


@dataclass(frozen=True, slots=True)
class ValidateOrder:
    """`draft` is settled."""

    partner: str
    draft: Draft


class LineAmount(BaseModel):
    line_id: str
    amount: str


class Valid(BaseModel):
    """The order would be placed, with these amounts."""

    reference: str
    exists: bool = Field(
        description="The order was placed before with the same content. Placing it again changes nothing"
    )
    currency: str
    lines: list[LineAmount]
    total: str


async def validate_orders(unit: Unit, batch: Sequence[ValidateOrder]) -> list[Valid | Exception]:
    refused = await refusals(unit, [command.draft for command in batch])
    existing = await store.named(unit, {(command.partner, command.draft.reference) for command in batch})
    answers: list[Valid | Exception] = []
    for i, command in enumerate(batch):
        draft = command.draft
        found = existing.get((command.partner, draft.reference))
        if found is not None and found.fingerprint != fingerprint_of(document_of(draft)):
            answers.append(DuplicateReference(draft.reference, found.id))
        elif found is None and i in refused:
            answers.append(refused[i])
        else:
            answers.append(
                Valid(
                    reference=draft.reference,
                    exists=found is not None,
                    currency=draft.currency,
                    lines=[LineAmount(line_id=line.line_id, amount=str(line.amount)) for line in draft.lines],
                    total=str(draft.total),
                )
            )
    return answers
