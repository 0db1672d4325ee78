"""From demand to `ForecastUpdated` on Kafka, through the real runner."""

from datetime import timedelta
from uuid import uuid4

from forecasting import FORECASTS, forecast_of, in_stock, requested, sell, until_ended
from harness import Harness


async def test_imported_demand_becomes_forecasts_on_kafka(harness: Harness) -> None:
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
        again = await client.post("/v1/runs", json={"origin": (origin + timedelta(days=3)).isoformat()})
        assert again.status_code == 422
        nothing = await client.post("/v1/runs", json={"category": uuid4().hex})
        assert nothing.status_code == 422
    await harness.adds_up()
