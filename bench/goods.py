"""Generate the items, stock and orders of the bench. They are synthetic, and identical for the same seed.

The assortment is that of a mid-sized wholesaler: a thousand items, of which few sell often (Zipf, exponent 1). The
stock at two locations is large enough to confirm every order. An order has three different items, a delivery address
and a customer. `Shape` describes other orders.
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

ITEMS: Final = 1_000
LINES: Final = 3
LOCATIONS: Final = ("dc-north", "dc-south")
STOCK: Final = 500_000
"""Units of each item at each location."""
CITIES: Final = (
    ("Cincinnati", "OH", "45202"),
    ("Columbus", "OH", "43215"),
    ("Louisville", "KY", "40202"),
    ("Indianapolis", "IN", "46204"),
)


@dataclass(frozen=True, slots=True)
class Item:
    id: str
    cents: int


@dataclass(frozen=True, slots=True)
class Shape:
    """`always`: an item that is in the first line of each order. `partial`: an order may be served in parts."""

    lines: int = LINES
    always: str | None = None
    partial: bool = False


PLAIN: Final = Shape()


class Assortment:
    def __init__(self, size: int = ITEMS, seed: int = 1) -> None:
        prices = random.Random(seed)
        self.items = [Item(f"BENCH-{number:05}", prices.randrange(99, 9_999)) for number in range(1, size + 1)]
        self._weights = list(accumulate(1 / rank for rank in range(1, size + 1)))

    def pick(self, chance: random.Random, count: int) -> list[Item]:
        """Choose `count` different items, popular ones more often."""
        found: dict[str, Item] = {}
        while len(found) < count:
            for item in chance.choices(self.items, cum_weights=self._weights, k=count):
                if len(found) < count:
                    found[item.id] = item
        return list(found.values())


def orders(
    count: int, prefix: str, seed: int, assortment: Assortment, shape: Shape = PLAIN
) -> Iterator[dict[str, Any]]:
    """Yield bodies of `POST /v1/orders` with the references `<prefix>-1`, `<prefix>-2` and so on."""
    chance = random.Random(seed)
    for number in range(1, count + 1):
        lines, cents = [], 0
        always = [] if shape.always is None else [Item(shape.always, 999)]
        picked = assortment.pick(chance, shape.lines - len(always))
        for position, item in enumerate([*always, *picked], start=1):
            quantity = 1 if item in always else chance.randint(1, 6)
            cents += quantity * item.cents
            lines.append(
                {
                    "line_id": str(position),
                    "item_id": item.id,
                    "quantity": quantity,
                    "unit_price": money(item.cents),
                }
            )
        city, region, postcode = chance.choice(CITIES)
        yield {
            "reference": f"{prefix}-{number}",
            "customer_id": f"C-{chance.randrange(5_000)}",
            "priority": chance.choice((5, 5, 5, 5, 5, 5, 5, 5, 3, 8)),
            "ship_to": {
                "name": "Receiving dock",
                "street": f"{chance.randrange(1, 999)} Vine Street",
                "city": city,
                "region": region,
                "postcode": postcode,
                "country": "US",
            },
            "currency": "USD",
            "lines": lines,
            "total": money(cents),
            **({"partial": True} if shape.partial else {}),
        }


def bodies(count: int, prefix: str, seed: int, assortment: Assortment, shape: Shape = PLAIN) -> list[bytes]:
    made = orders(count, prefix, seed, assortment, shape)
    return [json.dumps(each, separators=(",", ":")).encode() for each in made]


def batches(lines: list[bytes], size: int) -> list[bytes]:
    """Split the lines into NDJSON bodies of `size` lines."""
    return [b"\n".join(lines[start : start + size]) + b"\n" for start in range(0, len(lines), size)]


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def items_csv(items: Iterable[str]) -> str:
    rows = (f"{item},Article {item},each,general" for item in items)
    return "\n".join(["item_id,description,unit_of_measure,category", *rows, ""])


def locations_csv() -> str:
    rows = (f"{name},{name},{rank}" for rank, name in enumerate(LOCATIONS, start=1))
    return "\n".join(["location_id,name,rank", *rows, ""])


def stock_csv(units: Mapping[str, int], reference: str) -> str:
    """Render the opening stock: so many units of each item at each location."""
    rows = (f"{reference},{place},{item},{count}" for item, count in units.items() for place in LOCATIONS if count)
    return "\n".join(["reference,location_id,item_id,quantity", *rows, ""])
