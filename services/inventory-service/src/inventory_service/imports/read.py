"""Read CSV from a stream, without holding the whole file in memory."""

import asyncio
import codecs
import csv
from collections.abc import AsyncIterator, Iterator
from typing import Final

from inventory_service.imports.model import Sheet, TooManyRows

LONGEST_RECORD: Final = 20_000
"""In characters. Without this limit, a quote that is never closed would turn the whole file into one record."""

AT_ONCE: Final = 100
"""Records that are read before other requests get a turn."""


async def read(chunks: AsyncIterator[bytes], sheet: Sheet, *, max_rows: int) -> None:
    """Read UTF-8 with or without a byte order mark, comma separated, quoted as in RFC 4180.

    Raise TooManyRows for a file with more rows than that, or with more blank ones.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    records = _Records()
    try:
        async for chunk in chunks:
            if not await _take(records.feed(decoder.decode(chunk)), sheet, max_rows):
                return
        last = decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        if await _take(records.feed(error.object[: error.start].decode("utf-8-sig")), sheet, max_rows):
            sheet.broken("is not UTF-8")
        return
    end = "\n" if last or records.unfinished else ""
    if await _take(records.feed(last + end), sheet, max_rows) and records.quoted:
        sheet.broken("a quote is not closed")


async def _take(records: Iterator[str | None], sheet: Sheet, max_rows: int) -> bool:
    """Take the records. Return False after one that is too long, because its end is not known."""
    for taken, record in enumerate(records, start=1):
        if record is None:
            sheet.broken("the record is too long: is a quote not closed?")
            return False
        try:
            for cells in csv.reader([record], strict=True):
                sheet.take(cells)
        except csv.Error as error:
            sheet.broken(f"is not CSV: {error}")
        if len(sheet) > max_rows or sheet.blank > max_rows:
            raise TooManyRows(max_rows)
        if not taken % AT_ONCE:
            await asyncio.sleep(0)
    return True


class _Records:
    """Splits text at newlines outside of quotes, which are those after an even number of quotes."""

    def __init__(self) -> None:
        self.quoted = False
        self._parts: list[str] = []
        self._length = 0

    @property
    def unfinished(self) -> bool:
        return bool(self._parts)

    def feed(self, text: str) -> Iterator[str | None]:
        """Yield each record that ends in the text, or None for one that is too long."""
        start = 0
        while start < len(text):
            end = text.find("\n", start) + 1 or len(text)
            part = text[start:end]
            start = end
            self._parts.append(part)
            self._length += len(part)
            self.quoted ^= part.count('"') % 2 == 1
            if self._length > LONGEST_RECORD + len("\r\n"):
                yield None
            elif part.endswith("\n") and not self.quoted:
                yield "".join(self._parts)[:-1].removesuffix("\r")
                self._parts.clear()
                self._length = 0
