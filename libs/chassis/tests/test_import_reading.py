"""CSV is read in pieces, in linear time, and other work goes on meanwhile."""

import asyncio
import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imports_child import MARKS, SHEET

from crossdock_chassis.imports.csv_format import LONGEST_RECORD, Csv
from crossdock_chassis.imports.parsing import SMALL, STEP, Parser, parsing
from crossdock_chassis.imports.sheet import MAX_BLANK, Batch, Broken
from crossdock_chassis.testing import assert_linear


def parsed(pieces: list[bytes]) -> list[Batch]:
    parser = Parser(SHEET, Csv(), {})
    return [
        batch for number, piece in enumerate(pieces, 1) for batch in parser.parse(piece, last=number == len(pieces))
    ]


def understood(pieces: list[bytes]) -> object:
    """Return rows and errors without the bounds of the batches, which depend on the pieces."""
    batches = parsed(pieces)
    return [row for batch in batches for row in batch.rows], [error for batch in batches for error in batch.errors]


def details(content: bytes, size: int = 1 << 18) -> list[str]:
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    return [error.detail for batch in parsed(pieces) for error in batch.errors]


@given(st.lists(st.lists(st.text(alphabet='ab1,"\n\r é', max_size=6), min_size=2, max_size=2), max_size=8), st.data())
def test_csv_is_read_the_same_however_it_is_chunked(rows: list[list[str]], data: st.DataObject) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["name", "times"], *rows])
    content = text.getvalue().encode()
    if data.draw(st.booleans()):
        content += b"\xff" + content
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    assert understood(pieces) == understood([content])


@given(st.text(alphabet="ab, é\0\x0b\n", max_size=30), st.sampled_from(["\n", "\r\n"]))
def test_csv_without_quotes_is_read_as_python_reads_it(text: str, newline: str) -> None:
    """It is read in a faster way than other CSV."""
    content = text.replace("\n", newline)
    found = [each for each in Csv().read(content.encode(), last=True) if not isinstance(each, Broken)]
    assert [list(each) for each in found] == list(csv.reader(io.StringIO(text, newline="")))


HEAD = b"name,times\n"
GARBAGE: dict[str, Callable[[int], bytes]] = {
    "wrong rows": lambda n: HEAD + b"-,x\n" * n,
    "rows of the wrong length": lambda n: HEAD + b"x\n" * n,
    "rows that are no CSV": lambda n: HEAD + b'"a"b\n' * n,
    "the same row": lambda n: HEAD + b"a,1\n" * n,
    "newlines": lambda n: b"\n" * n,
    "blank rows": lambda n: HEAD + b" , \n" * n,
    "an open quote and newlines": lambda n: HEAD + b'"' + b"\n" * n,
    "quoted newlines": lambda n: HEAD + (b'a,"' + b"\n" * 90 + b'"\n') * (n // 90),
    "one long row": lambda n: HEAD + b"x" * n,
    "columns": lambda n: b"a," * n,
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_time_for_garbage_in_csv_is_linear(kind: str) -> None:
    def work(size: int) -> Callable[[], object]:
        content = GARBAGE[kind](size)
        return lambda: parsed([content])

    assert_linear(work, 2_250)


async def test_other_work_runs_while_a_small_file_is_read() -> None:
    turns, content = 0, (HEAD + b"-,x\n" * SMALL)[:SMALL]

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    async with parsing(MARKS, {}, len(content)) as parse:
        found = [batch async for batch in parse(content, True)]
    other.cancel()
    assert found and turns >= SMALL // STEP


class Whoami:
    """A format whose rows name the process that reads them."""

    def read(self, piece: bytes, *, last: bool) -> Iterator[Sequence[str]]:
        yield "name", "times"
        yield "pid", str(os.getpid())


async def test_heavy_format_is_read_in_a_process_of_its_own() -> None:
    async with parsing(replace(MARKS, format=Whoami, heavy=True), {}, 1) as parse:
        ((row,),) = [batch.rows async for batch in parse(b"x", True)]
    assert json.loads(row.cells)["times"] != os.getpid()


def test_reading_ends_after_a_wrong_header() -> None:
    assert len(details(b"name,colour\n" + b"-,x\n" * 10)) == 1


def test_reading_ends_after_many_blank_rows() -> None:
    assert details(HEAD + b" , \n" * MAX_BLANK + b"a,1\n") == []
    assert details(HEAD + b" , \n" * MAX_BLANK * 3) == ["the file has more than 10,000 blank rows"]


def test_record_may_be_long_but_not_longer() -> None:
    row = b"x" * LONGEST_RECORD + b"\r\n"
    assert details(b"name\r\n" + row, 100) == ["must be a-z"]
    assert details(b"name\r\nx" + row, 100) == ["the record is too long: is a quote not closed?"]
