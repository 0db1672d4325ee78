"""What happens after an erasure: new orders and mails, opt-outs, restored databases, and what came meanwhile."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from erasing import ADDRESS, MARK, asked, backed_up, erase, erasure, events, marked, settled, with_mark
from mail_desk import DESK, Desk, mail
from orders_of import placed

from crm_service.erasure.export import EXPORTED
from crm_service.erasure.retention import Retention
from crm_service.erasure.stores import STORES
from crossdock_chassis import JobRun, new_id
from crossdock_chassis.jobs.rows import Claimed
from crossdock_chassis.testing import Clients, Deliver, RunJobs, Violations
from crossdock_events.customers import CustomerErased


async def erased(desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver) -> str:
    """Return the id of a customer with marks that was erased."""
    id = await marked(desk, eraser, deliver)
    await settled(desk, eraser, deliver, id)
    await asked(eraser, id)
    assert (await erase(desk.service))["erased"] == 1
    return id


async def test_new_order_makes_another_customer_without_the_old_orders(
    desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver, violations: Violations
) -> None:
    old = await erased(desk, eraser, deliver)
    order = placed("C-1", reference="PO-2")
    await deliver(desk.service, order)
    (new,) = (await eraser.get("/v1/customers", params={"external_id": "C-1"})).json()["items"]
    assert new["id"] != old and new["name"] is None
    shown = (await eraser.get(f"/v1/customers/{new['id']}/360")).json()
    assert [each["id"] for each in shown["orders"]] == [str(order.order_id)]
    assert (await eraser.get(f"/v1/customers/{old}/360")).json()["orders"] == []
    assert await violations(desk.service) == {}


async def test_mail_from_an_erased_address_begins_anew(desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver) -> None:
    old = await erased(desk, eraser, deliver)
    filed = await desk.receives(mail("Hello again", ADDRESS))
    assert (await desk.case(filed["case_id"]))["customer_id"] != old


async def test_nothing_can_be_added_to_an_erased_customer(
    desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver
) -> None:
    old = await erased(desk, eraser, deliver)
    other = (await eraser.post("/v1/customers", json={"name": "Ben"})).json()["id"]
    requests = {
        f"/v1/customers/{old}:note": {"text": "x"},
        f"/v1/customers/{old}:add-channel": {"kind": "email", "value": "x@example.com"},
        f"/v1/customers/{old}:merge": {"customer_id": other},
        f"/v1/customers/{other}:merge": {"customer_id": old},
        f"/v1/customers/{old}:hold": {"reason": "x", "until": "2099-01-01"},
    }
    for path, body in requests.items():
        answer = await eraser.post(path, json=body)
        assert (answer.status_code, answer.json()["type"].split(":")[-1]) == (409, "customer-erased"), path
    body = {"kind": "enquiry", "subject": "s", "text": "t", "customer_id": old}
    assert (await eraser.post("/v1/cases", json=body)).status_code == 422


async def test_opt_out_outlives_the_erasure(
    desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver, run_jobs: RunJobs
) -> None:
    """The customer is imported again, and a notice to it is suppressed."""
    await erased(desk, eraser, deliver)
    file = f"partner,external_id,name,email\nacme,C-1,Ada,{ADDRESS}\n".encode()
    await eraser.post("/v1/customers:import", content=file, headers={"content-type": "text/csv"})
    await run_jobs(desk.service)
    (again,) = (await eraser.get("/v1/customers", params={"email": ADDRESS})).json()["items"]
    assert [each["suppressed"] for each in again["channels"]] == ["opted_out"]
    shown = (await eraser.get(f"/v1/customers/{again['id']}/360")).json()["customer"]["channels"]
    assert [each["suppressed"] for each in shown] == ["opted_out"]
    case = {"kind": "enquiry", "subject": "s", "text": "t", "customer_id": again["id"]}
    opened = (await eraser.post("/v1/cases", json=case)).json()
    async with desk.service.database.unit() as unit:
        await desk.post.notice_of_case(unit, UUID(opened["id"]), UUID(again["id"]), "delayed")
    assert ("notice", "opted_out") in await desk.out("suppressed")


async def test_restored_database_is_erased_again(desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver) -> None:
    """The tables go back to before the erasure. Then the service reads its own event again."""
    id = await marked(desk, eraser, deliver)
    await settled(desk, eraser, deliver, id)
    async with backed_up(desk.service):
        await asked(eraser, id)
        await erase(desk.service)
        told = await events(desk.service, CustomerErased)
    assert await with_mark(desk.service) != []
    await deliver(desk.service, *told)
    assert (await erase(desk.service))["erased"] == len(told) == 2  # with the one that was merged into it
    assert await with_mark(desk.service) == []
    assert len(await events(desk.service, CustomerErased)) == len(told)
    assert (await eraser.get("/v1/erasures")).json()["items"][0]["reason"] == "restored"


async def test_old_orders_that_come_again_register_nobody(
    desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver
) -> None:
    """A database from before the customer was met reads the old orders and the erasure, in either order."""
    order = placed("C-9")
    event = CustomerErased.model_validate(
        {"customer_id": new_id(), "ordered_as": ({"partner": "acme", "external_id": "C-9"},)}
    )
    await deliver(desk.service, order)
    await deliver(desk.service, event)
    assert (await erase(desk.service))["erased"] == 1
    await deliver(desk.service, placed("C-8"), event)
    assert (await eraser.get("/v1/customers", params={"external_id": "C-9"})).json()["items"] == []


async def test_what_a_slow_unit_wrote_meanwhile_is_erased_too(
    desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver
) -> None:
    id = await erased(desk, eraser, deliver)
    async with desk.service.database.unit() as unit:
        await unit.sql.execute("UPDATE case_entries SET body = $1", MARK)
    assert await with_mark(desk.service) == ["case_entries"]
    await erase(desk.service)
    assert await with_mark(desk.service) == []
    assert (await eraser.get(f"/v1/customers/{id}")).json()["erased_at"]


async def test_killed_run_goes_on(desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver) -> None:
    """Each unit of a run erases a chunk, so a run that ends after any of them leaves the rest to the next one."""
    id = await marked(desk, eraser, deliver)
    await settled(desk, eraser, deliver, id)
    made = await asked(eraser, id)
    for units in range(3):
        assert await erase(desk.service, units=units + 1) == {}
        assert (await erasure(eraser, made["id"]))["state"] == "pending"
    assert (await erase(desk.service))["erased"] == 1 and await with_mark(desk.service) == []


async def test_holds_keep_a_customer_until_they_end(desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver) -> None:
    order = placed("C-1")
    await deliver(desk.service, order)
    (customer,) = (await eraser.get("/v1/customers", params={"external_id": "C-1"})).json()["items"]
    path = f"/v1/customers/{customer['id']}"
    body = {"kind": "complaint", "subject": "s", "text": "t", "customer_id": customer["id"]}
    case = (await eraser.post("/v1/cases", json=body)).json()["id"]
    day = str((datetime.now(UTC) + timedelta(days=3)).date())
    assert (await eraser.post(f"{path}:hold", json={"reason": "lawsuit", "until": "2020-01-01"})).status_code == 422
    holds = (await eraser.post(f"{path}:hold", json={"reason": "lawsuit", "until": day})).json()["holds"]
    assert [each["kind"] for each in holds] == ["legal", "order", "case"] and holds[0]["until"] > day
    made = await asked(eraser, customer["id"])
    assert await erase(desk.service) == {"erased": 0, "pending": 1}
    await settled(desk, eraser, deliver, customer["id"])
    await desk.verb(case, "resolve", root_cause="other")
    assert await erase(desk.service) == {"erased": 0, "pending": 1}
    waiting = await erasure(eraser, made["id"])
    assert [(each["kind"], each["reason"]) for each in waiting["holds"]] == [("legal", "lawsuit")]
    none = await eraser.post(f"{path}:lift-hold", json={"hold_id": case})
    assert none.json()["type"].endswith("no-such-hold")
    lifted = await eraser.post(f"{path}:lift-hold", json={"hold_id": holds[0]["of"]})
    assert lifted.json() == {"holds": []}
    assert await erase(desk.service) == {"erased": 1, "pending": 0}


async def test_export_has_every_personal_value(
    desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver, clients: Clients
) -> None:
    id = await marked(desk, eraser, deliver)
    raw, headers = mail(f"{MARK} is not filed yet", ADDRESS), {"content-type": "message/rfc822"}
    await eraser.post("/v1/mail", params={"recipient": DESK}, content=raw, headers=headers)
    await eraser.post(f"/v1/customers/{id}:hold", json={"reason": "lawsuit", "until": "2099-12-31"})
    answer = await eraser.get(f"/v1/customers/{id}/export")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert {each["store"] for each in rows} == EXPORTED.keys() - {"other mails to the customer"}
    with_mark = [each["row"] for each in rows if MARK.lower() in str(each).lower()]
    assert len(with_mark) > len(STORES) and not any("content" in row and "import_id" in row for row in with_mark)
    of = {name: [each["row"] for each in rows if each["store"] == name] for name in EXPORTED}
    assert [(each["partner"], each["status"]) for each in of["orders"]] == [("acme", "placed")]
    assert [each["state"] for each in of["consents"]] == ["withdrawn"]
    assert [each["external_id"] for each in of["customer ids"]] == ["C-1"]
    assert [each["reason"] for each in of["holds"]] == ["lawsuit"]
    masked = clients(desk.service, None, ["crm:staff"], subject="ann")
    assert (await masked.get(f"/v1/customers/{id}/export")).status_code == 403
    async with desk.service.database.unit() as unit:
        assert await unit.sql.fetchval("SELECT count(*) FROM operator_action WHERE action = 'customer:export'") == 1


async def test_inactive_people_are_erased(desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver) -> None:
    """One is old and inactive. The other ones have an order, a note or a case of a younger time."""
    await deliver(desk.service, *(placed(f"C-{number}") for number in range(4)))
    found = {each["external_ids"][0]: each["id"] for each in (await eraser.get("/v1/customers")).json()["items"]}
    async with desk.service.database.unit() as unit:
        await unit.sql.execute("UPDATE customers SET registered_at = '2020-01-01Z'")
        await unit.sql.execute(
            "UPDATE customer_orders SET placed_at = '2020-01-01Z', status = 'confirmed' WHERE external_id <> 'C-1'"
        )
    await eraser.post(f"/v1/customers/{found['C-2']}:note", json={"text": "x"})
    case = {"kind": "enquiry", "subject": "s", "text": "t", "customer_id": found["C-3"]}
    await eraser.post("/v1/cases", json=case)
    run = JobRun(desk.service.database, Claimed(new_id(), None, "test", {}))
    assert await Retention(None).ask_for_the_inactive(run) == {"asked": 0}
    assert await Retention(365).ask_for_the_inactive(run) == {"asked": 1}
    assert await erase(desk.service) == {"erased": 1, "pending": 0}
    assert (await eraser.get(f"/v1/customers/{found['C-0']}")).json()["erased_at"]


async def test_old_cases_keep_no_texts_mails_and_files(desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver) -> None:
    """One case has ended long ago, one only now, and one is of a customer whom staff hold."""
    id = await marked(desk, eraser, deliver)
    cases = (await eraser.get("/v1/cases", params={"customer_id": id})).json()["items"]
    recent = cases[0]["id"]
    held = await desk.receives(mail("held", "ben@example.com"))
    await desk.verb(held["case_id"], "resolve", root_cause="other")
    ben = (await desk.case(held["case_id"]))["customer_id"]
    await eraser.post(f"/v1/customers/{ben}:hold", json={"reason": "lawsuit", "until": "2099-12-31"})
    async with desk.service.database.unit() as unit:
        await unit.sql.execute("UPDATE cases SET changed_at = '2020-01-01Z' WHERE id <> $1", UUID(recent))
    run = JobRun(desk.service.database, Claimed(new_id(), None, "test", {}))
    assert await Retention(None).erase_old_cases(run) == {"cases": 0, "rows": 0}
    done = await Retention(None, 365).erase_old_cases(run)
    assert done["cases"] == len(cases) - 1 and int(str(done["rows"])) > 3
    assert await Retention(None, 365).erase_old_cases(run) == {"cases": 0, "rows": 0}
    async with desk.service.database.unit() as unit:
        kept = await unit.sql.fetch("SELECT DISTINCT case_id FROM case_entries WHERE body IS NOT NULL")
        mails = await unit.sql.fetch("SELECT DISTINCT case_id FROM mails WHERE raw <> '' AND case_id IS NOT NULL")
    assert {str(row[0]) for row in kept} == {recent, held["case_id"]} >= {str(row[0]) for row in mails}
    assert (await eraser.get(f"/v1/customers/{id}")).json()["name"]
