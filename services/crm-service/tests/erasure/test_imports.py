"""Imported files, their rows and errors, of customers that are erased."""

import httpx
from erasing import asked, erase, erasure, with_mark
from mail_desk import Desk

from crossdock_chassis.testing import RunJobs, Violations

HEADER = "partner,external_id,name,email,phone"
ADA = "acme,C-1,Ada Zyxmark,ada@zyxmark.example,+44 20 7183 8750"
BEN = "acme,C-2,Ben Sample,ben@example.com,+44 20 7183 8751"


async def uploaded(eraser: httpx.AsyncClient, *rows: str) -> str:
    content, headers = "\n".join(rows).encode(), {"content-type": "text/csv"}
    answer = await eraser.post("/v1/customers:import", content=content, headers=headers)
    assert answer.status_code == 202, answer.text
    id: str = answer.json()["id"]
    return id


async def test_rows_and_errors_of_imports_are_erased(
    desk: Desk, eraser: httpx.AsyncClient, run_jobs: RunJobs, violations: Violations
) -> None:
    """The first file is applied. The second has no header, so its errors quote a row. The third waits for a worker."""
    await uploaded(eraser, HEADER, ADA, BEN)
    await run_jobs(desk.service)
    wrong = await uploaded(eraser, ADA, BEN)
    await run_jobs(desk.service)
    errors = (await eraser.get(f"/v1/imports/{wrong}")).json()["errors"]
    assert "ada@zyxmark.example" in {each["column"] for each in errors}
    await uploaded(eraser, HEADER, BEN, ADA)
    (ada,) = (await eraser.get("/v1/customers", params={"external_id": "C-1"})).json()["items"]
    made = await asked(eraser, ada["id"])
    assert [each["kind"] for each in made["holds"]] == ["import"]
    assert {"errors of imported rows", "imported rows"} <= {each["store"] for each in made["missing"]}
    assert await erase(desk.service) == {"erased": 0, "pending": 1}
    await run_jobs(desk.service)
    assert await erase(desk.service) == {"erased": 1, "pending": 0}
    assert (await erasure(eraser, made["id"]))["missing"] == [] and await with_mark(desk.service) == []
    assert "import_row" in await with_mark(desk.service, "Ben Sample")
    (ben,) = (await eraser.get("/v1/customers", params={"external_id": "C-2"})).json()["items"]
    assert ben["name"] == "Ben Sample" and await violations(desk.service) == {}
