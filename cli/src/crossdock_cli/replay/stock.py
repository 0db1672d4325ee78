"""Compute the opening stock of the day. It is synthetic, because the data contains sales and no stock levels."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from crossdock_cli.replay.data import HISTORY, Product

COVER_DAYS = 5
CASE = 6


@dataclass(frozen=True, slots=True)
class Location:
    """`rank`: stock is reserved at the location with the lowest rank first."""

    id: str
    name: str
    rank: int


NORTH = Location("dc-north", "Northern distribution centre (synthetic)", 1)
SOUTH = Location("dc-south", "Southern distribution centre (synthetic)", 2)
LOCATIONS = (NORTH, SOUTH)


@dataclass(frozen=True, slots=True)
class Opening:
    item_id: str
    location_id: str
    quantity: int


def units(sold_before: int) -> int:
    """Return five average days of the sales of the four weeks before, but at least a case of six.

    The sales of the day itself are deliberately not used. Stock therefore covers most orders, but not the products
    that people buy more of before a holiday.
    """
    return max(CASE, ceil(sold_before * COVER_DAYS / HISTORY.days))


def opening(products: Iterable[int], sold_before: Mapping[int, int]) -> Iterator[Opening]:
    """Yield half of each product for each location, sorted by product. The north has the odd unit."""
    for product in sorted(products):
        total = units(sold_before.get(product, 0))
        yield Opening(str(product), NORTH.id, total - total // 2)
        yield Opening(str(product), SOUTH.id, total // 2)


def locations_csv() -> str:
    return _csv(("location_id", "name", "rank"), ((place.id, place.name, place.rank) for place in LOCATIONS))


def items_csv(products: Iterable[Product]) -> str:
    rows = ((str(product.id), product.name, "each", product.category or "") for product in products)
    return _csv(("item_id", "description", "unit_of_measure", "category"), rows)


def opening_csv(stock: Sequence[Opening], reference: str) -> str:
    rows = ((reference, each.location_id, each.item_id, each.quantity) for each in stock)
    return _csv(("reference", "location_id", "item_id", "quantity"), rows)


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
