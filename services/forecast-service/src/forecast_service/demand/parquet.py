"""Read Parquet files in pieces, as the cells of a CSV file: the same rules then hold for both.

A file states what it unpacks to, and may lie. So its numbers are limited, it is unpacked batch by batch, and a process
of its own with limited memory does it. Only that process imports pyarrow.
"""

import os
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Final

from crossdock_chassis import Broken, WholeFile, as_cell

if TYPE_CHECKING:
    import pyarrow

MEDIA_TYPE: Final = "application/vnd.apache.parquet"
MOST_ROWS: Final = 20_000_000
MOST_COLUMNS: Final = 50
MOST_UNPACKED: Final = 1 << 30
"""Bytes of one group of rows. Writers make groups of at most a million rows or 128 MB."""
BATCH: Final = 1_000


class Parquet(WholeFile):
    """A Parquet file that is being read."""

    def records(self, file: IO[bytes]) -> Iterator[Sequence[str] | Broken]:
        os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # the others reserve more than the process may have
        from pyarrow import parquet  # noqa: PLC0415  (150 MB, which only this process needs)

        try:
            table = parquet.ParquetFile(file)
            if (refused := _refused(table)) is not None:
                yield Broken(refused)
                return
            yield list(table.schema_arrow.names)
            for batch in table.iter_batches(BATCH, use_threads=False):
                yield from zip(*(_cells(column) for column in batch.columns), strict=True)
        except MemoryError:
            yield Broken("unpacks to more than fits in memory: write smaller groups of rows")
        except Exception as error:  # a day after the year 9999 is an OverflowError, and damaged files raise many others
            yield Broken(f"is not Parquet, or is damaged: {str(error)[:200]}")


def _refused(file: Any) -> str | None:
    """Return why a file is not read, None if it is."""
    import pyarrow  # noqa: PLC0415

    metadata, schema = file.metadata, file.schema_arrow
    if len(schema.names) > MOST_COLUMNS:
        return f"has {len(schema.names)} columns, at most {MOST_COLUMNS} are read"
    for field in schema:
        if not _readable(pyarrow.types, field.type):
            return f"the column {field.name[:64]} is of type {str(field.type)[:64]}: text, numbers and days are read"
    if metadata.num_rows > MOST_ROWS:
        return f"has {metadata.num_rows:,} rows, at most {MOST_ROWS:,} are read: split the file"
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    largest = max((group.total_byte_size for group in groups), default=0)
    if largest > MOST_UNPACKED:
        return f"a group of rows unpacks to {largest >> 20:,} MB, at most {MOST_UNPACKED >> 20:,} MB are read"
    return None


def _readable(types: Any, kind: "pyarrow.DataType") -> bool:
    if types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        check(kind)
        for check in (
            *(types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_floating),
            *(types.is_decimal, types.is_boolean, types.is_date, types.is_timestamp, types.is_null),
        )
    )


def _cells(column: Any) -> list[str]:
    import pyarrow  # noqa: PLC0415

    if pyarrow.types.is_timestamp(column.type):  # nanoseconds would become objects of pandas
        column = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False)
    return [as_cell(value) for value in column.to_pylist()]
