"""Demand over HTTP: days and weeks, imports, and from which day on orders count."""

from datetime import date, timedelta

import httpx
import pytest
from stories import NOON, at, imported, placed, registered

from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import OPS, Clients, Deliver, unlisted
from forecast_service.demand.history import find, histories
from forecast_service.places import series_id

HEADER = "item_id,day,quantity,location_id,region,price,promotion,in_stock\n"


async def demand(client: httpx.AsyncClient, item: str, **query: str | int) -> dict[str, int]:
    answer = await client.get("/v1/demand", params={"item_id": item, **query})
    assert answer.status_code == 200, answer.text
    return {each["day"]: each["quantity"] for each in answer.json()["items"]}


async def test_imported_days_are_followed_by_orders(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    text = HEADER + "A,2026-03-08,4,,,2.50,true,true\nA,2026-03-09,5,,,,,\n"
    done = (await imported(service, client, text)).json()
    assert (done["state"], done["created"]) == ("done", 2), done
    for day in (8, 9, 10, 11):
        await deliver(service, at(NOON, placed(new_id(), {"A": day}, requested=date(2026, 3, day))))
    assert await demand(client, "A") == {"2026-03-08": 4, "2026-03-09": 5, "2026-03-10": 10, "2026-03-11": 11}
    assert await demand(client, "A", by="week") == {"2026-03-02": 4, "2026-03-09": 26}
    assert await demand(client, "A", since="2026-03-09", until="2026-03-10") == {"2026-03-09": 5, "2026-03-10": 10}


async def test_cut_over_says_from_when_orders_count(
    service: Service, client: httpx.AsyncClient, clients: Clients, deliver: Deliver
) -> None:
    operator = clients(service, None, OPS, subject="ann")
    await imported(service, client, HEADER + "A,2026-03-08,4,,,,,\nA,2026-03-09,5,,,,,\n")
    await deliver(service, at(NOON, placed(new_id(), {"A": 1}, requested=date(2026, 3, 9))))
    assert (await operator.put("/v1/demand/cut-over", json={"day": "2026-03-09"})).json() == {"day": "2026-03-09"}
    assert await demand(client, "A") == {"2026-03-08": 4, "2026-03-09": 1}
    assert (await operator.put("/v1/demand/cut-over", json={"day": None})).json() == {"day": None}
    assert await demand(client, "A") == {"2026-03-08": 4, "2026-03-09": 5}


async def test_row_replaces_its_day(service: Service, client: httpx.AsyncClient) -> None:
    await imported(service, client, HEADER + "A,2026-03-08,4,,,,,\nA,2026-03-09,5,,,,,\n")
    done = (await imported(service, client, HEADER + "A,2026-03-08,7,,,,,\nA,2026-03-09,5,,,,,\n")).json()
    assert (done["created"], done["changed"], done["unchanged"]) == (0, 1, 1)
    assert await demand(client, "A") == {"2026-03-08": 7, "2026-03-09": 5}


async def test_item_is_the_sum_of_its_locations(service: Service, client: httpx.AsyncClient) -> None:
    rows = ["A,2026-03-08,4,north,,,,", "A,2026-03-08,3,south,,,,", "A,2026-03-09,9,north,,,,", "A,2026-03-09,10,,,,,"]
    rows += ["B,2026-03-08,2,,US,,,", "B,2026-03-08,1,,DE,,,"]
    await imported(service, client, HEADER + "\n".join(rows))
    assert await demand(client, "A") == {"2026-03-08": 7, "2026-03-09": 10}
    assert await demand(client, "A", location_id="north") == {"2026-03-08": 4, "2026-03-09": 9}
    assert await demand(client, "B") == {"2026-03-08": 3}
    assert await demand(client, "B", region="US") == {"2026-03-08": 2}


async def test_pages_follow_each_other(service: Service, client: httpx.AsyncClient) -> None:
    first = date(2026, 1, 1)
    rows = [f"A,{first + timedelta(days=n)},{n + 1},,,,," for n in range(5)]
    await imported(service, client, HEADER + "\n".join(rows))
    page = (await client.get("/v1/demand", params={"item_id": "A", "limit": 3})).json()
    rest = (await client.get("/v1/demand", params={"item_id": "A", "limit": 3, "cursor": page["next"]})).json()
    assert [each["quantity"] for each in page["items"] + rest["items"]] == [1, 2, 3, 4, 5]
    assert "next" not in rest or rest["next"] is None


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("A,2026-03-08,1.5,,,,,", "quantity"),
        ("A,2026-03-08,-1,,,,,", "quantity"),
        ("A,2026-03-08,nan,,,,,", "quantity"),
        ("A,2026-03-08,inf,,,,,", "quantity"),
        ("A,2026-03-08,9999999999999,,,,,", "quantity"),
        ('A,2026-03-08,"1,5",,,,,', "quantity"),
        ("A,1885-01-01,1,,,,,", "day"),
        ("A,9999-12-31,1,,,,,", "day"),
        ("A,08.03.2026,1,,,,,", "day"),
        ("A,2026-02-30,1,,,,,", "day"),
        (",2026-03-08,1,,,,,", "item_id"),
        ("A,2026-03-08,1,north,US,,,", "region"),
        ("A,2026-03-08,1,,Oregon,,,", "region"),
        ("A,2026-03-08,1,,,1e5,,", "price"),
        ("A,2026-03-08,1,,,-1,,", "price"),
        ("A,2026-03-08,1,,,,perhaps,", "promotion"),
        ("A,2026-03-07,1,,,,,\nA,2026-03-07,2,,,,,", "day"),
    ],
)
async def test_wrong_row_is_named_and_nothing_kept(
    service: Service, client: httpx.AsyncClient, row: str, column: str
) -> None:
    done = (await imported(service, client, f"{HEADER}B,2026-03-08,1,,,,,\n{row}\n")).json()
    assert done["state"] == "refused" and column in {each["column"] for each in done["errors"]}, done
    assert await demand(client, "B") == {}


async def test_unknown_item_counts_once_it_is_known(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await imported(service, client, HEADER + "A,2026-03-08,56,,,,,\n")
    until = date(2026, 3, 9)
    async with service.database.unit() as unit:
        assert await find(unit.sql, until=until) == []
    await deliver(service, registered("A", "tea"), registered("B"))
    async with service.database.unit() as unit:
        assert await find(unit.sql, until=until) == [(series_id("A"), 1.0)]
        assert await find(unit.sql, until=until, category="coffee") == []
        assert await find(unit.sql, until=until, item_prefix="B") == []
        (history,) = await histories(unit.sql, [series_id("A")], until)
    known = (await client.get("/v1/demand/summary", params={"until": str(until)})).json()
    assert known == {"items": 1, "quantity": 56, "first_day": "2026-03-08", "last_day": "2026-03-08"}
    assert (history.start, history.values, history.category) == (date(2026, 3, 8), [56.0, 0.0], "tea")


async def test_history_never_sees_beyond_its_end(service: Service, client: httpx.AsyncClient, deliver: Deliver) -> None:
    await deliver(service, registered("A"))
    await imported(service, client, HEADER + "A,2026-03-05,1,,,,,\nA,2026-03-08,56,,,,,\n")
    async with service.database.unit() as unit:
        ((id, recent),) = await find(unit.sql, until=date(2026, 3, 7))
        (history,) = await histories(unit.sql, [id], date(2026, 3, 7))
    assert recent == 1 / 56 and history.values == [1.0, 0.0, 0.0]


def test_every_problem_is_listed(service: Service) -> None:
    assert unlisted(service) == []
