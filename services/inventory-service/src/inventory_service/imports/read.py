"""Read CSV from a stream, without holding the whole file in memory."""

import codecs
import csv
from collections.abc import AsyncIterator, Iterator
from typing import Final

from inventory_service.imports.model import Sheet, TooManyRows

LONGEST_RECORD: Final = 20_000
"""In characters. Without this limit, a quote that is never closed would turn the whole file into one record."""


async def read(chunks: AsyncIterator[bytes], sheet: Sheet, *, max_rows: int) -> None:
    """Read UTF-8 with or without a byte order mark, comma separated, quoted as in RFC 4180. Raise TooManyRows."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    rest = ""
    try:
        async for chunk in chunks:
            rest = _take_whole_records(rest + decoder.decode(chunk), sheet, max_rows)
            if len(rest) > LONGEST_RECORD:
                sheet.broken("the record is too long: is a quote not closed?")
                return
        rest += decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        readable = error.object[: error.start].decode("utf-8-sig")
        _take_whole_records(rest + readable, sheet, max_rows)
        sheet.broken("is not UTF-8")
        return
    if _take_whole_records(rest + "\n" if rest else rest, sheet, max_rows):
        sheet.broken("a quote is not closed")


def _take_whole_records(text: str, sheet: Sheet, max_rows: int) -> str:
    """Take all complete records. Return the rest: the beginning of a record whose end has not arrived."""
    records, rest = _split(text)
    for record in records:
        if len(record) > LONGEST_RECORD:
            sheet.broken("the record is too long: is a quote not closed?")
            continue
        try:
            for cells in csv.reader([record], strict=True):
                sheet.take(cells)
        except csv.Error as error:
            sheet.broken(f"is not CSV: {error}")
        if len(sheet) > max_rows:
            raise TooManyRows(max_rows)
    return rest


def _split(text: str) -> tuple[Iterator[str], str]:
    """Split at newlines outside of quotes, after an even number of quotes. Return the records and the rest."""
    lines = text.split("\n")
    rest, records, open_record = lines.pop(), list[str](), ""
    for line in lines:
        record = f"{open_record}\n{line}" if open_record else line
        if record.count('"') % 2:
            open_record = record
        else:
            records.append(record.removesuffix("\r"))
            open_record = ""
    return iter(records), f"{open_record}\n{rest}" if open_record else rest
