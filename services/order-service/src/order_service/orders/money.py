"""Compute amounts by the stated rule.

- line amount = quantity * unit price, rounded half-up to the currency's ISO 4217 exponent, - line discount
- line discount of a line with a net amount = what makes this true; it is negative if the net amount is larger
- total = Σ line amounts - Σ discounts + shipping + tax, exactly

All amounts are `Decimal`. The limits of an order keep every result within the 28 digits of the default context.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from crossdock_chassis import exactly

QUANTA: Final = tuple(Decimal(1).scaleb(-exponent) for exponent in range(5))
"""The smallest amount of a currency, by its exponent."""


def amount_of(quantity: float, unit_price: Decimal, quantum: Decimal) -> Decimal:
    return ((quantity if type(quantity) is int else exactly(quantity)) * unit_price).quantize(quantum, ROUND_HALF_UP)


def total_of(amounts: Iterable[Decimal], discounts: Iterable[Decimal], shipping: Decimal, tax: Decimal) -> Decimal:
    return sum(amounts, shipping + tax) - sum(discounts)


def tidy(price: Decimal, quantum: Decimal) -> Decimal:
    """Return a unit price without zeros at its end, but with at least the currency's decimal places."""
    shown = exact(price, quantum)
    return price.normalize() if shown is None else shown


def exact(value: Decimal, quantum: Decimal) -> Decimal | None:
    """Return `value` with the currency's decimal places, or None if rounding would change it."""
    if value.same_quantum(quantum):
        return value
    rounded = value.quantize(quantum, ROUND_HALF_UP)
    return rounded if rounded == value else None
