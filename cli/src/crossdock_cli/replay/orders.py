"""From receipts to orders: which lines and baskets count, and the body that is posted for each.

A basket becomes one order of its store. Money is exact: cents in, `Decimal` in between, decimal strings out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from crossdock_cli.replay.data import Basket, Sale

METERED = 1_000
"""A quantity from here up is not a number of goods: fuel is recorded in thousandths of a gallon, under the product
category COUPON/MISC ITEMS. Everything else sold that day has a quantity of at most 16."""

CENT = Decimal("0.01")
COUPON_CODE = "manufacturer-coupon"


class Rule(StrEnum):
    """Why a line is left out."""

    ZERO = "zero quantity"
    METERED = "fuel and coupon lines (quantity in the thousands)"


@dataclass(frozen=True, slots=True)
class Order:
    """One POST. `partner` is who sends it; `at` is when the basket was rung up."""

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
    """`orders` and the skipped baskets add up to the day's baskets, their lines and the skipped lines to its lines."""

    orders: list[Order] = field(default_factory=list)
    skipped_baskets: dict[Rule, int] = field(default_factory=lambda: dict.fromkeys(Rule, 0))
    skipped_lines: dict[Rule, int] = field(default_factory=lambda: dict.fromkeys(Rule, 0))

    @property
    def baskets(self) -> int:
        return len(self.orders) + sum(self.skipped_baskets.values())


def clean(baskets: Iterable[Basket]) -> Cleaned:
    """A basket without a line left is skipped under the rule that took most of its lines, METERED when level."""
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
    """Lines in the order of the receipt, a product twice on it stays two lines.

    A coupon counts for the basket even where it was recorded as a line of its own without goods (quantity zero).
    """
    kept = [sale for sale in basket.sales if not broken_rule(sale)]
    subtotal = sum((cents(sale.value) for sale in kept), Decimal(0))
    coupons = sum((cents(sale.coupon) for sale in basket.sales if sale.quantity < METERED), Decimal(0))
    coupons = min(coupons, subtotal)  # a till gives no money back; on the replayed day this changes nothing
    total = (subtotal - coupons).quantize(CENT)
    body = {
        "reference": str(basket.id),
        "customer_id": f"household-{basket.household}",
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
    if sale.value % sale.quantity:  # three for $5.00: a price in whole cents would not come back to what was paid
        return line | {"amount": str(cents(sale.value))}
    return line | {"unit_price": str(cents(sale.value // sale.quantity))}
