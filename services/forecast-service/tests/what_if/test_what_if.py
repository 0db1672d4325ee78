"""What-ifs: a runner answers them, and nothing is stored but the question."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import forecasters
import httpx
import pytest
from running import ORIGIN, PATIENCE, sold
from stories import registered

from crossdock_chassis import Service
from crossdock_chassis.testing import Deliver, published, unlisted
from forecast_service.calendar.model import Calendar, OwnDay
from forecast_service.drivers.model import Driver
from forecast_service.fitting.series import Choice, Fan, History, Outcome, Plan
from forecast_service.places import series_id
from forecast_service.runs.engine import ChildEngine, Forecaster
from forecast_service.runs.loop import Loop
from forecast_service.what_if import http, model
from forecast_service.what_if.compute import Answer
from forecast_service.what_if.forget import forget_what_ifs
from forecast_service.what_if.model import LikeItem, Question

THEN = ORIGIN + timedelta(days=2)
ASKED: dict[str, Any] = {"item_id": "A", "origin": str(ORIGIN), "horizon": 4}
CHEAPER = {"drivers": [{"name": "price", "value": 0.5, "first_day": str(THEN), "last_day": str(THEN)}]}


@asynccontextmanager
async def answering(service: Service, forecaster: Forecaster = forecasters.priced) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    engine = ChildEngine(forecaster)
    loop = Loop("what-ifs", service.database, engine, Answer(service.database, engine).turn)
    task = asyncio.create_task(loop.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait({task}, timeout=PATIENCE)


async def asked(client: httpx.AsyncClient, changes: object, **body: object) -> httpx.Response:
    return await client.post("/v1/what-if", json=ASKED | {"changes": changes} | body, timeout=PATIENCE)


def means(answer: httpx.Response) -> list[list[float]]:
    assert answer.status_code == 200, answer.text
    return [[day["mean"] for day in answer.json()[each]["days"]] for each in ("as_is", "changed")]


async def test_both_forecasts_are_returned_and_not_stored(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"A": None, "NEW": None})
    async with answering(service):
        answer = await asked(client, CHEAPER)
        assert means(answer) == [[1, 1, 1, 1], [1, 1, 0.5, 1]]
        assert answer.json()["as_is"]["days"][0]["day"] == str(ORIGIN)
        assert answer.json()["warnings"] == [
            f"price of this item never changed before {ORIGIN}. The forecast does not know its effect."
        ]
        closed = await asked(client, {"days": [{"day": str(THEN), "kind": "closed"}]})
        assert means(closed) == [[1, 1, 1, 1], [1, 1, 0, 1]]
        assert closed.json()["warnings"] == []
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval("SELECT count(*) FROM forecasts") == 0
        assert await unit.sql.fetchval("SELECT count(*) FROM what_ifs") == 2
        await unit.sql.execute("UPDATE what_ifs SET asked_at = asked_at - interval '11 minutes'")
        await forget_what_ifs(unit)
        assert await unit.sql.fetchval("SELECT count(*) FROM what_ifs") == 0
    assert await published(service) == []
    assert unlisted(service) == []


async def test_the_same_question_has_the_answer_of_before(
    service: Service, client: httpx.AsyncClient, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sold(service, deliver, {"A": None})
    monkeypatch.setattr(http, "SECONDS", 0.0)
    late = await asked(client, CHEAPER)
    assert (late.status_code, late.headers["retry-after"]) == (503, "10"), late.text
    async with answering(service), asyncio.timeout(PATIENCE):
        while (answer := await asked(client, CHEAPER)).status_code == 503:
            await asyncio.sleep(0.05)
    assert means(answer)[1] == [1, 1, 0.5, 1]
    assert means(await asked(client, CHEAPER)) == means(answer)  # no runner is there


async def test_both_forecasts_know_the_days_without_stock(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"A": None})
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE imported_demand SET in_stock = day < $1", ORIGIN - timedelta(days=2))
    async with answering(service, forecasters.marked):
        assert means(await asked(client, CHEAPER)) == [[2, 2, 2, 2], [2, 2, 2, 2]]


@pytest.mark.parametrize(
    ("category", "reason"), [("dies", "signal 9 ended it"), ("fails", "ValueError"), ("nan", "usable numbers")]
)
async def test_a_forecast_that_fails_is_a_clear_answer(
    service: Service, client: httpx.AsyncClient, deliver: Deliver, category: str, reason: str
) -> None:
    await sold(service, deliver, {"A": category})
    async with answering(service, forecasters.make):
        answer = await asked(client, CHEAPER)
        assert (answer.status_code, reason in answer.json()["detail"]) == (503, True), answer.text


@pytest.mark.parametrize(
    ("changes", "body", "pointer"),
    [
        ({}, {}, "/changes"),
        ({"drivers": [{"name": "price", "value": 1, "first_day": "2024-04-11"}]}, {}, "/changes"),
        ({"drivers": [{"name": "price", "value": 1, "last_day": "2024-03-10"}]}, {}, "/changes/drivers/0/last_day"),
        ({"drivers": [{"name": "price", "value": 0}]}, {}, "/changes/drivers/0/value"),
        ({"drivers": [{"name": "price"}]}, {}, "/changes/drivers/0/value"),
        ({"days": [{"day": str(THEN), "kind": "party"}]}, {}, "/changes/days/0/kind"),
        ({"like_item": {"item_id": "NONE"}}, {}, "/changes/like_item/item_id"),
        ({"like_item": {"item_id": "A", "weight": 0}}, {}, "/changes/like_item/weight"),
        (CHEAPER, {"item_id": "NONE"}, "/item_id"),
        (CHEAPER, {"origin": "2999-01-01"}, "/origin"),
        (CHEAPER, {"horizon": 0}, "/horizon"),
        (CHEAPER, {"location_id": "WEST", "region": "US"}, "/region"),
    ],
)
async def test_a_wrong_question_is_refused_at_its_place(
    service: Service,
    client: httpx.AsyncClient,
    deliver: Deliver,
    changes: dict[str, object],
    body: dict[str, object],
    pointer: str,
) -> None:
    await deliver(service, registered("A"))
    answer = await asked(client, changes, **body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text


def history(item: str, values: list[float], plans: list[Plan] | None = None) -> History:
    return History(str(series_id(item)), ORIGIN - timedelta(days=len(values)), values, plans=plans or [])


def test_the_past_of_a_like_item_comes_before_the_own_one() -> None:
    question = Question("A", "", "", ORIGIN, 2, like=LikeItem("B", 2.0))
    days = [ORIGIN - timedelta(days=n) for n in (4, 3, 2, 1)]
    own = replace(history("A", [5.0, 6.0]), censored=frozenset(days[::3]))
    like = replace(history("B", [1.0, 2.0, 3.0, 4.0]), censored=frozenset(days[1:]), pinned={days[0]: 7.0})
    changed = model.with_change(question, own, like, Calendar())
    assert changed.values == [2.0, 4.0, 5.0, 6.0]
    assert changed.censored == {days[1], days[3]} and changed.pinned == {days[0]: 14.0}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ([(1, 3.0)], [(4, 3, 4.5), (3, 3, 3.0), (1, None, 3.0)]),
        ([], [(4, None, 6.0), (3, None, 4.0)]),
    ],
)
def test_the_past_of_a_like_item_has_its_prices(
    own: list[tuple[int, float]], expected: list[tuple[int, int | None, float]]
) -> None:
    """The last price before the own past becomes the first own one."""
    origin = ORIGIN.toordinal()

    def prices(changes: list[tuple[int, float]]) -> list[Plan]:
        return [Plan("price", origin - day, None, value, origin - day, None, "unknown") for day, value in changes]

    question = Question("A", "", "", ORIGIN, 2, like=LikeItem("B", 2.0))
    like = history("B", [1.0, 2.0, 3.0, 4.0], prices([(4, 6.0), (3, 4.0), (1, 9.0)]))
    changed = model.with_change(question, history("A", [5.0, 6.0], prices(own)), like, Calendar())
    found = [(origin - each.first, each.last and origin - each.last, each.value) for each in changed.plans]
    assert found == expected


def test_days_of_the_calendar_change_from_the_origin_on() -> None:
    own = OwnDay(THEN, "shop party", "holiday")
    before = ORIGIN - timedelta(days=1)
    changes = (model.own_day(THEN, "ordinary"), model.own_day(before, "closed"), model.own_day(ORIGIN, "holiday"))
    question = Question("A", "", "", ORIGIN, 4, days=changes)
    assert model.changed_calendar(question, Calendar(("US",), (own,))).own == (changes[0], changes[2])


def outcome(*mean: float) -> Outcome:
    return Outcome("A", "ridge", "smooth", Fan(mean, [], []))


@pytest.mark.parametrize(
    ("plans", "peer", "mean", "expected"),
    [
        ([], [], 2.0, ["never changed", "does not know"]),
        ([], [(9, 1.0), (3, 2.0)], 2.0, ["never changed", "on other items"]),
        ([(9, 1.0), (3, 2.0)], [], 2.0, []),
        ([(9, 1.0), (-3, 2.0)], [], 2.0, ["never changed", "does not know"]),
        ([(9, 1.0), (3, 2.0)], [], 1.0, ["do not use drivers"]),
    ],
)
def test_warnings_name_what_the_past_cannot_tell(
    plans: list[tuple[int, float]], peer: list[tuple[int, float]], mean: float, expected: list[str]
) -> None:
    origin = ORIGIN.toordinal()

    def prices(changes: list[tuple[int, float]]) -> list[Plan]:
        return [Plan("price", origin - day, None, value, origin - day, None, "unknown") for day, value in changes]

    question = Question("A", "", "", ORIGIN, 1, (Driver("price", "", "", "", ORIGIN, None, 3.0, None),))
    made = {"A": outcome(1.0), "changed": outcome(mean)}
    found = "".join(
        model.warnings(question, history("A", [1.0] * 8, prices(plans)), [history("B", [1.0] * 8, prices(peer))], made)
    )
    texts = ("never changed", "does not know", "on other items", "do not use drivers")
    assert [text for text in texts if text in found] == expected


def test_a_question_keeps_its_content_as_a_document() -> None:
    question = Question(
        "A",
        "",
        "US",
        ORIGIN,
        9,
        (Driver("price", "", "", "", date(2024, 3, 12), None, 2.5, None),),
        (model.own_day(THEN, "closed"),),
        LikeItem("B", 0.5),
    )
    assert Question.of(question.document()) == question
    assert Question.of(replace(question, like=None).document()).like is None


def test_the_models_that_were_chosen_are_fitted_again() -> None:
    question, own = Question("A", "", "", ORIGIN, 1), history("A", [1.0])
    peers = [history("B", [1.0]), history("C", [1.0])]
    changed = model.with_change(question, own, None, Calendar())
    choice = Choice("single", {"ridge": 1.0}, [], [], 1.0, {})
    choices = {own.series: choice, peers[0].series: choice}
    (task,) = model.tasks(question, Calendar(), own, changed, peers, choices)
    assert (task.level, [each.series for each in task.histories]) == ("refit", [own.series, "changed", peers[0].series])
    assert task.choices["changed"] == choice
    (task,) = model.tasks(question, Calendar(), own, changed, peers, {})
    assert (task.level, len(task.histories)) == ("full", 4)
