"""The columns of the three kinds of import and the rules of their cells. Pure: cells in, typed rows or errors out."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import PlainValidator, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from inventory_service.items.model import (
    MAX_FACTOR,
    MAX_UNITS,
    Category,
    Description,
    ItemId,
    Status,
    UnitOfMeasure,
)
from inventory_service.locations.model import Country, LocationId, Name, Rank
from inventory_service.stock.model import UNIT, Id, OpeningQuantity, Reference, UnitName


def _units(cell: str) -> dict[str, int]:
    found = re.findall(rf"({UNIT})=([0-9]{{1,7}})(?: |$)", cell)
    units = {unit: int(factor) for unit, factor in found}
    if " ".join(f"{unit}={factor}" for unit, factor in found) != cell or len(units) < len(found):
        raise PydanticCustomError("units", "must name each unit once with its factor, such as kg=1000 sack=25000")
    if len(units) > MAX_UNITS or not all(1 <= factor <= MAX_FACTOR for factor in units.values()):
        raise PydanticCustomError(
            "units", f"must have at most {MAX_UNITS} units, each with a factor from 1 to {MAX_FACTOR}"
        )
    return units


Units: TypeAlias = Annotated[dict[str, int], PlainValidator(_units)]
ImportKind: TypeAlias = Literal["items", "locations", "opening-stock"]
MAX_ERRORS: Final = 100
DEFAULT_REFERENCE: Final = "opening"


class ImportRefused(Exception):
    """The file has errors, so nothing was imported. `errors` has the first hundred.

    `wrong` counts the rows with errors. The header counts in `wrong`, but not in `rows`.
    """

    def __init__(self, errors: Sequence["RowError"], rows: int) -> None:
        first, wrong = errors[0], len({error.row for error in errors})
        column = f", column {first.column}" if first.column else ""
        count = f"{wrong} rows are wrong; " if wrong > 1 else ""
        super().__init__(f"{count}row {first.row}{column}: {first.detail}")
        self.errors = [error.shown() for error in errors[:MAX_ERRORS]]
        self.extra: dict[str, object] = {"rows": rows, "wrong": wrong}


class TooManyRows(Exception):
    def __init__(self, limit: int) -> None:
        super().__init__(f"A file has at most {limit} rows")
        self.extra: dict[str, object] = {"limit": limit}


@dataclass(frozen=True, slots=True)
class RowError:
    """`row` counts as a spreadsheet does: the header is row 1. `column` is None for an error of the whole row."""

    row: int
    column: str | None
    detail: str

    def shown(self) -> dict[str, Any]:
        return {"row": self.row, "column": self.column, "detail": self.detail}


class Column:
    """A column whose cells obey the rule of an annotated type, as in HTTP bodies. Empty cells are None."""

    def __init__(self, name: str, kind: Any, *, required: bool = False, example: str = "") -> None:
        self.name, self.required, self.example = name, required, example
        self._whole_number, self._number = int in get_args(kind), Decimal in get_args(kind)
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        self._rule = next((each.description for each in get_args(kind) if isinstance(each, FieldInfo)), None)

    def read(self, cell: str) -> Any:
        """Return the value of a cell. Raise ValueError with the rule if the cell breaks it."""
        if self._whole_number and re.fullmatch(r"-?[0-9]+", cell) is None:
            raise ValueError("must be a whole number")
        if self._number and re.fullmatch(r"-?[0-9]+([.][0-9]{1,6})?", cell) is None:
            raise ValueError("must be a number with at most 6 decimal places, such as 2.5")
        try:
            return self._adapter.validate_strings(cell, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            if first["type"] == "string_pattern_mismatch" and self._rule:
                raise ValueError(f"must be {self._rule}") from None
            raise ValueError(first["msg"].replace("Input should be", "must be", 1)) from None


@dataclass(frozen=True, slots=True)
class Row:
    """`cells` has every known column of the header. Empty cells are None."""

    number: int
    cells: dict[str, Any]


COLUMNS: Final[Mapping[ImportKind, tuple[Column, ...]]] = {
    "items": (
        Column("item_id", ItemId, required=True, example="SKU-1"),
        Column("description", Description, example="A short description"),
        Column("unit_of_measure", UnitOfMeasure, example="each"),
        Column("units", Units, example="case=12"),
        Column("category", Category, example="GROCERY"),
        Column("status", Status, example="active"),
    ),
    "locations": (
        Column("location_id", LocationId, required=True, example="dc-north"),
        Column("name", Name, required=True, example="Northern distribution centre"),
        Column("rank", Rank, example="1"),
        Column("country", Country, example="US"),
    ),
    "opening-stock": (
        Column("reference", Reference, example="opening-2026"),
        Column("location_id", Id, required=True, example="dc-north"),
        Column("item_id", Id, required=True, example="SKU-1"),
        Column("quantity", OpeningQuantity, required=True, example="100"),
        Column("unit", UnitName, example="each"),
    ),
}

# The columns that identify a row. Two rows with the same key are an error, because it is unclear which of them counts.
_KEYS: Final[Mapping[ImportKind, tuple[str, ...]]] = {
    "items": ("item_id",),
    "locations": ("location_id",),
    "opening-stock": ("reference", "location_id", "item_id"),
}


def template(kind: ImportKind) -> str:
    columns = COLUMNS[kind]
    return ",".join(column.name for column in columns) + "\n" + ",".join(column.example for column in columns) + "\n"


@dataclass(slots=True)
class Sheet:
    """A file that is read record by record: `take` each record, then call `rows()`.

    `reference` is the reference of each row of opening stock that has none of its own.
    """

    kind: ImportKind
    reference: str = DEFAULT_REFERENCE
    errors: list[RowError] = field(default_factory=list)
    _rows: list[Row] = field(default_factory=list)
    _header: list[Column | None] | None = None
    _seen: dict[tuple[Any, ...], int] = field(default_factory=dict)
    blank: int = 0
    _number: int = 0
    _wrong_rows: int = 0
    _last_wrong: int = 1

    def __len__(self) -> int:
        return len(self._rows) + self._wrong_rows

    def take(self, cells: Sequence[str]) -> None:
        self._number += 1
        if self._header is None:
            self._header = self._read_header(cells)
        elif any(cell.strip() for cell in cells):
            self._read_row(cells)
        else:
            self.blank += 1

    def broken(self, detail: str) -> None:
        """Add an error for a record that is not valid CSV."""
        self._number += 1
        self._wrong(None, detail)

    def rows(self) -> list[Row]:
        """Return the rows. Raise ImportRefused if the file has errors."""
        if self._header is None and not self.errors:
            self._number = 1
            self._wrong(None, f"the file is empty; the first row must name the columns: {self._names()}")
        if self.errors:
            raise ImportRefused(self.errors, len(self))
        return self._rows

    def _read_header(self, cells: Sequence[str]) -> list[Column | None]:
        known = {column.name: column for column in COLUMNS[self.kind]}
        names = [cell.strip().lower() for cell in cells]
        for name in sorted(name for name, count in Counter(names).items() if count > 1):
            self._wrong(name, "two columns have this name")
        for name in names:
            if name not in known:
                self._wrong(name, f"unknown column; the columns are {self._names()}")
        for column in known.values():
            if column.required and column.name not in names:
                self._wrong(column.name, "the column is missing")
        return [known.get(name) for name in names]

    def _read_row(self, cells: Sequence[str]) -> None:
        header = self._header or []
        if len(cells) != len(header):
            self._wrong(None, f"has {len(cells)} cells, but the header has {len(header)}")
            return
        before, values = len(self.errors), dict[str, Any]()
        for column, cell in zip(header, cells, strict=True):
            if column is None:
                continue
            text = cell.strip()
            if not text:
                values[column.name] = None
                if column.required:
                    self._wrong(column.name, "must not be empty")
                continue
            try:
                values[column.name] = column.read(text)
            except ValueError as error:
                self._wrong(column.name, str(error))
        if self.kind == "opening-stock" and values.get("reference") is None:
            values["reference"] = self.reference
        if isinstance(quantity := values.get("quantity"), Decimal) and values.get("unit") is None and quantity % 1:
            self._wrong("quantity", "must be a whole number, or the row must name a unit")
        if len(self.errors) == before and all(name in values for name in _KEYS[self.kind]):
            key = tuple(values[name] for name in _KEYS[self.kind])
            first = self._seen.setdefault(key, self._number)
            if first != self._number:
                self._wrong(_KEYS[self.kind][-1], f"row {first} has the same {', '.join(_KEYS[self.kind])}")
            else:
                self._rows.append(Row(self._number, values))

    def _wrong(self, column: str | None, detail: str) -> None:
        if self._number > self._last_wrong:
            self._last_wrong = self._number
            self._wrong_rows += 1
        self.errors.append(RowError(self._number, column, detail))

    def _names(self) -> str:
        return ", ".join(column.name for column in COLUMNS[self.kind])
