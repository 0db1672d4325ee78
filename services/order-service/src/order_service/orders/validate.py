"""Validate orders without placing them."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, Field

from crossdock_chassis import Unit
from order_service.orders.model import DuplicateReference
from order_service.orders.place import NONE, SentOrder, existing, look


class LineAmount(BaseModel):
    line_id: str
    base_quantity: Annotated[int | None, Field(description="In base units, if the line names a unit")] = None
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


async def validate_orders(unit: Unit, batch: Sequence[SentOrder]) -> list[Valid | Exception]:
    refused, base = await look(unit, batch)
    answers: list[Valid | Exception] = []
    for i, (order, found) in enumerate(zip(batch, await existing(unit, batch), strict=True)):
        draft = order.draft
        if isinstance(found, DuplicateReference):
            answers.append(found)
        elif found is None and i in refused:
            answers.append(refused[i])
        else:
            answers.append(
                Valid(
                    reference=draft.reference,
                    exists=found is not None,
                    currency=draft.currency,
                    lines=[
                        LineAmount(
                            line_id=line.line_id,
                            base_quantity=base.get(i, NONE).get(line.line_id),
                            amount=str(line.amount),
                        )
                        for line in draft.lines
                    ],
                    total=str(draft.total),
                )
            )
    return answers
