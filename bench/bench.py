"""Hold what the parts of the bench share: the stack under measurement, the scale and the results so far."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.cpu import Meter
from bench.helper import Helper
from bench.results import Results, Row
from bench.scale import BATCH_CONNECTIONS, Scale
from bench.stack import BenchStack, Flow
from bench.statistics import middle
from crossdock_events.orders import OrderConfirmed


@dataclass
class Bench:
    """A part measures its rows with this object. `alone`: parts may stop processes for all later parts."""

    opened: BenchStack
    scale: Scale
    found: Results
    stage: Callable[[str], None]
    alone: bool = True
    _warm: bool = False

    @property
    def single(self) -> dict[str, Any]:
        """Return the arguments of a load of single orders."""
        return {"connections": self.scale.connections}

    @property
    def batched(self) -> dict[str, Any]:
        """Return the arguments of a load of batches."""
        return {"connections": BATCH_CONNECTIONS, "batch": self.scale.batch}

    @cached_property
    def subscriber(self) -> Helper:
        return self.opened.subscriber(OrderConfirmed.ce_type)

    @cached_property
    def meter(self) -> Meter:
        """Return a meter for all processes, after the stack is warm."""
        self.warm()
        return self.opened.meter({"subscriber": self.subscriber.pid})

    def warm(self) -> None:
        """Place some orders before the first measurement, so that all rows find the stack warm."""
        if not self._warm:
            self._warm = True
            self.stage("warming up")
            meter = self.opened.meter({})
            for load in (self.single, self.batched):
                self.opened.flow(self.subscriber, meter, self.scale.warm, **load)

    def flow(self, count: int, **load: Any) -> Flow:
        """Post orders and wait until all are confirmed."""
        return self.opened.flow(self.subscriber, self.meter, count, **load)

    def add(self, *rows: Row) -> None:
        self.found.rows += rows

    def note(self, kind: str, flows: list[Flow]) -> list[float]:
        """Record what an order costs: the median of the flows. Return the processor time of all processes by flow."""
        cpu = [{name: used * 1e6 / flow.orders for name, used in flow.cpu.items()} for flow in flows]
        self.found.cpu[kind] = {name: value for name, value in _medians(cpu).items() if value >= 1}
        self.found.counted[kind] = _medians(
            [{name: count / flow.orders for name, count in flow.counted.items()} for flow in flows]
        )
        self.found.gathered[kind] = self.opened.gathered(sum(flow.orders for flow in flows))
        return [sum(one.values()) for one in cpu]

    def stop(self, *processes: str) -> None:
        """Stop processes, unless others use the stack too, so that they take no processor time from later rows."""
        if self.alone:
            self.opened.stop(*processes)


def _medians(each: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: middle([one.get(name, 0.0) for one in each]) for name in each[0]}
