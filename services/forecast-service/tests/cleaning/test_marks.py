"""Which days are marked: out of stock, and unknown."""

from datetime import date, datetime, timedelta
from math import isnan
from zoneinfo import ZoneInfo

import httpx
import pytest
from stories import at, imported, levels, registered

from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import Clients, Deliver, Fresh
from forecast_service.cleaning.marks import Marker
from forecast_service.cleaning.model import BEFORE, ITEMS, LONGEST, feed_down
from forecast_service.demand.history import REGISTER, find, histories
from forecast_service.fitting.series import History
from forecast_service.places import Zones, series_id
from forecast_service.service import Settings, build

FIRST = date(2026, 3, 2)
NEW_YORK = ZoneInfo("America/New_York")


async def marks(service: Service, zones: Zones, until: date, *series: tuple[str, str, str]) -> list[History]:
    async with service.database.unit() as unit:
        ids = [series_id(*each) for each in series]
        await find(unit.sql, until=until)
        await unit.sql.execute(REGISTER, ids, *(list(each) for each in zip(*series, strict=True)))
        found = await histories(unit.sql, ids, until)
        return await Marker(zones).mark(unit.sql, new_id(), found, until, ())


def sold(item: str, days: range, quantity: int = 5) -> str:
    return "".join(f"{item},{FIRST + timedelta(days=n)},{quantity}\n" for n in days)


async def test_stock_out_marks_the_days_of_the_zone(fresh: Fresh, clients: Clients, deliver: Deliver) -> None:
    """Two of these days have 23 and 25 hours, and a stock-out of less than an hour of a day counts for nothing."""
    service = await fresh(build, Settings, time_zone="America/New_York")
    client = clients(service, scopes=("forecasts:read", "forecasts:write"))
    await imported(service, client, "item_id,day,quantity\n" + sold("A", range(14)))
    story = [
        (datetime(2026, 3, 4, 23, 30, tzinfo=NEW_YORK), datetime(2026, 3, 6, 0, 30, tzinfo=NEW_YORK)),
        (datetime(2026, 3, 8, 1, 30, tzinfo=NEW_YORK), datetime(2026, 3, 8, 3, 31, tzinfo=NEW_YORK)),  # one hour
        (datetime(2026, 3, 9, 10, tzinfo=NEW_YORK), datetime(2026, 3, 9, 10, 30, tzinfo=NEW_YORK)),
        (datetime(2026, 3, 9, 20, tzinfo=NEW_YORK), datetime(2026, 3, 9, 20, 31, tzinfo=NEW_YORK)),
    ]
    await deliver(service, registered("A"), at(story[0][0] - timedelta(hours=1), levels("A", north=3, south=1), 1))
    sequence = 1
    for began, ended in story:
        sequence += 2
        await deliver(service, at(began, levels("A", north=0, south=0), sequence - 1))
        await deliver(service, at(ended, levels("A", north=1, south=0), sequence))
    zones = Zones("America/New_York", {"JP": "Asia/Tokyo"})
    whole, north, tokyo = await marks(
        service, zones, FIRST + timedelta(days=13), ("A", "", ""), ("A", "north", ""), ("A", "", "JP")
    )
    expected = {date(2026, 3, 5), date(2026, 3, 8), date(2026, 3, 9)}
    assert whole.censored == expected
    assert north.censored == expected
    assert tokyo.censored == {date(2026, 3, 5), date(2026, 3, 6), date(2026, 3, 8)}
    assert [value for value in whole.values] == [5.0] * 14, "demand stays"


async def test_stock_out_that_lasts_is_marked_until_the_end(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await imported(service, client, "item_id,day,quantity\n" + sold("A", range(10)))
    began = datetime(2026, 3, 8, 12, tzinfo=ZoneInfo("UTC"))
    await deliver(service, registered("A"), at(began - timedelta(hours=1), levels("A", north=1, south=4), 1))
    await deliver(service, at(began, levels("A", north=0, south=4), 2))
    whole, north = await marks(service, Zones(), FIRST + timedelta(days=9), ("A", "", ""), ("A", "north", ""))
    assert whole.censored == frozenset(), "it could be had elsewhere"
    assert north.censored == {FIRST + timedelta(days=n) for n in (6, 7, 8, 9)}


async def test_imported_days_out_of_stock_are_marked(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    rows = [
        ("A", "", 0, 5, "true"),
        ("A", "", 1, 2, "false"),
        ("A", "", 2, 2, ""),
        ("B", "north", 0, 4, "false"),
        ("B", "south", 0, 4, "true"),
        ("B", "north", 1, 4, "false"),
        ("B", "south", 1, 0, "false"),
        ("B", "north", 2, 4, ""),
    ]
    text = "".join(f"{item},{at},{FIRST + timedelta(days=n)},{count},{stock}\n" for item, at, n, count, stock in rows)
    await imported(service, client, "item_id,location_id,day,quantity,in_stock\n" + text)
    await deliver(service, registered("A"), registered("B"))
    a, b, north = await marks(
        service, Zones(), FIRST + timedelta(days=2), ("A", "", ""), ("B", "", ""), ("B", "north", "")
    )
    assert a.censored == {FIRST + timedelta(days=1)}
    assert b.censored == {FIRST + timedelta(days=1)}, "only then it was out of stock everywhere"
    assert north.censored == {FIRST, FIRST + timedelta(days=1)}


async def test_absent_row_is_unknown_if_the_import_states_zeros(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    stated = sold("A", range(0, 4)) + sold("A", range(4, 9), 0) + sold("A", range(11, 14))
    left_out = sold("B", range(0, 4)) + sold("B", range(9, 10), 0) + sold("B", range(11, 14))
    await imported(service, client, "item_id,day,quantity\n" + stated + left_out)
    await deliver(service, registered("A"), registered("B"))
    a, b = await marks(service, Zones(), FIRST + timedelta(days=13), ("A", "", ""), ("B", "", ""))
    assert a.missing == dict.fromkeys((FIRST + timedelta(days=n) for n in (9, 10)), "row_missing")
    assert [n for n, value in enumerate(a.values) if isnan(value)] == [9, 10]
    assert b.missing == {} and sum(b.values) == 35


@pytest.mark.parametrize("gap", [1, 3, LONGEST])
def test_silent_feed_is_down(gap: int) -> None:
    busy = {FIRST + timedelta(days=n): ITEMS for n in range(BEFORE)}
    silent = [FIRST + timedelta(days=BEFORE + n) for n in range(gap)]
    after = silent[-1] + timedelta(days=1)
    assert feed_down(busy | {after: 9}, after) == set(silent)
    assert feed_down(busy, silent[-1]) == set(silent), "also if nothing came since"
    assert feed_down(busy, silent[-1], closed=silent) == set()


def test_silence_that_may_be_chance_or_custom_is_not_down() -> None:
    days = [FIRST + timedelta(days=n) for n in range(60)]
    assert feed_down({}, FIRST) == set()
    assert feed_down({day: 3 for day in days if day != days[40]}, days[-1]) == set(), "few items"
    assert feed_down({day: 9 for day in days if day.weekday() != 6}, days[-1]) == set(), "closed on Sundays"
    assert feed_down({days[0]: 9, days[-1]: 9}, days[-1]) == set()
    long = days[-1] + timedelta(days=LONGEST + 20)
    assert len(feed_down(dict.fromkeys(days, 9), long)) == LONGEST, "it may have ended"


async def test_day_of_a_silent_feed_is_unknown(service: Service, client: httpx.AsyncClient, deliver: Deliver) -> None:
    down = 30
    items = [f"item-{n}" for n in range(ITEMS)]
    days = [n for n in range(40) if n != down]
    text = "".join(
        f"{item},{FIRST + timedelta(days=n)},1\n" for item in items for n in days if item != "item-0" or n > 20
    )
    text += f"item-0,{FIRST},1\n" + "".join(f"other,{FIRST + timedelta(days=n)},1\n" for n in days)
    await imported(service, client, "item_id,day,quantity\n" + text)
    await deliver(service, *(registered(item) for item in [*items, "other"]))
    (found,) = await marks(service, Zones(), FIRST + timedelta(days=39), ("item-0", "", ""))
    assert found.missing == {FIRST + timedelta(days=down): "feed_down"}
    assert [n for n, value in enumerate(found.values) if isnan(value)] == [down]
