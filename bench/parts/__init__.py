"""The parts of the bench, in the order of a run. A part measures a few rows and can be run without the others.

A part that stops or restarts processes comes after all parts that need them.
"""

from collections.abc import Callable, Mapping
from typing import Final

from bench.bench import Bench
from bench.parts import (
    accept,
    consumer,
    end_to_end,
    floors,
    garbage,
    idle,
    relay,
    start_up,
    steady,
    together,
    twin,
    variety,
    workers,
)

# Steady rates come before the heavy loads, because a disk that is still writing their data delays each commit.
PARTS: Final[Mapping[str, Callable[[Bench], None]]] = {
    "idle": idle.measure,
    "steady": steady.measure,
    "end-to-end": end_to_end.measure,
    "workers": workers.measure,
    "variety": variety.measure,
    "garbage": garbage.measure,
    "consumer": consumer.measure,
    "relay": relay.measure,
    "start-up": start_up.measure,
    "together": together.measure,
    "accept": accept.measure,
    "floors": floors.measure,
    "twin": twin.measure,
}
