"""Sums of forecasts: added up, reconciled on request, and why they were not."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import forecasters
import httpx
import pytest
from running import ORIGIN, SELL, computed, requested, sold
from stories import run_once

from crossdock_chassis import Service
from crossdock_chassis.testing import Deliver, Violations, unlisted
from forecast_service.forecasts.follow_overrides import follow_overrides
from forecast_service.places import series_id
from forecast_service.runs import structure
from forecast_service.runs.engine import Forecaster
from forecast_service.runs.forget import forget_runs
from forecast_service.runs.store import claim, hand_back

ITEMS = {"A-1": "beer", "A-2": "wine", "B-1": "beer", "C": None}


@pytest.fixture(autouse=True)
async def items(service: Service, deliver: Deliver) -> None:
    await sold(service, deliver, ITEMS)


async def shown(client: httpx.AsyncClient, path: str = "", **query: str) -> dict[str, Any]:
    answer = await client.get(f"/v1/forecasts/hierarchy{path}", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def means(client: httpx.AsyncClient) -> dict[str, list[float]]:
    found = {}
    for item in ITEMS:
        forecast = (await client.get("/v1/forecasts", params={"item_id": item})).json()
        found[item] = [day["mean"] for day in forecast["days"]]
    return found


async def reconciled(
    service: Service, client: httpx.AsyncClient, forecaster: Forecaster = forecasters.reconciling, **run: object
) -> dict[str, Any]:
    asked = await requested(client, **run)
    answer = await client.post(f"/v1/runs/{asked['id']}:reconcile")
    assert (answer.status_code, answer.json()["state"]) == (200, "running")
    done = await computed(service, client, asked, forecaster)
    assert (done["state"], done["series"], done["done"], done["failed"]) == ("done", asked["series"], done["series"], 0)
    return done


async def test_sums_of_a_run_are_those_of_its_items(service: Service, client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/forecasts/hierarchy")).status_code == 404
    run = await computed(service, client, await requested(client))
    own = await means(client)
    total, beer = await shown(client), await shown(client, category="beer")
    assert [day["mean"] for day in total["days"]] == pytest.approx(
        [sum(day) for day in zip(*own.values(), strict=True)]
    )
    assert beer["days"][0]["mean"] == pytest.approx(own["A-1"][0] + own["B-1"][0])
    assert (total["run_id"], total["origin"], total["items"], beer["items"]) == (run["id"], str(ORIGIN), 4, 2)
    assert (total["method"], total["days"][0]["quantiles"]) == ("bottom_up", None)
    assert total["why"] == f"The run was not reconciled: POST /v1/runs/{run['id']}:reconcile."


async def test_reconciled_run_is_coherent(service: Service, client: httpx.AsyncClient, violations: Violations) -> None:
    run = await reconciled(service, client)
    own, total = await means(client), await shown(client)
    assert (total["method"], total["why"], total["model"]) == ("min_trace", None, "full")
    first = total["days"][0]
    assert first["mean"] == pytest.approx(2 * sum(mean[0] for mean in own.values()), abs=1e-6)
    assert first["quantiles"] == sorted(first["quantiles"]) and first["quantiles"][0] < first["mean"]
    assert total["days"][27]["cumulative"][1] == pytest.approx(28 * first["mean"], rel=0.05)
    listed = await shown(client, "/parts", limit="2")
    rest = await shown(client, "/parts", limit="2", cursor=listed["next"])
    parts = [*listed["items"], *rest["items"]]
    assert [each["category"] for each in parts] == [None, "beer", "wine"]
    for day in range(28):
        assert sum(each["mean"][day] for each in parts) == pytest.approx(total["days"][day]["mean"], abs=1e-6)
    beer = await shown(client, category="beer", run_id=run["id"])
    items = (await shown(client, "/parts", category="beer"))["items"]
    assert [(each["item_id"], each["category"]) for each in items] == [("A-1", "beer"), ("B-1", "beer")]
    assert sum(each["mean"][5] for each in items) == pytest.approx(beer["days"][5]["mean"], abs=1e-6)
    again = await client.post(f"/v1/runs/{run['id']}:reconcile")
    assert (again.json()["state"], await violations(service)) == ("done", {})


@pytest.mark.parametrize("coherent", [False, True])
async def test_sums_have_the_overrides_of_their_items(
    service: Service, client: httpx.AsyncClient, coherent: bool
) -> None:
    if coherent:
        await reconciled(service, client)
    else:
        await computed(service, client, await requested(client))
    before, wine = await shown(client), await shown(client, category="wine")
    body = {"level": "category", "category": "beer", "kind": "absolute", "value": 700, "why": "a fair"}
    days = {"first_day": str(ORIGIN), "last_day": str(ORIGIN + timedelta(days=6))}
    placed = (await client.post("/v1/overrides", json=body | days)).json()
    assert await run_once(service, follow_overrides) == {"expired": 0, "published": 2}
    total, beer = await shown(client), await shown(client, category="beer")
    assert (total["overridden"], beer["overridden"], before["overridden"]) == (2, 2, 0)
    assert sum(day["mean"] for day in beer["days"][:7]) == pytest.approx(700)
    assert all(day["mean"] == day["without_overrides"] for day in beer["days"][7:])
    assert await shown(client, category="wine") == wine
    for old, new, part in zip(before["days"], total["days"], beer["days"], strict=True):
        assert new["without_overrides"] == pytest.approx(old["mean"])
        assert new["mean"] - old["mean"] == pytest.approx(part["mean"] - part["without_overrides"])
        assert not coherent or new["quantiles"][1] - old["quantiles"][1] == pytest.approx(new["mean"] - old["mean"])
    parts = (await shown(client, "/parts", category="beer"))["items"]
    assert sum(each["mean"][0] for each in parts) == pytest.approx(beer["days"][0]["mean"])
    await client.post(f"/v1/overrides/{placed['id']}:withdraw")
    await run_once(service, follow_overrides)
    assert await shown(client) == before


async def test_reconciliation_waits_for_all_forecasts(service: Service, client: httpx.AsyncClient) -> None:
    run = await requested(client)
    await client.post(f"/v1/runs/{run['id']}:reconcile")
    claimed = await claim(service.database)
    assert claimed is not None and claimed.level == "full"
    assert await claim(service.database) is None
    await hand_back(service.database, claimed)
    await computed(service, client, run, forecasters.reconciling)
    assert (await shown(client))["method"] == "min_trace"


@pytest.mark.parametrize(
    ("forecaster", "why"),
    [
        (forecasters.unreconciled, "Reconciliation is not installed here."),
        (forecasters.never_reconciled, "The reconciliation was given up: it took longer than 0.2 s and was killed."),
        (forecasters.negative, "The reconciliation is not made of usable numbers."),
        (forecasters.reconciling, "4 items are too many to reconcile: at most 3 are."),
    ],
)
async def test_fallback_is_the_sum_with_its_reason(
    service: Service,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    forecaster: Forecaster,
    why: str,
) -> None:
    monkeypatch.setattr(structure, "SECONDS", 0.2 if forecaster is forecasters.never_reconciled else 60)
    if forecaster is forecasters.reconciling:
        monkeypatch.setattr(structure, "MOST_RECONCILED", 3)
    await reconciled(service, client, forecaster)
    total, own = await shown(client), await means(client)
    assert (total["method"], total["why"], total["model"]) == ("bottom_up", why, "full")
    assert total["days"][0]["mean"] == pytest.approx(sum(mean[0] for mean in own.values()))
    assert total["days"][0]["quantiles"][4] > total["days"][0]["mean"]  # of the sum itself


async def test_places_are_reconciled_by_themselves(service: Service, client: httpx.AsyncClient) -> None:
    day = ORIGIN - timedelta(days=1)
    async with service.database.unit() as unit:
        await unit.sql.execute(SELL, ["A-1", "B-1"], ["north"] * 2, [""] * 2, [day] * 2, [3, 4])
    await reconciled(service, client, levels=["item", "location"])
    north = await shown(client, location_id="north")
    assert (north["items"], north["method"], north["days"][0]["mean"]) == (2, "min_trace", pytest.approx(14))
    assert (await shown(client))["items"] == 4
    assert (await client.get("/v1/forecasts/hierarchy", params={"location_id": "south"})).status_code == 404


async def test_run_of_a_category_has_only_its_sum(service: Service, client: httpx.AsyncClient) -> None:
    await reconciled(service, client, category="beer")
    assert (await shown(client, category="beer"))["method"] == "min_trace"
    assert (await client.get("/v1/forecasts/hierarchy")).status_code == 404


async def test_runs_that_cannot_be_summed_are_named(service: Service, client: httpx.AsyncClient) -> None:
    async def refused(run: str) -> tuple[int, str]:
        answer = await client.post(f"/v1/runs/{run}:reconcile")
        return answer.status_code, answer.json().get("type", "").rpartition(":")[2]

    some = await requested(client, item_prefix="A")
    assert await refused(some["id"]) == (409, "run-not-whole")
    assert await refused((await requested(client, series=[str(series_id("A-1"))]))["id"]) == (409, "run-not-whole")
    assert await refused(str(uuid4())) == (404, "no-such-run")
    assert await refused("x") == (422, "invalid")
    whole = await computed(service, client, await requested(client))
    other = await requested(client)
    assert await refused(whole["id"]) == (409, "run-in-progress")
    await client.post(f"/v1/runs/{other['id']}:cancel")
    assert (await client.post(f"/v1/runs/{other['id']}:reconcile")).json()["state"] == "cancelled"
    async with service.database.unit() as unit:
        await unit.sql.execute("DELETE FROM forecasts")
    assert await refused(whole["id"]) == (409, "run-forgotten")
    assert unlisted(service) == []
    for query in ({"run_id": "x"}, {"region": "x"}, {"category": ""}):
        assert (await client.get("/v1/forecasts/hierarchy", params=query)).status_code == 422
    assert (await client.get("/v1/forecasts/hierarchy/parts?cursor=x")).status_code == 400


async def test_sums_are_forgotten_with_their_run(service: Service, client: httpx.AsyncClient) -> None:
    await reconciled(service, client)
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE runs SET ended_at = now() - interval '101 days'")
    assert await run_once(service, forget_runs) == {"forgotten": 1}
    async with service.database.unit() as unit:
        for table in ("forecast_sums", "coherent_means"):
            assert await unit.sql.fetchval(f"SELECT count(*) FROM {table}") == 0
