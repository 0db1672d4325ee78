"""Parquet files of demand: the same cells as CSV, and a clear answer to whatever else is sent."""

import io
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from stories import registered

from crossdock_chassis import Broken, Service
from crossdock_chassis.testing import Deliver, run_queued
from forecast_service.demand.parquet import MEDIA_TYPE, MOST_COLUMNS, Parquet

DAYS = [date(2026, 3, day) for day in (1, 2, 3)]
ROWS: dict[str, Any] = {"item_id": ["A", "A", "B"], "day": DAYS, "quantity": [3, 4, 5]}


def file(columns: dict[str, Any], **options: Any) -> bytes:
    written = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), written, **options)
    return written.getvalue()


def read(content: bytes, size: int = 1 << 18) -> list[Sequence[str] | Broken]:
    reader, found = Parquet(), list[Sequence[str] | Broken]()
    pieces = [content[start : start + size] for start in range(0, len(content), size)] or [b""]
    for number, piece in enumerate(pieces, start=1):
        found += reader.read(piece, last=number == len(pieces))
    return found


def broken(content: bytes) -> str:
    *_, last = read(content)
    assert isinstance(last, Broken)
    return last.detail


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        (["A", None, "b c"], ["A", "", "b c"]),
        (pyarrow.array(["A", "A", None]).dictionary_encode(), ["A", "A", ""]),
        ([1, None, -7], ["1", "", "-7"]),
        ([12.0, 2.5, None], ["12", "2.5", ""]),
        ([0.1 + 0.2, float("nan"), float("inf")], ["0.3", "nan", "inf"]),
        ([Decimal("2.50"), Decimal(100), None], ["2.5", "100", ""]),
        ([True, False, None], ["true", "false", ""]),
        (DAYS, ["2026-03-01", "2026-03-02", "2026-03-03"]),
        (
            pyarrow.array([datetime(2026, 3, 1), datetime(2026, 3, 1, 12), None], pyarrow.timestamp("ns")),
            ["2026-03-01", "2026-03-01T12:00:00", ""],
        ),
        (
            pyarrow.array([datetime(2026, 3, 1), None], pyarrow.timestamp("ms", "Asia/Tokyo")),
            ["2026-03-01T09:00:00+09:00", ""],
        ),
        (pyarrow.nulls(2), ["", ""]),
    ],
)
def test_values_become_the_cells_of_a_csv_file(values: Any, cells: list[str]) -> None:
    assert read(file({"each": values})) == [["each"], *((cell,) for cell in cells)]


@given(
    rows=st.lists(st.tuples(st.text(max_size=5), st.integers(0, 10**12), st.none() | st.booleans()), max_size=30),
    size=st.integers(1, 4000),
    group=st.integers(1, 10),
)
@settings(max_examples=25)
def test_pieces_and_groups_do_not_matter(rows: list[tuple[str, int, bool | None]], size: int, group: int) -> None:
    names = ("item_id", "quantity", "promotion")
    kinds = (pyarrow.string(), pyarrow.int64(), pyarrow.bool_())
    columns = {name: pyarrow.array([row[n] for row in rows], kinds[n]) for n, name in enumerate(names)}
    flags = {None: "", True: "true", False: "false"}
    expected = [(item, str(quantity), flags[promotion]) for item, quantity, promotion in rows]
    assert read(file(columns, row_group_size=group), size) == [list(names), *expected]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (file({"a": [[1]]}), "the column a is of type list"),
        (file({"a": [{"b": 1}]}), "the column a is of type struct"),
        (file({"a": [b"x"]}), "the column a is of type binary"),
        (file({str(n): [1] for n in range(MOST_COLUMNS + 1)}), "has 51 columns"),
        (file(ROWS)[:-9], "is not Parquet, or is damaged"),
        (file(ROWS)[:40], "is not Parquet, or is damaged"),
        (b"PAR1", "is not Parquet, or is damaged"),
        (file({"day": pyarrow.array([10**7], pyarrow.int32()).cast(pyarrow.date32())}), "date value out of range"),
        (b"item_id,day,quantity\nA,2026-03-01,3\n", "is not Parquet, or is damaged"),
    ],
)
def test_files_that_are_no_table_of_cells_are_refused(content: bytes, reason: str) -> None:
    assert reason in broken(content)


def test_size_after_unpacking_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecast_service.demand.parquet.MOST_ROWS", 2)
    assert "has 3 rows, at most 2 are read" in broken(file(ROWS))
    monkeypatch.undo()
    monkeypatch.setattr("forecast_service.demand.parquet.MOST_UNPACKED", 10)
    assert "a group of rows unpacks to" in broken(file(ROWS))


def test_empty_file_has_no_records() -> None:
    assert read(b"") == []
    assert read(file({"item_id": pyarrow.array([], pyarrow.string())})) == [["item_id"]]


WHOLE = file({name: values * 50 for name, values in ROWS.items()})


@given(changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=60)
def test_damaged_files_have_rows_or_a_reason(changes: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE)
    for place, byte in changes:
        content[place] = byte
    for record in read(bytes(content)):
        assert isinstance(record, Broken) or all(isinstance(cell, str) for cell in record)


async def imported(service: Service, client: httpx.AsyncClient, content: bytes) -> dict[str, Any]:
    answer = await client.post("/v1/demand:import", content=content, headers={"content-type": MEDIA_TYPE})
    assert answer.status_code == 202, answer.text
    await run_queued(service)
    found: dict[str, Any] = (await client.get(f"/v1/imports/{answer.json()['id']}")).json()
    return found


async def test_parquet_is_imported_as_csv_is(service: Service, client: httpx.AsyncClient, deliver: Deliver) -> None:
    await deliver(service, registered("A"), registered("B"))
    done = await imported(service, client, file(ROWS | {"price": [2.49, None, 1.0]}))
    assert (done["kind"], done["state"], done["created"]) == ("demand-parquet", "done", 3), done
    shown = (await client.get("/v1/demand", params={"item_id": "A"})).json()["items"]
    assert [(each["day"], each["quantity"]) for each in shown] == [("2026-03-01", 3), ("2026-03-02", 4)]
    again = await imported(service, client, file(ROWS | {"price": [2.49, None, 1.0]}, compression="zstd"))
    assert (again["state"], again["unchanged"]) == ("done", 3), again


async def test_wrong_rows_are_named_and_a_bomb_is_refused(service: Service, client: httpx.AsyncClient) -> None:
    wrong = await imported(service, client, file(ROWS | {"quantity": [-1.0, 2.5, float("nan")]}))
    assert (wrong["state"], [each["row"] for each in wrong["errors"]]) == ("refused", [2, 3, 4]), wrong
    long = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 1_000, "int32"), ["x" * (1 << 21)])
    columns = {"item_id": long, "day": DAYS[:1] * 1_000, "quantity": [1] * 1_000}
    bomb = file(columns, dictionary_pagesize_limit=1 << 23, store_schema=False)  # its readers see plain texts
    assert len(bomb) < 1 << 20
    refused = await imported(service, client, bomb)
    assert refused["state"] == "refused" and "memory" in refused["errors"][0]["detail"], refused


async def test_other_types_are_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/demand:import", content=b"x", headers={"content-type": "application/json"})
    assert answer.status_code == 415, answer.text
    assert MEDIA_TYPE in answer.json()["errors"][0]["detail"]
