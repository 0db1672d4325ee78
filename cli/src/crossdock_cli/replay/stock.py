"""The stock the day opens with. Synthetic: the data says what was sold, never what lay on the shelves."""

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
    """`rank`: the lower one is asked first."""

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
    """Five days of what the four weeks before sold, a case of six at least.

    Deliberately blind to the day itself: most of it is covered, and what people buy more of before a holiday is not.
    """
    return max(CASE, ceil(sold_before * COVER_DAYS / HISTORY.days))


def opening(products: Iterable[int], sold_before: Mapping[int, int]) -> Iterator[Opening]:
    """Half of each product in the north, which has the odd one, half in the south; sorted by product."""
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
