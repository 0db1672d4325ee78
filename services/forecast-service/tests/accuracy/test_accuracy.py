"""Past forecasts beside what was asked for."""

from datetime import date, timedelta
from uuid import UUID

import httpx
import pytest
from stories import imported, registered

from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import Deliver
from forecast_service.accuracy.model import Scored, score
from forecast_service.demand.history import find
from forecast_service.fitting.series import QUANTILES, Fan, Outcome
from forecast_service.forecasts.publish import publish

ORIGIN = date(2026, 3, 11)
HEADER = "item_id,day,quantity\n"


async def forecast(service: Service, series: UUID, origin: date, means: list[float]) -> None:
    quantiles = [[mean + n for mean in means] for n in range(len(QUANTILES))]
    async with service.database.unit() as unit:
        await publish(
            unit, new_id(), origin, [Outcome(str(series), "theta", "smooth", Fan(means, quantiles, quantiles))]
        )


async def settle(service: Service) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute("INSERT INTO settled (at) VALUES (now())")


async def test_accuracy_compares_with_demand_and_naive(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    assert (await client.get("/v1/accuracy")).status_code == 503
    await deliver(service, registered("A"), registered("B"))
    rows = [f"A,{ORIGIN + timedelta(days=n)},{20 + n}" for n in range(-14, 7)]
    rows += [f"B,{ORIGIN - timedelta(days=1)},5", f"B,{ORIGIN + timedelta(days=2)},1"]
    await imported(service, client, HEADER + "\n".join(rows))
    await settle(service)
    async with service.database.unit() as unit:
        (a, _), (b, _) = await find(unit.sql, until=ORIGIN - timedelta(days=1))
    await forecast(service, a, ORIGIN, [22.0] * 7)
    await forecast(service, b, ORIGIN, [0.5] * 7)
    query = {"since": str(ORIGIN), "until": str(ORIGIN + timedelta(days=2))}
    found = (await client.get("/v1/accuracy", params=query)).json()
    # A: 20, 21, 22 were asked for, naive has 13, 14, 15; B: 0, 0, 1, and naive has 0, 0, 0
    assert (found["all"]["count"], found["all"]["actual"]) == (6, 64.0)
    assert found["all"]["wape"] == pytest.approx((2 + 1 + 0 + 0.5 + 0.5 + 0.5) / 64)
    assert found["all"]["bias"] == pytest.approx((2 + 1 + 0 + 0.5 + 0.5 - 0.5) / 64)
    assert found["all"]["naive_wape"] == pytest.approx((7 * 3 + 1) / 64)
    assert found["all"]["at_or_below_p90"] == 1.0
    assert [each["item_id"] for each in found["worst"]] == ["A", "B"]
    one = (await client.get("/v1/accuracy", params={**query, "item_id": "B"})).json()
    assert (one["all"]["count"], one["all"]["actual"]) == (3, 1.0)


async def test_lag_takes_the_forecast_that_was_old_enough(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await deliver(service, registered("A"))
    await imported(service, client, HEADER + "".join(f"A,{ORIGIN + timedelta(days=n)},10\n" for n in range(-7, 3)))
    await settle(service)
    async with service.database.unit() as unit:
        ((series, _),) = await find(unit.sql, until=ORIGIN - timedelta(days=1))
    await forecast(service, series, ORIGIN, [20.0, 20.0, 20.0])
    await forecast(service, series, ORIGIN + timedelta(days=2), [10.0])
    day = str(ORIGIN + timedelta(days=2))
    wapes = []
    for lag in (1, 2, 3, 4):
        found = (await client.get("/v1/accuracy", params={"since": day, "until": day, "lag": lag})).json()
        wapes.append(found["all"]["wape"])
    assert wapes == [0.0, 1.0, 1.0, None]


@pytest.mark.parametrize(
    "query", [{"lag": 0}, {"since": "1900-01-01"}, {"since": "2020-01-01", "until": "2026-03-01"}, {"until": "x"}]
)
async def test_impossible_days_are_refused(service: Service, client: httpx.AsyncClient, query: dict[str, str]) -> None:
    await settle(service)
    answer = await client.get("/v1/accuracy", params=query)
    assert answer.status_code == 422 and answer.json()["errors"][0]["parameter"] in {*query, "since"}


def test_nothing_asked_for_has_no_shares() -> None:
    empty = score([Scored(0, 1, 0, 2)])
    assert (empty.count, empty.wape, empty.bias, empty.naive_wape, empty.at_or_below_p90) == (1, None, None, None, 1.0)
