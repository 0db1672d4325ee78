"""Convert receipts to orders: skip lines and baskets by rules, and build the body of each order.

A basket becomes one order of its store. Amounts are exact: integer cents, then `Decimal`, then decimal strings.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from crossdock_cli.replay.data import METERED, Basket, Sale

CENT = Decimal("0.01")
COUPON_CODE = "manufacturer-coupon"


class Rule(StrEnum):
    """The reason why a line is skipped."""

    ZERO = "zero quantity"
    METERED = "fuel and coupon lines (quantity in the thousands)"


@dataclass(frozen=True, slots=True)
class Order:
    """One POST request. `partner`: the sender. `at`: the recorded time of the basket."""

    partner: str
    reference: str
    at: datetime
    body: dict[str, Any]
    total: Decimal

    @property
    def items(self) -> frozenset[str]:
        return frozenset(line["item_id"] for line in self.body["lines"])


@dataclass(slots=True)
class Cleaned:
    """Orders plus skipped baskets are all baskets of the day; lines of orders plus skipped lines are all its lines."""

    orders: list[Order] = field(default_factory=list)
    skipped_baskets: dict[Rule, int] = field(default_factory=lambda: dict.fromkeys(Rule, 0))
    skipped_lines: dict[Rule, int] = field(default_factory=lambda: dict.fromkeys(Rule, 0))

    @property
    def baskets(self) -> int:
        return len(self.orders) + sum(self.skipped_baskets.values())


def clean(baskets: Iterable[Basket]) -> Cleaned:
    """Convert baskets to orders. Count a skipped basket under the rule that skipped most lines, METERED if equal."""
    cleaned = Cleaned()
    for basket in baskets:
        broken = [rule for sale in basket.sales if (rule := broken_rule(sale))]
        for rule in broken:
            cleaned.skipped_lines[rule] += 1
        if len(broken) < len(basket.sales):
            cleaned.orders.append(order_of(basket))
        else:
            zeros = broken.count(Rule.ZERO)
            cleaned.skipped_baskets[Rule.ZERO if zeros * 2 > len(broken) else Rule.METERED] += 1
    return cleaned


def broken_rule(sale: Sale) -> Rule | None:
    if sale.quantity <= 0:
        return Rule.ZERO
    return Rule.METERED if sale.quantity >= METERED else None


def order_of(basket: Basket) -> Order:
    """Return the order of a basket. Lines keep the order of the receipt; a repeated product stays two lines.

    A coupon counts for the basket even if it was recorded as a line of its own without goods (quantity zero).
    """
    kept = [sale for sale in basket.sales if not broken_rule(sale)]
    subtotal = sum((cents(sale.value) for sale in kept), Decimal(0))
    coupons = sum((cents(sale.coupon) for sale in basket.sales if sale.quantity < METERED), Decimal(0))
    coupons = min(coupons, subtotal)  # a total is never negative; on the replayed day this changes nothing
    total = (subtotal - coupons).quantize(CENT)
    body = {
        "reference": str(basket.id),
        "customer_id": f"household-{basket.household}",
        "requested_date": basket.at.date().isoformat(),
        "currency": "USD",
        "lines": [_line(number, sale) for number, sale in enumerate(kept, start=1)],
        "discounts": [{"code": COUPON_CODE, "amount": str(coupons.quantize(CENT))}] if coupons else [],
        "total": str(total),
        "metadata": {"source": "complete-journey", "recorded-at": basket.at.isoformat(timespec="seconds")},
    }
    return Order(f"store-{basket.store}", str(basket.id), basket.at, body, total)


def cents(number: int) -> Decimal:
    return Decimal(number).scaleb(-2)


def _line(number: int, sale: Sale) -> dict[str, Any]:
    line: dict[str, Any] = {"line_id": str(number), "item_id": str(sale.product), "quantity": sale.quantity}
    if sale.value % sale.quantity:  # three for $5.00: no unit price in whole cents gives this amount
        return line | {"amount": str(cents(sale.value))}
    return line | {"unit_price": str(cents(sale.value // sale.quantity))}
