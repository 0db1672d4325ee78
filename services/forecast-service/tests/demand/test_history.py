"""Series of locations and regions: which there are, and what they have."""

import random
from collections import Counter
from datetime import date, timedelta
from math import inf

import httpx
import pytest
from stories import NOON, at, imported, placed, registered, reserved

from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import Deliver
from forecast_service.demand.history import find, histories
from forecast_service.places import LEVELS, series_id

UNTIL = date(2026, 4, 1)


@pytest.mark.parametrize("seed", range(3))
async def test_series_have_what_orders_asked_for(service: Service, deliver: Deliver, seed: int) -> None:
    draw = random.Random(seed)
    expected: Counter[tuple[str, str, str]] = Counter()
    await deliver(service, *(registered(item) for item in "ABC"))
    for _ in range(20):
        order, time = new_id(), NOON + timedelta(days=draw.randrange(9))
        lines = {item: draw.randint(2, 9) for item in draw.sample("ABC", draw.randint(1, 3))}
        country, region = draw.choice([("US", "OR"), ("DE", None), (None, None)])
        await deliver(service, at(time, placed(order, lines, country=country, region=region)))
        served = {item: {draw.choice(["north", "south"]): draw.randint(1, wanted)} for item, wanted in lines.items()}
        if draw.random() < 0.8:
            await deliver(service, at(time, reserved(order, served)))
            expected.update({(i, place, ""): n for i, places in served.items() for place, n in places.items()})
        expected.update({(item, "", ""): wanted for item, wanted in lines.items()})
        if country:
            expected.update({(item, "", f"{country}-{region}" if region else country): n for item, n in lines.items()})
    async with service.database.unit() as unit:
        by_level = {level: await find(unit.sql, levels=[level], until=UNTIL) for level in LEVELS}
        together = await find(unit.sql, levels=LEVELS, until=UNTIL)
        made = await histories(unit.sql, [id for id, _ in together], UNTIL)
    assert together == [series for level in LEVELS for series in by_level[level]]
    totals = {each.series: sum(each.values) for each in made}
    assert totals == {str(series_id(*series)): quantity for series, quantity in expected.items()}
    for found in by_level.values():
        recent = [value for _, value in found]
        assert recent == sorted(recent, reverse=True) and 0 < sum(recent) < inf


async def test_imported_rows_of_a_location_are_its_series(
    service: Service, deliver: Deliver, client: httpx.AsyncClient
) -> None:
    await deliver(service, registered("A"))
    text = "item_id,day,quantity,location_id,region\nA,2026-03-01,2,north,\nA,2026-03-03,5,north,\nA,2026-03-03,4,,US\n"
    assert (await imported(service, client, text)).json()["state"] == "done"
    async with service.database.unit() as unit:
        found = dict(await find(unit.sql, levels=["location", "region"], until=UNTIL))
        (north, us) = await histories(unit.sql, list(found), date(2026, 3, 4))
    assert list(found) == [series_id("A", "north"), series_id("A", "", "US")]
    assert (north.start, north.values) == (date(2026, 3, 1), [2, 0, 5, 0])
    assert (us.start, us.values) == (date(2026, 3, 3), [4, 0])
