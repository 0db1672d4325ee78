"""Holidays and closed days: what planners state, and what a forecast knows."""

from datetime import date, timedelta

import httpx
import pytest

from crossdock_chassis import Service
from crossdock_chassis.testing import OPS, Clients, unlisted
from forecast_service.calendar.model import Calendar, OwnDay, UnknownCountry, check
from forecast_service.calendar.store import read

CHRISTMAS = date(2026, 12, 25)


def test_public_holidays_are_known_and_changed_by_own_days() -> None:
    first, last = date(2026, 11, 20), date(2026, 12, 31)
    thanksgiving, friday = date(2026, 11, 26), date(2026, 11, 27)
    assert set(Calendar(("US",)).between(first, last)) == {thanksgiving, CHRISTMAS}
    own = (OwnDay(friday, "Black Friday", "holiday"), OwnDay(thanksgiving, "open", "ordinary"))
    shown = Calendar(("US",), (*own, OwnDay(CHRISTMAS, "closed", "closed")))
    assert [(each.day, each.kind) for each in shown.between(first, last).values()] == [
        (friday, "holiday"),
        (CHRISTMAS, "closed"),
    ]
    assert shown.closed() == {CHRISTMAS}


def test_drivers_cover_the_days_around_a_holiday() -> None:
    drivers = Calendar(("US",)).drivers(CHRISTMAS - timedelta(days=5), CHRISTMAS + timedelta(days=2))
    assert drivers == {
        "before holiday": [0, 0, 1, 1, 1, 0, 0, 0],
        "holiday": [0, 0, 0, 0, 0, 1, 0, 0],
        "after holiday": [0, 0, 0, 0, 0, 0, 1, 0],
    }
    # a holiday just before or after the days is seen in its window
    assert Calendar(("US",)).drivers(CHRISTMAS - timedelta(days=2), CHRISTMAS - timedelta(days=1)) != {}
    assert Calendar().drivers(CHRISTMAS, CHRISTMAS) == {}


def test_holidays_that_move_with_the_moon_are_known() -> None:
    years = {day.year: day for day, each in Calendar(("CN",)).between(date(2025, 1, 1), date(2027, 12, 31)).items()}
    assert set(years) == {2025, 2026, 2027}
    assert date(2026, 2, 17) in Calendar(("CN",)).between(date(2026, 2, 1), date(2026, 2, 28))  # spring festival


@pytest.mark.parametrize(
    ("name", "today"), [("XX", date(2026, 1, 1)), ("US-XX", date(2026, 1, 1)), ("CN", date(2099, 5, 1))]
)
def test_country_or_year_without_holidays_is_refused(name: str, today: date) -> None:
    with pytest.raises(UnknownCountry, match=name):
        check([name], today)


async def test_calendar_is_stated_over_http(service: Service, client: httpx.AsyncClient, clients: Clients) -> None:
    operator = clients(service, None, OPS, subject="ann")
    assert (await client.get("/v1/calendar")).json() == {"countries": [], "own_days": [], "next_days": []}
    stated = await operator.put("/v1/calendar/countries", json={"countries": ["US-CA", "DE", "US-CA"]})
    assert stated.json()["countries"] == ["DE", "US-CA"] and len(stated.json()["next_days"]) > 10
    await client.put(f"/v1/calendar/days/{CHRISTMAS}", json={"name": "Shops closed", "kind": "closed"})
    shown = (await client.get("/v1/calendar")).json()
    assert shown["own_days"] == [{"day": str(CHRISTMAS), "name": "Shops closed", "kind": "closed"}]
    async with service.database.unit() as unit:
        assert (await read(unit.sql)).closed() == {CHRISTMAS}
    assert (await client.delete(f"/v1/calendar/days/{CHRISTMAS}")).json()["own_days"] == []
    assert (await client.delete(f"/v1/calendar/days/{CHRISTMAS}")).status_code == 200
    assert (await client.put("/v1/calendar/countries", json={"countries": []})).json()["next_days"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("countries", {"countries": ["XX"]}),
        ("countries", {"countries": ["us"]}),
        ("countries", {"countries": "US"}),
        ("countries", {}),
        ("days/2026-02-30", {"name": "x", "kind": "closed"}),
        ("days/0", {"name": "x", "kind": "closed"}),
        (f"days/{CHRISTMAS}", {"name": "", "kind": "closed"}),
        (f"days/{CHRISTMAS}", {"name": "x", "kind": "party"}),
    ],
)
async def test_garbage_changes_nothing(
    service: Service, client: httpx.AsyncClient, path: str, body: dict[str, object]
) -> None:
    assert (await client.put(f"/v1/calendar/{path}", json=body)).status_code == 422
    assert (await client.get("/v1/calendar")).json() == {"countries": [], "own_days": [], "next_days": []}
    assert unlisted(service) == []
