"""Run the bench on a few orders, so that it does not break unnoticed between its rare full runs."""

from contextlib import ExitStack

from bench.bench import Bench
from bench.parts import PARTS
from bench.results import Results
from bench.run import measure
from bench.scale import TINY
from bench.stack import BenchStack

from crossdock_local.stack import Stack


def test_every_row_can_be_measured(stack: Stack) -> None:
    found = Results({}, "")
    stages: list[str] = []
    with ExitStack() as helpers:
        opened = BenchStack(stack, helpers, TINY.items)
        opened.stock()
        measure(Bench(opened, TINY, found, stages.append, alone=False), PARTS.keys() - {"workers"})  # two starts less
    assert len({row.name for row in found.rows}) == len(found.rows) == 62
    assert all(row.value > 0 for row in found.rows if row.unit not in ("ms", "% of a core"))
    assert [row.name for row in found.rows if row.target is not None] == [
        "Idle",
        "End to end, single",
        "CPU an order, single",
        "End to end, batched",
        "CPU an order, batched",
        "One item in every order ÷ spread",
        "One item that sells out ÷ spread",
        "Longest gap, application/json",
        "Longest gap, application/x-ndjson",
        "Longest gap, text/csv",
        "Accept ÷ validate only",
        "NDJSON ÷ insert",
        "End to end, single ÷ twin",
        "End to end, batched ÷ twin",
    ]
    one = {"single, one process a service", "batched, one process a service"}
    assert found.cpu.keys() == {"single", "batched", "50/s", "twin", *one}
