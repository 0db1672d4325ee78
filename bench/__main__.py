"""`python -m bench` prints one table, and with `--only steady,idle` the rows of these parts.

`python -m bench compare OLD NEW` compares two results. `python -m bench growth` measures the rates with millions of
stored orders. `python -m bench page` writes the last results into `docs/performance.md`.
`python -m bench profile order-service.worker` profiles one process. `python -m bench feeds` measures the statements
that the feeds of changes make dearer. `python -m bench watch` measures analytics-service. `python -m bench forecast`
measures the forecasts of forecast-service. `python -m bench crm` measures crm-service.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from rich.console import Console

from bench import crm, feeds, forecast, page, results, watch
from bench.compare import compare
from bench.growth import SIZES, Growth
from bench.helper import HelperFailed
from bench.parts import PARTS
from bench.profile import NoProfiler, Profile, watching
from bench.results import RESULTS
from bench.run import Incomplete, run, run_growth
from bench.scale import BATCH_CONNECTIONS, FULL, TINY
from bench.stack import BenchFailed, bench_stack
from crossdock_cli.errors import CommandError
from crossdock_events.orders import OrderConfirmed

SHOWN = 30
FORECASTS = "bench.forecast.run"
"""It is imported only if it runs, because its libraries take seconds and 300 MB."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="measure a few orders, only to check that everything runs")
    parser.add_argument("--only", type=_parts, default=[], metavar="PART,…", help=f"parts to run: {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the numbers (bench/results/latest.json)")
    commands = parser.add_subparsers(dest="command")
    profile = commands.add_parser("profile", help="sample one process under load")
    profile.add_argument("process", help="order-service.api, order-service.worker, inventory-service.worker …")
    profile.add_argument("--load", choices=("single", "batched"), default="single")
    growth = commands.add_parser("growth", help="measure whether the rates hold while the tables grow")
    growth.add_argument("--sizes", type=_sizes, default=SIZES, metavar="ORDERS,…", help="stored orders")
    commands.add_parser("feeds", help="measure the cost of commit order")
    commands.add_parser("watch", help="measure the log, its projections, the live streams and their page")
    forecasts = commands.add_parser("forecast", help="measure the forecasts of the recorded year")
    forecasts.add_argument("--m4", type=Path, nargs=2, metavar=("TRAIN.csv", "TEST.csv"), help="these series instead")
    forecasts.add_argument("--season", type=int, default=1, metavar="N", help="values in a season of these series")
    forecasts.add_argument("--parts", type=_names, default=[], metavar="PART,…", help="some parts: rates, busiest …")
    forecasts.add_argument("--night", type=int, metavar="N", help="series of the part night (10,000)")
    commands.add_parser("crm", help="measure the customers, cases, clocks and mails of crm-service")
    commands.add_parser("page", help="write the last results into docs/performance.md")
    comparison = commands.add_parser("compare", help="print two results side by side")
    for name in ("old", "new"):
        comparison.add_argument(name, type=Path)
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110)
    try:
        if arguments.command == "profile":
            _profile(console, arguments.process, arguments.load)
            return
        if arguments.command == "feeds":
            feeds.measure(console, count=20_000, runs=5)
            return
        if arguments.command == "page":
            page.write(RESULTS / "latest.json", RESULTS / "growth.json", RESULTS / "watch.json", RESULTS / "crm.json")
            return
        if arguments.command == "compare":
            compare(console, arguments.old, arguments.new)
            return
        if arguments.command == "growth":
            found, file = run_growth(Growth(sizes=arguments.sizes), console), RESULTS / "growth.json"
        elif arguments.command == "watch":
            found, file = watch.run(watch.TINY if arguments.tiny else watch.FULL, console), RESULTS / "watch.json"
        elif arguments.command == "crm":
            found, file = crm.run(crm.TINY if arguments.tiny else crm.FULL, console), RESULTS / "crm.json"
        elif arguments.command == "forecast" and arguments.m4:
            found = resolve_name(f"{FORECASTS}:run_m4")(*arguments.m4, arguments.season, console)
            file = RESULTS / "forecast-m4.json"
        elif arguments.command == "forecast":
            size = forecast.TINY if arguments.tiny else forecast.FULL
            size = replace(size, night=arguments.night or size.night)
            found, file = resolve_name(f"{FORECASTS}:run")(size, console, arguments.parts), RESULTS / "forecast.json"
            if arguments.parts:
                found.join(arguments.json or file)
        else:
            found, file = run(TINY if arguments.tiny else FULL, console, arguments.only), RESULTS / "latest.json"
    except Incomplete as error:
        error.found.show(console)
        console.print(f"Numbers: {error.found.write(RESULTS / 'incomplete.json')}")
        raise SystemExit(str(error)) from None
    except (BenchFailed, HelperFailed, NoProfiler, CommandError) as error:
        raise SystemExit(str(error)) from None
    file = found.write(arguments.json or file)
    found.show(console)
    console.print(f"Numbers: {file}")


def _names(text: str) -> list[str]:
    """Split the names of parts of the bench of forecasts. Raise ArgumentTypeError if one is unknown."""
    names, known = text.split(","), resolve_name(f"{FORECASTS}:PARTS")
    if unknown := set(names) - known.keys():
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def _parts(text: str) -> list[str]:
    """Split the names of parts. Raise ArgumentTypeError if one is unknown."""
    names = text.split(",")
    if unknown := set(names) - PARTS.keys():
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return names


def _sizes(text: str) -> list[int]:
    """Parse numbers of orders. Raise ValueError unless they rise and each is a multiple of the first."""
    sizes = [int(each.replace("_", "")) for each in text.split(",")]
    if sizes != sorted(set(sizes)) or any(size % sizes[0] for size in sizes):
        raise ValueError(text)
    return sizes


def _profile(console: Console, process: str, kind: str) -> None:
    load: dict[str, dict[str, Any]] = {
        "single": {"connections": FULL.connections},
        "batched": {"connections": BATCH_CONNECTIONS, "batch": FULL.batch},
    }
    count = {"single": FULL.single, "batched": FULL.batched}[kind]
    with bench_stack(FULL.items) as opened:
        subscriber = opened.subscriber(OrderConfirmed.ce_type)
        meter = opened.meter({"subscriber": subscriber.pid})
        opened.flow(subscriber, meter, FULL.warm, **load[kind])
        pid = opened.stack.process(process).pid
        if pid is None:
            raise BenchFailed(f"{process} does not run: check its name.")
        with watching(pid) as profile:
            flow = opened.flow(subscriber, meter, count, **load[kind])
    _show(console, profile(), process, f"{count:,} orders, {kind}, {flow.rate:,.0f} a second while being sampled")
    console.print(f"µs per order: { {name: round(used) for name, used in results.per_order(flow.cpu, count).items()} }")


def _show(console: Console, profile: Profile, process: str, what: str) -> None:
    console.print(f"{process}: {profile.samples:,} busy samples; {what}")
    for title, shares in (("in the function itself", profile.own), ("with all it calls", profile.below)):
        console.print(f"\n{title}")
        for name, share in list(shares.items())[:SHOWN]:
            console.print(f"{share:7.1%}  {name}", highlight=False)


if __name__ == "__main__":
    main()
