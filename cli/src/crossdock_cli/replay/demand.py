"""Forecast the replayed day from the recorded sales before it, and compare the forecast with the day."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import httpx
from rich.console import Console
from rich.markup import escape

from crossdock_cli.commands.forecast import SERVICE, show_accuracy
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.imports import import_file
from crossdock_cli.installation import OPERATOR, Installation
from crossdock_cli.progress import runnable
from crossdock_cli.replay.data import load, sold_by_day
from crossdock_cli.replay.orders import clean

BUSIEST: Final = 200
HORIZON: Final = 28
KNOWN_SECONDS: Final = 120.0
COUNTED_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.2
BARS: Final = " ▁▂▃▄▅▆▇█"
SHOWN_DAYS: Final = 56


@dataclass(frozen=True, slots=True)
class Forecasted:
    """A run that has ended. `actual` is what the replayed day asks of its items."""

    run: Mapping[str, Any]
    day: date
    items: int
    rows: int
    actual: int
    seconds: float


def forecast_day(there: Installation, items: int | None, deadline_seconds: int | None) -> Forecasted:
    """Import the sales before the day, and forecast its busiest items, or all for None.

    The items may become known meanwhile. Raise CommandError if they do not, or if a request is refused.
    """
    day = load()
    asked_for = Counter[str]()
    for order in clean(day.baskets).orders:
        for line in order.body["lines"]:
            asked_for[line["item_id"]] += line["quantity"]
    sold = sold_by_day(day.date, {int(item) for item in asked_for})
    total = Counter[int]()
    for product, _, quantity in sold:
        total[product] += quantity
    chosen = {product for product, _ in total.most_common(items)}
    rows = [(product, at, quantity) for product, at, quantity in sold if product in chosen]
    text = "item_id,day,quantity\n" + "".join(f"{product},{at},{quantity}\n" for product, at, quantity in rows)
    begun = time.perf_counter()
    with client(there, OPERATOR, ["forecasts:read", "forecasts:write"]) as opened:
        url = there.url(SERVICE)
        import_file(opened, url, "demand", text.encode())
        if not asked(opened.get(f"{url}/v1/calendar"))["countries"]:  # the shops are in the United States
            asked(opened.put(f"{url}/v1/calendar/countries", json={"countries": ["US"]}))
        run = _ended(opened, url, _requested(opened, url, day.date, len(chosen), deadline_seconds))
    actual = sum(asked_for[str(product)] for product in chosen)
    return Forecasted(run, day.date, len(chosen), len(rows), actual, time.perf_counter() - begun)


def _requested(
    opened: httpx.Client, url: str, origin: date, items: int, deadline_seconds: int | None
) -> Mapping[str, Any]:
    """Request the run once forecast-service knows all items. It reads them from Kafka."""
    body: dict[str, Any] = {"origin": str(origin), "horizon": HORIZON}
    if deadline_seconds is not None:
        body["deadline_seconds"] = deadline_seconds
    deadline = time.perf_counter() + KNOWN_SECONDS
    while True:
        known = asked(opened.get(f"{url}/v1/demand/summary", params={"until": str(origin)}))["items"]
        if known >= items:
            return asked(opened.post(f"{url}/v1/runs", json=body))
        if time.perf_counter() > deadline:
            raise CommandError(f"forecast-service knows {known} of the day's {items} items after two minutes.")
        time.sleep(POLL_SECONDS)


def _ended(opened: httpx.Client, url: str, run: Mapping[str, Any]) -> Mapping[str, Any]:
    while run["state"] == "running":
        time.sleep(POLL_SECONDS)
        run = asked(opened.get(f"{url}/v1/runs/{run['id']}"))
    return run


def show_forecast(there: Installation, done: Forecasted, out: Console) -> None:
    """Wait until the day is counted, and print the errors of its forecast, and the plot of the worst item."""
    with client(there, OPERATOR, ["forecasts:read"]) as opened:
        url, days = there.url(SERVICE), {"since": str(done.day), "until": str(done.day)}
        deadline = time.perf_counter() + COUNTED_SECONDS
        while (found := asked(opened.get(f"{url}/v1/accuracy", params=days)))["all"]["actual"] < done.actual:
            if time.perf_counter() > deadline:
                break
            time.sleep(POLL_SECONDS)
        cheap = f", {done.run['cheap']} of them by cheap models" if done.run["cheap"] else ""
        out.print(
            f"Forecast of {done.items:,} items from {done.rows:,} days with sales before it: "
            f"{done.seconds:.1f} s{cheap}",
            highlight=False,
        )
        show_accuracy(out, found, worst=3)
        for worst in found["worst"][:1]:
            series = {"item_id": worst["item_id"]}
            shown = asked(opened.get(f"{url}/v1/forecasts", params=series))
            past = asked(opened.get(f"{url}/v1/demand", params={**series, "limit": 1000}))["items"]
            out.print(_plot(past, shown), highlight=False)
            address = f"{url}/v1/series/{shown['series_id']}/plot.svg"
            file = runnable(f"crossdock forecast plot {shown['item_id']} plot.svg")
            out.print(f"  {address}, or: {file}", markup=False, highlight=False, soft_wrap=True)


def _plot(past: Sequence[Mapping[str, Any]], shown: Mapping[str, Any]) -> str:
    """Return a line of bars: the demand of the last weeks, the forecast after it, and what came."""
    quantities = {date.fromisoformat(each["day"]): each["quantity"] for each in past}
    origin = date.fromisoformat(shown["origin"])
    before = [quantities.get(date.fromordinal(origin.toordinal() - n), 0) for n in range(SHOWN_DAYS, 0, -1)]
    means = [each["mean"] for each in shown["days"][:14]]
    at = shown["levels"].index(0.9)
    p90 = shown["days"][0]["quantiles"][at]
    most = max(*before, *means, quantities.get(origin, 0)) or 1
    history, ahead = (
        "".join(BARS[round(value / most * (len(BARS) - 1))] for value in values) for values in (before, means)
    )
    item = escape(shown["item_id"])
    return (
        f"  {item}  [dim]{history}[/dim]│{ahead}\n"
        f"  [dim]{SHOWN_DAYS} days of demand, then 14 of {shown['model']}; on {origin} {means[0]:.0f} were expected, "
        f"at most {p90:.0f} in 9 of 10 cases, and {quantities.get(origin, 0)} came[/dim]"
    )


def demo(there: Installation, out: Console, *, everything: bool) -> None:
    """Forecast the replayed day. Raise CommandError if it was not replayed."""
    done = forecast_day(there, None if everything else BUSIEST, None)
    show_forecast(there, done, out)
