"""Files of customers, as staff import them."""

import httpx
from orders_of import placed
from uploading import ADA, BEN, HEADER, counts, imported

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Deliver, RunJobs, Violations


async def test_imported_customers_have_their_values_and_links(
    service: Service, staff: httpx.AsyncClient, run_jobs: RunJobs, deliver: Deliver, violations: Violations
) -> None:
    assert counts(await imported(service, staff, run_jobs, ADA, BEN, dry_run=True)) == ("done", 2, 0, 0, 0)
    assert (await staff.get("/v1/customers")).json()["items"] == []
    assert counts(await imported(service, staff, run_jobs, ADA, BEN)) == ("done", 2, 0, 0, 0)
    (ada,) = (await staff.get("/v1/customers", params={"external_id": "C-1"})).json()["items"]
    assert (ada["origin"], ada["name"], ada["born_on"], ada["tags"]) == (
        *("import", "Ada Example", "1980-02-29"),
        ["loud", "vip"],
    )
    assert [each["value"] for each in ada["channels"]] == ["ada@example.com", "020 7183 8750"]
    assert [each["street"] for each in ada["addresses"]] == ["1 High Street"]
    await deliver(service, placed("C-1"))
    assert [each["partners"] for each in (await staff.get("/v1/customers?name=ada")).json()["items"]] == [["acme"]]
    changed = BEN.replace("Ben Sample", "Ben S.")
    assert counts(await imported(service, staff, run_jobs, ADA, changed)) == ("done", 0, 1, 1, 0)
    assert await violations(service) == {}


async def test_duplicates_in_a_file_are_suspected(
    service: Service, staff: httpx.AsyncClient, run_jobs: RunJobs
) -> None:
    rows = [f"acme,N-{number},Cy Twin,02071838751,GB,,1970-01-01,,,,," for number in range(40)]
    assert counts(await imported(service, staff, run_jobs, *rows)) == ("done", 40, 0, 0, 0)
    pairs = (await staff.get("/v1/customers/suspects", params={"limit": 200})).json()
    assert len(pairs["items"]) == 200 and pairs["next"] and pairs["items"][0]["reasons"][0] == "same_phone"


async def test_wrong_rows_are_listed_and_change_nothing(
    service: Service, staff: httpx.AsyncClient, run_jobs: RunJobs, clients: Clients
) -> None:
    await staff.post("/v1/customers", json={"name": "Ada", "email": "taken@example.com"})
    found = await imported(
        service,
        staff,
        run_jobs,
        "acme,C-1,Ada,12,GB,,,,,,,",
        "acme,C-2,Ben,,,taken@example.com,,,,,,",
        BEN.replace("C-2", "C-3"),
    )
    assert (found["state"], [(each["row"], each["column"]) for each in found["errors"]]) == (
        "refused",
        [(2, "phone"), (3, "email")],
    )
    cells = await imported(
        service, staff, run_jobs, "acme,C-1,Ada,,QQ,,1980-13-01,1 High Street,,,,", "acme,,Ben,,,,,,,,,"
    )
    assert {(each["row"], each["column"]) for each in cells["errors"]} == {
        *((2, "region"), (2, "born_on"), (2, "city"), (2, "country"), (3, "external_id")),
    }
    assert len((await staff.get("/v1/customers")).json()["items"]) == 1
    errors = (await staff.get(f"/v1/imports/{found['id']}/errors.csv")).text
    assert "taken" not in errors and "another customer has this mail address" in errors
    partner = clients(service, "acme", ["crm:read", "crm:write", "crm:staff"])
    refused = await partner.post("/v1/customers:import", content=HEADER, headers={"content-type": "text/csv"})
    assert refused.status_code == 403
