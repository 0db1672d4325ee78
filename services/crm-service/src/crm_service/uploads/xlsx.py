"""Read XLSX files as the cells of a CSV file: the same rules then hold for both.

A workbook states what it unpacks to, and may lie. calamine keeps every cell between the outermost ones in memory, so
one far cell would fill it. So the file is unpacked and looked through before calamine sees it, in a process of its own
with limited memory. Only that process imports calamine.
"""

import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import IO, Final

from crossdock_chassis import Broken, WholeFile, as_cell

MEDIA_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MOST_UNPACKED: Final = 256 << 20
MOST_PARTS: Final = 1_000
MOST_ROWS: Final = 200_000
MOST_COLUMNS: Final = 50
STEP: Final = 1 << 20
OVERLAP: Final = 512
"""Bytes of a part that are looked at again with the next ones, because a tag may lie across both."""
PLACE: Final = re.compile(rb"""<(?:\w+:)?(?:c|row)\s[^<>]*?\br\s*=\s*["']([A-Z]{0,3})([0-9]{1,9})["']""")
"""Where a cell or a row is: letters of its column, and its row."""


class Xlsx(WholeFile):
    """A workbook that is being read: the cells of its first sheet."""

    def records(self, file: IO[bytes]) -> Iterator[Sequence[str] | Broken]:
        from python_calamine import CalamineWorkbook  # noqa: PLC0415  (only this process needs it)

        try:
            _look_through(file)
            file.seek(0)
            sheet = CalamineWorkbook.from_filelike(file).get_sheet_by_index(0)
            rows = sheet.to_python(skip_empty_area=False)
        except _TooLarge as refused:
            yield Broken(str(refused))
        except MemoryError:
            yield Broken("unpacks to more than fits in memory: split the file")
        except Exception as error:  # zipfile and calamine raise many kinds for damaged files
            yield Broken(f"is not XLSX, or is damaged: {str(error)[:200]}")
        else:
            header = _trimmed([as_cell(value) for value in rows[0]] if rows else [])
            yield header
            for row in rows[1:]:
                cells = _trimmed([as_cell(value) for value in row])
                yield [*cells, *[""] * (len(header) - len(cells))]


class _TooLarge(Exception):
    """The workbook is larger than what is read."""


def _look_through(file: IO[bytes]) -> None:
    """Raise _TooLarge for a workbook that unpacks to too much, or has a cell too far out."""
    with zipfile.ZipFile(file) as book:
        parts = book.infolist()
        if len(parts) > MOST_PARTS:
            raise _TooLarge(f"has {len(parts):,} parts, at most {MOST_PARTS:,} are read")
        left = MOST_UNPACKED
        for part in parts:
            part.file_size = MOST_UNPACKED + 1  # else zipfile unpacks no more than the part states
            del part.CRC  # of a part that ends before
            with book.open(part) as content:
                before = b""
                while piece := content.read(STEP):
                    left -= len(piece)
                    if left < 0:
                        raise _TooLarge(f"unpacks to more than {MOST_UNPACKED >> 20} MB: split the file")
                    _check_places(before + piece)
                    before = piece[-OVERLAP:]


def _check_places(content: bytes) -> None:
    for column, row in PLACE.findall(content):
        number = 0
        for letter in column:
            number = number * 26 + letter - ord("A") + 1
        if number > MOST_COLUMNS:
            raise _TooLarge(f"has a cell in column {column.decode()}, at most {MOST_COLUMNS} columns are read")
        if int(row) > MOST_ROWS:
            raise _TooLarge(f"has a cell in row {int(row):,}, at most {MOST_ROWS:,} rows are read: split the file")


def _trimmed(cells: list[str]) -> list[str]:
    """Return cells without empty ones at the end, which spreadsheets leave behind."""
    while cells and not cells[-1]:
        cells.pop()
    return cells
