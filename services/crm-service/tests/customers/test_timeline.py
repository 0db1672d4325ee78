"""What happened to a customer, notes and calls, and how a customer is found."""

from typing import Any

import httpx
from orders_of import backordered, placed

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Deliver


async def only(client: httpx.AsyncClient, **params: Any) -> dict[str, Any]:
    (customer,) = (await client.get("/v1/customers", params=params)).json()["items"]
    found: dict[str, Any] = customer
    return found


async def everything(client: httpx.AsyncClient, id: str, limit: int) -> list[dict[str, Any]]:
    """Return the whole timeline, page by page."""
    items, cursor = list[dict[str, Any]](), None
    while True:
        params = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(f"/v1/customers/{id}/timeline", params=params)).json()
        items += page["items"]
        if (cursor := page["next"]) is None:
            return items


async def test_timeline_has_orders_cases_notes_calls_and_changes(
    service: Service, deliver: Deliver, staff: httpx.AsyncClient, clients: Clients
) -> None:
    order = placed("C-1")
    await deliver(service, order, backordered(order))
    id = (await only(staff))["id"]
    await staff.patch(f"/v1/customers/{id}", json={"name": "Ada", "zone": "Europe/Paris"})
    for verb, body in (
        ("note", {"text": "Prefers mornings."}),
        ("call", {"text": "Asked for the order.", "direction": "in", "seconds": 90}),
        ("consent", {"purpose": "marketing", "channel": "sms", "state": "withdrawn", "source": "call"}),
    ):
        assert (await staff.post(f"/v1/customers/{id}:{verb}", json=body)).status_code in (200, 201)
    case = {"kind": "enquiry", "subject": "s", "text": "t", "order_id": str(order.order_id)}
    case_id = (await staff.post("/v1/cases", json=case)).json()["id"]
    await staff.post(f"/v1/cases/{case_id}:note", json={"text": "secret"})
    items = await everything(staff, id, 200)
    assert {each["kind"] for each in items} == {
        *("order_placed", "order_backordered", "case_opened", "case_noted"),
        *("note", "call", "changed", "consent_withdrawn"),
    }
    assert [each["at"] for each in items] == sorted((each["at"] for each in items), reverse=True)
    assert next(each["text"] for each in items if each["kind"] == "changed") == "name, zone"
    assert await everything(staff, id, 2) == items
    mine = await everything(clients(service, "acme", ["crm:read"]), id, 200)
    assert {each["kind"] for each in mine} == {"order_placed", "order_backordered", "case_opened"}
    assert {each["who"] for each in mine} == {None}
    other = clients(service, "globex", ["crm:read"])
    assert (await other.get(f"/v1/customers/{id}/timeline")).status_code == 404
    masked = await everything(clients(service, None, ["crm:staff"]), id, 200)
    assert {each["text"] for each in masked if each["kind"] in ("note", "call")} == {"…"}


async def test_same_note_is_recorded_once(staff: httpx.AsyncClient, service: Service, deliver: Deliver) -> None:
    await deliver(service, placed("C-1"))
    url = f"/v1/customers/{(await only(staff))['id']}:note"
    answers = [await staff.post(url, json={"text": "a"}, headers={"Idempotency-Key": "K"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json() and answers[1].headers["idempotent-replayed"] == "true"
    for body in ({"text": ""}, {"text": "a\u0000"}, {"text": "a" * 20_001}, {}):
        assert (await staff.post(url, json=body)).status_code == 422


async def test_customer_is_found_by_number_and_by_words_of_its_name(
    service: Service, staff: httpx.AsyncClient, deliver: Deliver, clients: Clients
) -> None:
    await deliver(service, placed("C-1", "acme"), placed("C-2", "globex"))
    first, second = [each["id"] for each in (await staff.get("/v1/customers")).json()["items"]]
    for id, name, number in ((first, "Zoë van Müller", "020 7183 8750"), (second, "陳小華", "020 7183 8751")):
        await staff.patch(f"/v1/customers/{id}", json={"name": name, "region": "GB"})
        await staff.post(f"/v1/customers/{id}:add-channel", json={"kind": "phone", "value": number})
    assert (await only(staff, phone="+44 20 7183 8750"))["id"] == first
    assert (await only(staff, phone="02071838751", region="GB"))["id"] == second
    assert (await only(staff, name="muller ZOE"))["id"] == first
    assert (await only(staff, name="陈小华"))["id"] == second
    for params in ({"name": "zoe smith"}, {"name": "—"}, {"phone": "+442071838750", "name": "陈小华"}):
        assert (await staff.get("/v1/customers", params=params)).json()["items"] == []
    wrong = await staff.get("/v1/customers", params={"phone": "02071838750"})
    assert (wrong.status_code, wrong.json()["errors"][0]["parameter"]) == (422, "phone")
    (partner,) = (await only(staff, name="zoe"))["partners"]
    other = {"acme": "globex", "globex": "acme"}[partner]
    assert len((await clients(service, partner, ["crm:read"]).get("/v1/customers?name=zoe")).json()["items"]) == 1
    assert (await clients(service, other, ["crm:read"]).get("/v1/customers?name=zoe")).json()["items"] == []
