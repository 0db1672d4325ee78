"""CSV is read in chunks."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock_chassis.testing import assert_linear
from inventory_service.imports.model import ImportRefused, Sheet, TooManyRows
from inventory_service.imports.read import AT_ONCE, LONGEST_RECORD, read


@given(st.lists(st.lists(st.text(alphabet='ab,"\n\r é', max_size=6), min_size=2, max_size=2), max_size=8), st.data())
def test_csv_is_read_the_same_however_it_is_chunked(rows: list[list[str]], data: st.DataObject) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["item_id", "description"], *rows])
    content = text.getvalue().encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))

    def understood(pieces: list[bytes]) -> object:
        async def chunks() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        sheet = Sheet("items")
        asyncio.run(read(chunks(), sheet, max_rows=100))
        try:
            return [(row.number, row.cells) for row in sheet.rows()]
        except ImportRefused as refused:
            return refused.errors

    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    assert understood(pieces) == understood([content])


HEAD = b"item_id,description\n"
GARBAGE: dict[str, Callable[[int], bytes]] = {
    "wrong rows": lambda n: HEAD + b"-,x\n" * n,
    "rows of the wrong length": lambda n: HEAD + b"x\n" * n,
    "rows that are no CSV": lambda n: HEAD + b'"a"b\n' * n,
    "the same row": lambda n: HEAD + b"A,x\n" * n,
    "newlines": lambda n: b"\n" * n,
    "blank rows": lambda n: HEAD + b" , \n" * n,
    "an open quote and newlines": lambda n: HEAD + b'"' + b"\n" * n,
    "quoted newlines": lambda n: HEAD + (b'A,"' + b"\n" * 90 + b'"\n') * (n // 90),
    "one long row": lambda n: HEAD + b"x" * n,
    "columns": lambda n: b"a," * n,
}


async def pieces_of(content: bytes, size: int = 256_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize("kind", GARBAGE)
def test_time_for_garbage_in_csv_is_linear(kind: str) -> None:
    def work(size: int) -> Callable[[], object]:
        content = GARBAGE[kind](size)

        def once() -> None:
            sheet = Sheet("items")
            with suppress(ImportRefused, TooManyRows):
                asyncio.run(read(pieces_of(content), sheet, max_rows=20_000))
                sheet.rows()

        return once

    assert_linear(work, 4_500)


async def test_other_work_runs_while_a_file_is_read() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    await read(pieces_of(GARBAGE["wrong rows"](10_000)), Sheet("items"), max_rows=20_000)
    other.cancel()
    assert turns >= 10_000 // AT_ONCE


async def test_as_many_blank_rows_as_rows_are_allowed_and_no_more() -> None:
    blank = b" , \n"
    sheet = Sheet("items")
    await read(pieces_of(HEAD + blank * 10 + b"A,x\n" * 10), sheet, max_rows=10)
    assert len(sheet) == 10
    with pytest.raises(TooManyRows):
        await read(pieces_of(HEAD + blank * 11), Sheet("items"), max_rows=10)


async def test_record_may_be_long_but_not_longer() -> None:
    sheet = Sheet("locations")
    row = b"x" * LONGEST_RECORD + b"\r\n"
    await read(pieces_of(b"location_id\r\n" + row, 100), sheet, max_rows=10)
    assert len(sheet) == 1 and "too long" not in str(sheet.errors)
    await read(pieces_of(b"x" + row, 100), sheet, max_rows=10)
    assert "too long" in sheet.errors[-1].detail
