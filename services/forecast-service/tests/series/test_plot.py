"""Plots: the same bytes everywhere, a description for screen readers, and only what has changed is drawn."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest
from running import ORIGIN, computed, requested, sold

from crossdock_chassis import Service
from crossdock_chassis.testing import Deliver, unlisted
from forecast_service.fitting.series import QUANTILES
from forecast_service.series.drawing import draw
from forecast_service.series.model import Line, Plot
from forecast_service.series.plots import DRAWING, Plots, key_of

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "a$x$ <b>&\"' \N{CJK UNIFIED IDEOGRAPH-4E2D}\x07"

DRAW = """
import sys
sys.path.append(sys.argv[1])
from test_plot import plot, draw
sys.stdout.buffer.write(draw(plot(), "svg")[0] + draw(plot(), "png")[0])
"""


def plot(name: str = "A", days: int = 28) -> Plot:
    fan = {level: [10 * level] * days for level in QUANTILES}
    return Plot(
        name,
        "each",
        "median: theta, ets",
        Line(ORIGIN - timedelta(days=40), [3.0] * 43),
        Line(ORIGIN, [5.0] * days),
        fan,
        {level: 10 * level * min(days, 28) for level in QUANTILES},
        ordered={ORIGIN + timedelta(days=5): 2.0},
        past=[Line(ORIGIN - timedelta(days=7), [4.0] * 28)],
        marks={"holiday": [ORIGIN], "promotion": [ORIGIN + timedelta(days=2)]},
    )


def test_same_plot_has_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 30\n")
    environment = os.environ | {"PYTHONHASHSEED": "7", "MPLCONFIGDIR": str(tmp_path), "TZ": "Asia/Tokyo"}
    program = [sys.executable, "-c", DRAW, str(Path(__file__).parent)]
    found = subprocess.run(program, capture_output=True, env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert found.stdout == draw(plot(), "svg")[0] + draw(plot(), "png")[0], found.stderr.decode()


@pytest.mark.parametrize("days", [1, 366])
def test_plot_has_a_description_for_screen_readers(days: int) -> None:
    (svg,) = draw(plot(HOSTILE, days), "svg")
    root = ElementTree.fromstring(svg)
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None and description is not None
    assert root.get("role") == "img"
    assert title.text == f"Demand and forecast of {HOSTILE}".replace("\x07", "\N{REPLACEMENT CHARACTER}")
    assert description.text is not None
    assert f"expects 5 a day. In the first {min(days, 28)} days together" in description.text
    assert "Days marked as holiday: 2024-03-11. Days marked as promotion: 2024-03-13." in description.text
    assert {"demand", "p10 to p90", "past forecasts", "holiday"} <= {each.text for each in root.iter(f"{SVG}text")}


def test_plot_shows_the_model_beside_overrides() -> None:
    overridden = replace(plot(), without_overrides=Line(ORIGIN, [4.0] * 28))
    root = ElementTree.fromstring(draw(overridden, "svg")[0])
    assert "without overrides" in {each.text for each in root.iter(f"{SVG}text")}
    description = root.find(f"{SVG}desc")
    assert description is not None and description.text is not None
    assert "the forecast with overrides expects 5 a day" in description.text
    assert "Without overrides it would be 4 a day." in description.text


def test_key_differs_if_the_plot_does() -> None:
    assert key_of(plot(), "svg") == key_of(plot(), "svg")
    assert len({key_of(plot(), "svg"), key_of(plot(), "png"), key_of(plot("B"), "svg")}) == 3


@asynccontextmanager
async def drawing(service: Service) -> AsyncIterator[Plots]:
    """Run the part of the API that ends the child."""
    (plots,) = [part for feature in service.features for part in feature.parts.values() if isinstance(part, Plots)]
    stopping = asyncio.Event()
    task = asyncio.create_task(plots.run(stopping))
    try:
        yield plots
    finally:
        stopping.set()
        await task


async def test_plot_is_drawn_once_and_again_after_a_run(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"A": "beer"})
    await computed(service, client, await requested(client))
    (series,) = (await client.get("/v1/series", params={"item_id": "A"})).json()["items"]
    url = f"/v1/series/{series['series_id']}/plot.svg"
    async with drawing(service) as plots:
        first = await client.get(url)
        assert (first.status_code, first.headers["content-type"]) == (200, "image/svg+xml"), first.text
        assert "Demand and forecast of A" in first.text
        child = plots._child.pid
        assert child is not None
        os.kill(child, signal.SIGKILL)  # neither the kept file nor a current copy needs it
        assert (await client.get(url)).content == first.content
        again = await client.get(url, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        await computed(service, client, await requested(client, horizon=14))
        changed = await client.get(url, headers={"if-none-match": first.headers["etag"]})
        assert changed.status_code == 200 and changed.content != first.content
        png = await client.get(url.replace("svg", "png"), params={"width": 320, "height": 200, "days": 7})
        assert (png.headers["content-type"], png.content[:4]) == ("image/png", b"\x89PNG")
        assert int.from_bytes(png.content[16:20]) == 320


async def test_dead_child_is_a_clear_problem_and_not_a_500(
    service: Service, client: httpx.AsyncClient, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forecast_service.series.plots.SECONDS", 0.0)
    await sold(service, deliver, {"A": "beer"})
    run = await requested(client)
    (series,) = (await client.get("/v1/series")).json()["items"]
    url = f"/v1/series/{series['series_id']}/plot.svg"
    none = await client.get(url)
    assert (none.status_code, none.json()["type"].rpartition(":")[2]) == (404, "no-forecast-of-series")
    await computed(service, client, run)
    async with drawing(service):
        answer = await client.get(url)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


async def test_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecast_service.series.plots.KEPT_BYTES", 40_000)
    plots = Plots(DRAWING)
    async with plots._child:
        for name in "ABCA":
            await plots.draw(name, plot(name), "svg")
    assert list(plots._kept) == ["A"]


def test_routes_list_their_problems(service: Service) -> None:
    assert unlisted(service) == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/series/0193f7a0-0000-7000-8000-000000000001", 404),
        ("/v1/series/0193f7a0-0000-7000-8000-000000000001/plot.svg", 404),
        ("/v1/series/0193f7a0-0000-7000-8000-000000000001/plot.png", 404),
        ("/v1/series/0193f7a0-0000-7000-8000-000000000001/plot.svg?width=2001", 422),
        ("/v1/series/0193f7a0-0000-7000-8000-000000000001/plot.svg?height=0", 422),
        ("/v1/series/0193f7a0-0000-7000-8000-000000000001/plot.svg?days=1e9", 422),
        ("/v1/series/x", 422),
        ("/v1/series?cursor=x", 400),
        ("/v1/series?limit=201", 422),
    ],
)
async def test_unknown_series_are_named(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(path)
    assert answer.status_code == status
    assert answer.json()["title"] and (status != 404 or "detail" in answer.json())


async def test_series_shows_what_competed_and_how_it_scored(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"A": "beer", "B": None})
    await computed(service, client, await requested(client))
    async with service.database.unit() as unit:
        await unit.sql.execute(
            """UPDATE forecasts SET model = 'median: theta, ets', scores = '{"ets": 0.8, "theta": 0.75, "naive": 1}'"""
        )
    first = (await client.get("/v1/series", params={"limit": 1})).json()
    second = (await client.get("/v1/series", params={"limit": 1, "cursor": first["next"]})).json()
    listed = [*first["items"], *second["items"]]
    assert ({each["item_id"] for each in listed}, second["next"]) == ({"A", "B"}, None)
    id = next(each["series_id"] for each in listed if each["item_id"] == "A")
    shown = (await client.get(f"/v1/series/{id}")).json()
    assert (shown["category"], shown["unit_of_measure"], shown["location_id"]) == ("beer", "each", None)
    yesterday = date.fromisoformat(shown["forecast"]["origin"]) - timedelta(days=1)
    assert (shown["history"]["last_day"], shown["forecast"]["origin"]) == (str(yesterday), str(ORIGIN))
    assert shown["history"]["recent"] == shown["forecast"]["expected"]  # of the fallback, the mean of 28 days
    assert (shown["forecast"]["model"], shown["forecast"]["combined"]) == ("median", ["theta", "ets"])
    assert shown["forecast"]["competed"] == [
        {"model": "theta", "error": 0.75, "used": True},
        {"model": "ets", "error": 0.8, "used": True},
        {"model": "naive", "error": 1, "used": False},
    ]
