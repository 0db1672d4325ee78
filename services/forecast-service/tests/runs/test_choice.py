"""Runs keep the chosen models, and publish why they choose others."""

import json
from datetime import date, timedelta
from typing import Any

import forecasters
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import ORIGIN, SELL, computed, forecasts, requested, sold

from crossdock_chassis import Service
from crossdock_chassis.testing import Deliver, published
from forecast_service.forecasts.model import OLDEST_CHOICE, drifted, due
from forecast_service.places import series_id

WEEKLY = ("B", "C")
"""Items whose demand repeats each week, so that seasonal naive is clearly better than an average."""


@pytest.fixture(autouse=True)
async def chosen(service: Service, client: httpx.AsyncClient, deliver: Deliver) -> dict[str, Any]:
    """Choose models at ORIGIN, and let demand go on as before for ten days."""
    await sold(service, deliver, {"A": None, "B": None, "C": None})
    days = [
        (item, "", "", ORIGIN + timedelta(days=day), (3 - number) * 3 + (-day * number) % 7)
        for number, item in enumerate("ABC")
        for day in range(10)
    ]
    async with service.database.unit() as unit:
        await unit.sql.execute(SELL, *zip(*days, strict=True))
    return await run(service, client, ORIGIN)


async def run(service: Service, client: httpx.AsyncClient, origin: date, **body: object) -> dict[str, Any]:
    asked = await requested(client, origin=str(origin), **body)
    done = await computed(service, client, asked, forecasters.cheap)
    assert (done["state"], done["done"], done["failed"]) == ("done", 3, 0)
    return done


async def events(service: Service) -> list[tuple[str, str, int]]:
    """Return the type, the item and the sequence of each event after the first run, in their order."""
    sent = []
    for row in await published(service):
        headers, item = row["headers"], json.loads(row["value"])["item_id"]
        sent.append((headers["ce_type"].split(".")[1], item, int(headers["ce_sequence"])))
    return [each for each in sent if each[2] > 1]


async def choices(service: Service) -> dict[str, Any]:
    async with service.database.unit() as unit:
        rows = await unit.sql.fetch("SELECT item_id, choices.* FROM choices JOIN series ON id = series_id ORDER BY 1")
    return {row["item_id"]: row for row in rows}


async def worsen(service: Service) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE choices SET kind = 'single', models = '{average}', weights = '{1}'")


async def test_night_after_a_choice_only_fits_its_models(
    service: Service, client: httpx.AsyncClient, chosen: dict[str, Any]
) -> None:
    before = await choices(service)
    done = await run(service, client, ORIGIN + timedelta(days=1))
    assert (chosen["refitted"], done["refitted"]) == (0, 3)
    assert await choices(service) == before
    made = zip(await forecasts(service, chosen["id"]), await forecasts(service, done["id"]), strict=True)
    assert all(first["model"] == second["model"] and first["scores"] == second["scores"] for first, second in made)
    assert {kind for kind, _, _ in await events(service)} <= {"ForecastUpdated"}


async def test_weekly_choice_keeps_models_that_are_good_enough(service: Service, client: httpx.AsyncClient) -> None:
    before = await choices(service)
    done = await run(service, client, ORIGIN + timedelta(days=7))
    after = await choices(service)
    assert done["refitted"] == 0
    assert {item: (row["models"], row["since"]) for item, row in after.items()} == {
        item: (row["models"], row["since"]) for item, row in before.items()
    }
    assert {row["origin"] for row in after.values()} == {ORIGIN + timedelta(days=7)}
    assert [each for each in await events(service) if each[0] == "ModelChanged"] == []


@pytest.mark.parametrize(("later", "body", "reason"), [(1, {"reselect": True}, "requested"), (8, {}, "weekly")])
async def test_clear_win_changes_the_model_and_says_why(
    service: Service, client: httpx.AsyncClient, later: int, body: dict[str, object], reason: str
) -> None:
    await worsen(service)
    await run(service, client, ORIGIN + timedelta(days=later), **body)
    sent = [each for each in await events(service) if each[1] in WEEKLY]
    assert sorted(sent) == [
        ("ForecastUpdated", "B", 3),
        ("ForecastUpdated", "C", 3),
        ("ModelChanged", "B", 2),
        ("ModelChanged", "C", 2),
    ]
    rows = [json.loads(row["value"]) for row in await published(service)]
    changes = {each["item_id"]: each for each in rows if "earlier_model" in each}
    for item in WEEKLY:
        change = changes[item]
        assert (change["reason"], change["earlier_model"]) == (reason, "average")
        assert change["error"] <= 0.98 * change["earlier_error"]
        shown = (await client.get(f"/v1/series/{series_id(item)}")).json()
        assert shown["forecast"]["model"] == change["model"]
        assert shown["choice"]["models"][0]["model"] in (change["model"], *(change.get("combined") or ()))
        assert shown["choice"]["origin"] == str(ORIGIN + timedelta(days=later))
    await run(service, client, ORIGIN + timedelta(days=later))
    assert len([each for each in await events(service) if each[0] == "ModelChanged"]) == len(changes)


async def test_drift_leads_to_a_new_choice(service: Service, client: httpx.AsyncClient) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(
            "UPDATE imported_demand SET quantity = 50 * quantity WHERE item_id = 'B' AND day >= $1", ORIGIN
        )
    assert (await run(service, client, ORIGIN + timedelta(days=2)))["refitted"] == 3
    assert (await run(service, client, ORIGIN + timedelta(days=3)))["refitted"] == 2
    origins = {item: row["origin"] for item, row in (await choices(service)).items()}
    assert origins == {"A": ORIGIN, "B": ORIGIN + timedelta(days=3), "C": ORIGIN}


async def test_days_without_stock_are_no_drift(service: Service, client: httpx.AsyncClient) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(
            "UPDATE imported_demand SET quantity = 50 * quantity, in_stock = false WHERE item_id = 'B' AND day >= $1",
            ORIGIN,
        )
    assert (await run(service, client, ORIGIN + timedelta(days=3)))["refitted"] == 3


async def test_run_of_an_earlier_origin_leaves_later_choices(service: Service, client: httpx.AsyncClient) -> None:
    before = await choices(service)
    assert (await run(service, client, ORIGIN - timedelta(days=1)))["refitted"] == 0
    assert await choices(service) == before


async def test_longer_horizon_needs_a_new_choice(service: Service, client: httpx.AsyncClient) -> None:
    assert (await run(service, client, ORIGIN + timedelta(days=1), horizon=14))["refitted"] == 3
    assert (await run(service, client, ORIGIN + timedelta(days=1), horizon=56))["refitted"] == 0


@given(days=st.integers(3, 7), expected=st.floats(0.1, 1e6), share=st.floats(0, 10))
def test_drift_is_more_than_chance(days: int, expected: float, share: float) -> None:
    assert not drifted(days * expected * min(share, 2), days, expected)
    assert drifted(days * expected * (3 + share), days, expected)
    assert not drifted(1e9, 2, expected) and not drifted(1e9, days, None)
    assert drifted(days * 1.0, days, 0.0)


@given(items=st.lists(st.text("AB", min_size=1), min_size=1), chosen=st.dates(date(2020, 1, 1), date(2030, 1, 1)))
def test_each_series_is_chosen_once_in_seven_nights(items: list[str], chosen: date) -> None:
    nights = [chosen + timedelta(days=n) for n in range(1, OLDEST_CHOICE + 1)]
    for id in map(series_id, items):
        assert sum(due(id, night - timedelta(days=1), night) for night in nights) == 1
        assert due(id, chosen, nights[-1]) and not due(id, chosen, chosen)


def test_new_choices_are_spread_over_the_nights() -> None:
    ids = [series_id(str(number)) for number in range(700)]
    counts = [
        sum(due(id, ORIGIN + timedelta(days=n), ORIGIN + timedelta(days=n + 1)) for id in ids)
        for n in range(OLDEST_CHOICE)
    ]
    assert sum(counts) == 700 and max(counts) < 140
