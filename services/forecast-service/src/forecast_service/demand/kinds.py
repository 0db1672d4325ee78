"""The file of demand that clients import: its columns and the rules of its rows."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import Field

from crossdock_chassis import Column, ImportKind, Sheet
from forecast_service.conventions import FIRST_DAY, Id, Region
from forecast_service.demand.parquet import Parquet
from forecast_service.demand.take import take_demand

MOST: Final = 10**12

Quantity = Annotated[int, Field(ge=0, le=MOST)]
Price = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=6)]
Day = Annotated[date, Field(ge=FIRST_DAY, description="a day such as 2026-11-30, from 1990 on")]


def _complete(cells: dict[str, Any], arguments: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Fill in the columns that a file may leave out. Yield the errors of the whole row."""
    for name in ("location_id", "region"):
        cells.setdefault(name, None)
    if cells["location_id"] is not None and cells["region"] is not None:
        yield "region", "must be empty if the row names a location"
    day = cells.get("day")
    if isinstance(day, date) and day > datetime.now(UTC).date() + timedelta(days=1):
        yield "day", "is in the future"


_DEMAND: Final = Sheet(
    (
        Column("item_id", Id, required=True, example="SKU-1"),
        Column("day", Day, required=True, example="2026-01-31"),
        Column("quantity", Quantity, required=True, example="12"),
        Column("location_id", Id, example=""),
        Column("region", Region, example=""),
        Column("price", Price, example="2.49"),
        Column("promotion", bool, example="false"),
        Column("in_stock", bool, example="true"),
    ),
    key=("item_id", "location_id", "region", "day"),
    rule=_complete,
)


def demand() -> Sheet:
    return _DEMAND


DEMAND: Final = ImportKind("demand", demand, take_demand, refuses=False)
DEMAND_PARQUET: Final = ImportKind("demand-parquet", demand, take_demand, Parquet, heavy=True, refuses=False)
