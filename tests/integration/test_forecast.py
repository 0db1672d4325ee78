"""From demand to `ForecastUpdated` on Kafka, through the real runner."""

import asyncio
import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from forecasting import FORECASTS, forecast_of, in_stock, requested, sell, until_ended
from harness import Body, Harness, eventually
from typer.testing import CliRunner

from crossdock_cli.app import build
from crossdock_cli.errors import CommandError
from crossdock_events.forecasts import ForecastOverridden


async def crossdock(*arguments: str) -> Any:
    done = await asyncio.to_thread(CliRunner().invoke, build(list(arguments)), [*arguments, "--json"])
    if done.exception:
        raise done.exception
    return json.loads(done.output)


async def test_imported_demand_becomes_forecasts_on_kafka(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    category, items = await in_stock(harness, 3)
    async with harness.client(FORECASTS, scopes=("forecasts:read", "forecasts:write")) as client:
        origin = await sell(harness, client, items, days=70)
        run = await requested(client, category=category, horizon=28)
        done = await until_ended(client, run["id"])
        assert (done["state"], done["series"], done["done"], done["failed"]) == ("done", 3, 3, 0), done
        for item in items:
            (event,) = await forecast_of(harness, client, item)
            assert (str(event.run_id), event.item_id, event.origin) == (done["id"], item, origin)
            assert len(event.mean) == 28 and 1 < sum(event.mean) / 28 < 20
        await asked_what_if(client, items[0], origin)
        await client.post(f"/v1/runs/{run['id']}:reconcile")
        await until_ended(client, run["id"])
        found = (await client.get("/v1/forecasts/hierarchy", params={"category": category})).json()
        assert found["method"] == "min_trace" or "not installed here" in found["why"], found["why"]
        parts = (await client.get("/v1/forecasts/hierarchy/parts", params={"category": category})).json()["items"]
        assert {each["item_id"] for each in parts} == set(items)
        for number, day in enumerate(found["days"]):
            assert abs(day["mean"] - sum(each["mean"][number] for each in parts)) < 1e-6
            assert day["quantiles"][0] <= day["mean"] <= day["quantiles"][-1]
        again = await client.post("/v1/runs", json={"origin": (origin + timedelta(days=3)).isoformat()})
        assert again.status_code == 422
        nothing = await client.post("/v1/runs", json={"category": uuid4().hex})
        assert nothing.status_code == 422
        monkeypatch.setenv("CROSSDOCK_HOME", str(harness.stack.home.root))
        monkeypatch.delenv("CROSSDOCK_PORTS", raising=False)
        days = ("--from", str(origin), "--to", str(origin + timedelta(days=6)))
        await overridden(harness, items, "--category", category, "--absolute", "999", "--why", "a fair", *days)
    await harness.adds_up()


async def asked_what_if(client: httpx.AsyncClient, item: str, origin: date) -> None:
    """Ask what a closed day and half the price would change. The price of the item never changed before."""
    closed = {"day": str(origin + timedelta(days=2)), "kind": "closed"}
    price = {"name": "price", "value": 0.5, "first_day": str(origin + timedelta(days=4))}
    body = {"item_id": item, "horizon": 14, "changes": {"days": [closed], "drivers": [price]}}

    async def answered() -> Body | None:
        answer = await client.post("/v1/what-if", json=body, timeout=60)
        assert answer.status_code in (200, 503), answer.text
        found: Body = answer.json()
        return found if answer.status_code == 200 else None

    answer = await eventually(answered, 120)
    as_is, changed = ([day["mean"] for day in answer[each]["days"]] for each in ("as_is", "changed"))
    assert len(as_is) == len(changed) == 14 and all(1 < mean < 20 for mean in as_is), answer
    assert changed[2] == 0 and changed[0] == pytest.approx(as_is[0], rel=0.2), answer
    assert any("never changed before" in each for each in answer["warnings"]), answer


async def overridden(harness: Harness, items: Sequence[str], *arguments: str) -> None:
    """Override a week of some items with the command, and withdraw it again."""
    made = await crossdock("forecast", "override", "place", *arguments)

    async def published(ids: Sequence[str]) -> list[dict[str, Any]] | None:
        shown = [await crossdock("forecast", "show", item) for item in items]
        return shown if all(each["overrides"] == ids for each in shown) else None

    shown = await eventually(lambda: published([made["id"]]))
    assert sum(day["mean"] for each in shown for day in each["days"][:7]) == pytest.approx(999)
    (listed,) = (await crossdock("forecast", "override", "list"))["items"]
    assert (listed["id"], listed["series"], listed["published"]) == (made["id"], 3, 3)
    await crossdock("forecast", "override", "withdraw", made["id"])
    await eventually(lambda: published([]))

    async def stated_twice() -> bool:
        events = await harness.events(ForecastOverridden, made["id"])
        statuses = [each.event.status for each in events if isinstance(each.event, ForecastOverridden)]
        return statuses == ["in_force", "withdrawn"]

    await eventually(stated_twice)


async def test_commands_explain_and_plot_a_forecast(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSDOCK_HOME", str(harness.stack.home.root))
    monkeypatch.delenv("CROSSDOCK_PORTS", raising=False)
    category, (item,) = await in_stock(harness, 1)
    async with harness.client(FORECASTS, scopes=("forecasts:read", "forecasts:write")) as client:
        await sell(harness, client, [item], days=70)
        await until_ended(client, (await requested(client, category=category, horizon=28))["id"])

    async def crossdock(*arguments: str) -> Any:
        line = ["forecast", *arguments]
        return await asyncio.to_thread(CliRunner().invoke, build(line), line)

    why = await crossdock("why", item)
    assert f"{item}: " in why.output and "seasonal_naive" in why.output and "Chosen" in why.output, why
    plotted = await crossdock("plot", item, str(tmp_path / "plot.svg"), "--days", "30")
    assert plotted.exit_code == 0, plotted
    assert f"<title>Demand and forecast of {item}</title>" in (tmp_path / "plot.svg").read_text()
    for file in ("plot.pdf", "no/plot.png"):
        assert isinstance((await crossdock("plot", item, str(tmp_path / file))).exception, CommandError)
