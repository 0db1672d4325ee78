"""Measure other orders than those of the other rows: one item in all of them, partial orders, requests sent twice.

The kinds take turns, and each is compared with orders that are spread over all items, in the same turn.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.bench import Bench
from bench.goods import LOCATIONS, Shape
from bench.results import Row
from bench.stack import Flow
from bench.statistics import middle
from crossdock_events.orders import OrderBackordered, OrderConfirmed

DECIDED: Final = (OrderConfirmed.ce_type, OrderBackordered.ce_type)
HOT: Final = "BENCH-HOT"
NEVER: Final = "BENCH-NEVER-IN-STOCK"


@dataclass(frozen=True, slots=True)
class Kind:
    """A row. `load`: arguments of the load. `ratio`: the target of its ratio to spread orders."""

    name: str
    load: Mapping[str, Any]
    note: str = ""
    ratio: float | None = None


def measure(bench: Bench) -> None:
    scale, opened = bench.scale, bench.opened
    count = scale.varied
    scarce = {f"BENCH-SCARCE-{number}": count // 2 // len(LOCATIONS) for number in range(scale.repeats)}
    opened.add_items({HOT: count * scale.repeats, NEVER: 0, **scarce})
    subscriber = opened.subscriber(*DECIDED)
    meter = opened.meter({"subscriber": subscriber.pid})
    bench.warm()
    flows: dict[str, list[Flow]] = defaultdict(list)
    bench.stage(f"other orders: {scale.repeats} times {count:,} of each kind")
    for item in scarce:
        for kind in kinds(item):
            flow = opened.flow(subscriber, meter, count, **bench.single, **kind.load)
            flows[kind.name].append(flow)
    spread = middle([flow.rate for flow in flows["Orders spread over all items"]])
    for kind in kinds(""):
        rates = [flow.rate for flow in flows[kind.name]]
        bench.add(Row(kind.name, rates, "orders/s", note=kind.note))
        if kind.ratio is not None:
            ratios = [rate / spread for rate in rates]
            bench.add(Row(f"{kind.name} ÷ spread", ratios, "times", kind.ratio))


def kinds(scarce: str) -> list[Kind]:
    return [
        Kind("Orders spread over all items", {}, "to the last OrderConfirmed or OrderBackordered, as the rows below"),
        Kind("One item in every order", {"shape": Shape(always=HOT)}, ratio=0.5),
        Kind(
            "One item that sells out", {"shape": Shape(always=scarce)}, "half of the orders wait for stock", ratio=0.5
        ),
        Kind(
            "Partial orders",
            {"shape": Shape(always=NEVER, partial=True)},
            "a line of each has no stock; the others are held",
        ),
        Kind("Requests sent twice", {"twice": True}, "with one key: one half at once, one half a while later"),
    ]
