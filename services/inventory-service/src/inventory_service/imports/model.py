"""What the three kinds of import may say, column by column. Pure: cells in, typed rows or errors out."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

ImportKind: TypeAlias = Literal["items", "locations", "opening-stock"]
MOST_ERRORS: Final = 100
DEFAULT_REFERENCE: Final = "opening"
MOST_UNITS_A_ROW: Final = 1_000_000_000


class ImportRefused(Exception):
    """Something in the file is wrong, so nothing of it was taken. `errors` are the first hundred."""

    def __init__(self, errors: Sequence["RowError"], rows: int) -> None:
        super().__init__(f"{len(errors)} of {rows} rows are wrong" if rows else "The file is wrong")
        self.errors = [error.shown() for error in errors[:MOST_ERRORS]]
        self.extra: dict[str, object] = {"rows": rows, "wrong": len(errors)}


class TooManyRows(Exception):
    def __init__(self, limit: int) -> None:
        super().__init__(f"A file may have {limit} rows: send it in parts")
        self.extra: dict[str, object] = {"limit": limit}


@dataclass(frozen=True, slots=True)
class RowError:
    """`row` as a spreadsheet counts, the header being row 1; `column` by its name in the header, None for all of it."""

    row: int
    column: str | None
    detail: str

    def shown(self) -> dict[str, Any]:
        return {"row": self.row, "column": self.column, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Column:
    """`read` raises ValueError with what is wrong with a cell. Empty cells are None and are not read."""

    name: str
    read: Callable[[str], Any]
    required: bool = False
    example: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """`cells` by column: those of the header, None where empty."""

    number: int
    cells: dict[str, Any]


def _matching(pattern: str, detail: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def read(cell: str) -> str:
        if compiled.fullmatch(cell) is None:
            raise ValueError(detail)
        return cell

    return read


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(cell: str) -> int:
        if re.fullmatch(r"[0-9]{1,12}", cell) is None or not least <= (number := int(cell)) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return number

    return read


_identifier = _matching(
    r"[A-Za-z0-9][A-Za-z0-9._~+-]{0,63}", "must be 1 to 64 letters, digits or ._~+-, the first a letter or digit"
)
_foreign = _matching(r"[^\x00-\x1f\x7f]{1,64}", "must be at most 64 characters")
_unit = _matching(r"[a-z][a-z0-9_]{0,63}", "must be a code such as each, kg or case")
_status = _matching(r"active|discontinued", "must be active or discontinued")
_country = _matching(r"[A-Z]{2}", "must be two capital letters, as in ISO 3166")
_reference = _matching(r"[A-Za-z0-9._:/-]{1,64}", "must be 1 to 64 letters, digits or ._:/-")


def _text(most: int) -> Callable[[str], str]:
    return _matching(rf"[^\x00-\x1f\x7f]{{1,{most}}}", f"must be at most {most} characters on one line")


COLUMNS: Final[Mapping[ImportKind, tuple[Column, ...]]] = {
    "items": (
        Column("item_id", _identifier, required=True, example="SKU-1"),
        Column("description", _text(500), example="A short description"),
        Column("unit_of_measure", _unit, example="each"),
        Column("category", _text(64), example="GROCERY"),
        Column("status", _status, example="active"),
    ),
    "locations": (
        Column("location_id", _identifier, required=True, example="dc-north"),
        Column("name", _text(200), required=True, example="Northern distribution centre"),
        Column("rank", _whole(0, 1_000_000), example="1"),
        Column("country", _country, example="US"),
    ),
    "opening-stock": (
        Column("reference", _reference, example="opening-2026"),
        Column("location_id", _foreign, required=True, example="dc-north"),
        Column("item_id", _foreign, required=True, example="SKU-1"),
        Column("quantity", _whole(0, MOST_UNITS_A_ROW), required=True, example="100"),
    ),
}

# What names a row: twice in a file is a mistake, for nobody could say which of the two counts.
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
    """Reads a file record by record: `take` each, then `rows()`.

    `reference` stands where a row of opening stock names none of its own.
    """

    kind: ImportKind
    reference: str = DEFAULT_REFERENCE
    errors: list[RowError] = field(default_factory=list)
    _rows: list[Row] = field(default_factory=list)
    _header: list[Column | None] | None = None
    _seen: dict[tuple[Any, ...], int] = field(default_factory=dict)
    _number: int = 0

    def __len__(self) -> int:
        return len(self._rows) + len({error.row for error in self.errors if error.row > 1})

    def take(self, cells: Sequence[str]) -> None:
        self._number += 1
        if self._header is None:
            self._header = self._read_header(cells)
        elif any(cell.strip() for cell in cells):
            self._read_row(cells)

    def broken(self, detail: str) -> None:
        """A record that is no CSV."""
        self._number += 1
        self._wrong(None, detail)

    def rows(self) -> list[Row]:
        """Raises ImportRefused when anything was wrong."""
        if self._header is None and not self.errors:
            self._number = 1
            self._wrong(None, f"the file is empty; its first row names the columns: {self._names()}")
        if self.errors:
            raise ImportRefused(self.errors, len(self))
        return self._rows

    def _read_header(self, cells: Sequence[str]) -> list[Column | None]:
        known = {column.name: column for column in COLUMNS[self.kind]}
        names = [cell.strip().lower() for cell in cells]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._wrong(name, "the column is there twice")
        for name in names:
            if name not in known:
                self._wrong(name, f"unknown column; there are {self._names()}")
        for column in known.values():
            if column.required and column.name not in names:
                self._wrong(column.name, "the column is missing")
        return [known.get(name) for name in names]

    def _read_row(self, cells: Sequence[str]) -> None:
        header = self._header or []
        if len(cells) != len(header):
            self._wrong(None, f"has {len(cells)} cells where the header has {len(header)}")
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
        if len(self.errors) == before and all(name in values for name in _KEYS[self.kind]):
            key = tuple(values[name] for name in _KEYS[self.kind])
            first = self._seen.setdefault(key, self._number)
            if first != self._number:
                self._wrong(_KEYS[self.kind][-1], f"row {first} is about the same")
            else:
                self._rows.append(Row(self._number, values))

    def _wrong(self, column: str | None, detail: str) -> None:
        self.errors.append(RowError(self._number, column, detail))

    def _names(self) -> str:
        return ", ".join(column.name for column in COLUMNS[self.kind])
