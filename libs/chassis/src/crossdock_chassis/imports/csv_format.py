"""Read CSV in pieces: UTF-8 with or without a byte order mark, comma separated, quoted as in RFC 4180."""

import codecs
import csv
from collections.abc import Iterator, Sequence
from typing import Final

from crossdock_chassis.imports.sheet import Broken

LONGEST_RECORD: Final = 20_000
"""In characters. Without this limit, a quote that is never closed would turn the whole file into one record."""


class Csv:
    """A CSV file that is being read. `read` each piece of it in order."""

    media_type: Final = "text/csv"

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._quoted = self._ended = False
        self._parts: list[str] = []
        self._length = 0

    def read(self, piece: bytes, *, last: bool) -> Iterator[Sequence[str] | Broken]:
        """Yield the records that end in the piece. The end of a file that is no CSV is not read."""
        if self._ended:
            return
        try:
            text = self._decoder.decode(piece, final=last)
        except UnicodeDecodeError as error:
            yield from self._split(error.object[: error.start].decode("utf-8-sig"))
            if not self._ended:
                self._ended = True
                yield Broken("is not UTF-8")
            return
        yield from self._split(text)
        if last and self._parts and not self._ended:
            yield from self._split("\n")
            if self._quoted and not self._ended:
                yield Broken("a quote is not closed")

    def _split(self, text: str) -> Iterator[Sequence[str] | Broken]:
        """Yield the records that end in the text. Records without quotes are lines, and are split all at once."""
        if self._parts:
            end = text.find("\n") + 1 or len(text)
            yield from self._records(text[:end])
            text = text[end:]
        if not self._parts and not self._ended and '"' not in text:
            whole, newline, rest = text.rpartition("\n")
            whole = whole.replace("\r\n", "\n").removesuffix("\r")
            lines = whole.split("\n") if newline else []
            if "\r" not in whole and len(max(lines, key=len, default="")) <= LONGEST_RECORD:
                yield from (line.split(",") if line else () for line in lines)
                text = rest
        yield from self._records(text)

    def _records(self, text: str) -> Iterator[Sequence[str] | Broken]:
        """Split text at newlines outside of quotes, which are those after an even number of quotes."""
        start = 0
        while start < len(text) and not self._ended:
            end = text.find("\n", start) + 1 or len(text)
            part = text[start:end]
            start = end
            self._parts.append(part)
            self._length += len(part)
            self._quoted ^= part.count('"') % 2 == 1
            if self._length > LONGEST_RECORD + len("\r\n"):
                self._ended = True  # because the end of the record is not known
                yield Broken("the record is too long: is a quote not closed?")
            elif part.endswith("\n") and not self._quoted:
                record = "".join(self._parts)[:-1].removesuffix("\r")
                self._parts.clear()
                self._length = 0
                yield from _cells(record)


def _cells(record: str) -> Iterator[Sequence[str] | Broken]:
    try:
        yield from csv.reader([record], strict=True)
    except csv.Error as error:
        yield Broken(f"is not CSV: {error}")
