"""The columns of a table that clients upload, and the rules of its cells. Pure: cells in, rows or errors out."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import from_json, to_json

MAX_ERRORS: Final = 10_000
"""Checking ends after this many errors, so that a file of garbage cannot fill the disk with them."""

MAX_BLANK: Final = 10_000
BATCH: Final = 1_000
COLUMNS: Final = "columns"
"""The argument of an import that maps headers of its file to columns: a JSON object. SKIP leaves a column out."""
SKIP: Final = "skip"
REMEMBERED: Final = 4_096
"""Cells of a column whose values are remembered, because days, items and quantities come again and again."""


@dataclass(frozen=True, slots=True)
class RowError:
    """`row` counts as a spreadsheet does: the header is row 1. `column` is None for an error of the whole row."""

    row: int
    column: str | None
    detail: str


class ReadRow(NamedTuple):
    """A row without errors. Two rows with the same `key`, 16 bytes, name the same thing; `cells` is a JSON object.

    A tuple, because a process pickles it in half the time of a dataclass with a UUID.
    """

    number: int
    key: bytes
    cells: str


@dataclass(slots=True)
class Batch:
    """Consecutive records of a file. `last` is the number of the last one."""

    rows: list[ReadRow] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    last: int = 0


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that is not valid in the format of the file."""

    detail: str


class Column:
    """A column whose cells obey the rule of an annotated type, as in HTTP bodies. Empty cells are None."""

    def __init__(self, name: str, kind: Any, *, required: bool = False, example: str = "") -> None:
        self.name, self.required, self.example = name, required, example
        self._whole_number, self._number = int in get_args(kind), Decimal in get_args(kind)
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        self._rule = next((each.description for each in get_args(kind) if isinstance(each, FieldInfo)), None)
        self.read: Callable[[str], Any] = lru_cache(REMEMBERED)(self._read)
        """Return the value of a cell. Raise ValueError with the rule if the cell breaks it."""

    def _read(self, cell: str) -> Any:
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


Rule = Callable[[dict[str, Any], Mapping[str, str]], Iterable[tuple[str, str]]]
"""A rule of a whole row: it gets the cells and the arguments of the import. It may fill in cells, and returns a column
and a text for each error."""


def _no_rule(cells: dict[str, Any], arguments: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    return ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """A kind of table. The columns in `key` identify a row: two rows with the same key are an error."""

    columns: Sequence[Column]
    key: Sequence[str]
    rule: Rule = _no_rule

    @property
    def template(self) -> str:
        """Return a CSV file with the columns and one example row."""
        names, examples = (
            ",".join(values) for values in zip(*((c.name, c.example) for c in self.columns), strict=True)
        )
        return f"{names}\n{examples}\n"

    @property
    def names(self) -> str:
        return ", ".join(column.name for column in self.columns)


class Reading:
    """One file that is being read: `take` its records in order, and collect the batches that are full.

    Reading ends early, and `over` is true, after a wrong header, MAX_ERRORS errors or MAX_BLANK blank rows.
    """

    def __init__(self, sheet: Sheet, arguments: Mapping[str, str]) -> None:
        self._sheet, self._arguments = sheet, arguments
        self._mapped: Mapping[str, str] = from_json(arguments.get(COLUMNS, "{}"))
        self._header: Sequence[Column | None] | None = None
        self._batch = Batch()
        self._number = self._blank = self._errors = 0
        self.over = False

    def read(self, records: Iterable[Sequence[str] | Broken]) -> Iterator[Batch]:
        """Take records. Yield each full batch, and the rest of them at the end."""
        for record in records:
            if self.over:
                break
            self._take(record)
            if len(self._batch.rows) + len(self._batch.errors) >= BATCH:
                yield self._collect()
        if self._batch.rows or self._batch.errors:
            yield self._collect()

    def end(self) -> Iterator[Batch]:
        """Yield the error of a file without a header."""
        if not self._number:
            self._number = 1
            self._wrong(None, f"the file is empty; the first row must name the columns: {self._sheet.names}")
            yield self._collect()

    def _collect(self) -> Batch:
        batch, self._batch = self._batch, Batch()
        batch.last = self._number
        self._errors += len(batch.errors)
        self.over = self.over or self._errors >= MAX_ERRORS
        return batch

    def _take(self, record: Sequence[str] | Broken) -> None:
        self._number += 1
        if isinstance(record, Broken):
            self._header = self._header or ()
            self._wrong(None, record.detail)
        elif self._header is None:
            self._header = self._read_header(record)
            self.over = bool(self._batch.errors)
        elif any(cell.strip() for cell in record):
            self._read_row(record, self._header)
        else:
            self._blank += 1
            if self._blank > MAX_BLANK:
                self._wrong(None, f"the file has more than {MAX_BLANK:,} blank rows")
                self.over = True

    def _read_header(self, cells: Sequence[str]) -> list[Column | None]:
        known = {column.name: column for column in self._sheet.columns}
        headers = [cell.strip().lower() for cell in cells]
        for header in sorted(self._mapped.keys() - set(headers)):
            self._wrong(self._mapped[header], f"the file has no column {header!r}")
        names = [self._mapped.get(header, header) for header in headers]
        for name in sorted(name for name, count in Counter(names).items() if count > 1 and name != SKIP):
            self._wrong(name, "two columns have this name")
        for header, name in zip(headers, names, strict=True):
            if name not in known and self._mapped.get(header) != SKIP:
                self._wrong(name, f"unknown column; the columns are {self._sheet.names}")
        for column in known.values():
            if column.required and column.name not in names:
                self._wrong(column.name, "the column is missing")
        return [known.get(name) for name in names]

    def _read_row(self, cells: Sequence[str], header: Sequence[Column | None]) -> None:
        if len(cells) != len(header):
            self._wrong(None, f"has {len(cells)} cells, but the header has {len(header)}")
            return
        before, values = len(self._batch.errors), dict[str, Any]()
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
        for name, detail in self._sheet.rule(values, self._arguments):
            self._wrong(name, detail)
        if len(self._batch.errors) == before and all(name in values for name in self._sheet.key):
            key = to_json([values[name] for name in self._sheet.key])
            digest = blake2b(key, digest_size=16).digest()
            self._batch.rows.append(ReadRow(self._number, digest, to_json(values).decode()))

    def _wrong(self, column: str | None, detail: str) -> None:
        self._batch.errors.append(RowError(self._number, column, detail))
