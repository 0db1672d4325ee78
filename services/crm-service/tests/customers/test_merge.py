"""Suspected duplicates, merges, and merges that are taken back."""

import asyncio
from typing import Any

import httpx
from orders_of import placed

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Deliver, Violations, published

PHONE = {"kind": "phone", "value": "+44 20 7183 8750"}


async def created(staff: httpx.AsyncClient, name: str, **more: Any) -> dict[str, Any]:
    answer = await staff.post("/v1/customers", json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    customer: dict[str, Any] = answer.json()
    return customer


async def decided(staff: httpx.AsyncClient, verb: str, one: str, other: str, status: int = 200) -> dict[str, Any]:
    answer = await staff.post(f"/v1/customers/{one}:{verb}", json={"customer_id": other})
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def consents(staff: httpx.AsyncClient, id: str) -> dict[str, str]:
    shown = (await staff.get(f"/v1/customers/{id}")).json()
    return {f"{each['purpose']} {each['channel']}": each["state"] for each in shown["consents"]}


async def consent(staff: httpx.AsyncClient, id: str, channel: str, state: str) -> None:
    body = {"purpose": "marketing", "channel": channel, "state": state, "source": "form"}
    assert (await staff.post(f"/v1/customers/{id}:consent", json=body)).status_code == 200


async def test_new_customer_shows_whom_it_may_be_and_why(staff: httpx.AsyncClient) -> None:
    known = await created(staff, "陳小華", born_on="1980-02-29", channels=[PHONE])
    other = await created(staff, "Ben Sample", born_on="1980-02-29")
    twin = await created(staff, "陈小华", channels=[PHONE])
    assert known["suspects"] == other["suspects"] == []
    assert [(each["customer_id"], each["reasons"]) for each in twin["suspects"]] == [
        (known["id"], ["same_phone", "same_name"])
    ]
    (pair,) = (await staff.get("/v1/customers/suspects")).json()["items"]
    assert {pair["one"], pair["other"]} == {known["id"], twin["id"]}
    await decided(staff, "dismiss", known["id"], twin["id"])
    assert (await staff.patch(f"/v1/customers/{twin['id']}", json={"owner": "ben"})).json()["suspects"] == []
    assert (await staff.get("/v1/customers/suspects")).json()["items"] == []
    await decided(staff, "dismiss", known["id"], other["id"], 422)


async def test_suspicion_follows_the_values(staff: httpx.AsyncClient) -> None:
    known = await created(staff, "Ada Example", born_on="1980-02-29")
    twin = await created(staff, "Ada Exampel", born_on="1980-02-29")
    assert [each["customer_id"] for each in twin["suspects"]] == [known["id"]]
    changed = await staff.patch(f"/v1/customers/{twin['id']}", json={"name": "Zoe Other", "born_on": "1999-09-09"})
    assert changed.json()["suspects"] == []


async def test_merge_keeps_values_links_and_the_stricter_consent(
    service: Service, deliver: Deliver, staff: httpx.AsyncClient, clients: Clients, violations: Violations
) -> None:
    await deliver(service, placed("C-1", "acme"), placed("C-2", "globex", reference="PO-2"))
    ids = {each["partners"][0]: each["id"] for each in (await staff.get("/v1/customers")).json()["items"]}
    one, other = ids["acme"], ids["globex"]
    await staff.patch(f"/v1/customers/{one}", json={"name": "Ada", "email": "ada@example.com"})
    await staff.patch(
        f"/v1/customers/{other}", json={"name": "Ada E.", "email": "ada@example.org", "zone": "Asia/Tokyo"}
    )
    await consent(staff, one, "email", "given")
    await consent(staff, other, "email", "withdrawn")
    case = await staff.post("/v1/cases", json={"kind": "enquiry", "subject": "s", "text": "t", "customer_id": other})
    preview = (await staff.get(f"/v1/customers/{one}/merge-preview", params={"other_id": other})).json()
    assert (preview["into"]["name"], preview["merged"]["name"]) == ("Ada", "Ada E.")
    merged = await decided(staff, "merge", one, other)
    for shown in (preview["result"], merged):
        assert (shown["id"], shown["name"], shown["other_names"], shown["zone"]) == (
            one,
            "Ada",
            ["Ada E."],
            "Asia/Tokyo",
        )
        assert shown["emails"] == ["ada@example.com", "ada@example.org"]
        assert shown["external_ids"] == ["C-1", "C-2"] and shown["merged"] in ([other], [])
        assert [each["state"] for each in shown["consents"]] == ["withdrawn"]
    overview = (await staff.get(f"/v1/customers/{other}/360")).json()
    assert overview["customer"]["id"] == one and {each["reference"] for each in overview["orders"]} == {"PO-1", "PO-2"}
    assert [each["id"] for each in overview["cases"]] == [case.json()["id"]]
    assert (await staff.get(f"/v1/cases/{case.json()['id']}")).json()["customer_id"] == one
    seen = (await clients(service, "acme", ["crm:read", "pii:read"]).get(f"/v1/customers/{one}")).json()
    assert (seen["emails"], seen["other_names"], seen["external_ids"]) == (["ada@example.com"], [], ["C-1"])
    assert [each["state"] for each in seen["consents"]] == ["withdrawn"]
    theirs = (await clients(service, "globex", ["crm:read", "pii:read"]).get(f"/v1/customers/{one}")).json()
    assert (theirs["name"], theirs["emails"]) == ("Ada E.", ["ada@example.org"])
    assert await violations(service) == {}
    for edit, titles in (
        ("UPDATE customers SET root = id", {"customers whose root is not the end of their merges"}),
        (
            "UPDATE customers SET merged_into = NULL",
            {"customers whose root is not the end of their merges", "customers that differ from their topic"},
        ),
    ):
        assert (await violations(service, edit)).keys() == titles, edit


async def test_unmerge_restores_both_and_keeps_what_changed(
    service: Service, deliver: Deliver, staff: httpx.AsyncClient, violations: Violations
) -> None:
    one, other, third = [(await created(staff, name))["id"] for name in ("Ada", "Bea", "Cleo")]
    before = [(await staff.get(f"/v1/customers/{id}")).json() for id in (one, other)]
    await decided(staff, "merge", other, third)
    await decided(staff, "merge", one, other)
    assert set((await staff.get(f"/v1/customers/{third}")).json()["merged"]) == {other, third}
    await staff.patch(f"/v1/customers/{one}", json={"zone": "Europe/Paris"})
    await consent(staff, one, "email", "given")
    await consent(staff, one, "sms", "withdrawn")
    await decided(staff, "unmerge", one, other)
    after = [(await staff.get(f"/v1/customers/{id}")).json() for id in (one, other)]
    assert [each["name"] for each in after] == [each["name"] for each in before] == ["Ada", "Bea"]
    assert [each["zone"] for each in after] == ["Europe/Paris", None]
    assert [each["merged"] for each in after] == [[], [third]]
    assert await consents(staff, one) == {"marketing email": "given", "marketing sms": "withdrawn"}
    assert await consents(staff, other) == {"marketing sms": "withdrawn"}
    assert await violations(service) == {}
    names = [row["headers"]["ce_type"].split(".")[1] for row in await published(service)]
    assert names.count("CustomersMerged") == 2 and names.count("CustomersUnmerged") == 1


async def test_merge_that_cannot_be_is_refused(staff: httpx.AsyncClient) -> None:
    one, other, third = [(await created(staff, name))["id"] for name in ("Ada", "Bea", "Cleo")]
    account = (await created(staff, "Firm", kind="account"))["id"]
    branch = (await created(staff, "Branch", kind="account", parent_id=account))["id"]
    await decided(staff, "merge", one, other)
    assert (await decided(staff, "merge", one, one, 422))["errors"][0]["code"] == "same"
    assert (await decided(staff, "merge", one, account, 422))["errors"][0]["code"] == "other_kind"
    assert (await decided(staff, "merge", branch, account, 422))["errors"][0]["code"] == "circle"
    assert (await decided(staff, "unmerge", one, third, 422))["errors"][0]["code"] == "not_merged"
    for verb, into in (("merge", third), ("consent", None)):
        body = {"customer_id": other} if into else {"purpose": "a", "channel": "sms", "state": "given", "source": "x"}
        answer = await staff.post(f"/v1/customers/{into or other}:{verb}", json=body)
        assert (answer.status_code, answer.json()["merged_into"]) == (409, one)
        assert answer.headers["location"] == f"/v1/customers/{one}"
    assert (await decided(staff, "merge", third, "019c0000-0000-7000-8000-000000000001", 404))["status"] == 404


async def test_two_merges_both_ways_at_once_join_once(service: Service, staff: httpx.AsyncClient) -> None:
    for _ in range(5):
        one, other = [(await created(staff, name))["id"] for name in ("Ada", "Bea")]
        answers = await asyncio.gather(
            staff.post(f"/v1/customers/{one}:merge", json={"customer_id": other}),
            staff.post(f"/v1/customers/{other}:merge", json={"customer_id": one}),
        )
        assert sorted(each.status_code for each in answers) == [200, 409]
        assert (await staff.get(f"/v1/customers/{one}")).json()["id"] in (one, other)
