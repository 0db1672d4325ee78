"""Which forecasts are published, and what was believed at an earlier time."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import NOON, at, placed, registered, run_once

from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import Deliver, published
from crossdock_events.forecasts import ForecastUpdated
from forecast_service.demand.history import find
from forecast_service.fitting.series import QUANTILES, Fan, Outcome
from forecast_service.forecasts.forget import forget_forecasts
from forecast_service.forecasts.model import Believed, moved
from forecast_service.forecasts.publish import publish
from forecast_service.places import series_id

ORIGIN = date(2026, 3, 11)
HORIZON = 28


def outcome(series: UUID, mean: float, model: str = "theta") -> Outcome:
    quantiles = [[mean * (0.5 + level)] * HORIZON for level in QUANTILES]
    cumulative = [[mean * (0.5 + level) * day for day in range(1, HORIZON + 1)] for level in QUANTILES]
    return Outcome(str(series), model, "smooth", Fan([mean] * HORIZON, quantiles, cumulative), {"rmssse": 0.7})


@pytest.fixture
async def series(service: Service, deliver: Deliver) -> UUID:
    """Return the series of an item that was ordered once."""
    await deliver(service, registered("A"), at(NOON, placed(new_id(), {"A": 2})))
    async with service.database.unit() as unit:
        ((id, _),) = await find(unit.sql, until=ORIGIN - timedelta(days=1))
    return id


async def run(service: Service, series: UUID, mean: float, *, later: int = 0, of: UUID | None = None) -> UUID:
    id = of or new_id()
    async with service.database.unit() as unit:
        await publish(unit, id, ORIGIN + timedelta(days=later), [outcome(series, mean)])
    return id


async def test_forecast_is_published_when_it_moves(service: Service, series: UUID) -> None:
    sent = []
    for mean, later in ((4.0, 0), (4.1, 1), (4.5, 2), (4.5, 3), (4.5, 9)):
        await run(service, series, mean, later=later)
        sent.append(len(await published(service)))
    assert sent == [1, 1, 2, 2, 3]  # 4.1 is within 5 %; the last one is sent because the one before is 7 days old


async def test_second_forecast_of_a_run_replaces_the_first(
    service: Service, series: UUID, client: httpx.AsyncClient
) -> None:
    id = await run(service, series, 4.0)
    await run(service, series, 8.0, of=id)
    shown = (await client.get("/v1/forecasts", params={"item_id": "A"})).json()
    assert (shown["version"], shown["days"][0]["mean"], shown["run_id"]) == (2, 8.0, str(id))


async def test_forecast_is_shown_as_it_was_believed(
    service: Service, series: UUID, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await run(service, series, 4.0)
    between = datetime.now(UTC).isoformat()
    await run(service, series, 9.0)
    await deliver(service, at(NOON, placed(new_id(), {"A": 3}, requested=ORIGIN)))
    now = (await client.get("/v1/forecasts", params={"item_id": "A"})).json()
    then = (await client.get("/v1/forecasts", params={"item_id": "A", "as_of": between})).json()
    assert (now["days"][0]["mean"], then["days"][0]["mean"]) == (9.0, 4.0)
    assert (now["days"][0]["ordered"], now["levels"][0], len(now["days"])) == (3, 0.1, HORIZON)
    assert now["days"][1]["cumulative"] == [9.0 * (0.5 + level) * 2 for level in QUANTILES]


async def test_combination_is_published_with_its_models(service: Service, series: UUID) -> None:
    async with service.database.unit() as unit:
        await publish(unit, new_id(), ORIGIN, [outcome(series, 4.0, "median: theta, ets")])
        (event,) = [each.event for each in unit.published]
    assert isinstance(event, ForecastUpdated)
    assert (event.model, event.combined) == ("median", ("theta", "ets"))


@pytest.mark.parametrize("query", [{"item_id": "B"}, {"item_id": "A", "as_of": "2020-01-01T00:00:00Z"}])
async def test_missing_forecast_is_named(
    service: Service, series: UUID, client: httpx.AsyncClient, query: dict[str, str]
) -> None:
    await run(service, series, 4.0)
    answer = await client.get("/v1/forecasts", params=query)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (404, "no-such-forecast")


async def test_only_old_forecasts_are_forgotten(service: Service, series: UUID) -> None:
    made = [(4.0, 500), (8.0, 401), (12.0, 399), (12.1, 36), (12.1, 34), (20.0, 401)]
    for mean, age in made:
        id = await run(service, series, mean)
        async with service.database.unit() as unit:
            await unit.sql.execute(
                "UPDATE forecasts SET made_at = now() - $1::interval WHERE run_id = $2", timedelta(days=age), id
            )
    assert await run_once(service, forget_forecasts) == {"forgotten": 3}
    async with service.database.unit() as unit:
        left = await unit.sql.fetch("SELECT mean[1] AS mean FROM forecasts ORDER BY made_at")
    assert [row["mean"] for row in left] == [20.0, 12.0, 12.1]  # the first one is the last that was published


rows = st.lists(st.floats(0, 1e9), min_size=HORIZON, max_size=HORIZON)


@given(cumulative=st.lists(rows, min_size=len(QUANTILES), max_size=len(QUANTILES)), days=st.integers(0, 6))
def test_same_forecast_never_moves(cumulative: list[list[float]], days: int) -> None:
    assert moved(None, ORIGIN, cumulative)
    assert not moved(Believed(ORIGIN, cumulative), ORIGIN + timedelta(days=days), cumulative)
    assert moved(Believed(ORIGIN, cumulative), ORIGIN + timedelta(days=7), cumulative)
    assert series_id("A") == series_id("A") != series_id("A", "north")
