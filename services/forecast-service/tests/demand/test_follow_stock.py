"""Times without stock, from the events of the levels."""

from datetime import timedelta

import httpx
from stories import NOON, at, levels

from crossdock_chassis import Service
from crossdock_chassis.testing import Deliver


async def outs(client: httpx.AsyncClient, **series: str) -> list[tuple[str, str | None]]:
    answer = await client.get("/v1/demand/stock-outs", params=series)
    assert answer.status_code == 200, answer.text
    return [(each["began"], each["ended"]) for each in answer.json()]


def shown(hours: int) -> str:
    return (NOON + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


async def test_stock_out_lasts_until_there_is_stock(
    service: Service, deliver: Deliver, client: httpx.AsyncClient
) -> None:
    story = [levels("A", north=3), levels("A", north=0), levels("A", north=0), levels("A", north=1), levels("A")]
    for n, event in enumerate(story):
        await deliver(service, at(NOON + timedelta(hours=n), event, n + 1))
    expected = [(shown(4), None), (shown(1), shown(3))]
    assert await outs(client, item_id="A") == expected
    assert await outs(client, item_id="A", location_id="north") == expected


async def test_location_can_be_empty_while_another_is_not(
    service: Service, deliver: Deliver, client: httpx.AsyncClient
) -> None:
    story = [levels("A", north=3, south=1), levels("A", north=3, south=0), levels("A", north=0, south=2)]
    await deliver(service, *(at(NOON + timedelta(hours=n), event, n + 1) for n, event in enumerate(story)))
    assert await outs(client, item_id="A") == []
    assert await outs(client, item_id="A", location_id="north") == [(shown(2), None)]
    assert await outs(client, item_id="A", location_id="south") == [(shown(1), shown(2))]
