"""`crossdock forecast`: what will be asked for."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from crossdock_cli import installation
from crossdock_cli.commands.override import override
from crossdock_cli.commands.what_if import what_if
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.installation import Installation
from crossdock_cli.output import AsJson, console, moment, print_json, print_table

SERVICE = "forecast-service"
LEADS = (1, 7, 14, 28, 56, 91, 182, 365)
"""Days of lead time that are printed."""
PLOTS = (".svg", ".png")
PLOT_SECONDS = 60.0
"""The first plot waits until the service has loaded matplotlib."""
BAR = 40
POLL_SECONDS = 0.3

forecast = typer.Typer(no_args_is_help=True, help="Show and make forecasts of demand.")
forecast.callback()(lambda: None)
forecast.add_typer(override, name="override")
forecast.command("what-if")(what_if)

Item = Annotated[str, typer.Argument(help="The id of the item.")]
Location = Annotated[str | None, typer.Option(help="Only what this location serves.")]
Region = Annotated[str | None, typer.Option(help="Only orders to this region, such as US or US-OR.")]


@forecast.command()
def show(
    item: Annotated[str | None, typer.Argument(help="The id of the item. Default: all items together.")] = None,
    category: Annotated[str | None, typer.Option(help="All items of this category together.")] = None,
    location: Location = None,
    region: Region = None,
    as_of: Annotated[str | None, typer.Option(help="The forecast that was the last one at this time.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a forecast: each of the next days, and the demand of 7, 14 and more days together."""
    if item is not None and category is not None:
        raise CommandError("Name an item or a category, not both.")
    if item is None and as_of is not None:
        raise CommandError("--as-of needs an item: sums of earlier times are not kept.")
    there = installation.current()
    if item is None:
        _show_sum(there, {"category": category, "location_id": location, "region": region}, as_json)
        return
    series = _series(item, location, region)
    with client(there, None, ["ops:read"]) as opened:
        query = series if as_of is None else {**series, "as_of": as_of}
        found = asked(opened.get(f"{there.url(SERVICE)}/v1/forecasts", params=query))
    if as_json:
        print_json(found)
        return
    out = console()
    head = f"{item}: {found['model']}, demand is {found['demand_class']}, made {moment(found['made_at'])}"
    out.print(head, markup=False)
    if found["why"]:
        out.print(found["why"], markup=False)
    for id in found["overrides"]:
        out.print(f"overridden by {id}", markup=False)
    print_table(out, _days(found))
    out.print()
    print_table(out, _sums(found))


@forecast.command()
def why(item: Item, location: Location = None, region: Region = None, as_json: AsJson = False) -> None:
    """Show why an item is forecast as it is: its history, and how each model scored on the past."""
    there = installation.current()
    with client(there, None, ["ops:read"]) as opened:
        found = asked(opened.get(_address(opened, there, _series(item, location, region))))
    if as_json:
        print_json(found)
        return
    out, past, made, choice = console(), found["history"], found["forecast"], found["choice"]
    combined = f" of {', '.join(made['combined'])}" if made["combined"] else ""
    out.print(
        f"{item}: {made['model']}{combined}, made {moment(made['made_at'])} from {made['origin']} on", markup=False
    )
    if made["why"]:
        out.print(made["why"], markup=False)
    if choice:
        since = f"Chosen {moment(choice['since'])}, compared with the others last at {choice['origin']}"
        out.print(since, markup=False, highlight=False)
    if past["first_day"]:
        out.print(
            f"Demand is {made['demand_class']}: {past['quantity']:,} on {past['days_with_demand']:,} days from "
            f"{past['first_day']} to {past['last_day']}, {_number(past['recent'])} a day of late, "
            f"{_number(made['expected'])} a day expected",
            markup=False,
            highlight=False,
        )
    table = Table("model", box=None)
    for heading in ("error in the past ÷ seasonal naive", "used"):
        table.add_column(heading, justify="right")
    for each in made["competed"]:
        table.add_row(each["model"], f"{each['error']:.3f}", "yes" if each["used"] else "")
    print_table(out, table)


@forecast.command()
def plot(
    item: Item,
    file: Annotated[Path, typer.Argument(help="Where to write it: a name that ends with .svg or .png.")],
    location: Location = None,
    region: Region = None,
    days: Annotated[int, typer.Option(min=7, max=1100, help="Days of demand before the forecast.")] = 120,
) -> None:
    """Plot the demand of an item and its forecast."""
    if file.suffix not in PLOTS:
        raise CommandError(f"{file} must end with {' or '.join(PLOTS)}.")
    there = installation.current()
    with client(there, None, ["ops:read"]) as opened:
        save_plot(opened, there, _series(item, location, region), file, days)
    console().print(f"{file}", markup=False)


def save_plot(opened: httpx.Client, there: Installation, series: Mapping[str, str], file: Path, days: int) -> None:
    """Write the plot of a series. Raise CommandError if there is none, or if the file cannot be written."""
    url = _address(opened, there, series)
    answer = opened.get(f"{url}/plot{file.suffix}", params={"days": days}, timeout=PLOT_SECONDS)
    if not answer.is_success:
        asked(answer)
    try:
        file.write_bytes(answer.content)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}.") from error


def _series(item: str, location: str | None, region: str | None) -> dict[str, str]:
    named = {"item_id": item, "location_id": location, "region": region}
    return {name: value for name, value in named.items() if value is not None}


def _address(opened: httpx.Client, there: Installation, series: Mapping[str, str]) -> str:
    """Return the address of a series that has a forecast."""
    url = f"{there.url(SERVICE)}/v1"
    return f"{url}/series/{asked(opened.get(f'{url}/forecasts', params=series))['series_id']}"


Origin = Annotated[str | None, typer.Option(help="The first day. Default: the first day that has not ended.")]


@forecast.command()
def run(
    origin: Origin = None,
    horizon: Annotated[int, typer.Option(min=1, max=366, help="Days.")] = 56,
    prefix: Annotated[str | None, typer.Option(help="Only items whose id begins like this.")] = None,
    category: Annotated[str | None, typer.Option(help="Only items of this category.")] = None,
    level: Annotated[
        list[str] | None, typer.Option(help="item, location or region; can be given again. Default: item.")
    ] = None,
    deadline: Annotated[
        int | None, typer.Option(help="Seconds. All items get a cheap model first, then as many as possible the best.")
    ] = None,
    reselect: Annotated[bool, typer.Option(help="Choose all models anew, also those of this week.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forecast all active items, or some, and follow the run. It goes on if this command is interrupted."""
    wanted = {"origin": origin, "horizon": horizon, "item_prefix": prefix, "category": category, "levels": level}
    wanted |= {"deadline_seconds": deadline, "reselect": reselect or None}
    body = {name: value for name, value in wanted.items() if value is not None}
    there = installation.current()
    with client(there, None, ["ops:read", "ops:act"]) as opened:
        url = f"{there.url(SERVICE)}/v1/runs"
        found = asked(opened.post(url, json=body, headers={"Idempotency-Key": uuid4().hex}))
        _followed(opened, url, found, as_json)


def _show_sum(there: Installation, named: Mapping[str, str | None], as_json: bool) -> None:
    """Show the forecast of a category or of all items."""
    query = {name: value for name, value in named.items() if value is not None}
    with client(there, None, ["ops:read"]) as opened:
        found = asked(opened.get(f"{there.url(SERVICE)}/v1/forecasts/hierarchy", params=query))
    if as_json:
        print_json(found)
        return
    out, how = console(), "reconciled" if found["method"] == "min_trace" else "the sum of their forecasts"
    head = f"{found['category'] or 'all'}: {found['items']} items, {how}, made {moment(found['made_at'])}"
    out.print(head, markup=False)
    if found["why"]:
        out.print(found["why"], markup=False)
    table, levels = Table("day", box=None), found["levels"] if found["days"][0]["quantiles"] else []
    table.add_column("mean", justify="right")
    for level in levels:
        table.add_column(f"p{level * 100:g}", justify="right")
    for day in found["days"][:14]:
        table.add_row(*(day["day"], _number(day["mean"])), *(_number(value) for value in day["quantiles"] or ()))
    print_table(out, table)
    if levels:
        out.print()
        print_table(out, _sums(found))


@forecast.command()
def reconcile(
    id: Annotated[str | None, typer.Argument(help="The run. Default: the newest one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make the forecasts of items, categories and all items of a run agree, and follow it."""
    there = installation.current()
    with client(there, None, ["ops:read", "ops:act"]) as opened:
        url = f"{there.url(SERVICE)}/v1/runs"
        found = asked(opened.post(f"{url}/{id or _newest(opened, url)['id']}:reconcile"))
        _followed(opened, url, found, as_json)


def _newest(opened: httpx.Client, url: str) -> Any:
    runs = asked(opened.get(url, params={"limit": 1}))["items"]
    if not runs:
        raise CommandError("There is no run yet: start one with `crossdock forecast run`.")
    return runs[0]


@forecast.command()
def watch(
    id: Annotated[str | None, typer.Argument(help="The run. Default: the newest one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Follow a run to its end."""
    there = installation.current()
    with client(there, None, ["ops:read"]) as opened:
        url = f"{there.url(SERVICE)}/v1/runs"
        found = _newest(opened, url) if id is None else asked(opened.get(f"{url}/{id}"))
        _followed(opened, url, found, as_json)


@forecast.command()
def demo(
    everything: Annotated[bool, typer.Option("--all", help="Every item of the day, not only the busiest.")] = False,
) -> None:
    """Forecast the replayed trading day from the recorded sales before it, and compare."""
    from crossdock_cli.replay import demand  # noqa: PLC0415  (a slow import)

    demand.demo(installation.current(), console(), everything=everything)


@forecast.command()
def accuracy(
    since: Annotated[str | None, typer.Option(help="The first day. Default: 27 days before the last one.")] = None,
    until: Annotated[str | None, typer.Option(help="The last day. Default: the last whole day.")] = None,
    lag: Annotated[int, typer.Option(min=1, help="Forecasts that were made at least so many days ahead.")] = 1,
    item: Annotated[str | None, typer.Option(help="Only this item.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare past forecasts with what was asked for, beside seasonal naive."""
    there = installation.current()
    query = {"since": since, "until": until, "lag": lag, "item_id": item}
    with client(there, None, ["ops:read"]) as opened:
        params = {name: value for name, value in query.items() if value is not None}
        found = asked(opened.get(f"{there.url(SERVICE)}/v1/accuracy", params=params))
    if as_json:
        print_json(found)
    else:
        show_accuracy(console(), found)


@forecast.command("value-added")
def value_added(
    since: Annotated[str | None, typer.Option(help="The first day. Default: 27 days before the last one.")] = None,
    until: Annotated[str | None, typer.Option(help="The last day. Default: the last whole day.")] = None,
    lag: Annotated[int, typer.Option(min=1, help="Forecasts that were made at least so many days ahead.")] = 1,
    by: Annotated[str, typer.Option(help="total, category or item.")] = "total",
    as_json: AsJson = False,
) -> None:
    """Show the errors of seasonal naive, of the model, and of what was published with overrides."""
    there = installation.current()
    query = {"since": since, "until": until, "lag": lag, "by": by}
    with client(there, None, ["ops:read"]) as opened:
        params = {name: value for name, value in query.items() if value is not None}
        found = asked(opened.get(f"{there.url(SERVICE)}/v1/value-added", params=params))
    if as_json:
        print_json(found)
        return
    table = Table("absolute errors", box=None)
    for heading in ("naive", "model", "published", "planner added", "in money"):
        table.add_column(heading, justify="right")
    for each in [found["total"], *found["groups"]]:
        units, money = each["units"], each["money"]
        cells = [_number(units[name]) for name in ("naive", "model", "published", "planner_added")]
        name = each["item_id"] or each["category"] or ("all" if each is found["total"] else "no category")
        table.add_row(escape(name), *cells, f"{money['planner_added']:.2f}" if money else "")
    print_table(console(), table)


def show_accuracy(out: Console, found: Mapping[str, Any], worst: int = 10) -> None:
    """Print errors of all items, and those of the worst ones."""
    days = found["since"] if found["since"] == found["until"] else f"{found['since']} to {found['until']}"
    scores = found["all"]
    if not scores["count"]:
        out.print(f"{days}: no day had a forecast.")
        return
    out.print(f"{days}, forecast at least {found['lag']} day{'s' if found['lag'] > 1 else ''} ahead", markup=False)
    table = Table("", box=None)
    for heading in ("asked for", "forecast", "WAPE", "naive WAPE", "bias", "days ≤ p90"):
        table.add_column(heading, justify="right")
    rows = [(escape(each["item_id"]), each, _number(each["forecast"])) for each in found["worst"][:worst]]
    for name, each, forecast_ in [("all", scores, ""), *rows]:
        shares = [_percent(each[key]) for key in ("wape", "naive_wape", "bias", "at_or_below_p90")]
        table.add_row(name, _number(each["actual"]), forecast_, *shares)
    print_table(out, table)


def _followed(opened: httpx.Client, url: str, run: Mapping[str, Any], as_json: bool) -> None:
    """Show the progress of a run, and then what it made."""
    with _bar() as show:
        while run["state"] == "running":
            show(run)
            time.sleep(POLL_SECONDS)
            run = asked(opened.get(f"{url}/{run['id']}"))
    if as_json:
        print_json(run)
        return
    out = console()
    cheap = f", {run['cheap']} of them by cheap models" if run["cheap"] else ""
    out.print(f"Run {run['id']} is {run['state']}: {run['done']} of {run['series']} series{cheap}.", markup=False)
    for each in run["failures"]:
        out.print(f"{each['series']} series failed: {each['reason']}", markup=False)


@contextmanager
def _bar() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("forecasting", total=None)

        def show(run: Mapping[str, Any]) -> None:
            bar.update(task, completed=run["done"] or run["cheap"], total=run["series"])

        yield show


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.1f} %"


def _days(found: Mapping[str, Any]) -> Table:
    """Return the first 14 days. The bar is the mean, and the line after it reaches to the 0.9 quantile."""
    at = found["levels"].index(0.9)
    days = found["days"][:14]
    most = max((day["quantiles"][at] for day in days), default=0) or 1
    table = Table("day", box=None)
    model = ("model",) if found["overrides"] else ()
    for heading in ("mean", *model, "p90", "ordered"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for day in days:
        high = day["quantiles"][at]
        bar = "█" * round(day["mean"] / most * BAR)
        line = "─" * max(0, round(high / most * BAR) - len(bar))
        cells = [_number(day["mean"]), *(_number(day["model_mean"]) for _ in model), _number(high), str(day["ordered"])]
        table.add_row(day["day"], *cells, bar + escape(line))
    return table


def _sums(found: Mapping[str, Any]) -> Table:
    """Return the quantiles of the demand of the first days together."""
    table, days = Table("demand of", box=None), found["days"]
    for level in found["levels"]:
        table.add_column(f"p{level * 100:g}", justify="right")
    for lead in LEADS:
        if lead <= len(days):
            cells = [_number(value) for value in days[lead - 1]["cumulative"]]
            table.add_row(f"{lead} day{'s' if lead > 1 else ''}", *cells)
    return table


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
