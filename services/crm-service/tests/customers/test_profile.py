"""What staff know of customers, and who changed it."""

from typing import Any

import httpx
import pytest
from orders_of import placed

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Deliver, Violations, published

ADA = {
    "name": "Ada Example",
    "email": "ada@example.com",
    "born_on": "1980-02-29",
    "zone": "Europe/London",
    "locale": "en-GB",
    "region": "GB",
    "owner": "ben",
    "tags": ["vip", "wholesale"],
    "channels": [{"kind": "phone", "value": "020 7183 8750"}],
    "addresses": [{"street": "1 High Street", "city": "Leeds", "postcode": "LS1 4AP", "country": "GB"}],
}


async def created(staff: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await staff.post("/v1/customers", json={**ADA, **more})
    assert answer.status_code == 201, answer.text
    customer: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/customers/{customer['id']}"
    return customer


def pointers(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [each["pointer"] for each in answer.json()["errors"]]


async def test_created_customer_has_all_that_was_given(
    service: Service, staff: httpx.AsyncClient, violations: Violations
) -> None:
    shown = await created(staff)
    names = ("name", "born_on", "zone", "locale", "region", "owner", "tags")
    assert {name: shown[name] for name in names} == {name: ADA[name] for name in names}
    assert [(each["kind"], each["value"], each["region"]) for each in shown["channels"]] == [
        ("email", "ada@example.com", None),
        ("phone", "020 7183 8750", "GB"),
    ]
    assert [(each["city"], each["postcode"]) for each in shown["addresses"]] == [("Leeds", "LS1 4AP")]
    assert (shown["origin"], shown["version"]) == ("staff", 1)
    assert await violations(service) == {}


async def test_change_is_kept_with_who_made_it(service: Service, staff: httpx.AsyncClient) -> None:
    url = f"/v1/customers/{(await created(staff))['id']}"
    changed = await staff.patch(url, json={"name": "Ada Sample", "owner": None}, headers={"If-Match": '"1"'})
    assert (changed.json()["name"], changed.json()["owner"], changed.headers["etag"]) == ("Ada Sample", None, '"2"')
    assert (await staff.patch(url, json={"name": "X"}, headers={"If-Match": '"1"'})).status_code == 412
    assert (await staff.patch(url, json={"name": "Ada Sample"})).json()["version"] == 2
    history = (await staff.get(f"{url}/history")).json()["items"]
    assert [(each["name"], each["before"], each["after"], each["who"]) for each in history[:2]] == [
        ("owner", "ben", None, "ann"),
        ("name", "Ada Example", "Ada Sample", "ann"),
    ]
    assert (history[2]["name"], history[2]["after"]["name"]) == ("registered", "Ada Example")
    first = (await staff.get(f"{url}/history", params={"limit": 1})).json()
    rest = (await staff.get(f"{url}/history", params={"cursor": first["next"]})).json()
    assert [each["name"] for each in first["items"] + rest["items"]] == ["owner", "name", "registered"]
    assert "Ada" not in str([dict(row) for row in await published(service)])


async def test_phone_number_without_plus_needs_a_region(staff: httpx.AsyncClient) -> None:
    id = (await created(staff, region=None, channels=[]))["id"]
    number = {"kind": "phone", "value": "13800138000"}
    assert pointers(await staff.post(f"/v1/customers/{id}:add-channel", json=number)) == ["/region"]
    shown = (await staff.post(f"/v1/customers/{id}:add-channel", json={**number, "region": "CN"})).json()
    assert (shown["channels"][1]["value"], shown["channels"][1]["region"]) == ("13800138000", "CN")
    same = {"kind": "phone", "value": "+86 138 0013 8000"}
    assert len((await staff.post(f"/v1/customers/{id}:add-channel", json=same)).json()["channels"]) == 2
    gone = (await staff.post(f"/v1/customers/{id}:remove-channel", json=same)).json()
    assert [each["kind"] for each in gone["channels"]] == ["email"]
    refused = await staff.post("/v1/customers", json={"name": "B", "channels": [{"kind": "phone", "value": "12"}]})
    assert pointers(refused) == ["/channels/0/region"]


async def test_channel_is_verified_and_undeliverable_with_a_reason(staff: httpx.AsyncClient) -> None:
    url = f"/v1/customers/{(await created(staff))['id']}:set-channel"
    mail = {"kind": "email", "value": "ADA@example.com"}
    one = (await staff.post(url, json={**mail, "verified": True, "undeliverable": "no_such_mailbox"})).json()
    channel = one["channels"][0]
    assert channel["verified_at"] and channel["undeliverable_at"] and channel["undeliverable_why"] == "no_such_mailbox"
    works = (await staff.post(url, json={**mail, "undeliverable": None})).json()["channels"][0]
    assert works["verified_at"] and works["undeliverable_at"] is None
    assert pointers(await staff.post(url, json={"kind": "email", "value": "ben@example.com"})) == ["/value"]


async def test_address_is_added_and_removed(staff: httpx.AsyncClient) -> None:
    id = (await created(staff))["id"]
    body = {"street": "二环路 1", "city": "北京", "country": "CN", "purpose": "work"}
    shown = (await staff.post(f"/v1/customers/{id}:add-address", json=body)).json()
    assert [each["purpose"] for each in shown["addresses"]] == ["home", "work"]
    removal = {"address_id": shown["addresses"][0]["id"]}
    left = (await staff.post(f"/v1/customers/{id}:remove-address", json=removal)).json()
    assert [each["city"] for each in left["addresses"]] == ["北京"]
    assert pointers(await staff.post(f"/v1/customers/{id}:remove-address", json=removal)) == ["/address_id"]


async def test_parent_is_an_account_and_closes_no_circle(staff: httpx.AsyncClient) -> None:
    ids = [
        (await staff.post("/v1/customers", json={"name": name, "kind": "account"})).json()["id"]
        for name in ("Holding", "Branch")
    ]
    assert (await staff.patch(f"/v1/customers/{ids[1]}", json={"parent_id": ids[0]})).json()["parent_id"] == ids[0]
    for id, parent in ((ids[0], ids[1]), (ids[0], ids[0])):
        assert pointers(await staff.patch(f"/v1/customers/{id}", json={"parent_id": parent})) == ["/parent_id"]
    person = await created(staff, parent_id=ids[1])
    contacts = (await staff.get("/v1/customers", params={"parent_id": ids[1]})).json()["items"]
    assert [each["id"] for each in contacts] == [person["id"]]
    assert pointers(await staff.patch(f"/v1/customers/{ids[0]}", json={"parent_id": person["id"]})) == ["/parent_id"]


async def test_fields_obey_the_schema_that_staff_set(staff: httpx.AsyncClient) -> None:
    url = f"/v1/customers/{(await created(staff))['id']}"
    assert pointers(await staff.patch(url, json={"fields": {"size": 1}})) == ["/fields"]
    schema = {"properties": {"size": {"type": "integer", "minimum": 1}, "vat": {"type": "string", "maxLength": 9}}}
    put = await staff.put("/v1/customers/schema", json=schema, headers={"If-Match": '"0"'})
    assert (put.status_code, put.headers["etag"]) == (200, '"1"')
    assert (await staff.put("/v1/customers/schema", json=schema, headers={"If-Match": '"0"'})).status_code == 412
    assert (await staff.patch(url, json={"fields": {"size": 3, "vat": "GB1"}})).json()["fields"] == {
        "size": 3,
        "vat": "GB1",
    }
    assert (await staff.patch(url, json={"fields": {"vat": None}})).json()["fields"] == {"size": 3}
    for fields, pointer in (
        ({"size": 0}, "/fields/size"),
        ({"size": "x"}, "/fields/size"),
        ({"colour": "x"}, "/fields"),
    ):
        assert pointers(await staff.patch(url, json={"fields": fields})) == [pointer]
    unbounded = {"properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}
    assert pointers(await staff.put("/v1/customers/schema", json=unbounded)) == ["/properties/a/pattern"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"zone": "Europe/Atlantis"}, "/zone"),
        ({"locale": "english"}, "/locale"),
        ({"region": "QQ"}, "/region"),
        ({"born_on": "1800-01-01"}, "/born_on"),
        ({"born_on": "29/02/1980"}, "/born_on"),
        ({"email": "ada..b@example.com"}, "/email"),
        ({"tags": ["a b"]}, "/tags/0"),
        ({"fields": {"a": [1]}}, "/fields/a"),
        ({"name": "a\u0000b"}, "/name"),
        ({"nick": "x"}, "/nick"),
    ],
)
async def test_wrong_value_is_refused_with_its_pointer(
    staff: httpx.AsyncClient, body: dict[str, Any], pointer: str
) -> None:
    id = (await created(staff))["id"]
    assert pointer in pointers(await staff.patch(f"/v1/customers/{id}", json=body))


async def test_same_request_creates_one_customer(staff: httpx.AsyncClient) -> None:
    first, again = [await staff.post("/v1/customers", json=ADA, headers={"Idempotency-Key": "K"}) for _ in range(2)]
    assert first.json()["id"] == again.json()["id"] and again.headers["idempotent-replayed"] == "true"
    assert (await staff.post("/v1/customers", json={"owner": "ann"})).status_code == 422


async def test_consent_that_was_said_last_counts(
    service: Service, staff: httpx.AsyncClient, violations: Violations
) -> None:
    id = (await created(staff))["id"]
    for state, source in (("given", "web_form"), ("withdrawn", "phone_call")):
        body = {"purpose": "marketing", "channel": "email", "state": state, "source": source}
        shown = (await staff.post(f"/v1/customers/{id}:consent", json=body)).json()
    assert [(each["purpose"], each["channel"], each["state"], each["source"]) for each in shown["consents"]] == [
        ("marketing", "email", "withdrawn", "phone_call")
    ]
    said = (await staff.get(f"/v1/customers/{id}/consents")).json()["items"]
    assert [(each["state"], each["who"]) for each in said] == [("withdrawn", "ann"), ("given", "ann")]
    assert await violations(service) == {}
    titles = {"consents that differ from their topic"}
    for edit in ("DELETE FROM consents WHERE version = 2", "UPDATE consents SET state = 'given'"):
        assert (await violations(service, edit)).keys() == titles, edit


async def test_personal_values_are_masked_without_their_scope(
    service: Service, staff: httpx.AsyncClient, deliver: Deliver, clients: Clients
) -> None:
    id = (await created(staff))["id"]
    masked = clients(service, None, ["crm:staff"], subject="ben")
    for path in (f"/v1/customers/{id}", f"/v1/customers/{id}/history", f"/v1/customers/{id}/360", "/v1/customers"):
        answer = await masked.get(path)
        assert answer.status_code == 200
        for secret in ("Ada", "example.com", "1980", "7183", "High Street", "Leeds", "LS1"):
            assert secret not in answer.text, (path, secret)
    shown = (await masked.get(f"/v1/customers/{id}")).json()
    assert shown["masked"] and shown["name"] == "A…" and shown["channels"][1]["value"] == "…50"
    async with service.database.unit() as unit:
        rows = await unit.sql.fetch("SELECT who, target FROM operator_action WHERE action = 'customer:read'")
    assert [tuple(row) for row in rows] == [("ann", f"/v1/customers/{id}")]


async def test_partner_sees_what_staff_know_but_not_their_notes(
    service: Service, staff: httpx.AsyncClient, deliver: Deliver, clients: Clients
) -> None:
    await deliver(service, placed("C-1"))
    (customer,) = (await staff.get("/v1/customers")).json()["items"]
    await staff.patch(f"/v1/customers/{customer['id']}", json={"name": "Ada", "owner": "ben", "tags": ["slow_payer"]})
    seen = await clients(service, "acme", ["crm:read", "pii:read"]).get(f"/v1/customers/{customer['id']}")
    assert (seen.json()["name"], seen.json()["owner"], seen.json()["tags"]) == ("Ada", None, [])
    mine = clients(service, "acme", ["crm:read", "crm:write"])
    for method, path in (("GET", "/history"), ("GET", "/consents"), ("POST", ":consent"), ("PATCH", "")):
        url = f"/v1/customers/{customer['id']}{path}"
        assert (await mine.request(method, url, json={} if method != "GET" else None)).status_code == 403
