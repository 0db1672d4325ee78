"""CSV is read in chunks."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from inventory_service.imports.model import ImportRefused, Sheet
from inventory_service.imports.read import read


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
