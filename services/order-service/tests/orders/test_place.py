"""`POST /v1/orders` and `:validate`: what is taken, what is the same, and what is refused without a trace."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from shop import Shop
from uuid_utils.compat import uuid7

from crossdock_chassis import segment
from crossdock_chassis.testing import Clients, published
from order_service.orders import store

ADDRESS = {
    "name": "Ada Lovelace",
    "street": "12 St James's Square",
    "city": "London",
    "region": "Greater London",
    "postcode": "SW1Y 4LB",
    "country": "GB",
}


async def test_placed_order_makes_a_receipt_a_row_and_an_event(shop: Shop) -> None:
    answer = await shop.client.post("/v1/orders", json=shop.body(customer_id="C-1", ship_to=ADDRESS, priority=9))
    assert answer.status_code == 201
    receipt = answer.json()
    order_id = receipt["id"]
    assert receipt == {
        "id": order_id,
        "reference": "PO-1",
        "status": "placed",
        "placed_at": receipt["placed_at"],
        "currency": "USD",
        "total": "59.94",
        "links": {"self": f"/v1/orders/{order_id}", "timeline": f"/v1/orders/{order_id}/timeline"},
    }
    assert answer.headers["location"] == f"/v1/orders/{order_id}"
    [row] = await published(shop.service)
    assert (row["topic"], row["key"].decode()) == ("crossdock.orders.v1", order_id)
    event = json.loads(row["value"])
    assert event == {
        "order_id": order_id,
        "partner": "acme",
        "reference": "PO-1",
        "channel": "api",
        "customer_id": "C-1",
        "priority": 9,
        "partial": False,
        "ship_to": {"country": "GB", "region": "Greater London", "postcode_outward": "SW1Y"},
        "currency": "USD",
        "lines": [
            {"line_id": "1", "item_id": "SKU-1", "quantity": 3, "unit_price": "9.99", "amount": "29.97"},
            {"line_id": "2", "item_id": "SKU-2", "quantity": 3, "unit_price": "9.99", "amount": "29.97"},
        ],
        "total": "59.94",
    }
    shown = await shop.show(order_id)
    assert shown["ship_to"] == ADDRESS
    assert shown["waiting"] == {"for": "answer", "since": receipt["placed_at"], "until": None, "lines": []}


async def test_invoice_with_discounts_is_taken_as_it_is(shop: Shop) -> None:
    lines = [
        {"line_id": "1", "item_id": "SKU-1", "quantity": 3, "unit_price": "9.99", "discount": "3.00"},
        {"line_id": "2", "item_id": "SKU-2", "quantity": 7, "unit_price": "0.333", "net_amount": "2.40"},
        {"line_id": "3", "item_id": "SKU-3", "quantity": 2, "net_amount": "5"},
    ]
    order_id = await shop.placed(lines=lines, total="34.37")
    [row] = await published(shop.service)
    shared = ("line_id", "item_id", "quantity", "unit_price")
    assert json.loads(row["value"])["lines"] == [
        {name: lines[0][name] for name in shared} | {"discount": "3.00", "amount": "26.97"},
        {name: lines[1][name] for name in shared} | {"discount": "-0.07", "amount": "2.40"},
        {"line_id": "3", "item_id": "SKU-3", "quantity": 2, "amount": "5.00"},
    ]
    shown = (await shop.show(order_id))["lines"]
    assert [(line["discount"], line["amount"]) for line in shown] == [
        ("3.00", "26.97"),
        ("-0.07", "2.40"),
        (None, "5.00"),
    ]


async def test_order_event_holds_no_personal_data(shop: Shop) -> None:
    order = shop.body(ship_to=ADDRESS, notes="ring twice, ask for Ada", payment_reference="IBAN-1", metadata={"k": "v"})
    assert (await shop.client.post("/v1/orders", json=order)).status_code == 201
    [row] = await published(shop.service)
    sent = f"{row['value'].decode()} {row['headers']}".replace("Greater London", "")
    for private in ("Ada", "Lovelace", "James", "London", "4LB", "ring twice", "IBAN", "metadata"):
        assert private not in sent


@pytest.mark.parametrize("customer_id", ["13800138000", "C+1", "@ada", "a@b", "household-7"])
async def test_opaque_customer_id_is_accepted(shop: Shop, customer_id: str) -> None:
    await shop.placed(customer_id=customer_id)


async def test_ship_to_may_name_only_the_country(shop: Shop) -> None:
    order_id = await shop.placed(ship_to={"country": "GB"})
    assert {name: value for name, value in (await shop.show(order_id))["ship_to"].items() if value} == {"country": "GB"}
    [row] = await published(shop.service)
    assert json.loads(row["value"])["ship_to"] == {"country": "GB"}
    assert (await shop.client.post("/v1/orders", json=shop.body("PO-2", ship_to={}))).status_code == 422


async def test_quantity_with_a_decimal_point_is_the_same_order(shop: Shop) -> None:
    order_id = await shop.placed("PO-1")
    body = json.dumps(shop.body("PO-1")).replace('"quantity": 3', '"quantity": 3.0')
    again = await shop.client.post("/v1/orders", content=body, headers={"content-type": "application/json"})
    assert (again.status_code, again.json()["id"]) == (200, str(order_id))
    assert await shop.count("orders") == 1


@pytest.mark.parametrize(("count", "letter"), [(2_000, "-"), (500, "\U0001d11e")])
async def test_largest_order_fits_into_its_event(shop: Shop, count: int, letter: str) -> None:
    item = f"{'SKU':{letter}<64}"
    await shop.knows(item)
    money = {"unit_price": "499999999.999", "amount": "499999999999"}
    nulls = dict.fromkeys(("unit", "discount", "net_amount"))  # each counts as a value of the document
    lines = [{"line_id": f"{i:{letter}<36}", "item_id": item, "quantity": 1000, **money, **nulls} for i in range(count)]
    order = shop.body(lines=lines, total=str(count * 499_999_999_999), currency="JPY")
    content = json.dumps(order, ensure_ascii=False).encode()
    answer = await shop.client.post("/v1/orders", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 201, answer.text
    shown = await shop.show(UUID(answer.json()["id"]))
    assert [line["line_id"] for line in shown["lines"]] == [line["line_id"] for line in lines]
    [row] = await published(shop.service)
    assert len(json.loads(row["value"])["lines"]) == count


async def test_identical_order_again_returns_its_current_state(shop: Shop) -> None:
    first = await shop.client.post("/v1/orders", json=shop.body())
    await shop.hears(shop.reserved(UUID(first.json()["id"])))
    again = await shop.client.post("/v1/orders", json=shop.body(priority=5, discounts=[], notes=None))
    assert again.status_code == 200
    assert (again.json()["id"], again.json()["status"]) == (first.json()["id"], "confirmed")
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["etag"] == '"2"'
    assert await shop.count("orders") == 1
    assert await shop.count("outbox") == 2


async def test_other_order_under_the_same_reference_conflicts(shop: Shop) -> None:
    first = await shop.client.post("/v1/orders", json=shop.body())
    other = await shop.client.post("/v1/orders", json=shop.body(priority=9))
    assert other.status_code == 409
    assert other.json()["type"] == "urn:crossdock:problem:duplicate-reference"
    assert other.json()["order_id"] == first.json()["id"]
    assert other.headers["location"] == first.headers["location"]
    assert await shop.count("orders") == await shop.count("outbox") == 1


async def test_conflict_names_the_first_member_that_differs(shop: Shop) -> None:
    key = {"idempotency-key": "k-1"}
    sent = shop.body(metadata={"a": "1", "b": "2"})
    first = await shop.client.post("/v1/orders", json=sent, headers=key)
    spelled = shop.body(lines=[{**line, "unit_price": "9.990"} for line in sent["lines"][::-1]], total="59.940000")
    spelled |= {"metadata": {"b": "2", "a": "1"}, "notes": "", "discounts": []}
    again = await shop.client.post("/v1/orders", json=spelled, headers=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert (await shop.client.post("/v1/orders", json=spelled)).status_code == 200
    others: list[tuple[dict[str, Any], str]] = [
        ({"lines": [*spelled["lines"][:1], {**spelled["lines"][1], "item_id": "SKU-3"}]}, "/lines/1/item_id"),
        ({"metadata": {"a": "2", "b": "2"}}, "/metadata/a"),
        ({"metadata": {}}, "/metadata/a"),
        ({"partial": True, "notes": "ring twice"}, "/partial"),
    ]
    for change, place in others:
        keyed = await shop.client.post("/v1/orders", json=spelled | change, headers=key)
        assert (keyed.status_code, keyed.json()["errors"][0]["pointer"]) == (422, place)
        for path in ("/v1/orders", "/v1/orders:validate"):
            named = await shop.client.post(path, json=spelled | change)
            assert (named.status_code, named.json()["errors"][0]["pointer"]) == (409, place)
            assert named.headers["location"] == first.headers["location"]
    assert await shop.count("orders") == 1


async def test_another_partner_may_use_the_same_reference(shop: Shop) -> None:
    mine = await shop.client.post("/v1/orders", json=shop.body())
    theirs = await shop.other.post("/v1/orders", json=shop.body())
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["id"] != theirs.json()["id"]


async def test_order_under_an_idempotency_key_is_replayed(shop: Shop) -> None:
    headers = {"idempotency-key": "k-1"}
    first = await shop.client.post("/v1/orders", json=shop.body(), headers=headers)
    await shop.hears(shop.reserved(UUID(first.json()["id"])))
    again = await shop.client.post("/v1/orders", json=shop.body(), headers=headers)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    other = await shop.client.post("/v1/orders", json=shop.body("PO-2"), headers=headers)
    assert other.status_code == 422
    assert await shop.count("orders") == 1


async def test_fifty_identical_concurrent_posts_place_one_order(shop: Shop) -> None:
    answers = await asyncio.gather(*(shop.client.post("/v1/orders", json=shop.body()) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await shop.count("orders") == await shop.count("outbox") == 1


async def test_units_with_reversed_references_do_not_deadlock(shop: Shop) -> None:
    """Rows that take their time, so that the two statements are sure to meet."""
    async with shop.service.database.unit() as unit:
        await unit.sql.execute(
            """
            CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$;
            CREATE TRIGGER slow BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION slow();
            """
        )
    references = [f"PO-{i}" for i in range(50)]
    both = asyncio.Barrier(2)

    async def insert(references: list[str]) -> int:
        orders = [store.NewOrder(uuid7(), "acme", each, None, b"", None, "{}", None, "[]") for each in references]
        async with shop.service.database.unit() as unit:
            await both.wait()
            return await store.insert(unit, orders)

    assert sum(await asyncio.gather(insert(references), insert(references[::-1]))) == 50


async def test_refused_order_does_not_affect_others_in_its_unit(shop: Shop) -> None:
    await shop.discontinues("SKU-3")
    await shop.client.post("/v1/orders", json=shop.body("PO-taken"))
    bodies = [
        shop.body("PO-1"),
        shop.body("PO-taken", priority=1),
        shop.body("PO-2", items=["SKU-1", "nothing"]),
        shop.body("PO-3", items=["SKU-3"]),
        shop.body("PO-1"),
        shop.body("PO-4"),
    ]
    answers = await asyncio.gather(*(shop.client.post("/v1/orders", json=each) for each in bodies))
    assert [answer.status_code for answer in answers] == [201, 409, 422, 422, 200, 201]
    assert await shop.count("orders") == await shop.count("outbox") == 3


async def test_unknown_and_discontinued_items_are_refused(shop: Shop) -> None:
    await shop.discontinues("SKU-2")
    order = shop.body(items=["SKU-1", "SKU-2", "SKU-3", "SKU-9"])
    for path in ("/v1/orders", "/v1/orders:validate"):
        answer = await shop.client.post(path, json=order)
        assert answer.status_code == 422
        assert answer.json()["type"] == "urn:crossdock:problem:unknown-items"
        assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [
            ("/lines/1/item_id", "discontinued_item"),
            ("/lines/3/item_id", "unknown_item"),
        ]
    assert await shop.count("orders") == await shop.count("outbox") == 0


async def test_existing_order_is_returned_after_discontinuation(shop: Shop) -> None:
    first = await shop.client.post("/v1/orders", json=shop.body())
    await shop.discontinues("SKU-1")
    again = await shop.client.post("/v1/orders", json=shop.body())
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    checked = await shop.client.post("/v1/orders:validate", json=shop.body())
    assert (checked.status_code, checked.json()["exists"]) == (200, True)


async def test_validate_computes_the_total_and_stores_nothing(shop: Shop) -> None:
    answer = await shop.client.post("/v1/orders:validate", json=shop.body())
    assert answer.status_code == 200
    assert answer.json() == {
        "reference": "PO-1",
        "exists": False,
        "currency": "USD",
        "lines": [{"line_id": each, "base_quantity": None, "amount": "29.97"} for each in ("1", "2")],
        "total": "59.94",
    }
    assert await shop.count("orders") == await shop.count("outbox") == await shop.count("idempotency_key") == 0
    await shop.placed("PO-1")
    other = await shop.client.post("/v1/orders:validate", json=shop.body(priority=9))
    assert other.status_code == 409


async def test_wrong_total_is_refused_with_the_computed_total(shop: Shop) -> None:
    for path in ("/v1/orders", "/v1/orders:validate"):
        answer = await shop.client.post(path, json=shop.body(total="59.95"))
        assert answer.status_code == 422
        assert answer.json()["computed_total"] == "59.94"
        assert answer.json()["errors"][0]["pointer"] == "/total"


def lines(**fields: Any) -> list[dict[str, Any]]:
    return [{"line_id": "1", "item_id": "SKU-1", "quantity": 3, "unit_price": "9.99"} | fields]


LONG_IDS = [line for i in range(1_400) for line in lines(line_id=f"{i:é<36}", item_id="é" * 64)]

BAD: list[tuple[dict[str, Any], str]] = [
    ({"reference": ""}, "/reference"),
    ({"reference": " a"}, "/reference"),
    ({"reference": "PO-1\n"}, "/reference"),
    ({"reference": "x" * 65}, "/reference"),
    ({"reference": 1}, "/reference"),
    ({"surprise": 1}, "/surprise"),
    ({"priority": 10}, "/priority"),
    ({"priority": -1}, "/priority"),
    ({"priority": "5"}, "/priority"),
    ({"priority": 5.5}, "/priority"),
    ({"priority": True}, "/priority"),
    ({"partial": "yes"}, "/partial"),
    ({"partial": 1}, "/partial"),
    ({"requested_date": "tomorrow"}, "/requested_date"),
    ({"requested_date": "2026-02-30"}, "/requested_date"),
    ({"requested_date": 20261201}, "/requested_date"),
    ({"customer_id": ""}, "/customer_id"),
    ({"customer_id": "x" * 65}, "/customer_id"),
    ({"customer_id": "a\nb"}, "/customer_id"),
    ({"customer_id": "ada@example.com"}, "/customer_id"),
    ({"customer_id": "+44 20 7946 0000"}, "/customer_id"),
    ({"customer_id": "\uff0b8613800138000"}, "/customer_id"),
    ({"currency": "usd"}, "/currency"),
    ({"currency": "XXX"}, "/currency"),
    ({"currency": None}, "/currency"),
    ({"lines": []}, "/lines"),
    ({"lines": {}}, "/lines"),
    ({"lines": lines() * 2001}, "/lines"),
    ({"lines": LONG_IDS}, "/lines"),
    ({"lines": lines() * 3_000}, "/lines"),
    ({"lines": lines() * 2}, "/lines/1/line_id"),
    ({"lines": lines(line_id="x" * 37)}, "/lines/0/line_id"),
    ({"lines": lines(item_id="")}, "/lines/0/item_id"),
    ({"lines": lines(item_id="a\tb")}, "/lines/0/item_id"),
    ({"lines": lines(quantity=0)}, "/lines/0/quantity"),
    ({"lines": lines(quantity=-3)}, "/lines/0/quantity"),
    ({"lines": lines(quantity=1_000_001)}, "/lines/0/quantity"),
    ({"lines": lines(quantity=10**30)}, "/lines/0/quantity"),
    ({"lines": lines(quantity="3")}, "/lines/0/quantity"),
    ({"lines": lines(quantity=3.5)}, "/lines/0/quantity"),
    ({"lines": lines(unit_price=9.99)}, "/lines/0/unit_price"),
    ({"lines": lines(unit_price="-9.99")}, "/lines/0/unit_price"),
    ({"lines": lines(unit_price="NaN")}, "/lines/0/unit_price"),
    ({"lines": lines(unit_price="Infinity")}, "/lines/0/unit_price"),
    ({"lines": lines(unit_price="1E2")}, "/lines/0/unit_price"),
    ({"lines": lines(unit_price="1_0")}, "/lines/0/unit_price"),
    ({"lines": lines(unit_price="٣")}, "/lines/0/unit_price"),  # an Arabic digit is a digit to Decimal
    ({"lines": lines(unit_price="0.0000001")}, "/lines/0/unit_price"),
    ({"lines": lines(unit_price="1234567890")}, "/lines/0/unit_price"),
    ({"lines": lines(unit_price=None)}, "/lines/0"),
    ({"lines": lines(amount="29.98")}, "/lines/0/amount"),
    ({"lines": lines(surprise=1)}, "/lines/0/surprise"),
    ({"discounts": [{"code": "X", "amount": "-1"}]}, "/discounts/0/amount"),
    ({"discounts": [{"code": "X", "amount": "99.99"}], "total": "0"}, "/total"),
    ({"discounts": [{"code": "X"}]}, "/discounts/0/amount"),
    ({"discounts": [{"code": "X", "amount": "0"}] * 51}, "/discounts"),
    ({"shipping": "0.005"}, "/shipping"),
    ({"tax": "-1"}, "/tax"),
    ({"total": "29.97"}, "/total"),
    ({"total": 59.94}, "/total"),
    ({"total": None}, "/total"),
    ({"ship_to": {**ADDRESS, "country": "ZZ"}}, "/ship_to/country"),
    ({"ship_to": {**ADDRESS, "country": "gb"}}, "/ship_to/country"),
    ({"ship_to": {**ADDRESS, "name": ""}}, "/ship_to/name"),
    ({"ship_to": {**ADDRESS, "street": "x" * 401}}, "/ship_to/street"),
    ({"ship_to": {**ADDRESS, "phone": "1"}}, "/ship_to/phone"),
    ({"ship_to": "London"}, "/ship_to"),
    ({"payment_reference": ""}, "/payment_reference"),
    ({"notes": "x" * 2001}, "/notes"),
    ({"notes": "a\0b"}, "/notes"),
    ({"metadata": {f"k{i}": "v" for i in range(21)}}, "/metadata"),
    ({"metadata": {"k": "x" * 501}}, "/metadata/k"),
    ({"metadata": {"k": 1}}, "/metadata/k"),
]


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/orders:validate"])
async def test_invalid_field_is_refused_with_its_pointer(shop: Shop, path: str) -> None:
    for wrong, place in BAD:
        answer = await shop.client.post(path, json=shop.body() | wrong)
        assert answer.status_code == 422, (wrong, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        pointers = [each["pointer"] for each in answer.json()["errors"]]
        assert any(pointer.startswith(place) for pointer in pointers), (wrong, pointers)
    assert await shop.count("orders") == await shop.count("outbox") == 0


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'{"reference": NaN}', 400),
        (b'{"reference": "PO-1", "reference": "PO-2"}', 400),
        (b'{"reference": "\xff"}', 400),
        (b'{"reference": "\\ud800"}', 400),
        (b"[" * 10_000, 400),
        (b'{"notes": "' + b"x" * (1 << 20) + b'"}', 413),
    ],
)
async def test_malformed_body_is_refused(shop: Shop, content: bytes, status: int) -> None:
    answer = await shop.client.post("/v1/orders", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert await shop.count("orders") == 0


async def test_missing_scope_or_token_is_refused(shop: Shop, clients: Clients) -> None:
    reader = clients(shop.service, "acme", ("orders:read",))
    for path in ("/v1/orders", "/v1/orders:validate", "/v1/orders:batch", f"/v1/orders/{UUID(int=1)}:cancel"):
        assert (await reader.post(path, json=shop.body())).status_code == 403, path
        nobody = await reader.post(path, json=shop.body(), headers={"authorization": "Bearer"})
        assert nobody.status_code == 401, path
    writer = clients(shop.service, "acme", ("orders:write",))
    for path in ("/v1/orders", f"/v1/orders/{UUID(int=1)}", f"/v1/orders/{UUID(int=1)}/timeline"):
        assert (await writer.get(path)).status_code == 403, path


async def test_order_is_found_by_any_reference(shop: Shop) -> None:
    names = ["a/b", "PO 4711", "#1001", "a|b", "a&b=c", "注文", "%2F", "..", "../x", "a:cancel", "?x"]
    await shop.knows(*names)
    for name in names:
        body = shop.body(name, items=[name], lines=[{"line_id": name, "item_id": name, "quantity": 1, "amount": "1"}])
        placed = await shop.client.post("/v1/orders", json=body | {"total": "1"})
        assert placed.status_code == 201, placed.text
        shown = await shop.client.get(f"/v1/orders/by-reference/{segment(name)}")
        assert (shown.json()["id"], shown.json()["reference"]) == (placed.json()["id"], name)
        [listed] = (await shop.client.get("/v1/orders", params={"reference": name})).json()["items"]
        assert listed["id"] == placed.json()["id"]
    lines = [json.dumps(shop.body(f"{name}+", items=["SKU-1"])) for name in names]
    batch = await shop.client.post(
        "/v1/orders:batch", content="\n".join(lines), headers={"Content-Type": "application/x-ndjson"}
    )
    answers = [json.loads(line) for line in batch.text.splitlines()]
    assert [(each["reference"], each["outcome"]) for each in answers] == [(f"{name}+", "created") for name in names]
