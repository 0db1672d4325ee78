"""Imports of customers that are undone, their suspects, and the export that can be imported again."""

import csv
import io
from typing import Any
from uuid import UUID

import httpx
import pytest
from orders_of import placed
from uploading import ADA, BEN, HEADER, counts, imported

from crm_service.uploads import undo
from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Deliver, RunJobs, Violations, published

CY = "acme,C-3,Cy Third,+44 20 7183 8759,,cy@example.com,,,,,,"


async def undone(service: Service, staff: httpx.AsyncClient, run_jobs: RunJobs, id: str) -> dict[str, Any]:
    asked = await staff.post(f"/v1/imports/{id}:undo")
    assert asked.status_code in (200, 202), asked.text
    await run_jobs(service)
    found: dict[str, Any] = (await staff.get(f"/v1/imports/{id}/undo")).json()
    again = await staff.post(f"/v1/imports/{id}:undo")
    assert (again.status_code, again.json()) == (200, found)
    return found


async def of(staff: httpx.AsyncClient, external_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await staff.get("/v1/customers", params={"external_id": external_id})).json()[
        "items"
    ]
    return found


async def test_undo_removes_new_customers_and_leaves_used_ones(
    service: Service,
    staff: httpx.AsyncClient,
    run_jobs: RunJobs,
    deliver: Deliver,
    violations: Violations,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(undo, "CHUNK", 2)
    rows = [ADA, BEN, CY, *(f"acme,D-{number},Di {number},,,,,,,,," for number in range(4))]
    made = await imported(service, staff, run_jobs, *rows)
    await deliver(service, placed("C-2"))
    (ada,), (cy,), (di,), (dan,) = [await of(staff, each) for each in ("C-1", "C-3", "D-1", "D-2")]
    await staff.patch(f"/v1/customers/{cy['id']}", json={"name": "Cy T."})
    await staff.post(f"/v1/customers/{di['id']}:note", json={"text": "called"})
    case = {"kind": "enquiry", "subject": "s", "text": "t", "customer_id": dan["id"]}
    assert (await staff.post("/v1/cases", json=case)).status_code == 201
    found = await undone(service, staff, run_jobs, made["id"])
    assert (found["state"], found["undone"], found["to_do"]) == ("done", 3, 0)
    assert found["left"] == {"changed": 1, "has_cases": 1, "has_orders": 1, "in_use": 1}
    assert {"customer_id": cy["id"], "reason": "changed"} in found["customers"]
    erasures = (await staff.get("/v1/erasures")).json()["items"]
    assert [(each["reason"], each["who"], each["state"]) for each in erasures] == 3 * [("import_undone", "ann", "done")]
    gone = {each["customer_id"]: each["erased"] for each in erasures}
    assert gone[ada["id"]] > 5 and min(gone.values()) > 1
    assert (await staff.get(f"/v1/customers/{ada['id']}")).json()["erased_at"]
    assert await of(staff, "C-1") == [] and len(await of(staff, "C-2")) == 1
    assert (await staff.get("/v1/customers", params={"email": "ada@example.com"})).json()["items"] == []
    assert await violations(service) == {}
    await deliver(service, placed("C-1"))
    ((met,),) = [await of(staff, "C-1")]
    assert (met["name"], met["origin"]) == (None, "order")
    assert counts(await imported(service, staff, run_jobs, CY, ADA)) == ("done", 0, 2, 0, 0)
    assert await violations(service) == {}


async def test_undo_gives_changed_customers_their_former_values(
    service: Service, staff: httpx.AsyncClient, run_jobs: RunJobs, deliver: Deliver, violations: Violations
) -> None:
    await deliver(service, placed("C-1"), placed("C-2"))
    before = {each: (await of(staff, each))[0] for each in ("C-1", "C-2")}
    body = {"name": "Ada Before", "born_on": "1970-01-01", "tags": ["old"]}
    await staff.patch(f"/v1/customers/{before['C-1']['id']}", json=body)
    before["C-1"] = (await of(staff, "C-1"))[0]
    made = await imported(service, staff, run_jobs, ADA, BEN)
    assert counts(made) == ("done", 0, 2, 0, 0) and (await of(staff, "C-1"))[0]["name"] == "Ada Example"
    assert (await undone(service, staff, run_jobs, made["id"]))["undone"] == 2
    for each, was in before.items():
        (now,) = await of(staff, each)
        assert {**now, "version": 0} == {**was, "version": 0}
    history = (await staff.get(f"/v1/customers/{before['C-2']['id']}/history")).json()["items"]
    assert [(each["name"], each["before"], each["after"], each["who"]) for each in history] == [
        ("name", "Ben Sample", None, "ann"),
        ("name", None, "Ben Sample", "import"),
    ]
    assert await violations(service) == {}


async def test_undo_leaves_merged_and_erased_customers(
    service: Service, staff: httpx.AsyncClient, run_jobs: RunJobs, clients: Clients
) -> None:
    made = await imported(service, staff, run_jobs, ADA, BEN, CY)
    (ada,), (ben,), (cy,) = [await of(staff, f"C-{each}") for each in (1, 2, 3)]
    await staff.post(f"/v1/customers/{ben['id']}:merge", json={"customer_id": ada["id"]})
    eraser = clients(service, None, ["crm:staff", "pii:erase"], subject="ann")
    assert (await eraser.post(f"/v1/customers/{cy['id']}:erase", json={})).status_code == 202
    assert (await undone(service, staff, run_jobs, made["id"]))["left"] == {"changed": 1, "erased": 1, "merged": 1}


async def test_undo_is_refused_while_the_import_runs(
    service: Service, staff: httpx.AsyncClient, clients: Clients
) -> None:
    headers = {"content-type": "text/csv"}
    made = (await staff.post("/v1/customers:import", content=f"{HEADER}\n{ADA}".encode(), headers=headers)).json()
    refused = await staff.post(f"/v1/imports/{made['id']}:undo")
    assert (refused.status_code, refused.json()["type"].rsplit(":")[-1]) == (409, "import-runs")
    assert (await staff.post(f"/v1/imports/{made['id']}:stop")).json()["state"] == "stopped"
    assert (await staff.post(f"/v1/imports/{made['id']}:undo")).status_code == 202
    again = (await staff.post("/v1/customers:import", content=f"{HEADER}\n{ADA}".encode(), headers=headers)).json()
    assert again["id"] != made["id"]
    unknown = str(UUID(int=1))
    assert (await staff.post(f"/v1/imports/{unknown}:undo")).status_code == 404
    assert (await staff.get(f"/v1/imports/{unknown}/undo")).status_code == 404
    partner = clients(service, "acme", ["crm:read", "crm:write", "crm:staff"])
    assert (await partner.post(f"/v1/imports/{made['id']}:undo")).status_code == 403


async def test_suspects_of_an_import_are_counted_and_listed(
    service: Service, staff: httpx.AsyncClient, run_jobs: RunJobs
) -> None:
    first = await imported(service, staff, run_jobs, ADA, BEN)
    twin = ADA.replace("C-1", "X-1").replace("ada@example.com", "ada@other.example")
    dry = await imported(service, staff, run_jobs, twin, CY, dry_run=True)
    made = await imported(service, staff, run_jobs, twin, CY)
    assert (first["suspected"], dry["suspected"], made["suspected"]) == (0, 1, 1)
    listed = (await staff.get("/v1/customers/suspects", params={"import_id": made["id"]})).json()["items"]
    assert [each for each in listed[0]["reasons"] if each != "same_address"] == [
        "same_phone",
        "same_name",
        "same_birthday",
    ]
    assert (await staff.get("/v1/customers/suspects", params={"import_id": dry["id"]})).json()["items"] == []


async def test_an_export_can_be_imported_again(
    service: Service, staff: httpx.AsyncClient, run_jobs: RunJobs, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_service.uploads.export.PAGE", 2)
    await imported(service, staff, run_jobs, ADA, BEN, CY)
    await staff.post("/v1/customers", json={"name": "Of no partner"})
    answer = await staff.get("/v1/customers:export")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(each["external_id"], each["name"], each["tags"]) for each in rows] == [
        ("C-3", "Cy Third", ""),
        ("C-2", "Ben Sample", ""),
        ("C-1", "Ada Example", "loud vip"),
    ]
    headers = {"content-type": "text/csv"}
    again = (await staff.post("/v1/customers:import", content=answer.content, headers=headers)).json()
    await run_jobs(service)
    assert counts((await staff.get(f"/v1/imports/{again['id']}")).json()) == ("done", 0, 0, 3, 0)
    masked = (await clients(service, None, ["crm:staff"], subject="ben").get("/v1/customers:export")).text
    assert "Example" not in masked and "ada" not in masked and "C-1" in masked
    async with service.database.unit() as unit:
        audited = await unit.sql.fetch(
            "SELECT who, after::text FROM operator_action WHERE action = 'customer:export' ORDER BY id"
        )
    assert [tuple(row) for row in audited] == [("ann", '{"masked":false}'), ("ben", '{"masked":true}')]


async def test_a_removed_customer_is_published_as_erased(
    service: Service, staff: httpx.AsyncClient, run_jobs: RunJobs
) -> None:
    made = await imported(service, staff, run_jobs, BEN)
    await undone(service, staff, run_jobs, made["id"])
    types = [row["headers"]["ce_type"] for row in await published(service)]
    assert types == ["crossdock.CustomerRegistered.v1", "crossdock.CustomerErased.v1"]
