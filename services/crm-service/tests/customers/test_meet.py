"""The customer's record builds itself from orders."""

import asyncio

import httpx
from hypothesis import given
from hypothesis import strategies as st
from orders_of import backordered, placed

from crm_service.customers.model import namespace_of
from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Deliver, Violations, published
from crossdock_events import Event
from crossdock_events.customers import CustomerRegistered


def met(events: list[Event]) -> list[tuple[str, str | None, str | None]]:
    return [(e.kind, e.partner, e.external_id) for e in events if isinstance(e, CustomerRegistered)]


async def test_customer_is_registered_once_for_many_orders(service: Service, deliver: Deliver) -> None:
    first, again = placed("C-1"), placed("C-1", reference="PO-2")
    assert met(await deliver(service, first, again)) == [("person", "acme", "C-1")]
    assert met(await deliver(service, placed("C-1", reference="PO-3"), first)) == []
    assert len(await published(service)) == 1


async def test_same_id_of_two_partners_is_two_customers(service: Service, deliver: Deliver) -> None:
    registered = await deliver(service, placed("C-1", "acme"), placed("C-1", "globex"))
    assert met(registered) == [("person", "acme", "C-1"), ("person", "globex", "C-1")]


async def test_partners_of_a_shared_namespace_have_the_same_customer(
    service: Service, deliver: Deliver, staff: httpx.AsyncClient
) -> None:
    orders = [placed("H-7", f"store-{number}") for number in (1, 2)]
    assert len(met(await deliver(service, *orders))) == 1
    (customer,) = (await staff.get("/v1/customers")).json()["items"]
    assert customer["partners"] == ["store-1", "store-2"] and customer["external_ids"] == ["H-7"]
    summary = (await staff.get("/v1/customers/summary")).json()
    assert summary == {"people": 1, "accounts": 0, "of_several_partners": 1}


async def test_orders_without_customer_go_to_the_partners_account(
    service: Service, deliver: Deliver, staff: httpx.AsyncClient
) -> None:
    orders = [placed(None, "acme"), placed(None, "acme"), placed(None, "store-1"), placed(None, "store-2")]
    accounts = [("account", name, None) for name in ("acme", "store-1", "store-2")]
    assert met(await deliver(service, *orders)) == accounts
    found = (await staff.get("/v1/customers", params={"order_id": str(orders[1].order_id)})).json()["items"]
    assert [each["partners"] for each in found] == [["acme"]]
    shown = (await staff.get(f"/v1/customers/{found[0]['id']}/360")).json()
    assert {each["id"] for each in shown["orders"]} == {str(orders[0].order_id), str(orders[1].order_id)}


async def test_two_workers_register_a_customer_once(service: Service, deliver: Deliver) -> None:
    """Both meet the same customers at the same time, in the opposite order."""
    ids = [f"C-{number}" for number in range(20)]
    both = await asyncio.gather(
        deliver(service, *(placed(each) for each in ids)), deliver(service, *(placed(each) for each in reversed(ids)))
    )
    assert sorted(name or "" for _, _, name in met([*both[0], *both[1]])) == sorted(ids)


async def test_360_shows_orders_and_what_they_wait_for(
    service: Service, deliver: Deliver, staff: httpx.AsyncClient, clients: Clients
) -> None:
    mine, theirs = placed("H-7", "store-1", reference="A"), placed("H-7", "store-2", reference="B")
    await deliver(service, mine, theirs, backordered(mine))
    (customer,) = (await staff.get("/v1/customers", params={"external_id": "H-7"})).json()["items"]
    url = f"/v1/customers/{customer['id']}/360"
    orders = {each["reference"]: each for each in (await staff.get(url)).json()["orders"]}
    assert orders["A"]["status"] == "backordered" and orders["B"]["status"] == "placed"
    assert orders["A"]["waits_for"] == [{"item_id": "SKU-1", "missing": 2}]
    store = clients(service, "store-1", ["crm:read"])
    seen = (await store.get(url)).json()
    assert [each["reference"] for each in seen["orders"]] == ["A"] and seen["customer"]["partners"] == ["store-1"]


async def test_customers_of_another_partner_are_not_found(
    service: Service, deliver: Deliver, partner: httpx.AsyncClient, clients: Clients
) -> None:
    await deliver(service, placed("C-1", "acme"))
    ((customer,), other) = (
        (await partner.get("/v1/customers")).json()["items"],
        clients(service, "globex", ["crm:read"]),
    )
    assert (await other.get("/v1/customers")).json()["items"] == []
    for path in (f"/v1/customers/{customer['id']}", f"/v1/customers/{customer['id']}/360"):
        answer = await other.get(path)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:crossdock:problem:no-such-customer")
        assert (await partner.get(path)).status_code == 200


async def test_staff_scope_is_not_for_partners(service: Service, clients: Clients) -> None:
    for name, status in (("acme", 403), (None, 200)):
        client = clients(service, name, ["crm:staff"], subject="ann")
        assert (await client.get("/v1/customers/summary")).status_code == status


async def test_mail_address_is_added_and_belongs_to_one_customer(
    service: Service, deliver: Deliver, staff: httpx.AsyncClient
) -> None:
    await deliver(service, placed("C-1"), placed("C-2"))
    second, first = [each["id"] for each in (await staff.get("/v1/customers")).json()["items"]]
    body = {"name": "Ada Example", "email": "Ada@Example.com"}
    changed = (await staff.patch(f"/v1/customers/{first}", json=body)).json()
    assert (changed["name"], changed["emails"]) == ("Ada Example", ["Ada@Example.com"])
    assert [row["event_id"] for row in await published(service)][2:], "CustomerUpdated is missing"
    await staff.patch(f"/v1/customers/{first}", json=body)
    taken = await staff.patch(f"/v1/customers/{second}", json={"email": "ada@example.COM"})
    assert (taken.status_code, taken.json()["errors"][0]["pointer"]) == (409, "/email")
    found = (await staff.get("/v1/customers", params={"email": "ADA@example.com"})).json()["items"]
    assert [each["id"] for each in found] == [first]
    refused = await staff.patch(f"/v1/customers/{first}", json={"email": "ada at home"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/email")


async def test_each_tampering_is_reported(service: Service, deliver: Deliver, violations: Violations) -> None:
    await deliver(service, placed("C-1"), placed(None))
    assert await violations(service) == {}
    for edit, titles in (
        ("DELETE FROM customer_links", {"orders that lead to no customer"}),
        ("UPDATE partners SET account_id = NULL", {"orders that lead to no customer"}),
        ("DELETE FROM customer_meetings", {"orders that lead to no customer"}),
        ("UPDATE customers SET version = 9", {"customers that differ from their topic"}),
        (
            "UPDATE customer_links SET customer_id = gen_random_uuid()",
            {"orders that lead to no customer", "links, accounts and addresses that lead to no customer"},
        ),
        ("UPDATE customer_orders SET external_id = 'C-9'", {"orders of customers that differ from their events"}),
    ):
        assert (await violations(service, edit)).keys() == titles, edit


@given(partner=st.text(min_size=1, max_size=64), name=st.text(min_size=1, max_size=64))
def test_shared_namespace_is_never_a_partners_own(partner: str, name: str) -> None:
    assert namespace_of(partner, {}) != namespace_of("store-1", {"store-*": name})
