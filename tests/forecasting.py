"""Items with demand, and runs, on a running stack."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from harness import INVENTORY, Body, Harness, eventually

from crossdock_events.forecasts import ForecastUpdated

FORECASTS = "forecast-service"
CSV = {"content-type": "text/csv"}


async def in_stock(harness: Harness, count: int) -> tuple[str, list[str]]:
    """Register items of a new category by an import. Return the category and the items."""
    category = f"C-{uuid4().hex[:10]}"
    items = [f"{category}-{number:04}" for number in range(count)]
    async with harness.client(INVENTORY) as client:
        rows = "\n".join(f"{item},{category},each" for item in items)
        await imported(client, "/v1/items:import", f"item_id,category,unit_of_measure\n{rows}\n")
    return category, items


async def sell(harness: Harness, client: httpx.AsyncClient, items: Sequence[str], *, days: int) -> date:
    """Import demand of the last `days` days. Return today, and wait until it can be the origin of a run."""
    today = datetime.now(UTC).date()
    rows = [
        f"{item},{today - timedelta(days=day)},{4 + (day + number) % 7}"
        for number, item in enumerate(items)
        for day in range(1, days + 1)
    ]
    await imported(client, "/v1/demand:import", "item_id,day,quantity\n" + "\n".join(rows) + "\n")
    return today


async def imported(client: httpx.AsyncClient, path: str, text: str) -> None:
    answer = await client.post(path, content=text, headers=CSV)
    assert answer.status_code == 202, answer.text

    async def ended() -> Body | None:
        shown: Body = (await client.get(f"/v1/imports/{answer.json()['id']}")).json()
        return shown if shown["state"] in ("done", "refused", "failed") else None

    done = await eventually(ended)
    assert done["state"] == "done", done


async def requested(client: httpx.AsyncClient, **body: object) -> Body:
    """Request a run. Wait until the service knows the items and has counted their demand."""

    async def accepted() -> Body | None:
        answer = await client.post("/v1/runs", json=body)
        assert answer.status_code in (202, 422), answer.text
        run: Body = answer.json()
        return run if answer.status_code == 202 else None

    return await eventually(accepted)


async def until_ended(client: httpx.AsyncClient, id: str, seconds: float = 300) -> Body:
    async def ended() -> Body | None:
        shown: Body = (await client.get(f"/v1/runs/{id}")).json()
        return shown if shown["state"] != "running" else None

    return await eventually(ended, seconds)


async def forecast_of(harness: Harness, client: httpx.AsyncClient, item: str) -> list[Any]:
    """Return the events of the item's forecast, once the last one is on Kafka."""
    shown = (await client.get("/v1/forecasts", params={"item_id": item})).json()

    async def there() -> list[Any] | None:
        found = await harness.events(ForecastUpdated, shown["series_id"])
        return [each.event for each in found] if len(found) >= shown["version"] else None

    return await eventually(there)
