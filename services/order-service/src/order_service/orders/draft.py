"""An order as a partner sends it: one body of `POST /v1/orders`, one line of a batch, one body to validate."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema, to_json

from crossdock_chassis import Number
from crossdock_events import IDENTIFIER, Printable
from order_service.orders.codes import COUNTRIES, EXPONENTS
from order_service.orders.model import InvalidOrder
from order_service.orders.money import QUANTA, amount_of, exact, tidy, total_of


@dataclass(frozen=True, slots=True)
class _DecimalText:
    """A decimal as a JSON string without sign or exponent. A JSON number could pass through a binary float."""

    digits: int
    example: str

    @property
    def pattern(self) -> str:
        return rf"^[0-9]{{1,{self.digits}}}(\.[0-9]{{1,6}})?$"

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.chain_schema(
            [
                core_schema.str_schema(strict=True, pattern=self.pattern),
                core_schema.no_info_plain_validator_function(Decimal),
            ],
            serialization=core_schema.to_string_ser_schema(when_used="json"),
        )

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": self.pattern, "examples": [self.example]}


MAX_LINES: Final = 2_000
FEW_LINES: Final = 500
MAX_ID_BYTES: Final = 200_000
"""Events repeat the ids of every line, and an event has at most 900,000 bytes: see ADR 0033."""
LINES: Final = f"Beyond {FEW_LINES} lines, the ids of all lines together have at most {MAX_ID_BYTES:,} bytes in JSON"

UnitPrice = Annotated[Decimal, _DecimalText(9, "9.99")]
Amount = Annotated[Decimal, _DecimalText(15, "29.97")]
Identifier = Annotated[str, IDENTIFIER, Field(description=IDENTIFIER.rule)]
CustomerId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]


_PERSONAL: Final = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+|\+(?:[\s().-]*[0-9]){6,}[\s().-]*")
"""A mail address, or a phone number with its country code. Bare digits may be the partner's own number."""


class _Part(BaseModel):
    """Nothing is coerced: `"3"` is no quantity, `1` is no flag. Undeclared members are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class DraftLine(_Part):
    line_id: Annotated[str, Printable(36)]
    item_id: Identifier
    quantity: Annotated[
        float, Number(0.000001, 1_000_000, places=6), Field(description="Whole, unless the line names a `unit`")
    ]
    unit: Annotated[
        str | None,
        Field(
            pattern="^[a-z][a-z0-9_]{0,31}$",
            description="A unit of the item, such as kg. The quantity in base units must be whole. Prices are per unit",
        ),
    ] = None
    unit_price: Annotated[
        UnitPrice | None,
        Field(description="At most 6 decimal places. Send it, `amount` or `net_amount`, or it and one of them"),
    ] = None
    discount: Annotated[
        Amount | None, Field(description="Taken off the line, of which it is a part; the line needs a `unit_price`")
    ] = None
    amount: Annotated[
        Amount | None,
        Field(description="quantity * unit_price, rounded half-up, - discount; another amount is refused"),
    ] = None
    net_amount: Annotated[
        Amount | None,
        Field(
            description="The amount of an invoice line, taken as it is: the discount is whatever remains. "
            "Send it instead of `amount` and `discount`"
        ),
    ] = None


class Address(_Part):
    """Only the country is required. The address stays here; events carry country, region and outward postcode."""

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    street: Annotated[str, Field(min_length=1, max_length=400)] | None = None
    city: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    region: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    postcode: Annotated[str, Field(min_length=1, max_length=16)] | None = None
    country: Annotated[str, Field(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]


class Discount(_Part):
    code: Identifier
    amount: Amount


class Draft(_Part):
    """An order. A member that is null or empty and a member that is absent are the same.

    `Content` compares repeated orders. A new field must be `X | None = None`: then an order that was first sent before
    the field existed still compares equal.
    """

    model_config = ConfigDict(
        title="Order",
        json_schema_extra={
            "examples": [
                {
                    "reference": "PO-1",
                    "currency": "USD",
                    "lines": [{"line_id": "1", "item_id": "SKU-1", "quantity": 3, "unit_price": "9.99"}],
                    "total": "29.97",
                },
                {
                    "reference": "INV-7",
                    "currency": "EUR",
                    "lines": [
                        {"line_id": "1", "item_id": "SKU-1", "quantity": 3, "unit_price": "9.99", "discount": "3.00"},
                        {
                            "line_id": "2",
                            "item_id": "SKU-2",
                            "quantity": 7,
                            "unit_price": "0.333",
                            "net_amount": "2.30",
                        },
                    ],
                    "total": "29.27",
                },
                {
                    "reference": "PO-2",
                    "currency": "EUR",
                    "lines": [
                        {"line_id": "1", "item_id": "FLOUR", "quantity": 2.5, "unit": "kg", "unit_price": "1.20"}
                    ],
                    "total": "3.00",
                },
            ]
        },
    )

    reference: Annotated[Identifier, Field(description="The partner's own reference, unique among its orders")]
    replaces: Annotated[
        UUID | None,
        Field(description="Your cancelled order with this reference, to order it anew. It has one successor"),
    ] = None
    customer_id: Annotated[
        CustomerId | None, Field(description="An opaque id. Mail addresses and phone numbers are refused")
    ] = None
    priority: Annotated[int, Number(0, 9), Field(description="9 is most urgent")] = 5
    requested_date: date | None = None
    partial: Annotated[bool, Field(description="Whether the order may be served in parts while the rest waits")] = False
    ship_to: Address | None = None
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217")]
    lines: Annotated[list[DraftLine], Field(min_length=1, max_length=MAX_LINES, description=LINES)]
    discounts: Annotated[list[Discount], Field(default_factory=list, max_length=50)]
    shipping: Amount = Decimal(0)
    tax: Amount = Decimal(0)
    total: Annotated[Amount, Field(description="Σ line amounts - Σ discounts + shipping + tax, exactly")]
    payment_reference: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    notes: Annotated[str, Field(max_length=2000)] | None = None
    metadata: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[str, Field(max_length=500)]],
        Field(default_factory=dict, max_length=20),
    ]


def settle(draft: Draft) -> Draft:
    """Fill in the amount of each line, and give each number one form: an amount has the currency's decimal places.

    Raise InvalidOrder with all errors. If only the total is wrong, the error carries the computed total.
    """
    exponent = EXPONENTS.get(draft.currency)
    if exponent is None:
        raise InvalidOrder([_error("/currency", "unknown_currency", "the code is not a currency of ISO 4217")])
    quantum = QUANTA[exponent]
    errors = [*_line_errors(draft, quantum), *_charge_errors(draft, quantum)]
    if draft.customer_id is not None and _PERSONAL.fullmatch(unicodedata.normalize("NFKC", draft.customer_id).strip()):
        errors.append(_error("/customer_id", "personal_data", "send your own id of the customer: events carry it"))
    if draft.ship_to is not None and draft.ship_to.country not in COUNTRIES:
        errors.append(_error("/ship_to/country", "unknown_country", "the code is not a country of ISO 3166-1"))
    if errors:
        raise InvalidOrder(errors)
    total = total_of(
        [line.amount for line in draft.lines if line.amount is not None],
        [discount.amount for discount in draft.discounts],
        draft.shipping,
        draft.tax,
    )
    if total != draft.total:
        error = _error("/total", "wrong_total", f"the lines, discounts, shipping and tax add up to {total}")
        raise InvalidOrder([error], extra={"computed_total": str(total)})
    if total < 0:
        raise InvalidOrder(
            [_error("/discounts", "negative_total", "the discounts are more than lines, shipping and tax together")]
        )
    if not draft.total.same_quantum(total):
        draft.total = total
    return draft


def _line_errors(draft: Draft, quantum: Decimal) -> Iterator[dict[str, str]]:
    if len(draft.lines) > FEW_LINES and _id_bytes(draft.lines) > MAX_ID_BYTES:
        yield _error("/lines", "ids_too_long", LINES)
    seen: set[str] = set()
    for i, line in enumerate(draft.lines):
        if line.line_id in seen:
            yield _error(f"/lines/{i}/line_id", "repeated_line_id", "another line has this line_id")
        seen.add(line.line_id)
        if line.unit is None and type(line.quantity) is not int:
            yield _error(f"/lines/{i}/quantity", "not_whole", "a quantity without a unit is whole; name its unit")
            continue
        if line.unit_price is not None and (tidied := tidy(line.unit_price, quantum)) is not line.unit_price:
            line.unit_price = tidied  # only if it changes, because pydantic takes a microsecond to set a field
        if line.discount is not None or line.net_amount is not None:
            yield from _discount_errors(i, line, quantum, draft.currency)
        elif line.unit_price is not None:
            amount = amount_of(line.quantity, line.unit_price, quantum)
            if line.amount is not None and line.amount != amount:
                detail = f"quantity * unit_price rounds to {amount}"
                yield _error(f"/lines/{i}/amount", "amount_disagrees", detail)
            line.amount = amount
        elif line.amount is None:
            yield _error(f"/lines/{i}", "no_price", "a line needs a unit_price, an amount or a net_amount")
        elif (amount_as_sent := exact(line.amount, quantum)) is None:
            yield _too_fine(f"/lines/{i}/amount", draft.currency)
        else:
            line.amount = amount_as_sent


def _discount_errors(i: int, line: DraftLine, quantum: Decimal, currency: str) -> Iterator[dict[str, str]]:
    """Settle a line with a discount or a net amount, so that amount = rounded quantity * unit_price - discount.

    The net amount leaves the line, because the amount has its value.
    """
    gross = None if line.unit_price is None else amount_of(line.quantity, line.unit_price, quantum)
    if line.net_amount is not None:
        amount = exact(line.net_amount, quantum)
        if line.discount is not None or line.amount is not None:
            detail = "send net_amount alone, or amount and discount"
            yield _error(f"/lines/{i}/net_amount", "two_amounts", detail)
        elif amount is None:
            yield _too_fine(f"/lines/{i}/net_amount", currency)
        else:
            line.amount, line.net_amount = amount, None
            line.discount = None if gross is None or gross == amount else gross - amount
    elif line.discount is not None:
        discount = exact(line.discount, quantum)
        if gross is None:
            yield _error(f"/lines/{i}/discount", "no_unit_price", "a discount needs a unit_price")
        elif discount is None:
            yield _too_fine(f"/lines/{i}/discount", currency)
        elif discount > gross:
            yield _error(f"/lines/{i}/discount", "discount_too_large", f"quantity * unit_price is only {gross}")
        elif line.amount is not None and line.amount != gross - discount:
            detail = f"quantity * unit_price - discount rounds to {gross - discount}"
            yield _error(f"/lines/{i}/amount", "amount_disagrees", detail)
        else:
            line.amount, line.discount = gross - discount, discount or None


def _id_bytes(lines: list[DraftLine]) -> int:
    return sum(len(to_json(each)) - 2 for line in lines for each in (line.line_id, line.item_id))


def _charge_errors(draft: Draft, quantum: Decimal) -> Iterator[dict[str, str]]:
    for i, discount in enumerate(draft.discounts):
        if (amount := exact(discount.amount, quantum)) is None:
            yield _too_fine(f"/discounts/{i}/amount", draft.currency)
        else:
            discount.amount = amount
    if (shipping := exact(draft.shipping, quantum)) is None:
        yield _too_fine("/shipping", draft.currency)
    else:
        draft.shipping = shipping
    if (tax := exact(draft.tax, quantum)) is None:
        yield _too_fine("/tax", draft.currency)
    else:
        draft.tax = tax


def _too_fine(pointer: str, currency: str) -> dict[str, str]:
    return _error(pointer, "too_many_places", f"{currency} amounts have at most {EXPONENTS[currency]} decimal places")


def _error(pointer: str, code: str, detail: str) -> dict[str, str]:
    return {"pointer": pointer, "detail": detail, "code": code}
