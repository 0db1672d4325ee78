"""XLSX files of customers: the same cells as CSV, names of the client's own, and a clear answer to bad files."""

import struct
from collections.abc import Sequence
from datetime import date
from typing import Any

import httpx
import pytest
from workbook import workbook

from crm_service.uploads.xlsx import MEDIA_TYPE, MOST_UNPACKED, STEP, Xlsx
from crossdock_chassis import Broken, Service
from crossdock_chassis.testing import RunJobs

HEADER = ("Partner", "Kundennr.", "Name", "Phone", "Born", "Region", "Notes")
ADA = ("acme", 90210, "Ada Example", 2071838750, date(1980, 2, 29), "GB", "nice")
BEFORE = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
MAPPED = ["external_id=Kundennr.", "born_on=born", "skip=Notes"]


def read(content: bytes, size: int = 1000) -> list[Sequence[str] | Broken]:
    reader, found = Xlsx(), list[Sequence[str] | Broken]()
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    for number, piece in enumerate(pieces, start=1):
        found += reader.read(piece, last=number == len(pieces))
    return found


def broken(content: bytes) -> str:
    (only,) = read(content, 1 << 18)
    assert isinstance(only, Broken)
    return only.detail


def test_values_become_the_cells_of_a_csv_file() -> None:
    rows = [("a", "b", "c", "d"), (1, 2.5, date(1980, 2, 29), True), (), ("=1+1", None, "繁體"), ("", "x")]
    assert read(workbook(rows)) == [
        ["a", "b", "c", "d"],
        ["1", "2.5", "1980-02-29", "true"],
        ["", "", "", ""],
        ["=1+1", "", "繁體", ""],
        ["", "x", "", ""],
    ]
    assert read(workbook([])) == [[]] and read(workbook([("a",), ("b", "c")])) == [["a"], ["b", "c"]]


def test_a_bomb_is_refused_also_if_it_lies() -> None:
    bomb = workbook([("a",)], {"xl/media/image.png": bytes(MOST_UNPACKED + 1)})
    assert len(bomb) < 1 << 20 and "unpacks to more than 256 MB" in broken(bomb)
    lie, at = bytearray(bomb), bomb.rindex(b"PK\x01\x02")
    assert struct.unpack_from("<I", lie, at + 24) == (MOST_UNPACKED + 1,)
    struct.pack_into("<I", lie, at + 24, 10)
    assert "unpacks to more than 256 MB" in broken(bytes(lie))


@pytest.mark.parametrize(
    ("sheet", "detail"),
    [
        (b'<row r="1"><c r="XFD1"><v>1</v></c></row>', "a cell in column XFD"),
        (b"<row><x:c s='1'  r = 'A1048576'><v>1</v></x:c></row>", "a cell in row 1,048,576"),
        (b'<row spans="1:2" r="1048576"><c><v>1</v></c></row>', "a cell in row 1,048,576"),
        (b" " * (STEP - len(BEFORE) - 18) + b'<row r="1"><c r="XFD1"><v>1</v></c></row>', "a cell in column XFD"),
        (b"<row><c", "is damaged"),
    ],
)
def test_sheets_that_would_fill_memory_are_refused(sheet: bytes, detail: str) -> None:
    whole = BEFORE + sheet + b"</sheetData></worksheet>"
    assert detail in broken(workbook([], {"xl/worksheets/sheet1.xml": whole}))


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"PK\x03\x04", workbook([("a",)])[:-30], workbook([("a",)])[30:]])
def test_what_is_no_workbook_is_refused(content: bytes) -> None:
    assert "is not XLSX, or is damaged" in broken(content)


async def sent(
    service: Service, staff: httpx.AsyncClient, run_jobs: RunJobs, content: bytes, columns: list[str]
) -> dict[str, Any]:
    headers = {"content-type": MEDIA_TYPE}
    answer = await staff.post("/v1/customers:import", params={"columns": columns}, content=content, headers=headers)
    assert answer.status_code == 202, answer.text
    await run_jobs(service)
    found: dict[str, Any] = (await staff.get(f"/v1/imports/{answer.json()['id']}")).json()
    return found


async def test_a_workbook_with_its_own_names_is_imported(
    service: Service, staff: httpx.AsyncClient, run_jobs: RunJobs
) -> None:
    found = await sent(service, staff, run_jobs, workbook([HEADER, ADA]), MAPPED)
    assert (found["state"], found["created"], found["errors"]) == ("done", 1, [])
    (ada,) = (await staff.get("/v1/customers", params={"external_id": "90210"})).json()["items"]
    assert (ada["name"], ada["born_on"], ada["channels"][0]["value"]) == ("Ada Example", "1980-02-29", "2071838750")
    far = await sent(service, staff, run_jobs, workbook([HEADER, ADA]), [*MAPPED, "email=Mail"])
    assert (far["state"], far["errors"]) == (
        "refused",
        [{"row": 1, "column": "email", "detail": "the file has no column 'mail'"}],
    )
    junk = await sent(service, staff, run_jobs, b"PK junk", [])
    assert junk["state"] == "refused" and "is not XLSX" in junk["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        (["nome=Name"], {"in": "query", "parameter": "columns.0"}),
        (["name=Who", "owner=who "], {"in": "query", "parameter": "columns.1", "code": "repeated"}),
    ],
)
async def test_a_wrong_mapping_is_refused_with_its_place(
    staff: httpx.AsyncClient, columns: list[str], error: dict[str, str]
) -> None:
    headers = {"content-type": MEDIA_TYPE}
    answer = await staff.post("/v1/customers:import", params={"columns": columns}, content=b"x", headers=headers)
    assert answer.status_code == 422
    assert error.items() <= answer.json()["errors"][0].items(), answer.json()
