"""Accuracy as it is measured each day, and bias as it comes and goes."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import imported, registered, run_once

import forecast_service.accuracy.measure as measuring
from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import Clients, Deliver, published
from forecast_service.accuracy.measure import Measure, measure
from forecast_service.accuracy.model import BIAS_DAYS, LEAST_DAYS, direction, tracking_signal
from forecast_service.demand.history import find
from forecast_service.fitting.series import QUANTILES, Fan, Outcome
from forecast_service.forecasts.publish import publish
from forecast_service.places import Zones

TODAY = datetime.now(UTC).date()
HORIZON = 40


def day(number: int) -> date:
    return TODAY + timedelta(days=number)


async def forecast(service: Service, series: UUID, origin: date, mean: float) -> None:
    rows = [[mean] * HORIZON for _ in QUANTILES]
    async with service.database.unit() as unit:
        await publish(
            unit, new_id(), origin, [Outcome(str(series), "theta", "smooth", Fan([mean] * HORIZON, rows, rows))]
        )


async def sold(service: Service, deliver: Deliver, clients: Clients, items: str, quantity: int = 10) -> list[UUID]:
    await deliver(service, *(registered(item) for item in items))
    rows = [f"{item},{day(-n)},{quantity}" for item in items for n in range(1, 61)]
    client = clients(service, scopes=("forecasts:read", "forecasts:write"))
    await imported(service, client, "item_id,day,quantity\n" + "\n".join(rows))
    async with service.database.unit() as unit:
        return [id for id, _ in await find(unit.sql, until=day(-1))]


async def settle(service: Service, days: int = 0) -> None:
    """Count all events of the days before."""
    at = datetime.combine(day(days), datetime.min.time(), UTC) + timedelta(hours=1)
    async with service.database.unit() as unit:
        await unit.sql.execute("DELETE FROM settled")
        await unit.sql.execute("INSERT INTO settled (at) VALUES ($1)", at)


async def events(service: Service, of: str) -> list[dict[str, Any]]:
    rows = await published(service)
    return [json.loads(row["value"]) for row in rows if f"crossdock.{of}.v1" in str(row["headers"])]


async def run_job(service: Service) -> object:
    return await run_once(service, Measure(Zones()).measure_accuracy)


async def test_day_is_measured_once_at_each_lag(service: Service, deliver: Deliver, clients: Clients) -> None:
    a, b = await sold(service, deliver, clients, "AB")
    for origin, mean in ((-30, 28.0), (-8, 7.0), (-1, 9.0)):
        await forecast(service, a, day(origin), mean)
    assert await run_job(service) is None  # no day is whole
    await settle(service)
    assert await run_job(service) == {"measured": 1}  # B has no forecast
    (event,) = await events(service, "ForecastAccuracyMeasured")
    assert (event["series_id"], event["day"], event["actual"]) == (str(a), str(day(-1)), 10.0)
    assert event["lags"] == [
        {"lag": lag, "forecast": mean, "model": mean, "naive": 10.0} for lag, mean in ((1, 9.0), (7, 7.0), (28, 28.0))
    ]
    assert await run_job(service) is None
    await settle(service, days=1)
    await forecast(service, b, day(0), 1.0)
    assert await run_job(service) == {"measured": 2}
    measured = await events(service, "ForecastAccuracyMeasured")
    assert [(each["item_id"], each["day"]) for each in measured[1:]] == [
        (each, str(day(0))) for each in sorted("AB", key=lambda item: str(a if item == "A" else b))
    ]


async def test_measuring_goes_on_where_it_was_interrupted(
    service: Service, deliver: Deliver, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "CHUNK", 2)
    for id in await sold(service, deliver, clients, "ABCDE"):
        await forecast(service, id, day(-1), 9.0)
    await settle(service)
    original, calls = measuring.measure, 0

    async def fail_once(*arguments: Any) -> int:
        nonlocal calls
        calls += 1
        done = await original(*arguments)
        if calls == 2:
            raise ConnectionError
        return done

    monkeypatch.setattr(measuring, "measure", fail_once)
    with pytest.raises(ConnectionError):
        await run_job(service)
    assert await run_job(service) == {"measured": 3}
    measured = [each["item_id"] for each in await events(service, "ForecastAccuracyMeasured")]
    assert sorted(measured) == list("ABCDE")


async def test_long_pause_measures_the_last_days_only(service: Service, deliver: Deliver, clients: Clients) -> None:
    (a,) = await sold(service, deliver, clients, "A")
    await forecast(service, a, day(-39), 9.0)
    async with service.database.unit() as unit:
        await unit.sql.execute("INSERT INTO accuracy_progress (day) VALUES ($1)", day(-500))
    await settle(service)
    assert await run_job(service) == {"measured": 28}
    measured = await events(service, "ForecastAccuracyMeasured")
    assert (measured[0]["day"], measured[-1]["day"]) == (str(day(-28)), str(day(-1)))


async def test_bias_is_sent_when_it_begins_and_ends(service: Service, deliver: Deliver, clients: Clients) -> None:
    (a,) = await sold(service, deliver, clients, "A")
    await forecast(service, a, day(-39), 14.0)
    for number in range(-39, -19):
        await measured(service, a, number)
    (begun,) = await events(service, "ForecastBiasDetected")
    assert (begun["direction"], begun["day"], begun["days"]) == ("over", str(day(-23)), 17)
    assert begun["tracking_signal"] == pytest.approx(17**0.5)
    await forecast(service, a, day(-19), 6.0)
    for number in range(-19, -5):
        await measured(service, a, number)
    _, ended = await events(service, "ForecastBiasDetected")
    assert ended["direction"] == "none" and ended["tracking_signal"] < 2
    headers = [row["headers"] for row in await published(service) if row["topic"] == "crossdock.forecast-accuracy.v1"]
    assert [int(each["ce_sequence"]) for each in headers] == list(range(1, len(headers) + 1))


async def test_day_without_stock_is_not_measured(service: Service, deliver: Deliver, clients: Clients) -> None:
    a, b = await sold(service, deliver, clients, "AB")
    for series in (a, b):
        await forecast(service, series, day(-1), 9.0)
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE imported_demand SET in_stock = false WHERE item_id = 'A' AND day = $1", day(-1))
        assert await measure(unit, day(-1), [a, b], Zones()) == 1
    (event,) = await events(service, "ForecastAccuracyMeasured")
    assert event["item_id"] == "B"


async def measured(service: Service, series: UUID, number: int) -> None:
    async with service.database.unit() as unit:
        assert await measure(unit, day(number), [series], Zones()) == 1


@given(errors=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=BIAS_DAYS))
def test_tracking_signal_is_bounded_and_has_no_unit(errors: list[float]) -> None:
    signal = tracking_signal(errors)
    assert abs(signal) <= len(errors) ** 0.5 + 1e-6
    assert tracking_signal([-each for each in errors]) == pytest.approx(-signal)
    assert tracking_signal([each * 4 for each in errors]) == pytest.approx(signal)


@pytest.mark.parametrize(
    ("before", "errors", "after"),
    [
        ("none", [1.0] * (LEAST_DAYS - 1), "none"),
        ("none", [1.0] * 17, "over"),
        ("none", [-1.0] * 17, "under"),
        ("none", [0.0] * 30, "none"),
        ("none", [1.0] * 9, "none"),
        ("over", [1.0, 1.0, 1.0, -1.0] * 7, "over"),  # 2.6: between the limits it stays
        ("none", [1.0, 1.0, 1.0, -1.0] * 7, "none"),
        ("under", [1.0, 1.0, 1.0, -1.0] * 7, "none"),  # it is on the other side
        ("over", [1.0, -1.0] * 10, "none"),
    ],
)
def test_bias_is_raised_and_cleared_at_different_limits(before: Any, errors: Sequence[float], after: str) -> None:
    assert direction(before, errors) == after
